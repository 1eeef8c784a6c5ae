//! The attributes of managed objects: one row each, from which the 1.x name/value pair and the 2.x tagged field both come.
//!
//! A row says the attribute's tag and name, its type, how many instances an object may have, what a client may do to it
//! (the table "Attribute Rules" of its section) and the versions that define it. KMIP 1.4 §3, 2.1 §4.

use crate::{
    enums::*,
    error::{DecodeError, Fault},
    fields::{DateTime, Field, Fields, Interval, Slot, kmip_struct},
    macros::versions,
    masks::CryptographicUsageMask,
    tags::Tag,
    tree::{Item, Value},
    version::{Version, VersionRange},
};

/// What a client may do to an attribute (the table of rules in the attribute's section).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAccess {
    /// Only the server sets it.
    ReadOnly,
    /// Given when the object is made, fixed from then on.
    AtCreation,
    /// Given when the object is made or added later; changed only while it lies ahead (life-cycle dates); never deleted.
    Scheduled,
    /// Given, added and changed, never deleted.
    Kept,
    /// Given, added, changed and deleted.
    Free,
}

/// How many instances of an attribute an object may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instances {
    /// At most one.
    One,
    /// Any number, told apart by Attribute Index in 1.x.
    Many,
}

/// Declares the attributes. The macro writes the enum of values, the enum of kinds, and both wire shapes.
macro_rules! attributes {
    ($( $(#[$meta:meta])* $kind:ident $name:literal: $type:ty, $instances:ident, $access:ident, in $from:ident .. $($until:ident)?; )*) => {
        /// An attribute's value; `Custom` is a client's or vendor's own.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Attribute {
            $( $(#[$meta])* $kind($type), )*
            /// An attribute that the specification does not define: `x-` or `y-` in 1.x, a vendor's in 2.x.
            Custom(CustomAttribute),
        }

        /// Which attribute, without a value.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum AttributeKind {
            $( $(#[$meta])* $kind, )*
        }

        impl AttributeKind {
            /// Every attribute of every version.
            pub const ALL: &[Self] = &[ $( Self::$kind, )* ];

            /// Its name in 1.x messages.
            pub fn name(self) -> &'static str {
                match self { $( Self::$kind => $name, )* }
            }

            /// Its tag, the field's name in 2.x messages.
            pub fn tag(self) -> Tag {
                match self { $( Self::$kind => Tag::$kind, )* }
            }

            /// How many instances an object may have.
            pub fn instances(self) -> Instances {
                match self { $( Self::$kind => Instances::$instances, )* }
            }

            /// What a client may do to it.
            pub fn access(self) -> ClientAccess {
                match self { $( Self::$kind => ClientAccess::$access, )* }
            }

            /// The versions that define it.
            pub fn versions(self) -> VersionRange {
                match self { $( Self::$kind => versions!($from .. $($until)?), )* }
            }

            /// The attribute called `name` in 1.x messages.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $( $name => Some(Self::$kind), )* _ => None }
            }

            /// The attribute with `tag` in 2.x messages.
            pub fn from_tag(tag: Tag) -> Option<Self> {
                $( if tag == Tag::$kind { return Some(Self::$kind); } )*
                None
            }

            /// Reads a value of this attribute.
            ///
            /// # Errors
            /// The value has another type or content than the attribute.
            pub fn read(self, value: Value, version: Version) -> Result<Attribute, DecodeError> {
                match self { $( Self::$kind => <$type as Field>::from_value(value, version).map(Attribute::$kind), )* }
            }
        }

        impl Attribute {
            /// Which attribute this is.
            pub fn name(&self) -> AttributeName {
                match self {
                    $( Self::$kind(_) => AttributeName::Standard(AttributeKind::$kind), )*
                    Self::Custom(custom) => AttributeName::Other(custom.name.clone()),
                }
            }

            /// Which standard attribute this is; none for a custom one.
            pub fn kind(&self) -> Option<AttributeKind> {
                match self {
                    $( Self::$kind(_) => Some(AttributeKind::$kind), )*
                    Self::Custom(_) => None,
                }
            }

            /// Its value as a message of `version` carries it.
            pub fn into_value(self, version: Version) -> Value {
                match self {
                    $( Self::$kind(value) => value.into_value(version), )*
                    Self::Custom(custom) => custom.value,
                }
            }
        }
    };
}

attributes! {
    /// §3.1.
    UniqueIdentifier "Unique Identifier": String, One, ReadOnly, in V1_0..;
    /// §3.2.
    Name "Name": Name, Many, Free, in V1_0..;
    /// §3.3.
    ObjectType "Object Type": ObjectType, One, ReadOnly, in V1_0..;
    /// §3.4.
    CryptographicAlgorithm "Cryptographic Algorithm": CryptographicAlgorithm, One, AtCreation, in V1_0..;
    /// In bits, §3.5.
    CryptographicLength "Cryptographic Length": i32, One, AtCreation, in V1_0..;
    /// §3.6.
    CryptographicParameters "Cryptographic Parameters": CryptographicParameters, Many, Free, in V1_0..;
    /// §3.7.
    CryptographicDomainParameters "Cryptographic Domain Parameters": CryptographicDomainParameters, One, AtCreation, in V1_0..;
    /// §3.8.
    CertificateType "Certificate Type": CertificateType, One, AtCreation, in V1_0..;
    /// In bytes, §3.9.
    CertificateLength "Certificate Length": i32, One, ReadOnly, in V1_1..;
    /// §3.10.
    X509CertificateIdentifier "X.509 Certificate Identifier": X509CertificateIdentifier, One, ReadOnly, in V1_1..;
    /// §3.11.
    X509CertificateSubject "X.509 Certificate Subject": X509CertificateSubject, One, ReadOnly, in V1_1..;
    /// §3.12.
    X509CertificateIssuer "X.509 Certificate Issuer": X509CertificateIssuer, One, ReadOnly, in V1_1..;
    /// §3.13, deprecated from 1.1.
    CertificateIdentifier "Certificate Identifier": CertificateIdentifier, One, ReadOnly, in V1_0..V2_0;
    /// §3.14, deprecated from 1.1.
    CertificateSubject "Certificate Subject": CertificateSubject, One, ReadOnly, in V1_0..V2_0;
    /// §3.15, deprecated from 1.1.
    CertificateIssuer "Certificate Issuer": CertificateIssuer, One, ReadOnly, in V1_0..V2_0;
    /// A part of the subject's name; its tag is of 1.4 (§9.1.3.1), its rules of 2.0 (§4.10).
    CertificateSubjectCn "Certificate Subject CN": String, One, ReadOnly, in V1_4..;
    /// A part of the subject's name; its tag is of 1.4 (§9.1.3.1), its rules of 2.0 (§4.10).
    CertificateSubjectO "Certificate Subject O": String, One, ReadOnly, in V1_4..;
    /// A part of the subject's name; its tag is of 1.4 (§9.1.3.1), its rules of 2.0 (§4.10).
    CertificateSubjectOu "Certificate Subject OU": String, Many, ReadOnly, in V1_4..;
    /// A part of the subject's name; its tag is of 1.4 (§9.1.3.1), its rules of 2.0 (§4.10).
    CertificateSubjectEmail "Certificate Subject Email": String, Many, ReadOnly, in V1_4..;
    /// A part of the subject's name; its tag is of 1.4 (§9.1.3.1), its rules of 2.0 (§4.10).
    CertificateSubjectC "Certificate Subject C": String, One, ReadOnly, in V1_4..;
    /// A part of the subject's name; its tag is of 1.4 (§9.1.3.1), its rules of 2.0 (§4.10).
    CertificateSubjectSt "Certificate Subject ST": String, One, ReadOnly, in V1_4..;
    /// A part of the subject's name; its tag is of 1.4 (§9.1.3.1), its rules of 2.0 (§4.10).
    CertificateSubjectL "Certificate Subject L": String, One, ReadOnly, in V1_4..;
    /// A part of the subject's name; its tag is of 1.4 (§9.1.3.1), its rules of 2.0 (§4.10).
    CertificateSubjectUid "Certificate Subject UID": String, One, ReadOnly, in V1_4..;
    /// A part of the subject's name; its tag is of 1.4 (§9.1.3.1), its rules of 2.0 (§4.10).
    CertificateSubjectSerialNumber "Certificate Subject Serial Number": String, One, ReadOnly, in V1_4..;
    /// A part of the subject's name; its tag is of 1.4 (§9.1.3.1), its rules of 2.0 (§4.10).
    CertificateSubjectTitle "Certificate Subject Title": String, One, ReadOnly, in V1_4..;
    /// A part of the subject's name; its tag is of 1.4 (§9.1.3.1), its rules of 2.0 (§4.10).
    CertificateSubjectDc "Certificate Subject DC": String, Many, ReadOnly, in V1_4..;
    /// A part of the subject's name; its tag is of 1.4 (§9.1.3.1), its rules of 2.0 (§4.10).
    CertificateSubjectDnQualifier "Certificate Subject DN Qualifier": String, One, ReadOnly, in V1_4..;
    /// A part of the issuer's name; its tag is of 1.4 (§9.1.3.1), its rules of 2.0 (§4.10).
    CertificateIssuerCn "Certificate Issuer CN": String, One, ReadOnly, in V1_4..;
    /// A part of the issuer's name; its tag is of 1.4 (§9.1.3.1), its rules of 2.0 (§4.10).
    CertificateIssuerO "Certificate Issuer O": String, One, ReadOnly, in V1_4..;
    /// A part of the issuer's name; its tag is of 1.4 (§9.1.3.1), its rules of 2.0 (§4.10).
    CertificateIssuerOu "Certificate Issuer OU": String, Many, ReadOnly, in V1_4..;
    /// A part of the issuer's name; its tag is of 1.4 (§9.1.3.1), its rules of 2.0 (§4.10).
    CertificateIssuerEmail "Certificate Issuer Email": String, Many, ReadOnly, in V1_4..;
    /// A part of the issuer's name; its tag is of 1.4 (§9.1.3.1), its rules of 2.0 (§4.10).
    CertificateIssuerC "Certificate Issuer C": String, One, ReadOnly, in V1_4..;
    /// A part of the issuer's name; its tag is of 1.4 (§9.1.3.1), its rules of 2.0 (§4.10).
    CertificateIssuerSt "Certificate Issuer ST": String, One, ReadOnly, in V1_4..;
    /// A part of the issuer's name; its tag is of 1.4 (§9.1.3.1), its rules of 2.0 (§4.10).
    CertificateIssuerL "Certificate Issuer L": String, One, ReadOnly, in V1_4..;
    /// A part of the issuer's name; its tag is of 1.4 (§9.1.3.1), its rules of 2.0 (§4.10).
    CertificateIssuerUid "Certificate Issuer UID": String, One, ReadOnly, in V1_4..;
    /// A part of the issuer's name; its tag is of 1.4 (§9.1.3.1), its rules of 2.0 (§4.10).
    CertificateIssuerSerialNumber "Certificate Issuer Serial Number": String, One, ReadOnly, in V1_4..;
    /// A part of the issuer's name; its tag is of 1.4 (§9.1.3.1), its rules of 2.0 (§4.10).
    CertificateIssuerTitle "Certificate Issuer Title": String, One, ReadOnly, in V1_4..;
    /// A part of the issuer's name; its tag is of 1.4 (§9.1.3.1), its rules of 2.0 (§4.10).
    CertificateIssuerDc "Certificate Issuer DC": String, Many, ReadOnly, in V1_4..;
    /// A part of the issuer's name; its tag is of 1.4 (§9.1.3.1), its rules of 2.0 (§4.10).
    CertificateIssuerDnQualifier "Certificate Issuer DN Qualifier": String, One, ReadOnly, in V1_4..;
    /// §3.16.
    DigitalSignatureAlgorithm "Digital Signature Algorithm": DigitalSignatureAlgorithm, Many, ReadOnly, in V1_1..;
    /// §3.17.
    Digest "Digest": Digest, Many, ReadOnly, in V1_0..;
    /// §3.18.
    OperationPolicyName "Operation Policy Name": String, One, AtCreation, in V1_0..V2_0;
    /// §3.19.
    CryptographicUsageMask "Cryptographic Usage Mask": CryptographicUsageMask, One, AtCreation, in V1_0..;
    /// §3.20.
    LeaseTime "Lease Time": Interval, One, ReadOnly, in V1_0..;
    /// §3.21.
    UsageLimits "Usage Limits": UsageLimits, One, Free, in V1_0..;
    /// §3.22.
    State "State": State, One, ReadOnly, in V1_0..;
    /// §3.23.
    InitialDate "Initial Date": DateTime, One, ReadOnly, in V1_0..;
    /// §3.24.
    ActivationDate "Activation Date": DateTime, One, Scheduled, in V1_0..;
    /// §3.25.
    ProcessStartDate "Process Start Date": DateTime, One, Scheduled, in V1_0..;
    /// §3.26.
    ProtectStopDate "Protect Stop Date": DateTime, One, Scheduled, in V1_0..;
    /// §3.27.
    DeactivationDate "Deactivation Date": DateTime, One, Scheduled, in V1_0..;
    /// §3.28.
    DestroyDate "Destroy Date": DateTime, One, ReadOnly, in V1_0..;
    /// §3.29.
    CompromiseOccurrenceDate "Compromise Occurrence Date": DateTime, One, ReadOnly, in V1_0..;
    /// §3.30.
    CompromiseDate "Compromise Date": DateTime, One, ReadOnly, in V1_0..;
    /// §3.31.
    RevocationReason "Revocation Reason": RevocationReason, One, ReadOnly, in V1_0..;
    /// §3.32.
    ArchiveDate "Archive Date": DateTime, One, ReadOnly, in V1_0..;
    /// §3.33.
    ObjectGroup "Object Group": String, Many, Free, in V1_0..;
    /// §3.34.
    Fresh "Fresh": bool, One, AtCreation, in V1_1..;
    /// §3.35.
    Link "Link": Link, Many, Free, in V1_0..;
    /// §3.36.
    ApplicationSpecificInformation "Application Specific Information": ApplicationSpecificInformation, Many, Free, in V1_0..;
    /// §3.37.
    ContactInformation "Contact Information": String, One, Free, in V1_0..;
    /// §3.38.
    LastChangeDate "Last Change Date": DateTime, One, ReadOnly, in V1_0..;
    /// §3.40.
    AlternativeName "Alternative Name": AlternativeName, Many, Free, in V1_2..;
    /// §3.41.
    KeyValuePresent "Key Value Present": bool, One, ReadOnly, in V1_2..;
    /// §3.42.
    KeyValueLocation "Key Value Location": KeyValueLocation, Many, Free, in V1_2..;
    /// §3.43.
    OriginalCreationDate "Original Creation Date": DateTime, One, AtCreation, in V1_2..;
    /// §3.44.
    RandomNumberGenerator "Random Number Generator": RngParameters, One, AtCreation, in V1_3..;
    /// §3.45.
    Pkcs12FriendlyName "PKCS#12 Friendly Name": String, One, Free, in V1_4..;
    /// §3.46.
    Description "Description": String, One, Free, in V1_4..;
    /// §3.47.
    Comment "Comment": String, One, Free, in V1_4..;
    /// §3.48.
    Sensitive "Sensitive": bool, One, Kept, in V1_4..;
    /// §3.49.
    AlwaysSensitive "Always Sensitive": bool, One, ReadOnly, in V1_4..;
    /// §3.50.
    Extractable "Extractable": bool, One, Kept, in V1_4..;
    /// §3.51.
    NeverExtractable "Never Extractable": bool, One, ReadOnly, in V1_4..;
}

/// An attribute named by its client or vendor (KMIP 1.4 §3.39).
#[derive(Clone, Debug, PartialEq)]
pub struct CustomAttribute {
    /// As it stands in 1.x messages: `x-` (the client's own) or `y-` (the server's own) in front.
    pub name: String,
    /// Of any type, structures included.
    pub value: Value,
}

/// Names an attribute in a request: one that the specification defines, or any other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AttributeName {
    /// The specification's.
    Standard(AttributeKind),
    /// A custom one, or one that no version defines.
    Other(String),
}

impl AttributeName {
    /// The attribute called `name` in messages of `version`: one that the version does not define is an unknown one.
    pub fn parse(name: String, version: Version) -> Self {
        match AttributeKind::from_name(&name) {
            Some(kind) if kind.versions().contains(version) => Self::Standard(kind),
            _ => Self::Other(name),
        }
    }

    /// The name in 1.x messages.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Standard(kind) => kind.name(),
            Self::Other(name) => name,
        }
    }

    /// Whether clients may name attributes of their own so (KMIP 1.4 §3.39).
    pub fn is_custom(&self) -> bool {
        matches!(self, Self::Other(name) if name.starts_with("x-") || name.starts_with("y-"))
    }
}

