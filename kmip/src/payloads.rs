//! Request and response payloads, one structure each, and the two enums that hold any of them (KMIP 1.4 §4).

use crate::{
    attributes::{AttributeInstance, AttributeName, Attributes, RngParameters},
    enums::*,
    error::{DecodeError, Fault},
    fields::{DateTime, Field, Fields, Interval, Slot, Structure, kmip_struct},
    masks::{CryptographicUsageMask, StorageStatusMask},
    message::ProtocolVersion,
    objects::{KeyWrappingSpecification, Object},
    tags::Tag,
    tree::{Item, Value},
    version::Version,
};

/// Lists the operations that have typed payloads.
macro_rules! operations {
    ($( $operation:ident: $request:ty => $response:ty; )*) => {
        /// The typed payload of a request.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(clippy::large_enum_variant, reason = "one lives at a time, moved once into its handler")]
        pub enum Request { $(
            #[doc = concat!("The request of ", stringify!($operation), ".")]
            $operation($request),
        )* }

        /// The typed payload of a successful response.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(clippy::large_enum_variant, reason = "one lives at a time, moved once into its item")]
        pub enum Response { $(
            #[doc = concat!("The response of ", stringify!($operation), ".")]
            $operation($response),
        )* }

        impl Request {
            /// The operations with typed payloads.
            pub const OPERATIONS: &[Operation] = &[ $( Operation::$operation, )* ];

            /// Which operation.
            pub fn operation(&self) -> Operation {
                match self { $( Self::$operation(_) => Operation::$operation, )* }
            }

            /// Reads the payload of `operation`; none for an operation without typed payloads.
            ///
            /// # Errors
            /// The payload is not that operation's.
            pub fn from_value(operation: Operation, value: Value, version: Version) -> Result<Option<Self>, DecodeError> {
                match operation {
                    $( Operation::$operation => <$request as Field>::from_value(value, version).map(|request| Some(Self::$operation(request))), )*
                    _ => Ok(None),
                }
            }

            /// The payload as a message of `version` carries it.
            pub fn into_value(self, version: Version) -> Value {
                match self { $( Self::$operation(request) => request.into_value(version), )* }
            }
        }

        impl Response {
            /// Which operation.
            pub fn operation(&self) -> Operation {
                match self { $( Self::$operation(_) => Operation::$operation, )* }
            }

            /// Reads the payload of a response to `operation`; none for an operation without typed payloads.
            ///
            /// # Errors
            /// The payload is not that operation's.
            pub fn from_value(operation: Operation, value: Value, version: Version) -> Result<Option<Self>, DecodeError> {
                match operation {
                    $( Operation::$operation => <$response as Field>::from_value(value, version).map(|response| Some(Self::$operation(response))), )*
                    _ => Ok(None),
                }
            }

            /// The payload as a message of `version` carries it.
            pub fn into_value(self, version: Version) -> Value {
                match self { $( Self::$operation(response) => response.into_value(version), )* }
            }
        }

        $( impl From<$request> for Request {
            fn from(request: $request) -> Self { Self::$operation(request) }
        }
        impl From<$response> for Response {
            fn from(response: $response) -> Self { Self::$operation(response) }
        } )*
    };
}

operations! {
    Create: CreateRequest => CreateResponse;
    Register: RegisterRequest => RegisterResponse;
    Locate: LocateRequest => LocateResponse;
    Check: CheckRequest => CheckResponse;
    Get: GetRequest => GetResponse;
    GetAttributes: GetAttributesRequest => GetAttributesResponse;
    GetAttributeList: GetAttributeListRequest => GetAttributeListResponse;
    AddAttribute: AddAttributeRequest => AddAttributeResponse;
    ModifyAttribute: ModifyAttributeRequest => ModifyAttributeResponse;
    DeleteAttribute: DeleteAttributeRequest => DeleteAttributeResponse;
    Activate: ActivateRequest => ActivateResponse;
    Revoke: RevokeRequest => RevokeResponse;
    Destroy: DestroyRequest => DestroyResponse;
    Query: QueryRequest => QueryResponse;
    DiscoverVersions: DiscoverVersionsRequest => DiscoverVersionsResponse;
}

/// Attributes under the tag of the message's version: Template-Attribute in 1.x, Attributes in 2.x.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GivenAttributes(pub Attributes);

impl Slot for GivenAttributes {
    fn take_from(fields: &mut Fields, _: Tag) -> Result<Self, DecodeError> {
        let tag = Attributes::tag(fields.version());
        fields.take::<Option<Attributes>>(tag).map(|attributes| Self(attributes.unwrap_or_default()))
    }

