//! The table of every enumeration of KMIP 1.0 to 2.1: codes, names, and the versions that define each value.
//!
//! In the order of the alphabet, like KMIP 2.1 §11; KMIP 1.4 has them in §9.1.3.2. Not here: the Tag enumeration
//! (`crate::tags`), and the three whose values the specification leaves to others: Opaque Data Type (vendors), PKCS#11
//! Function and PKCS#11 Return Code (the PKCS#11 header files).

use crate::macros::{kmip_enum, versions};

kmip_enum! {
    /// How Adjust Attribute changes a value (2.1 §11.1).
    pub enum AdjustmentType {
        Increment = 0x01 "Increment" in V2_0..;
        Decrement = 0x02 "Decrement" in V2_0..;
        Negate = 0x03 "Negate" in V2_0..;
    }
}

kmip_enum! {
    /// The form of an Alternative Name (1.4 §9.1.3.2.34).
    pub enum AlternativeNameType {
        UninterpretedTextString = 0x01 "UninterpretedTextString" in V1_2..;
        Uri = 0x02 "URI" in V1_2..;
        ObjectSerialNumber = 0x03 "ObjectSerialNumber" in V1_2..;
        EmailAddress = 0x04 "EmailAddress" in V1_2..;
        DnsName = 0x05 "DNSName" in V1_2..;
        X500DistinguishedName = 0x06 "X_500DistinguishedName" in V1_2..;
        IpAddress = 0x07 "IPAddress" in V1_2..;
    }
}

kmip_enum! {
    /// Whether the server may, must or must not answer later (2.1 §11.3); a Boolean before 2.0.
    pub enum AsynchronousIndicator {
        Mandatory = 0x01 "Mandatory" in V2_0..;
        Optional = 0x02 "Optional" in V2_0..;
        Prohibited = 0x03 "Prohibited" in V2_0..;
    }
}

kmip_enum! {
    /// The form of an attestation (1.4 §9.1.3.2.36).
    pub enum AttestationType {
        TpmQuote = 0x01 "TPMQuote" in V1_2..;
        TcgIntegrityReport = 0x02 "TCGIntegrityReport" in V1_2..;
        SamlAssertion = 0x03 "SAMLAssertion" in V1_2..;
    }
}

kmip_enum! {
    /// What becomes of a batch when one of its items fails (1.4 §9.1.3.2.30).
    pub enum BatchErrorContinuationOption {
        Continue = 0x01 "Continue" in V1_0..;
        Stop = 0x02 "Stop" in V1_0..;
        Undo = 0x03 "Undo" in V1_0..;
    }
}

kmip_enum! {
    /// The mode of a block cipher (1.4 §9.1.3.2.14).
    pub enum BlockCipherMode {
        Cbc = 0x01 "CBC" in V1_0..;
        Ecb = 0x02 "ECB" in V1_0..;
        Pcbc = 0x03 "PCBC" in V1_0..;
        Cfb = 0x04 "CFB" in V1_0..;
        Ofb = 0x05 "OFB" in V1_0..;
        Ctr = 0x06 "CTR" in V1_0..;
        Cmac = 0x07 "CMAC" in V1_0..;
        Ccm = 0x08 "CCM" in V1_0..;
        Gcm = 0x09 "GCM" in V1_0..;
        CbcMac = 0x0A "CBC_MAC" in V1_0..;
        Xts = 0x0B "XTS" in V1_0..;
        AesKeyWrapPadding = 0x0C "AESKeyWrapPadding" in V1_0..;
        NistKeyWrap = 0x0D "NISTKeyWrap" in V1_0..;
        X9_102Aeskw = 0x0E "X9_102AESKW" in V1_0..;
        X9_102Tdkw = 0x0F "X9_102TDKW" in V1_0..;
        X9_102Akw1 = 0x10 "X9_102AKW1" in V1_0..;
        X9_102Akw2 = 0x11 "X9_102AKW2" in V1_0..;
        Aead = 0x12 "AEAD" in V1_4..;
    }
}

kmip_enum! {
    /// What Cancel achieved (1.4 §9.1.3.2.25).
    pub enum CancellationResult {
        Canceled = 0x01 "Canceled" in V1_0..;
        UnableToCancel = 0x02 "UnableToCancel" in V1_0..;
        Completed = 0x03 "Completed" in V1_0..;
        Failed = 0x04 "Failed" in V1_0..;
        Unavailable = 0x05 "Unavailable" in V1_0..;
    }
}

kmip_enum! {
    /// The encoding of a certificate request (1.4 §9.1.3.2.22).
    pub enum CertificateRequestType {
        Crmf = 0x01 "CRMF" in V1_0..;
        Pkcs10 = 0x02 "PKCS_10" in V1_0..;
        Pem = 0x03 "PEM" in V1_0..;
        Pgp = 0x04 "PGP" in V1_0..V2_0;
    }
}

kmip_enum! {
    /// The kind of a certificate (1.4 §9.1.3.2.6).
    pub enum CertificateType {
        X509 = 0x01 "X_509" in V1_0..;
        Pgp = 0x02 "PGP" in V1_0..;
    }
}

kmip_enum! {
    /// How clients become known to a server (1.4 §9.1.3.2.47).
    pub enum ClientRegistrationMethod {
        Unspecified = 0x01 "Unspecified" in V1_3..;
        ServerPreGenerated = 0x02 "ServerPreGenerated" in V1_3..;
        ServerOnDemand = 0x03 "ServerOnDemand" in V1_3..;
        ClientGenerated = 0x04 "ClientGenerated" in V1_3..;
        ClientRegistered = 0x05 "ClientRegistered" in V1_3..;
    }
}

kmip_enum! {
    /// The form of a credential in the request header (1.4 §9.1.3.2.1).
    pub enum CredentialType {
        UsernameAndPassword = 0x01 "UsernameAndPassword" in V1_0..;
        Device = 0x02 "Device" in V1_1..;
        Attestation = 0x03 "Attestation" in V1_2..;
        OneTimePassword = 0x04 "OneTimePassword" in V2_0..;
        HashedPassword = 0x05 "HashedPassword" in V2_0..;
        Ticket = 0x06 "Ticket" in V2_0..;
    }
}

kmip_enum! {
    /// What a key is for (1.4 §9.1.3.2.13).
    pub enum CryptographicAlgorithm {
        Des = 0x01 "DES" in V1_0..;
        Des3 = 0x02 "DES3" in V1_0..;
        Aes = 0x03 "AES" in V1_0..;
        Rsa = 0x04 "RSA" in V1_0..;
        Dsa = 0x05 "DSA" in V1_0..;
        Ecdsa = 0x06 "ECDSA" in V1_0..;
        HmacSha1 = 0x07 "HMAC_SHA1" in V1_0..;
        HmacSha224 = 0x08 "HMAC_SHA224" in V1_0..;
        HmacSha256 = 0x09 "HMAC_SHA256" in V1_0..;
        HmacSha384 = 0x0A "HMAC_SHA384" in V1_0..;
        HmacSha512 = 0x0B "HMAC_SHA512" in V1_0..;
        HmacMd5 = 0x0C "HMAC_MD5" in V1_0..;
        Dh = 0x0D "DH" in V1_0..;
        Ecdh = 0x0E "ECDH" in V1_0..;
        Ecmqv = 0x0F "ECMQV" in V1_0..;
        Blowfish = 0x10 "Blowfish" in V1_0..;
        Camellia = 0x11 "Camellia" in V1_0..;
        Cast5 = 0x12 "CAST5" in V1_0..;
        Idea = 0x13 "IDEA" in V1_0..;
        Mars = 0x14 "MARS" in V1_0..;
        Rc2 = 0x15 "RC2" in V1_0..;
        Rc4 = 0x16 "RC4" in V1_0..;
        Rc5 = 0x17 "RC5" in V1_0..;
        Skipjack = 0x18 "SKIPJACK" in V1_0..;
        Twofish = 0x19 "Twofish" in V1_0..;
        Ec = 0x1A "EC" in V1_2..;
        OneTimePad = 0x1B "OneTimePad" in V1_3..;
        ChaCha20 = 0x1C "ChaCha20" in V1_4..;
        Poly1305 = 0x1D "Poly1305" in V1_4..;
        ChaCha20Poly1305 = 0x1E "ChaCha20Poly1305" in V1_4..;
        Sha3_224 = 0x1F "SHA3_224" in V1_4..;
        Sha3_256 = 0x20 "SHA3_256" in V1_4..;
        Sha3_384 = 0x21 "SHA3_384" in V1_4..;
        Sha3_512 = 0x22 "SHA3_512" in V1_4..;
        HmacSha3_224 = 0x23 "HMAC_SHA3_224" in V1_4..;
        HmacSha3_256 = 0x24 "HMAC_SHA3_256" in V1_4..;
        HmacSha3_384 = 0x25 "HMAC_SHA3_384" in V1_4..;
        HmacSha3_512 = 0x26 "HMAC_SHA3_512" in V1_4..;
        Shake128 = 0x27 "SHAKE_128" in V1_4..;
        Shake256 = 0x28 "SHAKE_256" in V1_4..;
        Aria = 0x29 "ARIA" in V2_0..;
        Seed = 0x2A "SEED" in V2_0..;
        Sm2 = 0x2B "SM2" in V2_0..;
        Sm3 = 0x2C "SM3" in V2_0..;
        Sm4 = 0x2D "SM4" in V2_0..;
        GostR34_10_2012 = 0x2E "GOSTR34_10_2012" in V2_0..;
        GostR34_11_2012 = 0x2F "GOSTR34_11_2012" in V2_0..;
        GostR34_13_2015 = 0x30 "GOSTR34_13_2015" in V2_0..;
        Gost28147_89 = 0x31 "GOST28147_89" in V2_0..;
        Xmss = 0x32 "XMSS" in V2_0..;
        Sphincs256 = 0x33 "SPHINCS_256" in V2_0..;
        McEliece = 0x34 "McEliece" in V2_0..;
        McEliece6960119 = 0x35 "McEliece_6960119" in V2_0..;
        McEliece8192128 = 0x36 "McEliece_8192128" in V2_0..;
        Ed25519 = 0x37 "Ed25519" in V2_0..;
        Ed448 = 0x38 "Ed448" in V2_0..;
    }
}

kmip_enum! {
    /// Which result of an earlier batch item stands in for Data (2.1 §11.13).
    pub enum DataEnumeration {
        Decrypt = 0x01 "Decrypt" in V2_0..;
        Encrypt = 0x02 "Encrypt" in V2_0..;
        Hash = 0x03 "Hash" in V2_0..;
        MacMacData = 0x04 "MACMACData" in V2_0..;
        RngRetrieve = 0x05 "RNGRetrieve" in V2_0..;
        SignSignatureData = 0x06 "SignSignatureData" in V2_0..;
        SignatureVerify = 0x07 "SignatureVerify" in V2_0..;
    }
}