impl Field for AttributeName {
    fn from_value(value: Value, version: Version) -> Result<Self, DecodeError> {
        String::from_value(value, version).map(|name| Self::parse(name, version))
    }

    fn into_value(self, _: Version) -> Value {
        Value::text(self.as_str())
    }
}

/// One instance of an attribute as it stands in a 1.x message: name, index, value (KMIP 1.4 §2.1.1).
#[derive(Clone, Debug, PartialEq)]
pub struct AttributeInstance {
    /// The attribute and its value.
    pub attribute: Attribute,
    /// Tells instances of one attribute apart; absent means 0.
    pub index: Option<i32>,
}

impl From<Attribute> for AttributeInstance {
    fn from(attribute: Attribute) -> Self {
        Self { attribute, index: None }
    }
}

impl Field for AttributeInstance {
    fn from_value(value: Value, version: Version) -> Result<Self, DecodeError> {
        let mut fields = Fields::of(value, version)?;
        let name = fields.take::<AttributeName>(Tag::AttributeName)?;
        let index = fields.take::<Option<i32>>(Tag::AttributeIndex)?;
        let value = fields.take::<Value>(Tag::AttributeValue)?;
        fields.finish()?;
        let attribute = match name {
            AttributeName::Standard(kind) => {
                kind.read(value, version).map_err(|error| error.within(kind.tag()).within(Tag::AttributeValue))?
            }
            AttributeName::Other(name) => Attribute::Custom(CustomAttribute { name, value }),
        };
        if index.is_some_and(|index| index < 0) {
            return Err(DecodeError::new(Fault::InvalidValue).within(Tag::AttributeIndex));
        }
        Ok(Self { attribute, index })
    }

