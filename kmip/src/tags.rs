//! `Tag`: what a field is, and the table of every tag of KMIP 1.0 to 2.1 with the versions that define it.
//!
//! The table knows names and numbers, not which type or structure a tag belongs to. KMIP 1.4 §9.1.3.1, 2.1 §11.56.

use std::fmt;

use crate::macros::{tags, text, versions};

/// The number of a field, 24 bits (KMIP 1.4 §9.1.1.1). The constants are the specification's words: `Tag::ObjectType`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u32);

impl Tag {
    /// Whether it is a vendor's own: its first byte is 0x54, where the specification's tags have 0x42.
    pub const fn is_extension(self) -> bool {
        self.0 >> 16 == 0x54
    }

    /// Whether `version` defines it. Vendors' own tags are defined by no version.
    pub const fn in_version(self, version: crate::version::Version) -> bool {
        match self.versions() {
            Some(versions) => versions.contains(version),
            None => false,
        }
    }
}

/// Its name, or its number as the text encodings write it (`0x420137`).
impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "0x{:06X}", self.0),
        }
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

tags! {
    0x42_0001 ActivationDate in V1_0..;
    0x42_0002 ApplicationData in V1_0..;
    0x42_0003 ApplicationNamespace in V1_0..;
    0x42_0004 ApplicationSpecificInformation in V1_0..;
    0x42_0005 ArchiveDate in V1_0..;
    0x42_0006 AsynchronousCorrelationValue in V1_0..;
    0x42_0007 AsynchronousIndicator in V1_0..;
    0x42_0008 Attribute in V1_0..;
    0x42_0009 AttributeIndex in V1_0..V2_0;
    0x42_000A AttributeName in V1_0..;
    0x42_000B AttributeValue in V1_0..;
    0x42_000C Authentication in V1_0..;
    0x42_000D BatchCount in V1_0..;
    0x42_000E BatchErrorContinuationOption in V1_0..;
    0x42_000F BatchItem in V1_0..;
    0x42_0010 BatchOrderOption in V1_0..;
    0x42_0011 BlockCipherMode in V1_0..;
    0x42_0012 CancellationResult in V1_0..;
    0x42_0013 Certificate in V1_0..;
    0x42_0014 CertificateIdentifier in V1_0..V2_0;
    0x42_0015 CertificateIssuer in V1_0..V2_0;
    0x42_0016 CertificateIssuerAlternativeName in V1_0..V2_0;
    0x42_0017 CertificateIssuerDistinguishedName in V1_0..V2_0;
    0x42_0018 CertificateRequest in V1_0..;
    0x42_0019 CertificateRequestType in V1_0..;
    0x42_001A CertificateSubject in V1_0..V2_0;
    0x42_001B CertificateSubjectAlternativeName in V1_0..V2_0;
    0x42_001C CertificateSubjectDistinguishedName in V1_0..V2_0;
    0x42_001D CertificateType in V1_0..;
    0x42_001E CertificateValue in V1_0..;
    0x42_001F CommonTemplateAttribute in V1_0..V2_0;
    0x42_0020 CompromiseDate in V1_0..;
    0x42_0021 CompromiseOccurrenceDate in V1_0..;
    0x42_0022 ContactInformation in V1_0..;
    0x42_0023 Credential in V1_0..;
    0x42_0024 CredentialType in V1_0..;
    0x42_0025 CredentialValue in V1_0..;
    0x42_0026 CriticalityIndicator in V1_0..;
    0x42_0027 CrtCoefficient "CRTCoefficient" in V1_0..;
    0x42_0028 CryptographicAlgorithm in V1_0..;
    0x42_0029 CryptographicDomainParameters in V1_0..;
    0x42_002A CryptographicLength in V1_0..;
    0x42_002B CryptographicParameters in V1_0..;
    0x42_002C CryptographicUsageMask in V1_0..;
    0x42_002D CustomAttribute in V1_0..V2_0;
    0x42_002E D in V1_0..;
    0x42_002F DeactivationDate in V1_0..;
    0x42_0030 DerivationData in V1_0..;
    0x42_0031 DerivationMethod in V1_0..;
    0x42_0032 DerivationParameters in V1_0..;
    0x42_0033 DestroyDate in V1_0..;
    0x42_0034 Digest in V1_0..;
    0x42_0035 DigestValue in V1_0..;
    0x42_0036 EncryptionKeyInformation in V1_0..;
    0x42_0037 G in V1_0..;
    0x42_0038 HashingAlgorithm in V1_0..;
    0x42_0039 InitialDate in V1_0..;
    0x42_003A InitializationVector in V1_0..;
    0x42_003B Issuer in V1_0..V2_0;
    0x42_003C IterationCount in V1_0..;
    0x42_003D IvCounterNonce "IVCounterNonce" in V1_0..;
    0x42_003E J in V1_0..;
    0x42_003F Key in V1_0..;
    0x42_0040 KeyBlock in V1_0..;
    0x42_0041 KeyCompressionType in V1_0..;
    0x42_0042 KeyFormatType in V1_0..;
    0x42_0043 KeyMaterial in V1_0..;
    0x42_0044 KeyPartIdentifier in V1_0..;
    0x42_0045 KeyValue in V1_0..;
    0x42_0046 KeyWrappingData in V1_0..;
    0x42_0047 KeyWrappingSpecification in V1_0..;
    0x42_0048 LastChangeDate in V1_0..;
    0x42_0049 LeaseTime in V1_0..;
    0x42_004A Link in V1_0..;
    0x42_004B LinkType in V1_0..;
    0x42_004C LinkedObjectIdentifier in V1_0..;
    0x42_004D MacSignature "MACSignature" in V1_0..;
    0x42_004E MacSignatureKeyInformation "MACSignatureKeyInformation" in V1_0..;
    0x42_004F MaximumItems in V1_0..;
    0x42_0050 MaximumResponseSize in V1_0..;
    0x42_0051 MessageExtension in V1_0..;
    0x42_0052 Modulus in V1_0..;
    0x42_0053 Name in V1_0..;
    0x42_0054 NameType in V1_0..;
    0x42_0055 NameValue in V1_0..;
    0x42_0056 ObjectGroup in V1_0..;
    0x42_0057 ObjectType in V1_0..;
    0x42_0058 Offset in V1_0..;
    0x42_0059 OpaqueDataType in V1_0..;
    0x42_005A OpaqueDataValue in V1_0..;
    0x42_005B OpaqueObject in V1_0..;
    0x42_005C Operation in V1_0..;
    0x42_005D OperationPolicyName in V1_0..V2_0;
    0x42_005E P in V1_0..;
    0x42_005F PaddingMethod in V1_0..;
    0x42_0060 PrimeExponentP in V1_0..;
    0x42_0061 PrimeExponentQ in V1_0..;
    0x42_0062 PrimeFieldSize in V1_0..;
    0x42_0063 PrivateExponent in V1_0..;
    0x42_0064 PrivateKey in V1_0..;
    0x42_0065 PrivateKeyTemplateAttribute in V1_0..V2_0;
    0x42_0066 PrivateKeyUniqueIdentifier in V1_0..;
    0x42_0067 ProcessStartDate in V1_0..;
    0x42_0068 ProtectStopDate in V1_0..;
    0x42_0069 ProtocolVersion in V1_0..;
    0x42_006A ProtocolVersionMajor in V1_0..;
    0x42_006B ProtocolVersionMinor in V1_0..;
    0x42_006C PublicExponent in V1_0..;
    0x42_006D PublicKey in V1_0..;
    0x42_006E PublicKeyTemplateAttribute in V1_0..V2_0;
    0x42_006F PublicKeyUniqueIdentifier in V1_0..;
    0x42_0070 PutFunction in V1_0..;
    0x42_0071 Q in V1_0..;
    0x42_0072 QString in V1_0..;
    0x42_0073 Qlength in V1_0..;
    0x42_0074 QueryFunction in V1_0..;
    0x42_0075 RecommendedCurve in V1_0..;
    0x42_0076 ReplacedUniqueIdentifier in V1_0..;
    0x42_0077 RequestHeader in V1_0..;
    0x42_0078 RequestMessage in V1_0..;
    0x42_0079 RequestPayload in V1_0..;
    0x42_007A ResponseHeader in V1_0..;
    0x42_007B ResponseMessage in V1_0..;
    0x42_007C ResponsePayload in V1_0..;
    0x42_007D ResultMessage in V1_0..;
    0x42_007E ResultReason in V1_0..;
    0x42_007F ResultStatus in V1_0..;
    0x42_0080 RevocationMessage in V1_0..;
    0x42_0081 RevocationReason in V1_0..;
    0x42_0082 RevocationReasonCode in V1_0..;
    0x42_0083 KeyRoleType in V1_0..;
    0x42_0084 Salt in V1_0..;
    0x42_0085 SecretData in V1_0..;
    0x42_0086 SecretDataType in V1_0..;
    0x42_0087 SerialNumber in V1_0..V2_0;
    0x42_0088 ServerInformation in V1_0..;
    0x42_0089 SplitKey in V1_0..;
    0x42_008A SplitKeyMethod in V1_0..;
    0x42_008B SplitKeyParts in V1_0..;
    0x42_008C SplitKeyThreshold in V1_0..;
    0x42_008D State in V1_0..;
    0x42_008E StorageStatusMask in V1_0..;
    0x42_008F SymmetricKey in V1_0..;
    0x42_0090 Template in V1_0..V2_0;
    0x42_0091 TemplateAttribute in V1_0..V2_0;
    0x42_0092 TimeStamp in V1_0..;
    0x42_0093 UniqueBatchItemId "UniqueBatchItemID" in V1_0..;
    0x42_0094 UniqueIdentifier in V1_0..;
    0x42_0095 UsageLimits in V1_0..;
    0x42_0096 UsageLimitsCount in V1_0..;
    0x42_0097 UsageLimitsTotal in V1_0..;
    0x42_0098 UsageLimitsUnit in V1_0..;
    0x42_0099 Username in V1_0..;
    0x42_009A ValidityDate in V1_0..;
    0x42_009B ValidityIndicator in V1_0..;
    0x42_009C VendorExtension in V1_0..;
    0x42_009D VendorIdentification in V1_0..;
    0x42_009E WrappingMethod in V1_0..;
    0x42_009F X in V1_0..;
    0x42_00A0 Y in V1_0..;
    0x42_00A1 Password in V1_0..;
    0x42_00A2 DeviceIdentifier in V1_1..;
    0x42_00A3 EncodingOption in V1_1..;
    0x42_00A4 ExtensionInformation in V1_1..;
    0x42_00A5 ExtensionName in V1_1..;
    0x42_00A6 ExtensionTag in V1_1..;
    0x42_00A7 ExtensionType in V1_1..;
    0x42_00A8 Fresh in V1_1..;
    0x42_00A9 MachineIdentifier in V1_1..;
    0x42_00AA MediaIdentifier in V1_1..;
    0x42_00AB NetworkIdentifier in V1_1..;
    0x42_00AC ObjectGroupMember in V1_1..;
    0x42_00AD CertificateLength in V1_1..;
    0x42_00AE DigitalSignatureAlgorithm in V1_1..;
    0x42_00AF CertificateSerialNumber in V1_1..;
    0x42_00B0 DeviceSerialNumber in V1_1..;
    0x42_00B1 IssuerAlternativeName in V1_1..;
    0x42_00B2 IssuerDistinguishedName in V1_1..;
    0x42_00B3 SubjectAlternativeName in V1_1..;
    0x42_00B4 SubjectDistinguishedName in V1_1..;
    0x42_00B5 X509CertificateIdentifier "X_509CertificateIdentifier" in V1_1..;
    0x42_00B6 X509CertificateIssuer "X_509CertificateIssuer" in V1_1..;
    0x42_00B7 X509CertificateSubject "X_509CertificateSubject" in V1_1..;
    0x42_00B8 KeyValueLocation in V1_2..;
    0x42_00B9 KeyValueLocationValue in V1_2..;
    0x42_00BA KeyValueLocationType in V1_2..;
    0x42_00BB KeyValuePresent in V1_2..;
    0x42_00BC OriginalCreationDate in V1_2..;
    0x42_00BD PgpKey "PGPKey" in V1_2..;
    0x42_00BE PgpKeyVersion "PGPKeyVersion" in V1_2..;
    0x42_00BF AlternativeName in V1_2..;
    0x42_00C0 AlternativeNameValue in V1_2..;
    0x42_00C1 AlternativeNameType in V1_2..;
    0x42_00C2 Data in V1_2..;
    0x42_00C3 SignatureData in V1_2..;
    0x42_00C4 DataLength in V1_2..;
    0x42_00C5 RandomIv "RandomIV" in V1_2..;
    0x42_00C6 MacData "MACData" in V1_2..;
    0x42_00C7 AttestationType in V1_2..;
    0x42_00C8 Nonce in V1_2..;
    0x42_00C9 NonceId "NonceID" in V1_2..;
    0x42_00CA NonceValue in V1_2..;
    0x42_00CB AttestationMeasurement in V1_2..;
    0x42_00CC AttestationAssertion in V1_2..;
    0x42_00CD IvLength "IVLength" in V1_2..;
    0x42_00CE TagLength in V1_2..;
    0x42_00CF FixedFieldLength in V1_2..;
    0x42_00D0 CounterLength in V1_2..;
    0x42_00D1 InitialCounterValue in V1_2..;
    0x42_00D2 InvocationFieldLength in V1_2..;
    0x42_00D3 AttestationCapableIndicator in V1_2..;
    0x42_00D4 OffsetItems in V1_3..;
    0x42_00D5 LocatedItems in V1_3..;
    0x42_00D6 CorrelationValue in V1_3..;
    0x42_00D7 InitIndicator in V1_3..;
    0x42_00D8 FinalIndicator in V1_3..;
    0x42_00D9 RngParameters "RNGParameters" in V1_3..;
    0x42_00DA RngAlgorithm "RNGAlgorithm" in V1_3..;
    0x42_00DB DrbgAlgorithm "DRBGAlgorithm" in V1_3..;
    0x42_00DC Fips186Variation "FIPS186Variation" in V1_3..;
    0x42_00DD PredictionResistance in V1_3..;
    0x42_00DE RandomNumberGenerator in V1_3..;
    0x42_00DF ValidationInformation in V1_3..;
    0x42_00E0 ValidationAuthorityType in V1_3..;
    0x42_00E1 ValidationAuthorityCountry in V1_3..;
    0x42_00E2 ValidationAuthorityUri "ValidationAuthorityURI" in V1_3..;
    0x42_00E3 ValidationVersionMajor in V1_3..;
    0x42_00E4 ValidationVersionMinor in V1_3..;
    0x42_00E5 ValidationType in V1_3..;
    0x42_00E6 ValidationLevel in V1_3..;
    0x42_00E7 ValidationCertificateIdentifier in V1_3..;
    0x42_00E8 ValidationCertificateUri "ValidationCertificateURI" in V1_3..;
    0x42_00E9 ValidationVendorUri "ValidationVendorURI" in V1_3..;
    0x42_00EA ValidationProfile in V1_3..;
    0x42_00EB ProfileInformation in V1_3..;
    0x42_00EC ProfileName in V1_3..;
    0x42_00ED ServerUri "ServerURI" in V1_3..;
    0x42_00EE ServerPort in V1_3..;
    0x42_00EF StreamingCapability in V1_3..;
    0x42_00F0 AsynchronousCapability in V1_3..;
    0x42_00F1 AttestationCapability in V1_3..;
    0x42_00F2 UnwrapMode in V1_3..;
    0x42_00F3 DestroyAction in V1_3..;
    0x42_00F4 ShreddingAlgorithm in V1_3..;
    0x42_00F5 RngMode "RNGMode" in V1_3..;
    0x42_00F6 ClientRegistrationMethod in V1_3..;
    0x42_00F7 CapabilityInformation in V1_3..;
    0x42_00F8 KeyWrapType in V1_4..;
    0x42_00F9 BatchUndoCapability in V1_4..;
    0x42_00FA BatchContinueCapability in V1_4..;
    0x42_00FB Pkcs12FriendlyName "PKCS_12FriendlyName" in V1_4..;
    0x42_00FC Description in V1_4..;
    0x42_00FD Comment in V1_4..;
    0x42_00FE AuthenticatedEncryptionAdditionalData in V1_4..;
    0x42_00FF AuthenticatedEncryptionTag in V1_4..;
    0x42_0100 SaltLength in V1_4..;
    0x42_0101 MaskGenerator in V1_4..;
    0x42_0102 MaskGeneratorHashingAlgorithm in V1_4..;
    0x42_0103 PSource in V1_4..;
    0x42_0104 TrailerField in V1_4..;
    0x42_0105 ClientCorrelationValue in V1_4..;
    0x42_0106 ServerCorrelationValue in V1_4..;
    0x42_0107 DigestedData in V1_4..;
    0x42_0108 CertificateSubjectCn "CertificateSubjectCN" in V1_4..;
    0x42_0109 CertificateSubjectO in V1_4..;
    0x42_010A CertificateSubjectOu "CertificateSubjectOU" in V1_4..;
    0x42_010B CertificateSubjectEmail in V1_4..;
    0x42_010C CertificateSubjectC in V1_4..;
    0x42_010D CertificateSubjectSt "CertificateSubjectST" in V1_4..;
    0x42_010E CertificateSubjectL in V1_4..;
    0x42_010F CertificateSubjectUid "CertificateSubjectUID" in V1_4..;
    0x42_0110 CertificateSubjectSerialNumber in V1_4..;
    0x42_0111 CertificateSubjectTitle in V1_4..;
    0x42_0112 CertificateSubjectDc "CertificateSubjectDC" in V1_4..;
    0x42_0113 CertificateSubjectDnQualifier "CertificateSubjectDNQualifier" in V1_4..;
    0x42_0114 CertificateIssuerCn "CertificateIssuerCN" in V1_4..;
    0x42_0115 CertificateIssuerO in V1_4..;
    0x42_0116 CertificateIssuerOu "CertificateIssuerOU" in V1_4..;
    0x42_0117 CertificateIssuerEmail in V1_4..;
    0x42_0118 CertificateIssuerC in V1_4..;
    0x42_0119 CertificateIssuerSt "CertificateIssuerST" in V1_4..;
    0x42_011A CertificateIssuerL in V1_4..;
    0x42_011B CertificateIssuerUid "CertificateIssuerUID" in V1_4..;
    0x42_011C CertificateIssuerSerialNumber in V1_4..;
    0x42_011D CertificateIssuerTitle in V1_4..;
    0x42_011E CertificateIssuerDc "CertificateIssuerDC" in V1_4..;
    0x42_011F CertificateIssuerDnQualifier "CertificateIssuerDNQualifier" in V1_4..;
    0x42_0120 Sensitive in V1_4..;
    0x42_0121 AlwaysSensitive in V1_4..;
    0x42_0122 Extractable in V1_4..;
    0x42_0123 NeverExtractable in V1_4..;
    0x42_0124 ReplaceExisting in V1_4..;
    0x42_0125 Attributes in V2_0..;
    0x42_0126 CommonAttributes in V2_0..;
    0x42_0127 PrivateKeyAttributes in V2_0..;
    0x42_0128 PublicKeyAttributes in V2_0..;
    0x42_0129 ExtensionEnumeration in V2_0..;
    0x42_012A ExtensionAttribute in V2_0..;
    0x42_012B ExtensionParentStructureTag in V2_0..;
    0x42_012C ExtensionDescription in V2_0..;
    0x42_012D ServerName in V2_0..;
    0x42_012E ServerSerialNumber in V2_0..;
    0x42_012F ServerVersion in V2_0..;
    0x42_0130 ServerLoad in V2_0..;
    0x42_0131 ProductName in V2_0..;
    0x42_0132 BuildLevel in V2_0..;
    0x42_0133 BuildDate in V2_0..;
    0x42_0134 ClusterInfo in V2_0..;
    0x42_0135 AlternateFailoverEndpoints in V2_0..;
    0x42_0136 ShortUniqueIdentifier in V2_0..;
    0x42_0138 Tag in V2_0..;
    0x42_0139 CertificateRequestUniqueIdentifier in V2_0..;
    0x42_013A NistKeyType "NISTKeyType" in V2_0..;
    0x42_013B AttributeReference in V2_0..;
    0x42_013C CurrentAttribute in V2_0..;
    0x42_013D NewAttribute in V2_0..;
    0x42_0140 CertificateRequestValue in V2_0..;
    0x42_0141 LogMessage in V2_0..;
    0x42_0142 ProfileVersion in V2_0..;
    0x42_0143 ProfileVersionMajor in V2_0..;
    0x42_0144 ProfileVersionMinor in V2_0..;
    0x42_0145 ProtectionLevel in V2_0..;
    0x42_0146 ProtectionPeriod in V2_0..;
    0x42_0147 QuantumSafe in V2_0..;
    0x42_0148 QuantumSafeCapability in V2_0..;
    0x42_0149 Ticket in V2_0..;
    0x42_014A TicketType in V2_0..;
    0x42_014B TicketValue in V2_0..;
    0x42_014C RequestCount in V2_0..;
    0x42_014D Rights in V2_0..;
    0x42_014E Objects in V2_0..;
    0x42_014F Operations in V2_0..;
    0x42_0150 Right in V2_0..;
    0x42_0151 EndpointRole in V2_0..;
    0x42_0152 DefaultsInformation in V2_0..;
    0x42_0153 ObjectDefaults in V2_0..;
    0x42_0154 Ephemeral in V2_0..;
    0x42_0155 ServerHashedPassword in V2_0..;
    0x42_0156 OneTimePassword in V2_0..;
    0x42_0157 HashedPassword in V2_0..;
    0x42_0158 AdjustmentType in V2_0..;
    0x42_0159 Pkcs11Interface "PKCS_11Interface" in V2_0..;
    0x42_015A Pkcs11Function "PKCS_11Function" in V2_0..;
    0x42_015B Pkcs11InputParameters "PKCS_11InputParameters" in V2_0..;
    0x42_015C Pkcs11OutputParameters "PKCS_11OutputParameters" in V2_0..;
    0x42_015D Pkcs11ReturnCode "PKCS_11ReturnCode" in V2_0..;
    0x42_015E ProtectionStorageMask in V2_0..;
    0x42_015F ProtectionStorageMasks in V2_0..;
    0x42_0160 InteropFunction in V2_0..;
    0x42_0161 InteropIdentifier in V2_0..;
    0x42_0162 AdjustmentValue in V2_0..;
    0x42_0163 CommonProtectionStorageMasks in V2_0..;
    0x42_0164 PrivateProtectionStorageMasks in V2_0..;
    0x42_0165 PublicProtectionStorageMasks in V2_0..;
    0x42_0166 ObjectGroups in V2_1..;
    0x42_0167 ObjectTypes in V2_1..;
    0x42_0168 Constraints in V2_1..;
    0x42_0169 Constraint in V2_1..;
    0x42_016A RotateInterval in V2_1..;
    0x42_016B RotateAutomatic in V2_1..;
    0x42_016C RotateOffset in V2_1..;
    0x42_016D RotateDate in V2_1..;
    0x42_016E RotateGeneration in V2_1..;
    0x42_016F RotateName in V2_1..;
    0x42_0170 RotateNameValue in V2_1..;
    0x42_0171 RotateNameType in V2_1..;
    0x42_0172 RotateLatest in V2_1..;
    0x42_0173 AsynchronousRequest in V2_1..;
    0x42_0174 SubmissionDate in V2_1..;
    0x42_0175 ProcessingStage in V2_1..;
    0x42_0176 AsynchronousCorrelationValues in V2_1..;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::Version;

    #[test]
    fn the_table_is_ordered_by_number_without_duplicates() {
        assert!(Tag::ALL.is_sorted_by(|earlier, later| earlier < later));
    }

    #[test]
    fn every_name_leads_back_to_its_tag() {
        for &tag in Tag::ALL {
            let name = tag.name().unwrap();
            assert_eq!(Tag::from_name(name), Some(tag), "{name}");
            assert!(!tag.is_extension(), "{name}");
        }
    }

    #[test]
    fn a_tag_without_a_name_shows_its_number() {
        assert_eq!(Tag::CryptographicAlgorithm.to_string(), "CryptographicAlgorithm");
        assert_eq!(Tag::IvCounterNonce.to_string(), "IVCounterNonce");
        assert_eq!(Tag(0x42_0137).to_string(), "0x420137");
        assert_eq!(Tag(0x54_0001).to_string(), "0x540001");
    }

    #[test]
    fn knows_a_vendors_own_tag_by_its_first_byte() {
        assert!(Tag(0x54_0000).is_extension());
        assert!(Tag(0x54_FFFF).is_extension());
        assert!(!Tag(0x53_FFFF).is_extension());
        assert!(!Tag(0x55_0000).is_extension());
        assert!(!Tag(0x54_0001).in_version(Version::V2_1));
    }

    #[test]
    fn templates_end_with_2_0_where_attributes_begin() {
        for tag in [Tag::Template, Tag::TemplateAttribute, Tag::PrivateKeyTemplateAttribute, Tag::AttributeIndex] {
            assert!(tag.in_version(Version::V1_4), "{tag}");
            assert!(!tag.in_version(Version::V2_0), "{tag}");
        }
        assert!(Tag::Attributes.in_version(Version::V2_0));
        assert!(!Tag::Attributes.in_version(Version::V1_4));
    }

    #[test]
    fn a_tag_is_not_defined_before_the_version_that_brought_it() {
        for (tag, first) in [
            (Tag::EncodingOption, Version::V1_1),
            (Tag::KeyValueLocation, Version::V1_2),
            (Tag::OffsetItems, Version::V1_3),
            (Tag::KeyWrapType, Version::V1_4),
            (Tag::Attributes, Version::V2_0),
            (Tag::RotateInterval, Version::V2_1),
        ] {
            for version in Version::ALL {
                assert_eq!(tag.in_version(version), version >= first, "{tag} in {version}");
            }
        }
    }

    #[test]
    fn refuses_a_name_in_any_other_spelling() {
        for name in ["", "cryptographicalgorithm", "Cryptographic Algorithm", "CrtCoefficient", "(Reserved)"] {
            assert_eq!(Tag::from_name(name), None, "{name}");
        }
    }
}
