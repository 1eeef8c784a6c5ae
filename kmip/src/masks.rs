//! The bit masks of KMIP 1.0 to 2.1 (1.4 §9.1.3.3, 2.1 §12): names, bits, and the versions that define each bit.

use crate::macros::{kmip_mask, versions};

kmip_mask! {
    /// What a key may be used for (1.4 §9.1.3.3.1, 2.1 §12.1).
    pub struct CryptographicUsageMask {
        Sign = 0x0000_0001 "Sign" in V1_0..;
        Verify = 0x0000_0002 "Verify" in V1_0..;
        Encrypt = 0x0000_0004 "Encrypt" in V1_0..;
        Decrypt = 0x0000_0008 "Decrypt" in V1_0..;
        WrapKey = 0x0000_0010 "WrapKey" in V1_0..;
        UnwrapKey = 0x0000_0020 "UnwrapKey" in V1_0..;
        Export = 0x0000_0040 "Export" in V1_0..V2_0;
        MacGenerate = 0x0000_0080 "MACGenerate" in V1_0..;
        MacVerify = 0x0000_0100 "MACVerify" in V1_0..;
        DeriveKey = 0x0000_0200 "DeriveKey" in V1_0..;
        // The tables of 2.x reserve this bit, yet the OASIS test cases of 2.0 (TC-CERTATTR-1-20) still register with it.
        ContentCommitment = 0x0000_0400 "ContentCommitment" | "ContentCommitmentNonRepudiation" in V1_0..;
        KeyAgreement = 0x0000_0800 "KeyAgreement" in V1_0..;
        CertificateSign = 0x0000_1000 "CertificateSign" in V1_0..;
        CrlSign = 0x0000_2000 "CRLSign" in V1_0..;
        GenerateCryptogram = 0x0000_4000 "GenerateCryptogram" in V1_0..V2_0;
        ValidateCryptogram = 0x0000_8000 "ValidateCryptogram" in V1_0..V2_0;
        TranslateEncrypt = 0x0001_0000 "TranslateEncrypt" in V1_0..V2_0;
        TranslateDecrypt = 0x0002_0000 "TranslateDecrypt" in V1_0..V2_0;
        TranslateWrap = 0x0004_0000 "TranslateWrap" in V1_0..V2_0;
        TranslateUnwrap = 0x0008_0000 "TranslateUnwrap" in V1_0..V2_0;
        Authenticate = 0x0010_0000 "Authenticate" in V2_0..;
        Unrestricted = 0x0020_0000 "Unrestricted" in V2_0..;
        FpeEncrypt = 0x0040_0000 "FPEEncrypt" in V2_0..;
        FpeDecrypt = 0x0080_0000 "FPEDecrypt" in V2_0..;
    }
}

kmip_mask! {
    /// Where an object may be kept (2.1 §12.2).
    pub struct ProtectionStorageMask {
        Software = 0x0000_0001 "Software" in V2_0..;
        Hardware = 0x0000_0002 "Hardware" in V2_0..;
        OnProcessor = 0x0000_0004 "OnProcessor" in V2_0..;
        OnSystem = 0x0000_0008 "OnSystem" in V2_0..;
        OffSystem = 0x0000_0010 "OffSystem" in V2_0..;
        Hypervisor = 0x0000_0020 "Hypervisor" in V2_0..;
        OperatingSystem = 0x0000_0040 "OperatingSystem" in V2_0..;
        Container = 0x0000_0080 "Container" in V2_0..;
        OnPremises = 0x0000_0100 "OnPremises" in V2_0..;
        OffPremises = 0x0000_0200 "OffPremises" in V2_0..;
        SelfManaged = 0x0000_0400 "SelfManaged" in V2_0..;
        Outsourced = 0x0000_0800 "Outsourced" in V2_0..;
        Validated = 0x0000_1000 "Validated" in V2_0..;
        SameJurisdiction = 0x0000_2000 "SameJurisdiction" in V2_0..;
    }
}