    fn into_value(self, version: Version) -> Value {
        let mut fields = Vec::with_capacity(3);
        fields.push(Item::new(Tag::AttributeName, Value::text(self.attribute.name().as_str())));
        if let Some(index) = self.index {
            fields.push(Item::new(Tag::AttributeIndex, Value::Integer(index)));
        }
        fields.push(Item::new(Tag::AttributeValue, self.attribute.into_value(version)));
        Value::Structure(fields)
    }
}

/// The attributes that a request gives for an object: a Template-Attribute structure in 1.x, Attributes in 2.x.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attributes {
    /// Templates named in a 1.x Template-Attribute.
    pub templates: Vec<Name>,
    /// The attributes, in the order of the message.
    pub attributes: Vec<AttributeInstance>,
}

impl Attributes {
    /// The tag under which messages of `version` carry this structure.
    pub fn tag(version: Version) -> Tag {
        if version < Version::V2_0 { Tag::TemplateAttribute } else { Tag::Attributes }
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.templates.is_empty() && self.attributes.is_empty()
    }
}

impl FromIterator<Attribute> for Attributes {
    fn from_iter<I: IntoIterator<Item = Attribute>>(attributes: I) -> Self {
        Self { templates: Vec::new(), attributes: attributes.into_iter().map(AttributeInstance::from).collect() }
    }
}