    fn put(self, _: Tag, out: &mut Vec<Item>, version: Version) {
        self.0.put(Attributes::tag(version), out, version);
    }
}

/// Attributes that the server set and tells about; left out where there are none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImplicitAttributes(pub Attributes);

impl Slot for ImplicitAttributes {
    fn take_from(fields: &mut Fields, tag: Tag) -> Result<Self, DecodeError> {
        GivenAttributes::take_from(fields, tag).map(|given| Self(given.0))
    }

    fn put(self, tag: Tag, out: &mut Vec<Item>, version: Version) {
        if version < Version::V2_0 && !self.0.is_empty() {
            GivenAttributes(self.0).put(tag, out, version);
        }
    }
}

/// The attributes of a response: Attribute fields in 1.x, one Attributes structure in 2.x.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReturnedAttributes(pub Vec<AttributeInstance>);

impl Slot for ReturnedAttributes {
    fn take_from(fields: &mut Fields, _: Tag) -> Result<Self, DecodeError> {
        if fields.version() < Version::V2_0 {
            return fields.take(Tag::Attribute).map(Self);
        }
        fields.take::<Option<Attributes>>(Tag::Attributes).map(|found| Self(found.unwrap_or_default().attributes))
    }

    fn put(self, _: Tag, out: &mut Vec<Item>, version: Version) {
        if version < Version::V2_0 {
            self.0.put(Tag::Attribute, out, version);
        } else {
            Attributes { templates: Vec::new(), attributes: self.0 }.put(Tag::Attributes, out, version);
        }
    }
}

/// What Locate compares: attributes whose structures may be given in part (KMIP 1.4 §4.9), so they stay trees.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Criteria(pub Vec<Criterion>);

/// One attribute that found objects must have.
#[derive(Clone, Debug, PartialEq)]
pub struct Criterion {
    /// Which attribute.
    pub name: AttributeName,
    /// Its value, or for a structure some of its fields.
    pub value: Value,
}

impl Field for Criterion {
    fn from_value(value: Value, version: Version) -> Result<Self, DecodeError> {
        let mut fields = Fields::of(value, version)?;
        let name = fields.take::<AttributeName>(Tag::AttributeName)?;
        let _ignored = fields.take::<Option<i32>>(Tag::AttributeIndex)?;
        let value = fields.take::<Value>(Tag::AttributeValue)?;
        fields.finish()?;
        Ok(Self { name, value })
    }

    fn into_value(self, _: Version) -> Value {
        Value::Structure(vec![
            Item::new(Tag::AttributeName, Value::text(self.name.as_str())),
            Item::new(Tag::AttributeValue, self.value),
        ])
    }
}

impl Slot for Criteria {
    /// Some 1.x clients wrap the attributes in a Template-Attribute; both shapes are read.
    fn take_from(fields: &mut Fields, _: Tag) -> Result<Self, DecodeError> {
        let version = fields.version();
        if version >= Version::V2_0 {
            return Err(DecodeError::new(Fault::NotInVersion { version }).within(Tag::Attributes));
        }
        let mut criteria: Vec<Criterion> = fields.take(Tag::Attribute)?;
        for item in fields.take_all(|tag| tag == Tag::TemplateAttribute).collect::<Vec<_>>() {
            let mut wrapped = Fields::of(item.value, version)?;
            criteria.extend(wrapped.take::<Vec<Criterion>>(Tag::Attribute)?);
            wrapped.finish().map_err(|error| error.within(Tag::TemplateAttribute))?;
        }
        Ok(Self(criteria))
    }

    fn put(self, _: Tag, out: &mut Vec<Item>, version: Version) {
        self.0.put(Tag::Attribute, out, version);
    }
}

kmip_struct! {
    /// Create (KMIP 1.4 §4.1).
    pub struct CreateRequest {
        /// What to make.
        ObjectType => object_type: ObjectType, in V1_0..;
        /// Its attributes.
        TemplateAttribute => attributes: GivenAttributes, in V1_0..;
    }
}

kmip_struct! {
    /// Create (KMIP 1.4 §4.1).
    pub struct CreateResponse {
        /// What was made.
        ObjectType => object_type: ObjectType, in V1_0..;
        /// Its identifier.
        UniqueIdentifier => unique_identifier: String, in V1_0..;
        /// Attributes set by the server.
        TemplateAttribute => attributes: ImplicitAttributes, in V1_0..;
    }
}