kmip_enum! {
    /// How Derive Key derives (1.4 §9.1.3.2.21).
    pub enum DerivationMethod {
        Pbkdf2 = 0x01 "PBKDF2" in V1_0..;
        Hash = 0x02 "HASH" in V1_0..;
        Hmac = 0x03 "HMAC" in V1_0..;
        Encrypt = 0x04 "ENCRYPT" in V1_0..;
        Nist800_108C = 0x05 "NIST800_108_C" in V1_0..;
        Nist800_108F = 0x06 "NIST800_108_F" in V1_0..;
        Nist800_108Dpi = 0x07 "NIST800_108_DPI" in V1_0..;
        AsymmetricKey = 0x08 "AsymmetricKey" in V1_4..;
        AwsSignatureVersion4 = 0x09 "AWSSignatureVersion4" in V2_0..;
        Hkdf = 0x0A "HKDF" in V2_0..;
    }
}

kmip_enum! {
    /// What Destroy leaves of an object (1.4 §9.1.3.2.44).
    pub enum DestroyAction {
        Unspecified = 0x01 "Unspecified" in V1_3..;
        KeyMaterialDeleted = 0x02 "KeyMaterialDeleted" in V1_3..;
        KeyMaterialShredded = 0x03 "KeyMaterialShredded" in V1_3..;
        MetaDataDeleted = 0x04 "MetaDataDeleted" in V1_3..;
        MetaDataShredded = 0x05 "MetaDataShredded" in V1_3..;
        Deleted = 0x06 "Deleted" in V1_3..;
        Shredded = 0x07 "Shredded" in V1_3..;
    }
}

kmip_enum! {
    /// A signature algorithm together with its hash (1.4 §9.1.3.2.7).
    pub enum DigitalSignatureAlgorithm {
        Md2WithRsaEncryption = 0x01 "MD2WithRSAEncryption" | "MD2WithRSAEncryptionPKCS_1V1_5" in V1_1..;
        Md5WithRsaEncryption = 0x02 "MD5WithRSAEncryption" | "MD5WithRSAEncryptionPKCS_1V1_5" in V1_1..;
        Sha1WithRsaEncryption = 0x03 "SHA_1WithRSAEncryption" | "SHA_1WithRSAEncryptionPKCS_1V1_5" in V1_1..;
        Sha224WithRsaEncryption = 0x04 "SHA_224WithRSAEncryption" | "SHA_224WithRSAEncryptionPKCS_1V1_5" in V1_1..;
        Sha256WithRsaEncryption = 0x05 "SHA_256WithRSAEncryption" | "SHA_256WithRSAEncryptionPKCS_1V1_5" in V1_1..;
        Sha384WithRsaEncryption = 0x06 "SHA_384WithRSAEncryption" | "SHA_384WithRSAEncryptionPKCS_1V1_5" in V1_1..;
        Sha512WithRsaEncryption = 0x07 "SHA_512WithRSAEncryption" | "SHA_512WithRSAEncryptionPKCS_1V1_5" in V1_1..;
        RsassaPss = 0x08 "RSASSA_PSS" | "RSASSA_PSSPKCS_1V2_1" in V1_1..;
        DsaWithSha1 = 0x09 "DSAWithSHA_1" in V1_1..;
        DsaWithSha224 = 0x0A "DSAWithSHA224" in V1_1..;
        DsaWithSha256 = 0x0B "DSAWithSHA256" in V1_1..;
        EcdsaWithSha1 = 0x0C "ECDSAWithSHA_1" in V1_1..;
        EcdsaWithSha224 = 0x0D "ECDSAWithSHA224" in V1_1..;
        EcdsaWithSha256 = 0x0E "ECDSAWithSHA256" in V1_1..;
        EcdsaWithSha384 = 0x0F "ECDSAWithSHA384" in V1_1..;
        EcdsaWithSha512 = 0x10 "ECDSAWithSHA512" in V1_1..;
        Sha3_256WithRsaEncryption = 0x11 "SHA3_256WithRSAEncryption" in V1_4..;
        Sha3_384WithRsaEncryption = 0x12 "SHA3_384WithRSAEncryption" in V1_4..;
        Sha3_512WithRsaEncryption = 0x13 "SHA3_512WithRSAEncryption" in V1_4..;
    }
}

kmip_enum! {
    /// The construction of a deterministic random bit generator (1.4 §9.1.3.2.38).
    pub enum DrbgAlgorithm {
        Unspecified = 0x01 "Unspecified" in V1_3..;
        DualEc = 0x02 "Dual_EC" in V1_3..;
        Hash = 0x03 "Hash" in V1_3..;
        Hmac = 0x04 "HMAC" in V1_3..;
        Ctr = 0x05 "CTR" in V1_3..;
    }
}

kmip_enum! {
    /// Whether wrapped key material was TTLV-encoded first (1.4 §9.1.3.2.32).
    pub enum EncodingOption {
        NoEncoding = 0x01 "NoEncoding" in V1_1..;
        TtlvEncoding = 0x02 "TTLVEncoding" in V1_1..;
    }
}

kmip_enum! {
    /// Which end of the connection acts as the server (2.1 §11.19).
    pub enum EndpointRole {
        Client = 0x01 "Client" in V2_0..;
        Server = 0x02 "Server" in V2_0..;
    }
}

kmip_enum! {
    /// The variation of a FIPS 186 random number generator (1.4 §9.1.3.2.39).
    pub enum Fips186Variation {
        Unspecified = 0x01 "Unspecified" in V1_3..;
        GpXOriginal = 0x02 "GPXOriginal" in V1_3..;
        GpXChangeNotice = 0x03 "GPXChangeNotice" in V1_3..;
        XOriginal = 0x04 "XOriginal" in V1_3..;
        XChangeNotice = 0x05 "XChangeNotice" in V1_3..;
        KOriginal = 0x06 "KOriginal" in V1_3..;
        KChangeNotice = 0x07 "KChangeNotice" in V1_3..;
    }
}

kmip_enum! {
    /// A hash function (1.4 §9.1.3.2.16).
    pub enum HashingAlgorithm {
        Md2 = 0x01 "MD2" in V1_0..;
        Md4 = 0x02 "MD4" in V1_0..;
        Md5 = 0x03 "MD5" in V1_0..;
        Sha1 = 0x04 "SHA_1" in V1_0..;
        Sha224 = 0x05 "SHA_224" in V1_0..;
        Sha256 = 0x06 "SHA_256" in V1_0..;
        Sha384 = 0x07 "SHA_384" in V1_0..;
        Sha512 = 0x08 "SHA_512" in V1_0..;
        Ripemd160 = 0x09 "RIPEMD_160" in V1_0..;
        Tiger = 0x0A "Tiger" in V1_0..;
        Whirlpool = 0x0B "Whirlpool" in V1_0..;
        Sha512_224 = 0x0C "SHA_512_224" in V1_2..;
        Sha512_256 = 0x0D "SHA_512_256" in V1_2..;
        Sha3_224 = 0x0E "SHA3_224" | "SHA_3_224" in V1_4..;
        Sha3_256 = 0x0F "SHA3_256" | "SHA_3_256" in V1_4..;
        Sha3_384 = 0x10 "SHA3_384" | "SHA_3_384" in V1_4..;
        Sha3_512 = 0x11 "SHA3_512" | "SHA_3_512" in V1_4..;
    }
}

kmip_enum! {
    /// A mark in the log of an interoperability test (2.1 §11.22).
    pub enum InteropFunction {
        Begin = 0x01 "Begin" in V2_0..;
        End = 0x02 "End" in V2_0..;
        Reset = 0x03 "Reset" in V2_0..;
    }
}

kmip_enum! {
    /// The type of a field, as Extension Information names it (2.1 §11.23).
    pub enum ItemType {
        Structure = 0x01 "Structure" in V2_0..;
        Integer = 0x02 "Integer" in V2_0..;
        LongInteger = 0x03 "LongInteger" in V2_0..;
        BigInteger = 0x04 "BigInteger" in V2_0..;
        Enumeration = 0x05 "Enumeration" in V2_0..;
        Boolean = 0x06 "Boolean" in V2_0..;
        TextString = 0x07 "TextString" in V2_0..;
        ByteString = 0x08 "ByteString" in V2_0..;
        DateTime = 0x09 "DateTime" in V2_0..;
        Interval = 0x0A "Interval" in V2_0..;
        DateTimeExtended = 0x0B "DateTimeExtended" in V2_0..;
    }
}

kmip_enum! {
    /// The form of an elliptic-curve point (1.4 §9.1.3.2.2).
    pub enum KeyCompressionType {
        EcPublicKeyTypeUncompressed = 0x01 "ECPublicKeyTypeUncompressed" in V1_0..;
        EcPublicKeyTypeX9_62CompressedPrime = 0x02 "ECPublicKeyTypeX9_62CompressedPrime" in V1_0..;
        EcPublicKeyTypeX9_62CompressedChar2 = 0x03 "ECPublicKeyTypeX9_62CompressedChar2" in V1_0..;
        EcPublicKeyTypeX9_62Hybrid = 0x04 "ECPublicKeyTypeX9_62Hybrid" in V1_0..;
    }
}

kmip_enum! {
    /// The encoding of key material (1.4 §9.1.3.2.3).
    pub enum KeyFormatType {
        Raw = 0x01 "Raw" in V1_0..;
        Opaque = 0x02 "Opaque" in V1_0..;
        Pkcs1 = 0x03 "PKCS_1" in V1_0..;
        Pkcs8 = 0x04 "PKCS_8" in V1_0..;
        X509 = 0x05 "X_509" in V1_0..;
        EcPrivateKey = 0x06 "ECPrivateKey" in V1_0..;
        TransparentSymmetricKey = 0x07 "TransparentSymmetricKey" in V1_0..;
        TransparentDsaPrivateKey = 0x08 "TransparentDSAPrivateKey" in V1_0..;
        TransparentDsaPublicKey = 0x09 "TransparentDSAPublicKey" in V1_0..;
        TransparentRsaPrivateKey = 0x0A "TransparentRSAPrivateKey" in V1_0..;
        TransparentRsaPublicKey = 0x0B "TransparentRSAPublicKey" in V1_0..;
        TransparentDhPrivateKey = 0x0C "TransparentDHPrivateKey" in V1_0..;
        TransparentDhPublicKey = 0x0D "TransparentDHPublicKey" in V1_0..;
        TransparentEcdsaPrivateKey = 0x0E "TransparentECDSAPrivateKey" in V1_0..V2_0;
        TransparentEcdsaPublicKey = 0x0F "TransparentECDSAPublicKey" in V1_0..V2_0;
        TransparentEcdhPrivateKey = 0x10 "TransparentECDHPrivateKey" in V1_0..V2_0;
        TransparentEcdhPublicKey = 0x11 "TransparentECDHPublicKey" in V1_0..V2_0;
        TransparentEcmqvPrivateKey = 0x12 "TransparentECMQVPrivateKey" in V1_0..V2_0;
        TransparentEcmqvPublicKey = 0x13 "TransparentECMQVPublicKey" in V1_0..V2_0;
        TransparentEcPrivateKey = 0x14 "TransparentECPrivateKey" in V1_3..;
        TransparentEcPublicKey = 0x15 "TransparentECPublicKey" in V1_3..;
        Pkcs12 = 0x16 "PKCS_12" in V1_4..;
        Pkcs10 = 0x17 "PKCS_10" in V2_0..;
    }
}