impl Field for Attributes {
    fn from_value(value: Value, version: Version) -> Result<Self, DecodeError> {
        let mut fields = Fields::of(value, version)?;
        if version < Version::V2_0 {
            let templates = fields.take(Tag::Name)?;
            let attributes = fields.take(Tag::Attribute)?;
            fields.finish()?;
            return Ok(Self { templates, attributes });
        }
        let attributes = fields.take_all(|_| true).map(|item| read_tagged(item, version)).collect::<Result<_, _>>()?;
        Ok(Self { templates: Vec::new(), attributes })
    }

    fn into_value(self, version: Version) -> Value {
        let mut out = Vec::with_capacity(self.attributes.len());
        if version < Version::V2_0 {
            self.templates.put(Tag::Name, &mut out, version);
            self.attributes.put(Tag::Attribute, &mut out, version);
        } else {
            out.extend(self.attributes.into_iter().map(|instance| write_tagged(instance.attribute, version)));
        }
        Value::Structure(out)
    }
}

/// Reads a 2.x tagged attribute; an Attribute structure there is a vendor's own (KMIP 2.1 §4).
fn read_tagged(item: Item, version: Version) -> Result<AttributeInstance, DecodeError> {
    let tag = item.tag;
    if tag == Tag::Attribute {
        let vendor = VendorAttribute::from_value(item.value, version).map_err(|error| error.within(tag))?;
        let name = format!("{}-{}", vendor.vendor_identification, vendor.attribute_name);
        return Ok(Attribute::Custom(CustomAttribute { name, value: vendor.attribute_value }).into());
    }
    match AttributeKind::from_tag(tag).filter(|kind| kind.versions().contains(version)) {
        Some(kind) => kind.read(item.value, version).map(Into::into).map_err(|error| error.within(tag)),
        None => Err(DecodeError::new(Fault::UnexpectedField).within(tag)),
    }
}