kmip_struct! {
    /// Register (KMIP 1.4 §4.3).
    pub struct RegisterRequest {
        /// What it is.
        ObjectType => object_type: ObjectType, in V1_0..;
        /// Its attributes.
        TemplateAttribute => attributes: GivenAttributes, in V1_0..;
        /// The object, under the tag of its type.
        SymmetricKey => object: Object, in V1_0..;
    }
}

kmip_struct! {
    /// Register (KMIP 1.4 §4.3).
    pub struct RegisterResponse {
        /// Its identifier.
        UniqueIdentifier => unique_identifier: String, in V1_0..;
        /// Attributes set by the server.
        TemplateAttribute => attributes: ImplicitAttributes, in V1_0..;
    }
}

kmip_struct! {
    /// Locate (KMIP 1.4 §4.9). Offset Items is defined from 1.3; clients send it in every version, so it is read in all.
    pub struct LocateRequest {
        /// At most so many.
        MaximumItems => maximum_items: Option<i32>, in V1_0..;
        /// Pass over so many first.
        OffsetItems => offset_items: Option<i32>, in V1_0..;
        /// On-line, archived, destroyed.
        StorageStatusMask => storage_status_mask: Option<StorageStatusMask>, in V1_0..;
        /// Fresh or default members of a group.
        ObjectGroupMember => object_group_member: Option<ObjectGroupMember>, in V1_1..;
        /// What the objects must have.
        Attribute => criteria: Criteria, in V1_0..;
    }
}

kmip_struct! {
    /// Locate (KMIP 1.4 §4.9).
    pub struct LocateResponse {
        /// How many match in all.
        LocatedItems => located_items: Option<i32>, in V1_3..;
        /// Those found.
        UniqueIdentifier => unique_identifier: Vec<String>, in V1_0..;
    }
}

kmip_struct! {
    /// Check (KMIP 1.4 §4.10).
    pub struct CheckRequest {
        /// Which object; the ID Placeholder where left out.
        UniqueIdentifier => unique_identifier: Option<String>, in V1_0..;
        /// How much is to be used, in the object's Usage Limits Unit.
        UsageLimitsCount => usage_limits_count: Option<i64>, in V1_0..;
        /// For what.
        CryptographicUsageMask => cryptographic_usage_mask: Option<CryptographicUsageMask>, in V1_0..;
        /// For how long.
        LeaseTime => lease_time: Option<Interval>, in V1_0..;
    }
}

kmip_struct! {
    /// Check (KMIP 1.4 §4.10): the identifier, or what of the request stands against the use.
    pub struct CheckResponse {
        /// Its identifier, where the use is allowed.
        UniqueIdentifier => unique_identifier: Option<String>, in V1_0..;
        /// More than is left.
        UsageLimitsCount => usage_limits_count: Option<i64>, in V1_0..;
        /// Not what the object is for.
        CryptographicUsageMask => cryptographic_usage_mask: Option<CryptographicUsageMask>, in V1_0..;
        /// Longer than the server lends.
        LeaseTime => lease_time: Option<Interval>, in V1_0..;
    }
}

kmip_struct! {
    /// Get (KMIP 1.4 §4.11).
    pub struct GetRequest {
        /// Which object; the ID Placeholder where left out.
        UniqueIdentifier => unique_identifier: Option<String>, in V1_0..;
        /// In which format.
        KeyFormatType => key_format_type: Option<KeyFormatType>, in V1_0..;
        /// As registered, or unwrapped.
        KeyWrapType => key_wrap_type: Option<KeyWrapType>, in V1_4..;
        /// How to write an elliptic curve point.
        KeyCompressionType => key_compression_type: Option<KeyCompressionType>, in V1_0..;
        /// How to wrap the key.
        KeyWrappingSpecification => key_wrapping_specification: Option<KeyWrappingSpecification>, in V1_0..;
    }
}

kmip_struct! {
    /// Get (KMIP 1.4 §4.11).
    pub struct GetResponse {
        /// What it is.
        ObjectType => object_type: ObjectType, in V1_0..;
        /// Its identifier.
        UniqueIdentifier => unique_identifier: String, in V1_0..;
        /// The object, under the tag of its type.
        SymmetricKey => object: Object, in V1_0..;
    }
}

kmip_struct! {
    /// Get Attributes (KMIP 1.4 §4.12).
    pub struct GetAttributesRequest {
        /// Which object; the ID Placeholder where left out.
        UniqueIdentifier => unique_identifier: Option<String>, in V1_0..;
        /// Which attributes; all where none is named.
        AttributeName => attribute_name: Vec<AttributeName>, in V1_0..V2_0;
    }
}