kmip_enum! {
    /// The role of a key in payment systems (1.4 §9.1.3.2.17).
    pub enum KeyRoleType {
        Bdk = 0x01 "BDK" in V1_0..;
        Cvk = 0x02 "CVK" in V1_0..;
        Dek = 0x03 "DEK" in V1_0..;
        Mkac = 0x04 "MKAC" in V1_0..;
        Mksmc = 0x05 "MKSMC" in V1_0..;
        Mksmi = 0x06 "MKSMI" in V1_0..;
        Mkdac = 0x07 "MKDAC" in V1_0..;
        Mkdn = 0x08 "MKDN" in V1_0..;
        Mkcp = 0x09 "MKCP" in V1_0..;
        Mkoth = 0x0A "MKOTH" in V1_0..;
        Kek = 0x0B "KEK" in V1_0..;
        Mac16609 = 0x0C "MAC16609" in V1_0..;
        Mac97971 = 0x0D "MAC97971" in V1_0..;
        Mac97972 = 0x0E "MAC97972" in V1_0..;
        Mac97973 = 0x0F "MAC97973" in V1_0..;
        Mac97974 = 0x10 "MAC97974" in V1_0..;
        Mac97975 = 0x11 "MAC97975" in V1_0..;
        Zpk = 0x12 "ZPK" in V1_0..;
        PvkIbm = 0x13 "PVKIBM" in V1_0..;
        PvkPvv = 0x14 "PVKPVV" in V1_0..;
        PvkOth = 0x15 "PVKOTH" in V1_0..;
        Dukpt = 0x16 "DUKPT" in V1_4..;
        Iv = 0x17 "IV" in V1_4..;
        Trkbk = 0x18 "TRKBK" in V1_4..;
    }
}

kmip_enum! {
    /// How a key value that the server does not hold is pointed to (1.4 §9.1.3.2.35).
    pub enum KeyValueLocationType {
        UninterpretedTextString = 0x01 "UninterpretedTextString" in V1_2..;
        Uri = 0x02 "URI" in V1_2..;
    }
}

kmip_enum! {
    /// Whether to return a key as it was registered or unwrapped (1.4 §9.1.3.2.48).
    pub enum KeyWrapType {
        NotWrapped = 0x01 "NotWrapped" in V1_4..;
        AsRegistered = 0x02 "AsRegistered" in V1_4..;
    }
}

kmip_enum! {
    /// What a linked object is to this one (1.4 §9.1.3.2.20).
    pub enum LinkType {
        CertificateLink = 0x0101 "CertificateLink" in V1_0..;
        PublicKeyLink = 0x0102 "PublicKeyLink" in V1_0..;
        PrivateKeyLink = 0x0103 "PrivateKeyLink" in V1_0..;
        DerivationBaseObjectLink = 0x0104 "DerivationBaseObjectLink" in V1_0..;
        DerivedKeyLink = 0x0105 "DerivedKeyLink" in V1_0..;
        ReplacementObjectLink = 0x0106 "ReplacementObjectLink" in V1_0..;
        ReplacedObjectLink = 0x0107 "ReplacedObjectLink" in V1_0..;
        ParentLink = 0x0108 "ParentLink" in V1_2..;
        ChildLink = 0x0109 "ChildLink" in V1_2..;
        PreviousLink = 0x010A "PreviousLink" in V1_2..;
        NextLink = 0x010B "NextLink" in V1_2..;
        Pkcs12CertificateLink = 0x010C "PKCS_12CertificateLink" in V1_4..;
        Pkcs12PasswordLink = 0x010D "PKCS_12PasswordLink" in V1_4..;
        WrappingKeyLink = 0x010E "WrappingKeyLink" in V2_0..;
    }
}

kmip_enum! {
    /// The mask generation function of OAEP and PSS (1.4 §9.1.3.2.49).
    pub enum MaskGenerator {
        Mgf1 = 0x01 "MGF1" | "MFG1" in V1_4..;
    }
}

kmip_enum! {
    /// The form of a Name (1.4 §9.1.3.2.11).
    pub enum NameType {
        UninterpretedTextString = 0x01 "UninterpretedTextString" in V1_0..;
        Uri = 0x02 "URI" in V1_0..;
    }
}

kmip_enum! {
    /// The purpose of a key in the words of NIST SP 800-57 (2.1 §11.32).
    pub enum NistKeyType {
        PrivateSignatureKey = 0x01 "PrivateSignatureKey" in V2_0..;
        PublicSignatureVerificationKey = 0x02 "PublicSignatureVerificationKey" in V2_0..;
        SymmetricAuthenticationKey = 0x03 "SymmetricAuthenticationKey" in V2_0..;
        PrivateAuthenticationKey = 0x04 "PrivateAuthenticationKey" in V2_0..;
        PublicAuthenticationKey = 0x05 "PublicAuthenticationKey" in V2_0..;
        SymmetricDataEncryptionKey = 0x06 "SymmetricDataEncryptionKey" in V2_0..;
        SymmetricKeyWrappingKey = 0x07 "SymmetricKeyWrappingKey" in V2_0..;
        SymmetricRandomNumberGenerationKey = 0x08 "SymmetricRandomNumberGenerationKey" in V2_0..;
        SymmetricMasterKey = 0x09 "SymmetricMasterKey" in V2_0..;
        PrivateKeyTransportKey = 0x0A "PrivateKeyTransportKey" in V2_0..;
        PublicKeyTransportKey = 0x0B "PublicKeyTransportKey" in V2_0..;
        SymmetricKeyAgreementKey = 0x0C "SymmetricKeyAgreementKey" in V2_0..;
        PrivateStaticKeyAgreementKey = 0x0D "PrivateStaticKeyAgreementKey" in V2_0..;
        PublicStaticKeyAgreementKey = 0x0E "PublicStaticKeyAgreementKey" in V2_0..;
        PrivateEphemeralKeyAgreementKey = 0x0F "PrivateEphemeralKeyAgreementKey" in V2_0..;
        PublicEphemeralKeyAgreementKey = 0x10 "PublicEphemeralKeyAgreementKey" in V2_0..;
        SymmetricAuthorizationKey = 0x11 "SymmetricAuthorizationKey" in V2_0..;
        PrivateAuthorizationKey = 0x12 "PrivateAuthorizationKey" in V2_0..;
        PublicAuthorizationKey = 0x13 "PublicAuthorizationKey" in V2_0..;
    }
}

kmip_enum! {
    /// Which members of an object group Locate looks for (1.4 §9.1.3.2.33).
    pub enum ObjectGroupMember {
        GroupMemberFresh = 0x01 "GroupMemberFresh" in V1_1..;
        GroupMemberDefault = 0x02 "GroupMemberDefault" in V1_1..;
    }
}

kmip_enum! {
    /// The kind of a managed object (1.4 §9.1.3.2.12).
    pub enum ObjectType {
        Certificate = 0x01 "Certificate" in V1_0..;
        SymmetricKey = 0x02 "SymmetricKey" in V1_0..;
        PublicKey = 0x03 "PublicKey" in V1_0..;
        PrivateKey = 0x04 "PrivateKey" in V1_0..;
        SplitKey = 0x05 "SplitKey" in V1_0..;
        Template = 0x06 "Template" in V1_0..V2_0;
        SecretData = 0x07 "SecretData" in V1_0..;
        OpaqueObject = 0x08 "OpaqueObject" in V1_0..;
        PgpKey = 0x09 "PGPKey" in V1_2..;
        CertificateRequest = 0x0A "CertificateRequest" in V2_0..;
    }
}

kmip_enum! {
    /// What a batch item asks for (1.4 §9.1.3.2.27).
    pub enum Operation {
        Create = 0x01 "Create" in V1_0..;
        CreateKeyPair = 0x02 "CreateKeyPair" in V1_0..;
        Register = 0x03 "Register" in V1_0..;
        ReKey = 0x04 "ReKey" in V1_0..;
        DeriveKey = 0x05 "DeriveKey" in V1_0..;
        Certify = 0x06 "Certify" in V1_0..;
        ReCertify = 0x07 "ReCertify" in V1_0..;
        Locate = 0x08 "Locate" in V1_0..;
        Check = 0x09 "Check" in V1_0..;
        Get = 0x0A "Get" in V1_0..;
        GetAttributes = 0x0B "GetAttributes" in V1_0..;
        GetAttributeList = 0x0C "GetAttributeList" in V1_0..;
        AddAttribute = 0x0D "AddAttribute" in V1_0..;
        ModifyAttribute = 0x0E "ModifyAttribute" in V1_0..;
        DeleteAttribute = 0x0F "DeleteAttribute" in V1_0..;
        ObtainLease = 0x10 "ObtainLease" in V1_0..;
        GetUsageAllocation = 0x11 "GetUsageAllocation" in V1_0..;
        Activate = 0x12 "Activate" in V1_0..;
        Revoke = 0x13 "Revoke" in V1_0..;
        Destroy = 0x14 "Destroy" in V1_0..;
        Archive = 0x15 "Archive" in V1_0..;
        Recover = 0x16 "Recover" in V1_0..;
        Validate = 0x17 "Validate" in V1_0..;
        Query = 0x18 "Query" in V1_0..;
        Cancel = 0x19 "Cancel" in V1_0..;
        Poll = 0x1A "Poll" in V1_0..;
        Notify = 0x1B "Notify" in V1_0..;
        Put = 0x1C "Put" in V1_0..;
        ReKeyKeyPair = 0x1D "ReKeyKeyPair" in V1_1..;
        DiscoverVersions = 0x1E "DiscoverVersions" in V1_1..;
        Encrypt = 0x1F "Encrypt" in V1_2..;
        Decrypt = 0x20 "Decrypt" in V1_2..;
        Sign = 0x21 "Sign" in V1_2..;
        SignatureVerify = 0x22 "SignatureVerify" in V1_2..;
        Mac = 0x23 "MAC" in V1_2..;
        MacVerify = 0x24 "MACVerify" in V1_2..;
        RngRetrieve = 0x25 "RNGRetrieve" in V1_2..;
        RngSeed = 0x26 "RNGSeed" in V1_2..;
        Hash = 0x27 "Hash" in V1_2..;
        CreateSplitKey = 0x28 "CreateSplitKey" in V1_2..;
        JoinSplitKey = 0x29 "JoinSplitKey" in V1_2..;
        Import = 0x2A "Import" in V1_4..;
        Export = 0x2B "Export" in V1_4..;
        Log = 0x2C "Log" in V2_0..;
        Login = 0x2D "Login" in V2_0..;
        Logout = 0x2E "Logout" in V2_0..;
        DelegatedLogin = 0x2F "DelegatedLogin" in V2_0..;
        AdjustAttribute = 0x30 "AdjustAttribute" in V2_0..;
        SetAttribute = 0x31 "SetAttribute" in V2_0..;
        SetEndpointRole = 0x32 "SetEndpointRole" in V2_0..;
        Pkcs11 = 0x33 "PKCS_11" in V2_0..;
        Interop = 0x34 "Interop" in V2_0..;
        ReProvision = 0x35 "ReProvision" in V2_0..;
        SetDefaults = 0x36 "SetDefaults" in V2_1..;
        SetConstraints = 0x37 "SetConstraints" in V2_1..;
        GetConstraints = 0x38 "GetConstraints" in V2_1..;
        QueryAsynchronousRequests = 0x39 "QueryAsynchronousRequests" in V2_1..;
        Process = 0x3A "Process" in V2_1..;
        Ping = 0x3B "Ping" in V2_1..;
    }
}