/// Writes a 2.x tagged attribute; the name of a custom one splits at its first hyphen into vendor and name.
fn write_tagged(attribute: Attribute, version: Version) -> Item {
    match attribute {
        Attribute::Custom(custom) => {
            let (vendor, name) = custom.name.split_once('-').unwrap_or(("x", &custom.name));
            let vendor = VendorAttribute {
                vendor_identification: vendor.to_owned(),
                attribute_name: name.to_owned(),
                attribute_value: custom.value,
            };
            Item::new(Tag::Attribute, vendor.into_value(version))
        }
        standard => {
            let tag = standard.kind().map_or(Tag::Attribute, AttributeKind::tag);
            Item::new(tag, standard.into_value(version))
        }
    }
}

kmip_struct! {
    /// A vendor's attribute in 2.x messages (KMIP 2.1 §4.59).
    pub struct VendorAttribute {
        /// Whose it is; `x` and `y` as in 1.x names.
        VendorIdentification => vendor_identification: String, in V2_0..;
        /// Its name within the vendor's.
        AttributeName => attribute_name: String, in V2_0..;
        /// Of any type.
        AttributeValue => attribute_value: Value, in V2_0..;
    }
}

kmip_struct! {
    /// A name by which clients find an object (KMIP 1.4 §3.2).
    pub struct Name {
        /// The name.
        NameValue => name_value: String, in V1_0..;
        /// Text or URI.
        NameType => name_type: NameType, in V1_0..;
    }
}

