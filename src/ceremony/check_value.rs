//! Key check values of a key in memory, computed as the HAL's backends compute them inside the HSM.

use aws_lc_rs::cipher::{AES_256, EncryptingKey, UnboundCipherKey};
use hal::{Kcv, KcvMethod};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::{CeremonyError, LEN};

pub(super) fn of(key: &[u8; LEN], method: KcvMethod) -> Result<Kcv, CeremonyError> {
    let mut block = [0; 16];
    match method {
        KcvMethod::EcbZeroBlock => UnboundCipherKey::new(&AES_256, key)
            .and_then(EncryptingKey::ecb)
            .and_then(|cipher| cipher.encrypt(&mut block))
            .map(drop)
            .map_err(|_| CeremonyError::Crypto)?,
        KcvMethod::GcmZeroBlock => {
            let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key)?);
            cipher
                .seal_in_place_separate_tag(Nonce::assume_unique_for_key([0; 12]), Aad::empty(), &mut block)
                .map(drop)?;
        }
    }
    let [a, b, c, ..] = block;
    Ok(Kcv { method, value: [a, b, c] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_the_published_ones_of_the_zero_key() {
        // FIPS 197 with key and block zero, as in NIST's AESAVS (GFSbox-256 begins from the same key), and test case 14 of the
        // GCM specification: key, IV and block zero.
        let of = |method| of(&[0; LEN], method).unwrap().to_string();
        assert_eq!(of(KcvMethod::EcbZeroBlock), "dc95c0");
        assert_eq!(of(KcvMethod::GcmZeroBlock), "cea740");
    }
}