kmip_enum! {
    /// How the last block, or an RSA message, is padded (1.4 §9.1.3.2.15).
    pub enum PaddingMethod {
        None = 0x01 "None" in V1_0..;
        Oaep = 0x02 "OAEP" in V1_0..;
        Pkcs5 = 0x03 "PKCS5" in V1_0..;
        Ssl3 = 0x04 "SSL3" in V1_0..;
        Zeros = 0x05 "Zeros" in V1_0..;
        AnsiX9_23 = 0x06 "ANSIX9_23" in V1_0..;
        Iso10126 = 0x07 "ISO10126" in V1_0..;
        Pkcs1V1_5 = 0x08 "PKCS1V1_5" in V1_0..;
        X9_31 = 0x09 "X9_31" in V1_0..;
        Pss = 0x0A "PSS" in V1_0..;
    }
}

kmip_enum! {
    /// How far an asynchronous request has come (2.1 §11.40).
    pub enum ProcessingStage {
        Submitted = 0x01 "Submitted" in V2_1..;
        InProcess = 0x02 "InProcess" in V2_1..;
        Completed = 0x03 "Completed" in V2_1..;
    }
}

kmip_enum! {
    /// A conformance profile (1.4 §9.1.3.2.42). The names of 1.x carry a version, those of 2.x do not.
    pub enum ProfileName {
        BaselineServerBasicKmipV1_2 = 0x01 "BaselineServerBasicKMIPV1_2" in V1_3..V2_0;
        BaselineServerTlsV1_2KmipV1_2 = 0x02 "BaselineServerTLSV1_2KMIPV1_2" in V1_3..V2_0;
        BaselineClientBasicKmipV1_2 = 0x03 "BaselineClientBasicKMIPV1_2" in V1_3..V2_0;
        BaselineClientTlsV1_2KmipV1_2 = 0x04 "BaselineClientTLSV1_2KMIPV1_2" in V1_3..V2_0;
        CompleteServerBasicKmipV1_2 = 0x05 "CompleteServerBasicKMIPV1_2" in V1_3..V2_0;
        CompleteServerTlsV1_2KmipV1_2 = 0x06 "CompleteServerTLSV1_2KMIPV1_2" in V1_3..V2_0;
        TapeLibraryClientKmipV1_0 = 0x07 "TapeLibraryClientKMIPV1_0" in V1_3..V2_0;
        TapeLibraryClientKmipV1_1 = 0x08 "TapeLibraryClientKMIPV1_1" in V1_3..V2_0;
        TapeLibraryClientKmipV1_2 = 0x09 "TapeLibraryClientKMIPV1_2" in V1_3..V2_0;
        TapeLibraryServerKmipV1_0 = 0x0A "TapeLibraryServerKMIPV1_0" in V1_3..V2_0;
        TapeLibraryServerKmipV1_1 = 0x0B "TapeLibraryServerKMIPV1_1" in V1_3..V2_0;
        TapeLibraryServerKmipV1_2 = 0x0C "TapeLibraryServerKMIPV1_2" in V1_3..V2_0;
        SymmetricKeyLifecycleClientKmipV1_0 = 0x0D "SymmetricKeyLifecycleClientKMIPV1_0" in V1_3..V2_0;
        SymmetricKeyLifecycleClientKmipV1_1 = 0x0E "SymmetricKeyLifecycleClientKMIPV1_1" in V1_3..V2_0;
        SymmetricKeyLifecycleClientKmipV1_2 = 0x0F "SymmetricKeyLifecycleClientKMIPV1_2" in V1_3..V2_0;
        SymmetricKeyLifecycleServerKmipV1_0 = 0x10 "SymmetricKeyLifecycleServerKMIPV1_0" in V1_3..V2_0;
        SymmetricKeyLifecycleServerKmipV1_1 = 0x11 "SymmetricKeyLifecycleServerKMIPV1_1" in V1_3..V2_0;
        SymmetricKeyLifecycleServerKmipV1_2 = 0x12 "SymmetricKeyLifecycleServerKMIPV1_2" in V1_3..V2_0;
        AsymmetricKeyLifecycleClientKmipV1_0 = 0x13 "AsymmetricKeyLifecycleClientKMIPV1_0" in V1_3..V2_0;
        AsymmetricKeyLifecycleClientKmipV1_1 = 0x14 "AsymmetricKeyLifecycleClientKMIPV1_1" in V1_3..V2_0;
        AsymmetricKeyLifecycleClientKmipV1_2 = 0x15 "AsymmetricKeyLifecycleClientKMIPV1_2" in V1_3..V2_0;
        AsymmetricKeyLifecycleServerKmipV1_0 = 0x16 "AsymmetricKeyLifecycleServerKMIPV1_0" in V1_3..V2_0;
        AsymmetricKeyLifecycleServerKmipV1_1 = 0x17 "AsymmetricKeyLifecycleServerKMIPV1_1" in V1_3..V2_0;
        AsymmetricKeyLifecycleServerKmipV1_2 = 0x18 "AsymmetricKeyLifecycleServerKMIPV1_2" in V1_3..V2_0;
        BasicCryptographicClientKmipV1_2 = 0x19 "BasicCryptographicClientKMIPV1_2" in V1_3..V2_0;
        BasicCryptographicServerKmipV1_2 = 0x1A "BasicCryptographicServerKMIPV1_2" in V1_3..V2_0;
        AdvancedCryptographicClientKmipV1_2 = 0x1B "AdvancedCryptographicClientKMIPV1_2" in V1_3..V2_0;
        AdvancedCryptographicServerKmipV1_2 = 0x1C "AdvancedCryptographicServerKMIPV1_2" in V1_3..V2_0;
        RngCryptographicClientKmipV1_2 = 0x1D "RNGCryptographicClientKMIPV1_2" in V1_3..V2_0;
        RngCryptographicServerKmipV1_2 = 0x1E "RNGCryptographicServerKMIPV1_2" in V1_3..V2_0;
        BasicSymmetricKeyFoundryClientKmipV1_0 = 0x1F "BasicSymmetricKeyFoundryClientKMIPV1_0" in V1_3..V2_0;
        IntermediateSymmetricKeyFoundryClientKmipV1_0 = 0x20 "IntermediateSymmetricKeyFoundryClientKMIPV1_0" in V1_3..V2_0;
        AdvancedSymmetricKeyFoundryClientKmipV1_0 = 0x21 "AdvancedSymmetricKeyFoundryClientKMIPV1_0" in V1_3..V2_0;
        BasicSymmetricKeyFoundryClientKmipV1_1 = 0x22 "BasicSymmetricKeyFoundryClientKMIPV1_1" in V1_3..V2_0;
        IntermediateSymmetricKeyFoundryClientKmipV1_1 = 0x23 "IntermediateSymmetricKeyFoundryClientKMIPV1_1" in V1_3..V2_0;
        AdvancedSymmetricKeyFoundryClientKmipV1_1 = 0x24 "AdvancedSymmetricKeyFoundryClientKMIPV1_1" in V1_3..V2_0;
        BasicSymmetricKeyFoundryClientKmipV1_2 = 0x25 "BasicSymmetricKeyFoundryClientKMIPV1_2" in V1_3..V2_0;
        IntermediateSymmetricKeyFoundryClientKmipV1_2 = 0x26 "IntermediateSymmetricKeyFoundryClientKMIPV1_2" in V1_3..V2_0;
        AdvancedSymmetricKeyFoundryClientKmipV1_2 = 0x27 "AdvancedSymmetricKeyFoundryClientKMIPV1_2" in V1_3..V2_0;
        SymmetricKeyFoundryServerKmipV1_0 = 0x28 "SymmetricKeyFoundryServerKMIPV1_0" in V1_3..V2_0;
        SymmetricKeyFoundryServerKmipV1_1 = 0x29 "SymmetricKeyFoundryServerKMIPV1_1" in V1_3..V2_0;
        SymmetricKeyFoundryServerKmipV1_2 = 0x2A "SymmetricKeyFoundryServerKMIPV1_2" in V1_3..V2_0;
        OpaqueManagedObjectStoreClientKmipV1_0 = 0x2B "OpaqueManagedObjectStoreClientKMIPV1_0" in V1_3..V2_0;
        OpaqueManagedObjectStoreClientKmipV1_1 = 0x2C "OpaqueManagedObjectStoreClientKMIPV1_1" in V1_3..V2_0;
        OpaqueManagedObjectStoreClientKmipV1_2 = 0x2D "OpaqueManagedObjectStoreClientKMIPV1_2" in V1_3..V2_0;
        OpaqueManagedObjectStoreServerKmipV1_0 = 0x2E "OpaqueManagedObjectStoreServerKMIPV1_0" in V1_3..V2_0;
        OpaqueManagedObjectStoreServerKmipV1_1 = 0x2F "OpaqueManagedObjectStoreServerKMIPV1_1" in V1_3..V2_0;
        OpaqueManagedObjectStoreServerKmipV1_2 = 0x30 "OpaqueManagedObjectStoreServerKMIPV1_2" in V1_3..V2_0;
        SuiteBMinLos128ClientKmipV1_0 = 0x31 "SuiteBMinLOS_128ClientKMIPV1_0" in V1_3..V2_0;
        SuiteBMinLos128ClientKmipV1_1 = 0x32 "SuiteBMinLOS_128ClientKMIPV1_1" in V1_3..V2_0;
        SuiteBMinLos128ClientKmipV1_2 = 0x33 "SuiteBMinLOS_128ClientKMIPV1_2" in V1_3..V2_0;
        SuiteBMinLos128ServerKmipV1_0 = 0x34 "SuiteBMinLOS_128ServerKMIPV1_0" in V1_3..V2_0;
        SuiteBMinLos128ServerKmipV1_1 = 0x35 "SuiteBMinLOS_128ServerKMIPV1_1" in V1_3..V2_0;
        SuiteBMinLos128ServerKmipV1_2 = 0x36 "SuiteBMinLOS_128ServerKMIPV1_2" in V1_3..V2_0;
        SuiteBMinLos192ClientKmipV1_0 = 0x37 "SuiteBMinLOS_192ClientKMIPV1_0" in V1_3..V2_0;
        SuiteBMinLos192ClientKmipV1_1 = 0x38 "SuiteBMinLOS_192ClientKMIPV1_1" in V1_3..V2_0;
        SuiteBMinLos192ClientKmipV1_2 = 0x39 "SuiteBMinLOS_192ClientKMIPV1_2" in V1_3..V2_0;
        SuiteBMinLos192ServerKmipV1_0 = 0x3A "SuiteBMinLOS_192ServerKMIPV1_0" in V1_3..V2_0;
        SuiteBMinLos192ServerKmipV1_1 = 0x3B "SuiteBMinLOS_192ServerKMIPV1_1" in V1_3..V2_0;
        SuiteBMinLos192ServerKmipV1_2 = 0x3C "SuiteBMinLOS_192ServerKMIPV1_2" in V1_3..V2_0;
        StorageArrayWithSelfEncryptingDriveClientKmipV1_0 = 0x3D "StorageArrayWithSelfEncryptingDriveClientKMIPV1_0" in V1_3..V2_0;
        StorageArrayWithSelfEncryptingDriveClientKmipV1_1 = 0x3E "StorageArrayWithSelfEncryptingDriveClientKMIPV1_1" in V1_3..V2_0;
        StorageArrayWithSelfEncryptingDriveClientKmipV1_2 = 0x3F "StorageArrayWithSelfEncryptingDriveClientKMIPV1_2" in V1_3..V2_0;
        StorageArrayWithSelfEncryptingDriveServerKmipV1_0 = 0x40 "StorageArrayWithSelfEncryptingDriveServerKMIPV1_0" in V1_3..V2_0;
        StorageArrayWithSelfEncryptingDriveServerKmipV1_1 = 0x41 "StorageArrayWithSelfEncryptingDriveServerKMIPV1_1" in V1_3..V2_0;
        StorageArrayWithSelfEncryptingDriveServerKmipV1_2 = 0x42 "StorageArrayWithSelfEncryptingDriveServerKMIPV1_2" in V1_3..V2_0;
        HttpsClientKmipV1_0 = 0x43 "HTTPSClientKMIPV1_0" in V1_3..V2_0;
        HttpsClientKmipV1_1 = 0x44 "HTTPSClientKMIPV1_1" in V1_3..V2_0;
        HttpsClientKmipV1_2 = 0x45 "HTTPSClientKMIPV1_2" in V1_3..V2_0;
        HttpsServerKmipV1_0 = 0x46 "HTTPSServerKMIPV1_0" in V1_3..V2_0;
        HttpsServerKmipV1_1 = 0x47 "HTTPSServerKMIPV1_1" in V1_3..V2_0;
        HttpsServerKmipV1_2 = 0x48 "HTTPSServerKMIPV1_2" in V1_3..V2_0;
        JsonClientKmipV1_0 = 0x49 "JSONClientKMIPV1_0" in V1_3..V2_0;
        JsonClientKmipV1_1 = 0x4A "JSONClientKMIPV1_1" in V1_3..V2_0;
        JsonClientKmipV1_2 = 0x4B "JSONClientKMIPV1_2" in V1_3..V2_0;
        JsonServerKmipV1_0 = 0x4C "JSONServerKMIPV1_0" in V1_3..V2_0;
        JsonServerKmipV1_1 = 0x4D "JSONServerKMIPV1_1" in V1_3..V2_0;
        JsonServerKmipV1_2 = 0x4E "JSONServerKMIPV1_2" in V1_3..V2_0;
        XmlClientKmipV1_0 = 0x4F "XMLClientKMIPV1_0" in V1_3..V2_0;
        XmlClientKmipV1_1 = 0x50 "XMLClientKMIPV1_1" in V1_3..V2_0;
        XmlClientKmipV1_2 = 0x51 "XMLClientKMIPV1_2" in V1_3..V2_0;
        XmlServerKmipV1_0 = 0x52 "XMLServerKMIPV1_0" in V1_3..V2_0;
        XmlServerKmipV1_1 = 0x53 "XMLServerKMIPV1_1" in V1_3..V2_0;
        XmlServerKmipV1_2 = 0x54 "XMLServerKMIPV1_2" in V1_3..V2_0;
        BaselineServerBasicKmipV1_3 = 0x55 "BaselineServerBasicKMIPV1_3" in V1_3..V2_0;
        BaselineServerTlsV1_2KmipV1_3 = 0x56 "BaselineServerTLSV1_2KMIPV1_3" in V1_3..V2_0;
        BaselineClientBasicKmipV1_3 = 0x57 "BaselineClientBasicKMIPV1_3" in V1_3..V2_0;
        BaselineClientTlsV1_2KmipV1_3 = 0x58 "BaselineClientTLSV1_2KMIPV1_3" in V1_3..V2_0;
        CompleteServerBasicKmipV1_3 = 0x59 "CompleteServerBasicKMIPV1_3" in V1_3..V2_0;
        CompleteServerTlsV1_2KmipV1_3 = 0x5A "CompleteServerTLSV1_2KMIPV1_3" in V1_3..V2_0;
        TapeLibraryClientKmipV1_3 = 0x5B "TapeLibraryClientKMIPV1_3" in V1_3..V2_0;
        TapeLibraryServerKmipV1_3 = 0x5C "TapeLibraryServerKMIPV1_3" in V1_3..V2_0;
        SymmetricKeyLifecycleClientKmipV1_3 = 0x5D "SymmetricKeyLifecycleClientKMIPV1_3" in V1_3..V2_0;
        SymmetricKeyLifecycleServerKmipV1_3 = 0x5E "SymmetricKeyLifecycleServerKMIPV1_3" in V1_3..V2_0;
        AsymmetricKeyLifecycleClientKmipV1_3 = 0x5F "AsymmetricKeyLifecycleClientKMIPV1_3" in V1_3..V2_0;
        AsymmetricKeyLifecycleServerKmipV1_3 = 0x60 "AsymmetricKeyLifecycleServerKMIPV1_3" in V1_3..V2_0;
        BasicCryptographicClientKmipV1_3 = 0x61 "BasicCryptographicClientKMIPV1_3" in V1_3..V2_0;
        BasicCryptographicServerKmipV1_3 = 0x62 "BasicCryptographicServerKMIPV1_3" in V1_3..V2_0;
        AdvancedCryptographicClientKmipV1_3 = 0x63 "AdvancedCryptographicClientKMIPV1_3" in V1_3..V2_0;
        AdvancedCryptographicServerKmipV1_3 = 0x64 "AdvancedCryptographicServerKMIPV1_3" in V1_3..V2_0;
        RngCryptographicClientKmipV1_3 = 0x65 "RNGCryptographicClientKMIPV1_3" in V1_3..V2_0;
        RngCryptographicServerKmipV1_3 = 0x66 "RNGCryptographicServerKMIPV1_3" in V1_3..V2_0;
        BasicSymmetricKeyFoundryClientKmipV1_3 = 0x67 "BasicSymmetricKeyFoundryClientKMIPV1_3" in V1_3..V2_0;
        IntermediateSymmetricKeyFoundryClientKmipV1_3 = 0x68 "IntermediateSymmetricKeyFoundryClientKMIPV1_3" in V1_3..V2_0;
        AdvancedSymmetricKeyFoundryClientKmipV1_3 = 0x69 "AdvancedSymmetricKeyFoundryClientKMIPV1_3" in V1_3..V2_0;
        SymmetricKeyFoundryServerKmipV1_3 = 0x6A "SymmetricKeyFoundryServerKMIPV1_3" in V1_3..V2_0;
        OpaqueManagedObjectStoreClientKmipV1_3 = 0x6B "OpaqueManagedObjectStoreClientKMIPV1_3" in V1_3..V2_0;
        OpaqueManagedObjectStoreServerKmipV1_3 = 0x6C "OpaqueManagedObjectStoreServerKMIPV1_3" in V1_3..V2_0;
        SuiteBMinLos128ClientKmipV1_3 = 0x6D "SuiteBMinLOS_128ClientKMIPV1_3" in V1_3..V2_0;
        SuiteBMinLos128ServerKmipV1_3 = 0x6E "SuiteBMinLOS_128ServerKMIPV1_3" in V1_3..V2_0;
        SuiteBMinLos192ClientKmipV1_3 = 0x6F "SuiteBMinLOS_192ClientKMIPV1_3" in V1_3..V2_0;
        SuiteBMinLos192ServerKmipV1_3 = 0x70 "SuiteBMinLOS_192ServerKMIPV1_3" in V1_3..V2_0;
        StorageArrayWithSelfEncryptingDriveClientKmipV1_3 = 0x71 "StorageArrayWithSelfEncryptingDriveClientKMIPV1_3" in V1_3..V2_0;
        StorageArrayWithSelfEncryptingDriveServerKmipV1_3 = 0x72 "StorageArrayWithSelfEncryptingDriveServerKMIPV1_3" in V1_3..V2_0;
        HttpsClientKmipV1_3 = 0x73 "HTTPSClientKMIPV1_3" in V1_3..V2_0;
        HttpsServerKmipV1_3 = 0x74 "HTTPSServerKMIPV1_3" in V1_3..V2_0;
        JsonClientKmipV1_3 = 0x75 "JSONClientKMIPV1_3" in V1_3..V2_0;
        JsonServerKmipV1_3 = 0x76 "JSONServerKMIPV1_3" in V1_3..V2_0;
        XmlClientKmipV1_3 = 0x77 "XMLClientKMIPV1_3" in V1_3..V2_0;
        XmlServerKmipV1_3 = 0x78 "XMLServerKMIPV1_3" in V1_3..V2_0;
        BaselineServerBasicKmipV1_4 = 0x79 "BaselineServerBasicKMIPV1_4" in V1_4..V2_0;
        BaselineServerTlsV1_2KmipV1_4 = 0x7A "BaselineServerTLSV1_2KMIPV1_4" in V1_4..V2_0;
        BaselineClientBasicKmipV1_4 = 0x7B "BaselineClientBasicKMIPV1_4" in V1_4..V2_0;
        BaselineClientTlsV1_2KmipV1_4 = 0x7C "BaselineClientTLSV1_2KMIPV1_4" in V1_4..V2_0;
        CompleteServerBasicKmipV1_4 = 0x7D "CompleteServerBasicKMIPV1_4" in V1_4..V2_0;
        CompleteServerTlsV1_2KmipV1_4 = 0x7E "CompleteServerTLSV1_2KMIPV1_4" in V1_4..V2_0;
        TapeLibraryClientKmipV1_4 = 0x7F "TapeLibraryClientKMIPV1_4" in V1_4..V2_0;
        TapeLibraryServerKmipV1_4 = 0x80 "TapeLibraryServerKMIPV1_4" in V1_4..V2_0;
        SymmetricKeyLifecycleClientKmipV1_4 = 0x81 "SymmetricKeyLifecycleClientKMIPV1_4" in V1_4..V2_0;
        SymmetricKeyLifecycleServerKmipV1_4 = 0x82 "SymmetricKeyLifecycleServerKMIPV1_4" in V1_4..V2_0;
        AsymmetricKeyLifecycleClientKmipV1_4 = 0x83 "AsymmetricKeyLifecycleClientKMIPV1_4" in V1_4..V2_0;
        AsymmetricKeyLifecycleServerKmipV1_4 = 0x84 "AsymmetricKeyLifecycleServerKMIPV1_4" in V1_4..V2_0;
        BasicCryptographicClientKmipV1_4 = 0x85 "BasicCryptographicClientKMIPV1_4" in V1_4..V2_0;
        BasicCryptographicServerKmipV1_4 = 0x86 "BasicCryptographicServerKMIPV1_4" in V1_4..V2_0;
        AdvancedCryptographicClientKmipV1_4 = 0x87 "AdvancedCryptographicClientKMIPV1_4" in V1_4..V2_0;
        AdvancedCryptographicServerKmipV1_4 = 0x88 "AdvancedCryptographicServerKMIPV1_4" in V1_4..V2_0;
        RngCryptographicClientKmipV1_4 = 0x89 "RNGCryptographicClientKMIPV1_4" in V1_4..V2_0;
        RngCryptographicServerKmipV1_4 = 0x8A "RNGCryptographicServerKMIPV1_4" in V1_4..V2_0;
        BasicSymmetricKeyFoundryClientKmipV1_4 = 0x8B "BasicSymmetricKeyFoundryClientKMIPV1_4" in V1_4..V2_0;
        IntermediateSymmetricKeyFoundryClientKmipV1_4 = 0x8C "IntermediateSymmetricKeyFoundryClientKMIPV1_4" in V1_4..V2_0;
        AdvancedSymmetricKeyFoundryClientKmipV1_4 = 0x8D "AdvancedSymmetricKeyFoundryClientKMIPV1_4" in V1_4..V2_0;
        SymmetricKeyFoundryServerKmipV1_4 = 0x8E "SymmetricKeyFoundryServerKMIPV1_4" in V1_4..V2_0;
        OpaqueManagedObjectStoreClientKmipV1_4 = 0x8F "OpaqueManagedObjectStoreClientKMIPV1_4" in V1_4..V2_0;
        OpaqueManagedObjectStoreServerKmipV1_4 = 0x90 "OpaqueManagedObjectStoreServerKMIPV1_4" in V1_4..V2_0;
        SuiteBMinLos128ClientKmipV1_4 = 0x91 "SuiteBMinLOS_128ClientKMIPV1_4" in V1_4..V2_0;
        SuiteBMinLos128ServerKmipV1_4 = 0x92 "SuiteBMinLOS_128ServerKMIPV1_4" in V1_4..V2_0;
        SuiteBMinLos192ClientKmipV1_4 = 0x93 "SuiteBMinLOS_192ClientKMIPV1_4" in V1_4..V2_0;
        SuiteBMinLos192ServerKmipV1_4 = 0x94 "SuiteBMinLOS_192ServerKMIPV1_4" in V1_4..V2_0;
        StorageArrayWithSelfEncryptingDriveClientKmipV1_4 = 0x95 "StorageArrayWithSelfEncryptingDriveClientKMIPV1_4" in V1_4..V2_0;
        StorageArrayWithSelfEncryptingDriveServerKmipV1_4 = 0x96 "StorageArrayWithSelfEncryptingDriveServerKMIPV1_4" in V1_4..V2_0;
        HttpsClientKmipV1_4 = 0x97 "HTTPSClientKMIPV1_4" in V1_4..V2_0;
        HttpsServerKmipV1_4 = 0x98 "HTTPSServerKMIPV1_4" in V1_4..V2_0;
        JsonClientKmipV1_4 = 0x99 "JSONClientKMIPV1_4" in V1_4..V2_0;
        JsonServerKmipV1_4 = 0x9A "JSONServerKMIPV1_4" in V1_4..V2_0;
        XmlClientKmipV1_4 = 0x9B "XMLClientKMIPV1_4" in V1_4..V2_0;
        XmlServerKmipV1_4 = 0x9C "XMLServerKMIPV1_4" in V1_4..V2_0;
        CompleteServerBasic = 0x0104 "CompleteServerBasic" in V2_0..;
        CompleteServerTlsV1_2 = 0x0105 "CompleteServerTLSV1_2" in V2_0..;
        TapeLibraryClient = 0x0106 "TapeLibraryClient" in V2_0..;
        TapeLibraryServer = 0x0107 "TapeLibraryServer" in V2_0..;
        SymmetricKeyLifecycleClient = 0x0108 "SymmetricKeyLifecycleClient" in V2_0..;
        SymmetricKeyLifecycleServer = 0x0109 "SymmetricKeyLifecycleServer" in V2_0..;
        AsymmetricKeyLifecycleClient = 0x010A "AsymmetricKeyLifecycleClient" in V2_0..;
        AsymmetricKeyLifecycleServer = 0x010B "AsymmetricKeyLifecycleServer" in V2_0..;
        BasicCryptographicClient = 0x010C "BasicCryptographicClient" in V2_0..;
        BasicCryptographicServer = 0x010D "BasicCryptographicServer" in V2_0..;
        AdvancedCryptographicClient = 0x010E "AdvancedCryptographicClient" in V2_0..;
        AdvancedCryptographicServer = 0x010F "AdvancedCryptographicServer" in V2_0..;
        RngCryptographicClient = 0x0110 "RNGCryptographicClient" in V2_0..;
        RngCryptographicServer = 0x0111 "RNGCryptographicServer" in V2_0..;
        BasicSymmetricKeyFoundryClient = 0x0112 "BasicSymmetricKeyFoundryClient" in V2_0..;
        IntermediateSymmetricKeyFoundryClient = 0x0113 "IntermediateSymmetricKeyFoundryClient" in V2_0..;
        AdvancedSymmetricKeyFoundryClient = 0x0114 "AdvancedSymmetricKeyFoundryClient" in V2_0..;
        SymmetricKeyFoundryServer = 0x0115 "SymmetricKeyFoundryServer" in V2_0..;
        OpaqueManagedObjectStoreClient = 0x0116 "OpaqueManagedObjectStoreClient" in V2_0..;
        OpaqueManagedObjectStoreServer = 0x0117 "OpaqueManagedObjectStoreServer" in V2_0..;
        StorageArrayWithSelfEncryptingDriveClient = 0x011C "StorageArrayWithSelfEncryptingDriveClient" in V2_0..;
        StorageArrayWithSelfEncryptingDriveServer = 0x011D "StorageArrayWithSelfEncryptingDriveServer" in V2_0..;
        HttpsClient = 0x011E "HTTPSClient" in V2_0..;
        HttpsServer = 0x011F "HTTPSServer" in V2_0..;
        JsonClient = 0x0120 "JSONClient" in V2_0..;
        JsonServer = 0x0121 "JSONServer" in V2_0..;
        XmlClient = 0x0122 "XMLClient" in V2_0..;
        XmlServer = 0x0123 "XMLServer" in V2_0..;
        AesXtsClient = 0x0124 "AESXTSClient" in V2_0..;
        AesXtsServer = 0x0125 "AESXTSServer" in V2_0..;
        QuantumSafeClient = 0x0126 "QuantumSafeClient" in V2_0..;
        QuantumSafeServer = 0x0127 "QuantumSafeServer" in V2_0..;
        Pkcs11Client = 0x0128 "PKCS_11Client" in V2_0..;
        Pkcs11Server = 0x0129 "PKCS_11Server" in V2_0..;
        BaselineClient = 0x012A "BaselineClient" in V2_0..;
        BaselineServer = 0x012B "BaselineServer" in V2_0..;
        CompleteServer = 0x012C "CompleteServer" in V2_0..;
    }
}