kmip_struct! {
    /// How a key is to be used in an algorithm (KMIP 1.4 §3.6). Lengths in bits but for the tag's, in bytes.
    #[derive(Default)]
    pub struct CryptographicParameters {
        /// Mode.
        BlockCipherMode => block_cipher_mode: Option<BlockCipherMode>, in V1_0..;
        /// Padding.
        PaddingMethod => padding_method: Option<PaddingMethod>, in V1_0..;
        /// Hash.
        HashingAlgorithm => hashing_algorithm: Option<HashingAlgorithm>, in V1_0..;
        /// Role in payment systems.
        KeyRoleType => key_role_type: Option<KeyRoleType>, in V1_0..;
        /// Signature scheme.
        DigitalSignatureAlgorithm => digital_signature_algorithm: Option<DigitalSignatureAlgorithm>, in V1_2..;
        /// Algorithm.
        CryptographicAlgorithm => cryptographic_algorithm: Option<CryptographicAlgorithm>, in V1_2..;
        /// The server makes the IV.
        RandomIv => random_iv: Option<bool>, in V1_2..;
        /// IV, bits.
        IvLength => iv_length: Option<i32>, in V1_2..;
        /// Authentication tag, bytes.
        TagLength => tag_length: Option<i32>, in V1_2..;
        /// Fixed field of the IV, bits.
        FixedFieldLength => fixed_field_length: Option<i32>, in V1_2..;
        /// Invocation field of the IV, bits.
        InvocationFieldLength => invocation_field_length: Option<i32>, in V1_2..;
        /// Counter of the IV, bits.
        CounterLength => counter_length: Option<i32>, in V1_2..;
        /// First counter value.
        InitialCounterValue => initial_counter_value: Option<i32>, in V1_2..;
        /// PSS salt, bytes.
        SaltLength => salt_length: Option<i32>, in V1_4..;
        /// Mask generation function.
        MaskGenerator => mask_generator: Option<MaskGenerator>, in V1_4..;
        /// Its hash.
        MaskGeneratorHashingAlgorithm => mask_generator_hashing_algorithm: Option<HashingAlgorithm>, in V1_4..;
        /// OAEP's P.
        PSource => p_source: Option<zeroize::Zeroizing<Vec<u8>>>, in V1_4..;
        /// PSS trailer.
        TrailerField => trailer_field: Option<i32>, in V1_4..;
    }
}