kmip_struct! {
    /// Get Attributes (KMIP 1.4 §4.12).
    pub struct GetAttributesResponse {
        /// Its identifier.
        UniqueIdentifier => unique_identifier: String, in V1_0..;
        /// The attributes.
        Attribute => attributes: ReturnedAttributes, in V1_0..;
    }
}

kmip_struct! {
    /// Get Attribute List (KMIP 1.4 §4.13).
    pub struct GetAttributeListRequest {
        /// Which object; the ID Placeholder where left out.
        UniqueIdentifier => unique_identifier: Option<String>, in V1_0..;
    }
}

kmip_struct! {
    /// Get Attribute List (KMIP 1.4 §4.13).
    pub struct GetAttributeListResponse {
        /// Its identifier.
        UniqueIdentifier => unique_identifier: String, in V1_0..;
        /// The names of its attributes.
        AttributeName => attribute_name: Vec<AttributeName>, in V1_0..V2_0;
    }
}

kmip_struct! {
    /// Add Attribute (KMIP 1.4 §4.14).
    pub struct AddAttributeRequest {
        /// Which object; the ID Placeholder where left out.
        UniqueIdentifier => unique_identifier: Option<String>, in V1_0..;
        /// What to add.
        Attribute => attribute: AttributeInstance, in V1_0..V2_0;
    }
}

kmip_struct! {
    /// Add Attribute (KMIP 1.4 §4.14).
    pub struct AddAttributeResponse {
        /// Its identifier.
        UniqueIdentifier => unique_identifier: String, in V1_0..;
        /// What was added, with its index.
        Attribute => attribute: AttributeInstance, in V1_0..V2_0;
    }
}

kmip_struct! {
    /// Modify Attribute (KMIP 1.4 §4.15).
    pub struct ModifyAttributeRequest {
        /// Which object; the ID Placeholder where left out.
        UniqueIdentifier => unique_identifier: Option<String>, in V1_0..;
        /// The new value, with the index of the old one.
        Attribute => attribute: AttributeInstance, in V1_0..V2_0;
    }
}

kmip_struct! {
    /// Modify Attribute (KMIP 1.4 §4.15).
    pub struct ModifyAttributeResponse {
        /// Its identifier.
        UniqueIdentifier => unique_identifier: String, in V1_0..;
        /// The new value, with its index.
        Attribute => attribute: AttributeInstance, in V1_0..V2_0;
    }
}

kmip_struct! {
    /// Delete Attribute (KMIP 1.4 §4.16).
    pub struct DeleteAttributeRequest {
        /// Which object; the ID Placeholder where left out.
        UniqueIdentifier => unique_identifier: Option<String>, in V1_0..;
        /// Which attribute.
        AttributeName => attribute_name: AttributeName, in V1_0..V2_0;
        /// Which instance; 0 where left out.
        AttributeIndex => attribute_index: Option<i32>, in V1_0..V2_0;
    }
}

kmip_struct! {
    /// Delete Attribute (KMIP 1.4 §4.16).
    pub struct DeleteAttributeResponse {
        /// Its identifier.
        UniqueIdentifier => unique_identifier: String, in V1_0..;
        /// What was deleted.
        Attribute => attribute: AttributeInstance, in V1_0..V2_0;
    }
}

kmip_struct! {
    /// Activate (KMIP 1.4 §4.19).
    pub struct ActivateRequest {
        /// Which object; the ID Placeholder where left out.
        UniqueIdentifier => unique_identifier: Option<String>, in V1_0..;
    }
}

kmip_struct! {
    /// Activate (KMIP 1.4 §4.19).
    pub struct ActivateResponse {
        /// Its identifier.
        UniqueIdentifier => unique_identifier: String, in V1_0..;
    }
}

kmip_struct! {
    /// Revoke (KMIP 1.4 §4.20).
    pub struct RevokeRequest {
        /// Which object; the ID Placeholder where left out.
        UniqueIdentifier => unique_identifier: Option<String>, in V1_0..;
        /// Why.
        RevocationReason => revocation_reason: crate::attributes::RevocationReason, in V1_0..;
        /// When the key is believed to have been compromised first.
        CompromiseOccurrenceDate => compromise_occurrence_date: Option<DateTime>, in V1_0..;
    }
}