kmip_enum! {
    /// How strongly an object is to be protected (2.1 §11.42).
    pub enum ProtectionLevel {
        High = 0x01 "High" in V2_0..;
        Low = 0x02 "Low" in V2_0..;
    }
}

kmip_enum! {
    /// Whether a Put brings a new object or replaces one (1.4 §9.1.3.2.26).
    pub enum PutFunction {
        New = 0x01 "New" in V1_0..;
        Replace = 0x02 "Replace" in V1_0..;
    }
}

kmip_enum! {
    /// What Query asks about (1.4 §9.1.3.2.24).
    pub enum QueryFunction {
        QueryOperations = 0x01 "QueryOperations" in V1_0..;
        QueryObjects = 0x02 "QueryObjects" in V1_0..;
        QueryServerInformation = 0x03 "QueryServerInformation" in V1_0..;
        QueryApplicationNamespaces = 0x04 "QueryApplicationNamespaces" in V1_0..;
        QueryExtensionList = 0x05 "QueryExtensionList" in V1_1..;
        QueryExtensionMap = 0x06 "QueryExtensionMap" in V1_1..;
        QueryAttestationTypes = 0x07 "QueryAttestationTypes" in V1_2..;
        QueryRngs = 0x08 "QueryRNGs" in V1_3..;
        QueryValidations = 0x09 "QueryValidations" in V1_3..;
        QueryProfiles = 0x0A "QueryProfiles" in V1_3..;
        QueryCapabilities = 0x0B "QueryCapabilities" in V1_3..;
        QueryClientRegistrationMethods = 0x0C "QueryClientRegistrationMethods" in V1_3..;
        QueryDefaultsInformation = 0x0D "QueryDefaultsInformation" in V2_0..;
        QueryStorageProtectionMasks = 0x0E "QueryStorageProtectionMasks" in V2_0..;
    }
}