kmip_struct! {
    /// What a key pair is made from (KMIP 1.4 §3.7).
    pub struct CryptographicDomainParameters {
        /// Length of Q, bits.
        Qlength => q_length: Option<i32>, in V1_0..;
        /// Curve.
        RecommendedCurve => recommended_curve: Option<RecommendedCurve>, in V1_0..;
    }
}

kmip_struct! {
    /// Who issued a certificate and its number, DER (KMIP 1.4 §3.10).
    pub struct X509CertificateIdentifier {
        /// DER of the issuer's name.
        IssuerDistinguishedName => issuer_distinguished_name: zeroize::Zeroizing<Vec<u8>>, in V1_1..;
        /// DER of the serial number.
        CertificateSerialNumber => certificate_serial_number: zeroize::Zeroizing<Vec<u8>>, in V1_1..;
    }
}

kmip_struct! {
    /// Whom a certificate names, DER (KMIP 1.4 §3.11).
    pub struct X509CertificateSubject {
        /// DER of the subject's name.
        SubjectDistinguishedName => subject_distinguished_name: zeroize::Zeroizing<Vec<u8>>, in V1_1..;
        /// DER of each alternative name.
        SubjectAlternativeName => subject_alternative_name: Vec<zeroize::Zeroizing<Vec<u8>>>, in V1_1..;
    }
}

kmip_struct! {
    /// Who issued a certificate, DER (KMIP 1.4 §3.12).
    pub struct X509CertificateIssuer {
        /// DER of the issuer's name.
        IssuerDistinguishedName => issuer_distinguished_name: zeroize::Zeroizing<Vec<u8>>, in V1_1..;
        /// DER of each alternative name.
        IssuerAlternativeName => issuer_alternative_name: Vec<zeroize::Zeroizing<Vec<u8>>>, in V1_1..;
    }
}

kmip_struct! {
    /// Who issued a certificate and its number, as text (KMIP 1.4 §3.13).
    pub struct CertificateIdentifier {
        /// The issuer's name.
        Issuer => issuer: String, in V1_0..V2_0;
        /// The serial number in hexadecimal.
        SerialNumber => serial_number: Option<String>, in V1_0..V2_0;
    }
}

kmip_struct! {
    /// Whom a certificate names, as text (KMIP 1.4 §3.14).
    pub struct CertificateSubject {
        /// The subject's name.
        CertificateSubjectDistinguishedName => distinguished_name: String, in V1_0..V2_0;
        /// Alternative names.
        CertificateSubjectAlternativeName => alternative_name: Vec<String>, in V1_0..V2_0;
    }
}