kmip_struct! {
    /// Revoke (KMIP 1.4 §4.20).
    pub struct RevokeResponse {
        /// Its identifier.
        UniqueIdentifier => unique_identifier: String, in V1_0..;
    }
}

kmip_struct! {
    /// Destroy (KMIP 1.4 §4.21).
    pub struct DestroyRequest {
        /// Which object; the ID Placeholder where left out.
        UniqueIdentifier => unique_identifier: Option<String>, in V1_0..;
    }
}

kmip_struct! {
    /// Destroy (KMIP 1.4 §4.21).
    pub struct DestroyResponse {
        /// Its identifier.
        UniqueIdentifier => unique_identifier: String, in V1_0..;
    }
}

kmip_struct! {
    /// Query (KMIP 1.4 §4.25).
    pub struct QueryRequest {
        /// What to tell about.
        QueryFunction => query_function: Vec<QueryFunction>, in V1_0..;
    }
}

kmip_struct! {
    /// Query (KMIP 1.4 §4.25).
    #[derive(Default)]
    pub struct QueryResponse {
        /// Operations supported.
        Operation => operation: Vec<Operation>, in V1_0..;
        /// Object types supported.
        ObjectType => object_type: Vec<ObjectType>, in V1_0..;
        /// Who made the server.
        VendorIdentification => vendor_identification: Option<String>, in V1_0..;
        /// What the vendor says of it.
        ServerInformation => server_information: Option<Structure>, in V1_0..;
        /// Namespaces for which the server makes up Application Data.
        ApplicationNamespace => application_namespace: Vec<String>, in V1_0..;
        /// Extension tags.
        ExtensionInformation => extension_information: Vec<Value>, in V1_1..;
        /// Attestation types.
        AttestationType => attestation_type: Vec<AttestationType>, in V1_2..;
        /// Random number generators.
        RngParameters => rng_parameters: Vec<RngParameters>, in V1_3..;
        /// Profiles.
        ProfileInformation => profile_information: Vec<ProfileInformation>, in V1_3..;
        /// Formal validations.
        ValidationInformation => validation_information: Vec<Value>, in V1_3..;
        /// Capabilities.
        CapabilityInformation => capability_information: Vec<CapabilityInformation>, in V1_3..;
        /// How clients can register.
        ClientRegistrationMethod => client_registration_method: Vec<ClientRegistrationMethod>, in V1_3..;
    }
}

kmip_struct! {
    /// A profile that the server conforms to (KMIP 1.4 §2.1.19).
    pub struct ProfileInformation {
        /// Which.
        ProfileName => profile_name: ProfileName, in V1_3..;
        /// Where.
        ServerUri => server_uri: Option<String>, in V1_3..;
        /// On which port.
        ServerPort => server_port: Option<i32>, in V1_3..;
    }
}

kmip_struct! {
    /// What the server can do (KMIP 1.4 §2.1.21).
    #[derive(Default)]
    pub struct CapabilityInformation {
        /// Cryptographic operations in parts.
        StreamingCapability => streaming: Option<bool>, in V1_3..;
        /// Asynchronous requests.
        AsynchronousCapability => asynchronous: Option<bool>, in V1_3..;
        /// Attestation.
        AttestationCapability => attestation: Option<bool>, in V1_3..;
        /// Batch Error Continuation Option Undo.
        BatchUndoCapability => batch_undo: Option<bool>, in V1_4..;
        /// Batch Error Continuation Option Continue.
        BatchContinueCapability => batch_continue: Option<bool>, in V1_4..;
        /// Whether wrapped keys are stored unwrapped.
        UnwrapMode => unwrap_mode: Option<UnwrapMode>, in V1_3..;
        /// What becomes of destroyed material.
        DestroyAction => destroy_action: Option<DestroyAction>, in V1_3..;
        /// How it is shredded.
        ShreddingAlgorithm => shredding_algorithm: Option<ShreddingAlgorithm>, in V1_3..;
        /// Which random numbers.
        RngMode => rng_mode: Option<RngMode>, in V1_3..;
    }
}

kmip_struct! {
    /// Discover Versions (KMIP 1.4 §4.26).
    pub struct DiscoverVersionsRequest {
        /// What the client speaks, best first.
        ProtocolVersion => protocol_version: Vec<ProtocolVersion>, in V1_0..;
    }
}

kmip_struct! {
    /// Discover Versions (KMIP 1.4 §4.26).
    pub struct DiscoverVersionsResponse {
        /// What the server speaks, best first.
        ProtocolVersion => protocol_version: Vec<ProtocolVersion>, in V1_0..;
    }
}