kmip_enum! {
    /// An elliptic curve (1.4 §9.1.3.2.5).
    pub enum RecommendedCurve {
        P192 = 0x01 "P_192" in V1_0..;
        K163 = 0x02 "K_163" in V1_0..;
        B163 = 0x03 "B_163" in V1_0..;
        P224 = 0x04 "P_224" in V1_0..;
        K233 = 0x05 "K_233" in V1_0..;
        B233 = 0x06 "B_233" in V1_0..;
        P256 = 0x07 "P_256" in V1_0..;
        K283 = 0x08 "K_283" in V1_0..;
        B283 = 0x09 "B_283" in V1_0..;
        P384 = 0x0A "P_384" in V1_0..;
        K409 = 0x0B "K_409" in V1_0..;
        B409 = 0x0C "B_409" in V1_0..;
        P521 = 0x0D "P_521" in V1_0..;
        K571 = 0x0E "K_571" in V1_0..;
        B571 = 0x0F "B_571" in V1_0..;
        Secp112R1 = 0x10 "SECP112R1" in V1_2..;
        Secp112R2 = 0x11 "SECP112R2" in V1_2..;
        Secp128R1 = 0x12 "SECP128R1" in V1_2..;
        Secp128R2 = 0x13 "SECP128R2" in V1_2..;
        Secp160K1 = 0x14 "SECP160K1" in V1_2..;
        Secp160R1 = 0x15 "SECP160R1" in V1_2..;
        Secp160R2 = 0x16 "SECP160R2" in V1_2..;
        Secp192K1 = 0x17 "SECP192K1" in V1_2..;
        Secp224K1 = 0x18 "SECP224K1" in V1_2..;
        Secp256K1 = 0x19 "SECP256K1" in V1_2..;
        Sect113R1 = 0x1A "SECT113R1" in V1_2..;
        Sect113R2 = 0x1B "SECT113R2" in V1_2..;
        Sect131R1 = 0x1C "SECT131R1" in V1_2..;
        Sect131R2 = 0x1D "SECT131R2" in V1_2..;
        Sect163R1 = 0x1E "SECT163R1" in V1_2..;
        Sect193R1 = 0x1F "SECT193R1" in V1_2..;
        Sect193R2 = 0x20 "SECT193R2" in V1_2..;
        Sect239K1 = 0x21 "SECT239K1" in V1_2..;
        AnsiX9P192V2 = 0x22 "ANSIX9P192V2" in V1_2..;
        AnsiX9P192V3 = 0x23 "ANSIX9P192V3" in V1_2..;
        AnsiX9P239V1 = 0x24 "ANSIX9P239V1" in V1_2..;
        AnsiX9P239V2 = 0x25 "ANSIX9P239V2" in V1_2..;
        AnsiX9P239V3 = 0x26 "ANSIX9P239V3" in V1_2..;
        AnsiX9C2Pnb163V1 = 0x27 "ANSIX9C2PNB163V1" in V1_2..;
        AnsiX9C2Pnb163V2 = 0x28 "ANSIX9C2PNB163V2" in V1_2..;
        AnsiX9C2Pnb163V3 = 0x29 "ANSIX9C2PNB163V3" in V1_2..;
        AnsiX9C2Pnb176V1 = 0x2A "ANSIX9C2PNB176V1" in V1_2..;
        AnsiX9C2Tnb191V1 = 0x2B "ANSIX9C2TNB191V1" in V1_2..;
        AnsiX9C2Tnb191V2 = 0x2C "ANSIX9C2TNB191V2" in V1_2..;
        AnsiX9C2Tnb191V3 = 0x2D "ANSIX9C2TNB191V3" in V1_2..;
        AnsiX9C2Pnb208W1 = 0x2E "ANSIX9C2PNB208W1" in V1_2..;
        AnsiX9C2Tnb239V1 = 0x2F "ANSIX9C2TNB239V1" in V1_2..;
        AnsiX9C2Tnb239V2 = 0x30 "ANSIX9C2TNB239V2" in V1_2..;
        AnsiX9C2Tnb239V3 = 0x31 "ANSIX9C2TNB239V3" in V1_2..;
        AnsiX9C2Pnb272W1 = 0x32 "ANSIX9C2PNB272W1" in V1_2..;
        AnsiX9C2Pnb304W1 = 0x33 "ANSIX9C2PNB304W1" in V1_2..;
        AnsiX9C2Tnb359V1 = 0x34 "ANSIX9C2TNB359V1" in V1_2..;
        AnsiX9C2Pnb368W1 = 0x35 "ANSIX9C2PNB368W1" in V1_2..;
        AnsiX9C2Tnb431R1 = 0x36 "ANSIX9C2TNB431R1" in V1_2..;
        BrainpoolP160R1 = 0x37 "BRAINPOOLP160R1" in V1_2..;
        BrainpoolP160T1 = 0x38 "BRAINPOOLP160T1" in V1_2..;
        BrainpoolP192R1 = 0x39 "BRAINPOOLP192R1" in V1_2..;
        BrainpoolP192T1 = 0x3A "BRAINPOOLP192T1" in V1_2..;
        BrainpoolP224R1 = 0x3B "BRAINPOOLP224R1" in V1_2..;
        BrainpoolP224T1 = 0x3C "BRAINPOOLP224T1" in V1_2..;
        BrainpoolP256R1 = 0x3D "BRAINPOOLP256R1" in V1_2..;
        BrainpoolP256T1 = 0x3E "BRAINPOOLP256T1" in V1_2..;
        BrainpoolP320R1 = 0x3F "BRAINPOOLP320R1" in V1_2..;
        BrainpoolP320T1 = 0x40 "BRAINPOOLP320T1" in V1_2..;
        BrainpoolP384R1 = 0x41 "BRAINPOOLP384R1" in V1_2..;
        BrainpoolP384T1 = 0x42 "BRAINPOOLP384T1" in V1_2..;
        BrainpoolP512R1 = 0x43 "BRAINPOOLP512R1" in V1_2..;
        BrainpoolP512T1 = 0x44 "BRAINPOOLP512T1" in V1_2..;
        Curve25519 = 0x45 "CURVE25519" in V2_0..;
        Curve448 = 0x46 "CURVE448" in V2_0..;
    }
}