kmip_mask! {
    /// Which objects Locate looks among (1.4 §9.1.3.3.2, 2.1 §12.3).
    pub struct StorageStatusMask {
        OnLineStorage = 0x0000_0001 "OnLineStorage" in V1_0..;
        ArchivalStorage = 0x0000_0002 "ArchivalStorage" in V1_0..;
        DestroyedStorage = 0x0000_0004 "DestroyedStorage" in V2_0..;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::Version;

    #[test]
    fn each_bit_stands_once_and_its_name_leads_back_to_it() {
        let mut seen = CryptographicUsageMask::empty();
        for &bit in CryptographicUsageMask::ALL {
            assert_eq!(bit.bits().count_ones(), 1, "{bit}");
            assert!(!seen.intersects(bit), "{bit}");
            assert_eq!(bit.names().filter_map(CryptographicUsageMask::from_name).collect::<Vec<_>>(), [bit]);
            seen |= bit;
        }
    }

    #[test]
    fn contains_asks_for_every_bit_and_intersects_for_one() {
        let mask = CryptographicUsageMask::Encrypt | CryptographicUsageMask::Decrypt;
        assert!(mask.contains(CryptographicUsageMask::Encrypt));
        assert!(!mask.contains(CryptographicUsageMask::Encrypt | CryptographicUsageMask::Sign));
        assert!(mask.intersects(CryptographicUsageMask::Encrypt | CryptographicUsageMask::Sign));
        assert!(!mask.intersects(CryptographicUsageMask::Sign));
        assert!(mask.contains(CryptographicUsageMask::empty()));
        assert!(!mask.intersects(CryptographicUsageMask::empty()));
    }

    #[test]
    fn shows_names_and_then_the_bits_without_one() {
        let mask = CryptographicUsageMask::Encrypt | CryptographicUsageMask::Decrypt;
        assert_eq!(mask.to_string(), "Encrypt Decrypt");
        assert_eq!(CryptographicUsageMask::from_bits(0x4000_0004).to_string(), "Encrypt 0x40000000");
        assert_eq!(CryptographicUsageMask::from_bits(i32::MIN).to_string(), "0x80000000");
        assert_eq!(CryptographicUsageMask::empty().to_string(), "");
        assert_eq!(format!("{mask:?}"), "CryptographicUsageMask(Encrypt Decrypt)");
    }

    #[test]
    fn a_mask_belongs_to_a_version_that_defines_all_its_bits() {
        let both = CryptographicUsageMask::Encrypt | CryptographicUsageMask::Authenticate;
        assert!(both.in_version(Version::V2_0));
        assert!(!both.in_version(Version::V1_4));
        assert!(CryptographicUsageMask::Export.in_version(Version::V1_4));
        assert!(!CryptographicUsageMask::Export.in_version(Version::V2_0));
        assert!(!CryptographicUsageMask::from_bits(0x4000_0000).in_version(Version::V2_1), "a vendor's bit");
        assert!(!StorageStatusMask::DestroyedStorage.in_version(Version::V1_4));
        assert!(!ProtectionStorageMask::Software.in_version(Version::V1_4));
        assert!(ProtectionStorageMask::Software.in_version(Version::V2_0));
    }

    #[test]
    fn keeps_bits_it_does_not_know() {
        for bits in [0, 1, -1, i32::MIN, i32::MAX] {
            assert_eq!(CryptographicUsageMask::from_bits(bits).bits(), bits);
        }
    }

    #[test]
    fn refuses_a_name_in_any_other_spelling() {
        assert_eq!(CryptographicUsageMask::from_name("MACGenerate"), Some(CryptographicUsageMask::MacGenerate));
        for name in ["MacGenerate", "MAC Generate", "Encrypt Decrypt", ""] {
            assert_eq!(CryptographicUsageMask::from_name(name), None, "{name}");
        }
    }
}