kmip_struct! {
    /// Who issued a certificate, as text (KMIP 1.4 §3.15).
    pub struct CertificateIssuer {
        /// The issuer's name.
        CertificateIssuerDistinguishedName => distinguished_name: String, in V1_0..V2_0;
        /// Alternative names.
        CertificateIssuerAlternativeName => alternative_name: Vec<String>, in V1_0..V2_0;
    }
}

kmip_struct! {
    /// A hash of the object's content (KMIP 1.4 §3.17).
    pub struct Digest {
        /// Which hash.
        HashingAlgorithm => hashing_algorithm: HashingAlgorithm, in V1_0..;
        /// The hash.
        DigestValue => digest_value: zeroize::Zeroizing<Vec<u8>>, in V1_0..;
        /// The format of the key that was hashed.
        KeyFormatType => key_format_type: Option<KeyFormatType>, in V1_1..;
    }
}

kmip_struct! {
    /// How much a key may still be used for (KMIP 1.4 §3.21).
    pub struct UsageLimits {
        /// In all.
        UsageLimitsTotal => total: Option<i64>, in V1_0..;
        /// What is left.
        UsageLimitsCount => count: Option<i64>, in V1_0..;
        /// Of what.
        UsageLimitsUnit => unit: Option<UsageLimitsUnit>, in V1_0..;
    }
}

kmip_struct! {
    /// Why an object was revoked (KMIP 1.4 §3.31).
    pub struct RevocationReason {
        /// The reason.
        RevocationReasonCode => code: RevocationReasonCode, in V1_0..;
        /// The revoker's words.
        RevocationMessage => message: Option<String>, in V1_0..;
    }
}

kmip_struct! {
    /// Points to a related object (KMIP 1.4 §3.35).
    pub struct Link {
        /// How it is related.
        LinkType => link_type: LinkType, in V1_0..;
        /// Its Unique Identifier.
        LinkedObjectIdentifier => linked_object_identifier: String, in V1_0..;
    }
}

kmip_struct! {
    /// Data of an application (KMIP 1.4 §3.36).
    pub struct ApplicationSpecificInformation {
        /// Whose names these are.
        ApplicationNamespace => application_namespace: String, in V1_0..;
        /// Its data; may be left out where the server makes it up (from 1.3).
        ApplicationData => application_data: Option<String>, in V1_0..;
    }
}

kmip_struct! {
    /// A name that need not be unique (KMIP 1.4 §3.40).
    pub struct AlternativeName {
        /// The name.
        AlternativeNameValue => value: String, in V1_2..;
        /// What sort of name.
        AlternativeNameType => name_type: AlternativeNameType, in V1_2..;
    }
}

kmip_struct! {
    /// Where a key value is that the server does not hold (KMIP 1.4 §3.42).
    pub struct KeyValueLocation {
        /// The place.
        KeyValueLocationValue => value: String, in V1_2..;
        /// How to read it.
        KeyValueLocationType => location_type: KeyValueLocationType, in V1_2..;
    }
}

kmip_struct! {
    /// What made a random number (KMIP 1.4 §2.1.18).
    pub struct RngParameters {
        /// The generator.
        RngAlgorithm => rng_algorithm: RngAlgorithm, in V1_3..;
        /// Its cipher.
        CryptographicAlgorithm => cryptographic_algorithm: Option<CryptographicAlgorithm>, in V1_3..;
        /// Its cipher's key, bits.
        CryptographicLength => cryptographic_length: Option<i32>, in V1_3..;
        /// Its hash.
        HashingAlgorithm => hashing_algorithm: Option<HashingAlgorithm>, in V1_3..;
        /// Its construction.
        DrbgAlgorithm => drbg_algorithm: Option<DrbgAlgorithm>, in V1_3..;
        /// Its curve.
        RecommendedCurve => recommended_curve: Option<RecommendedCurve>, in V1_3..;
        /// Its FIPS 186 variation.
        Fips186Variation => fips186_variation: Option<Fips186Variation>, in V1_3..;
        /// Whether it reseeds for each request.
        PredictionResistance => prediction_resistance: Option<bool>, in V1_3..;
    }
}