kmip_enum! {
    /// Why a batch item failed (1.4 §9.1.3.2.29, 2.1 §11.46).
    pub enum ResultReason {
        ItemNotFound = 0x01 "ItemNotFound" in V1_0..;
        ResponseTooLarge = 0x02 "ResponseTooLarge" in V1_0..;
        AuthenticationNotSuccessful = 0x03 "AuthenticationNotSuccessful" in V1_0..;
        InvalidMessage = 0x04 "InvalidMessage" in V1_0..;
        OperationNotSupported = 0x05 "OperationNotSupported" in V1_0..;
        MissingData = 0x06 "MissingData" in V1_0..;
        InvalidField = 0x07 "InvalidField" in V1_0..;
        FeatureNotSupported = 0x08 "FeatureNotSupported" in V1_0..;
        OperationCanceledByRequester = 0x09 "OperationCanceledByRequester" in V1_0..;
        CryptographicFailure = 0x0A "CryptographicFailure" in V1_0..;
        IllegalOperation = 0x0B "IllegalOperation" in V1_0..V2_0;
        PermissionDenied = 0x0C "PermissionDenied" in V1_0..;
        ObjectArchived = 0x0D "ObjectArchived" in V1_0..;
        IndexOutOfBounds = 0x0E "IndexOutOfBounds" in V1_0..V2_0;
        ApplicationNamespaceNotSupported = 0x0F "ApplicationNamespaceNotSupported" in V1_0..;
        KeyFormatTypeNotSupported = 0x10 "KeyFormatTypeNotSupported" in V1_0..;
        KeyCompressionTypeNotSupported = 0x11 "KeyCompressionTypeNotSupported" in V1_0..;
        EncodingOptionError = 0x12 "EncodingOptionError" in V1_1..;
        KeyValueNotPresent = 0x13 "KeyValueNotPresent" in V1_2..;
        AttestationRequired = 0x14 "AttestationRequired" in V1_2..;
        AttestationFailed = 0x15 "AttestationFailed" in V1_2..;
        Sensitive = 0x16 "Sensitive" in V1_4..;
        NotExtractable = 0x17 "NotExtractable" in V1_4..;
        ObjectAlreadyExists = 0x18 "ObjectAlreadyExists" in V1_4..;
        InvalidTicket = 0x19 "InvalidTicket" in V2_0..;
        UsageLimitExceeded = 0x1A "UsageLimitExceeded" in V2_0..;
        NumericRange = 0x1B "NumericRange" in V2_0..;
        InvalidDataType = 0x1C "InvalidDataType" in V2_0..;
        ReadOnlyAttribute = 0x1D "ReadOnlyAttribute" in V2_0..;
        MultiValuedAttribute = 0x1E "MultiValuedAttribute" in V2_0..;
        UnsupportedAttribute = 0x1F "UnsupportedAttribute" in V2_0..;
        AttributeInstanceNotFound = 0x20 "AttributeInstanceNotFound" in V2_0..;
        AttributeNotFound = 0x21 "AttributeNotFound" in V2_0..;
        AttributeReadOnly = 0x22 "AttributeReadOnly" in V2_0..;
        AttributeSingleValued = 0x23 "AttributeSingleValued" in V2_0..;
        BadCryptographicParameters = 0x24 "BadCryptographicParameters" in V2_0..;
        BadPassword = 0x25 "BadPassword" in V2_0..;
        CodecError = 0x26 "CodecError" in V2_0..;
        IllegalObjectType = 0x28 "IllegalObjectType" in V2_0..;
        IncompatibleCryptographicUsageMask = 0x29 "IncompatibleCryptographicUsageMask" in V2_0..;
        InternalServerError = 0x2A "InternalServerError" in V2_0..;
        InvalidAsynchronousCorrelationValue = 0x2B "InvalidAsynchronousCorrelationValue" in V2_0..;
        InvalidAttribute = 0x2C "InvalidAttribute" in V2_0..;
        InvalidAttributeValue = 0x2D "InvalidAttributeValue" in V2_0..;
        InvalidCorrelationValue = 0x2E "InvalidCorrelationValue" in V2_0..;
        InvalidCsr = 0x2F "InvalidCSR" in V2_0..;
        InvalidObjectType = 0x30 "InvalidObjectType" in V2_0..;
        KeyWrapTypeNotSupported = 0x32 "KeyWrapTypeNotSupported" in V2_0..;
        MissingInitializationVector = 0x34 "MissingInitializationVector" in V2_0..;
        NonUniqueNameAttribute = 0x35 "NonUniqueNameAttribute" in V2_0..;
        ObjectDestroyed = 0x36 "ObjectDestroyed" in V2_0..;
        ObjectNotFound = 0x37 "ObjectNotFound" in V2_0..;
        NotAuthorised = 0x39 "NotAuthorised" | "NotAuthorized" in V2_0..;
        ServerLimitExceeded = 0x3A "ServerLimitExceeded" in V2_0..;
        UnknownEnumeration = 0x3B "UnknownEnumeration" in V2_0..;
        UnknownMessageExtension = 0x3C "UnknownMessageExtension" in V2_0..;
        UnknownTag = 0x3D "UnknownTag" in V2_0..;
        UnsupportedCryptographicParameters = 0x3E "UnsupportedCryptographicParameters" in V2_0..;
        UnsupportedProtocolVersion = 0x3F "UnsupportedProtocolVersion" in V2_0..;
        WrappingObjectArchived = 0x40 "WrappingObjectArchived" in V2_0..;
        WrappingObjectDestroyed = 0x41 "WrappingObjectDestroyed" in V2_0..;
        WrappingObjectNotFound = 0x42 "WrappingObjectNotFound" in V2_0..;
        WrongKeyLifecycleState = 0x43 "WrongKeyLifecycleState" in V2_0..;
        ProtectionStorageUnavailable = 0x44 "ProtectionStorageUnavailable" in V2_0..;
        Pkcs11CodecError = 0x45 "PKCS_11CodecError" in V2_0..;
        Pkcs11InvalidFunction = 0x46 "PKCS_11InvalidFunction" in V2_0..;
        Pkcs11InvalidInterface = 0x47 "PKCS_11InvalidInterface" in V2_0..;
        PrivateProtectionStorageUnavailable = 0x48 "PrivateProtectionStorageUnavailable" in V2_0..;
        PublicProtectionStorageUnavailable = 0x49 "PublicProtectionStorageUnavailable" in V2_0..;
        UnknownObjectGroup = 0x4A "UnknownObjectGroup" in V2_1..;
        ConstraintViolation = 0x4B "ConstraintViolation" in V2_1..;
        DuplicateProcessRequest = 0x4C "DuplicateProcessRequest" in V2_1..;
        GeneralFailure = 0x0100 "GeneralFailure" in V1_0..;
    }
}

kmip_enum! {
    /// How a batch item ended (1.4 §9.1.3.2.28).
    pub enum ResultStatus {
        Success = 0x00 "Success" in V1_0..;
        OperationFailed = 0x01 "OperationFailed" in V1_0..;
        OperationPending = 0x02 "OperationPending" in V1_0..;
        OperationUndone = 0x03 "OperationUndone" in V1_0..;
    }
}

kmip_enum! {
    /// Why an object is revoked (1.4 §9.1.3.2.19).
    pub enum RevocationReasonCode {
        Unspecified = 0x01 "Unspecified" in V1_0..;
        KeyCompromise = 0x02 "KeyCompromise" in V1_0..;
        CaCompromise = 0x03 "CACompromise" in V1_0..;
        AffiliationChanged = 0x04 "AffiliationChanged" in V1_0..;
        Superseded = 0x05 "Superseded" in V1_0..;
        CessationOfOperation = 0x06 "CessationOfOperation" in V1_0..;
        PrivilegeWithdrawn = 0x07 "PrivilegeWithdrawn" in V1_0..;
    }
}

kmip_enum! {
    /// The kind of a random number generator (1.4 §9.1.3.2.37).
    pub enum RngAlgorithm {
        Unspecified = 0x01 "Unspecified" in V1_3..;
        Fips186_2 = 0x02 "FIPS186_2" in V1_3..;
        Drbg = 0x03 "DRBG" in V1_3..;
        Nrbg = 0x04 "NRBG" in V1_3..;
        AnsiX9_31 = 0x05 "ANSIX9_31" in V1_3..;
        AnsiX9_62 = 0x06 "ANSIX9_62" in V1_3..;
    }
}

kmip_enum! {
    /// Whether clients share a random number generator (1.4 §9.1.3.2.46).
    pub enum RngMode {
        Unspecified = 0x01 "Unspecified" in V1_3..;
        SharedInstantiation = 0x02 "SharedInstantiation" in V1_3..;
        NonSharedInstantiation = 0x03 "NonSharedInstantiation" in V1_3..;
    }
}

kmip_enum! {
    /// The form of a Rotate Name (2.1 §11.51).
    pub enum RotateNameType {
        UninterpretedTextString = 0x01 "UninterpretedTextString" in V2_1..;
        Uri = 0x02 "URI" in V2_1..;
    }
}

kmip_enum! {
    /// The kind of a Secret Data object (1.4 §9.1.3.2.9).
    pub enum SecretDataType {
        Password = 0x01 "Password" in V1_0..;
        Seed = 0x02 "Seed" in V1_0..;
    }
}

kmip_enum! {
    /// How a server erases (1.4 §9.1.3.2.45).
    pub enum ShreddingAlgorithm {
        Unspecified = 0x01 "Unspecified" in V1_3..;
        Cryptographic = 0x02 "Cryptographic" in V1_3..;
        Unsupported = 0x03 "Unsupported" in V1_3..;
    }
}

kmip_enum! {
    /// How a key is split into parts (1.4 §9.1.3.2.8).
    pub enum SplitKeyMethod {
        Xor = 0x01 "XOR" in V1_0..;
        PolynomialSharingGf2_16 = 0x02 "PolynomialSharingGF2_16" in V1_0..;
        PolynomialSharingPrimeField = 0x03 "PolynomialSharingPrimeField" in V1_0..;
        PolynomialSharingGf2_8 = 0x04 "PolynomialSharingGF2_8" in V1_2..;
    }
}

kmip_enum! {
    /// The state of an object in the life cycle of NIST SP 800-57 (1.4 §9.1.3.2.18).
    pub enum State {
        PreActive = 0x01 "PreActive" in V1_0..;
        Active = 0x02 "Active" in V1_0..;
        Deactivated = 0x03 "Deactivated" in V1_0..;
        Compromised = 0x04 "Compromised" in V1_0..;
        Destroyed = 0x05 "Destroyed" in V1_0..;
        DestroyedCompromised = 0x06 "DestroyedCompromised" in V1_0..;
    }
}

kmip_enum! {
    /// The kind of a ticket (2.1 §11.57).
    pub enum TicketType {
        Login = 0x01 "Login" in V2_0..;
    }
}

kmip_enum! {
    /// Which result of an earlier batch item stands in for a Unique Identifier (2.1 §11.58).
    pub enum UniqueIdentifierEnumeration {
        IdPlaceholder = 0x01 "IDPlaceholder" in V2_0..;
        Certify = 0x02 "Certify" in V2_0..;
        Create = 0x03 "Create" in V2_0..;
        CreateKeyPair = 0x04 "CreateKeyPair" in V2_0..;
        CreateKeyPairPrivateKey = 0x05 "CreateKeyPairPrivateKey" in V2_0..;
        CreateKeyPairPublicKey = 0x06 "CreateKeyPairPublicKey" in V2_0..;
        CreateSplitKey = 0x07 "CreateSplitKey" in V2_0..;
        DeriveKey = 0x08 "DeriveKey" in V2_0..;
        Import = 0x09 "Import" in V2_0..;
        JoinSplitKey = 0x0A "JoinSplitKey" in V2_0..;
        Locate = 0x0B "Locate" in V2_0..;
        Register = 0x0C "Register" in V2_0..;
        ReKey = 0x0D "ReKey" in V2_0..;
        ReCertify = 0x0E "ReCertify" in V2_0..;
        ReKeyKeyPair = 0x0F "ReKeyKeyPair" in V2_0..;
        ReKeyKeyPairPrivateKey = 0x10 "ReKeyKeyPairPrivateKey" in V2_0..;
        ReKeyKeyPairPublicKey = 0x11 "ReKeyKeyPairPublicKey" in V2_0..;
    }
}

kmip_enum! {
    /// Whether a server processes wrapped keys (1.4 §9.1.3.2.43).
    pub enum UnwrapMode {
        Unspecified = 0x01 "Unspecified" in V1_3..;
        Processed = 0x02 "Processed" in V1_3..;
        NotProcessed = 0x03 "NotProcessed" in V1_3..;
    }
}

kmip_enum! {
    /// What a usage limit counts (1.4 §9.1.3.2.31).
    pub enum UsageLimitsUnit {
        Byte = 0x01 "Byte" in V1_0..;
        Object = 0x02 "Object" in V1_0..;
    }
}

kmip_enum! {
    /// Who validated a server (1.4 §9.1.3.2.40).
    pub enum ValidationAuthorityType {
        Unspecified = 0x01 "Unspecified" in V1_3..;
        NistCmvp = 0x02 "NISTCMVP" in V1_3..;
        CommonCriteria = 0x03 "CommonCriteria" in V1_3..;
    }
}

kmip_enum! {
    /// What was validated (1.4 §9.1.3.2.41).
    pub enum ValidationType {
        Unspecified = 0x01 "Unspecified" in V1_3..;
        Hardware = 0x02 "Hardware" in V1_3..;
        Software = 0x03 "Software" in V1_3..;
        Firmware = 0x04 "Firmware" in V1_3..;
        Hybrid = 0x05 "Hybrid" in V1_3..;
    }
}

kmip_enum! {
    /// What Validate, or a verification, found (1.4 §9.1.3.2.23).
    pub enum ValidityIndicator {
        Valid = 0x01 "Valid" in V1_0..;
        Invalid = 0x02 "Invalid" in V1_0..;
        Unknown = 0x03 "Unknown" in V1_0..;
    }
}

kmip_enum! {
    /// How a key is wrapped (1.4 §9.1.3.2.4).
    pub enum WrappingMethod {
        Encrypt = 0x01 "Encrypt" in V1_0..;
        MacSign = 0x02 "MACSign" in V1_0..;
        EncryptThenMacSign = 0x03 "EncryptThenMACSign" in V1_0..;
        MacSignThenEncrypt = 0x04 "MACSignThenEncrypt" in V1_0..;
        Tr31 = 0x05 "TR_31" in V1_0..;
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::{tree::Enumerated, version::Version};

    /// What must hold of each table, whatever its values.
    macro_rules! check_tables {
        ($($type:ident)*) => {
            $(
                assert!($type::ALL.is_sorted_by(|a, b| a.code() < b.code()), stringify!($type));
                for &value in $type::ALL {
                    assert_eq!($type::from_code(value.code()), Some(value));
                    assert_eq!($type::from_name(value.name()), Some(value));
                    assert!(Version::ALL.into_iter().any(|version| value.in_version(version)), "{value:?}");
                    assert!(value.code() < 0x8000_0000, "{value:?} is a vendor's");
                }
            )*
        };
    }

    #[test]
    fn every_code_and_name_leads_back_to_its_value() {
        check_tables! {
            AdjustmentType AlternativeNameType AsynchronousIndicator AttestationType BatchErrorContinuationOption
            BlockCipherMode CancellationResult CertificateRequestType CertificateType ClientRegistrationMethod
            CredentialType CryptographicAlgorithm DataEnumeration DerivationMethod DestroyAction
            DigitalSignatureAlgorithm DrbgAlgorithm EncodingOption EndpointRole Fips186Variation HashingAlgorithm
            InteropFunction ItemType KeyCompressionType KeyFormatType KeyRoleType KeyValueLocationType KeyWrapType
            LinkType MaskGenerator NameType NistKeyType ObjectGroupMember ObjectType Operation PaddingMethod
            ProcessingStage ProfileName ProtectionLevel PutFunction QueryFunction RecommendedCurve ResultReason
            ResultStatus RevocationReasonCode RngAlgorithm RngMode RotateNameType SecretDataType ShreddingAlgorithm
            SplitKeyMethod State TicketType UniqueIdentifierEnumeration UnwrapMode UsageLimitsUnit
            ValidationAuthorityType ValidationType ValidityIndicator WrappingMethod
        }
    }

    #[test]
    fn refuses_codes_that_no_version_lists() {
        assert_eq!(ObjectType::from_code(0x0A), Some(ObjectType::CertificateRequest));
        for code in [0, 0x0B, 0x8000_0001, u32::MAX] {
            assert_eq!(ObjectType::from_code(code), None, "{code:#x}");
        }
        assert_eq!(ResultReason::from_code(0x27), None, "reserved in 2.x");
    }

    #[test]
    fn refuses_a_name_in_any_other_spelling() {
        assert_eq!(CryptographicAlgorithm::from_name("DES3"), Some(CryptographicAlgorithm::Des3));
        for name in ["3DES", "Des3", "des3", ""] {
            assert_eq!(CryptographicAlgorithm::from_name(name), None, "{name}");
        }
    }

    #[test]
    fn reads_the_spelling_of_every_version_and_writes_the_newest() {
        for name in ["SHA_3_256", "SHA3_256"] {
            assert_eq!(HashingAlgorithm::from_name(name), Some(HashingAlgorithm::Sha3_256));
        }
        assert_eq!(HashingAlgorithm::Sha3_256.name(), "SHA3_256");
        assert_eq!(MaskGenerator::from_name("MFG1"), Some(MaskGenerator::Mgf1), "misspelt in 2.0 and 2.1");
    }

    #[test]
    fn a_value_belongs_to_the_versions_of_its_row_alone() {
        assert!(ObjectType::Template.in_version(Version::V1_4));
        assert!(!ObjectType::Template.in_version(Version::V2_0));
        assert!(ResultReason::ObjectDestroyed.in_version(Version::V2_0));
        assert!(!ResultReason::ObjectDestroyed.in_version(Version::V1_4));
        assert!(Operation::Encrypt.in_version(Version::V1_2));
        assert!(!Operation::Encrypt.in_version(Version::V1_1));
        assert!(Operation::Ping.in_version(Version::V2_1));
        assert!(!Operation::Ping.in_version(Version::V2_0));
    }

    #[test]
    fn a_value_in_a_message_is_known_by_its_number_or_else_by_its_name() {
        let named = |code, name: &'static str| Enumerated { code, name: Some(Cow::Borrowed(name)) };
        assert_eq!(State::from_enumerated(&Enumerated::code(2)), Some(State::Active));
        assert_eq!(State::from_enumerated(&named(None, "Active")), Some(State::Active));
        assert_eq!(State::from_enumerated(&State::Active.to_enumerated()), Some(State::Active));
        assert_eq!(State::from_enumerated(&Enumerated::code(7)), None);
        assert_eq!(State::from_enumerated(&named(None, "Asleep")), None);
        assert_eq!(
            State::from_enumerated(&named(Some(7), "Active")),
            None,
            "an unknown number is not mended by a name"
        );
        assert_eq!(State::from_enumerated(&Enumerated { code: None, name: None }), None);
    }
}
