//! PKCS#12 files (RFC 7292): a certificate together with its private key, under a password, for clients that take both at once.
//!
//! Key and certificates are encrypted with AES-256-CBC under a key that PBKDF2-HMAC-SHA256 makes of the password; HMAC-SHA256
//! covers the whole. That is what `openssl pkcs12`, Java and Windows (2019 and later) read. Only ciphertext goes through the
//! writer of DER, whose buffers are not wiped.

use std::num::NonZeroU32;

use aws_lc_rs::{
    cipher::{AES_256, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey},
    digest, hmac,
    iv::FixedLength,
    pbkdf2,
    rand::{SecureRandom, SystemRandom},
};
use yasna::{DERWriter, Tag, models::ObjectIdentifier};
use zeroize::Zeroizing;

use super::{CaError, IssuedCertificate, PrivateKey, der::sequence};

/// How often the password is hashed: as much as makes each guess at a stolen file cost what OWASP asks of PBKDF2-HMAC-SHA256.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(600_000).unwrap();
/// Bytes of a block of SHA-256, by which the key of the MAC is made (RFC 7292 appendix B.2).
const SHA256_BLOCK: usize = 64;
/// Shortest and longest password, in characters.
const PASSWORD_CHARS: std::ops::RangeInclusive<usize> = 12..=128;

const DATA: &[u64] = &[1, 2, 840, 113_549, 1, 7, 1];
const ENCRYPTED_DATA: &[u64] = &[1, 2, 840, 113_549, 1, 7, 6];
const SHROUDED_KEY_BAG: &[u64] = &[1, 2, 840, 113_549, 1, 12, 10, 1, 2];
const CERTIFICATE_BAG: &[u64] = &[1, 2, 840, 113_549, 1, 12, 10, 1, 3];
const X509_CERTIFICATE: &[u64] = &[1, 2, 840, 113_549, 1, 9, 22, 1];
const FRIENDLY_NAME: &[u64] = &[1, 2, 840, 113_549, 1, 9, 20];
const LOCAL_KEY_ID: &[u64] = &[1, 2, 840, 113_549, 1, 9, 21];
const PBES2: &[u64] = &[1, 2, 840, 113_549, 1, 5, 13];
const PBKDF2: &[u64] = &[1, 2, 840, 113_549, 1, 5, 12];
const HMAC_WITH_SHA256: &[u64] = &[1, 2, 840, 113_549, 2, 9];
const AES_256_CBC: &[u64] = &[2, 16, 840, 1, 101, 3, 4, 1, 42];
const SHA256: &[u64] = &[2, 16, 840, 1, 101, 3, 4, 2, 1];

/// The password of a PKCS#12 file: 12 to 128 printable ASCII characters. Others are written in two ways within one file, which
/// programs do not agree on.
pub struct FilePassword(Zeroizing<String>);

impl FilePassword {
    /// Takes a password over.
    ///
    /// # Errors
    /// `BadPassword`.
    pub fn new(text: Zeroizing<String>) -> Result<Self, CaError> {
        let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if printable && PASSWORD_CHARS.contains(&text.len()) { Ok(Self(text)) } else { Err(CaError::BadPassword) }
    }
}

impl std::fmt::Debug for FilePassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FilePassword(..)")
    }
}

/// A PKCS#12 file of `key`, its `certificate` and that of the `authority` that issued it. `name` is what programs list the pair
/// under.
///
/// # Errors
/// The key is in the HSM; the random number generator failed.
pub(super) fn write_pkcs12(
    key: &PrivateKey,
    certificate: &IssuedCertificate,
    authority: &IssuedCertificate,
    name: &str,
    password: &FilePassword,
) -> Result<Vec<u8>, CaError> {
    let cipher = Cipher::new(password)?;
    let id = digest::digest(&digest::SHA256, &certificate.der);
    let (key_vector, sealed_key) = key.with_pkcs8(|pkcs8| cipher.encrypt(pkcs8))??;
    let keys = sequence(|w| {
        write_bag(w.next(), SHROUDED_KEY_BAG, Some((id.as_ref(), name)), |w| {
            w.write_sequence(|w| {
                cipher.write_algorithm(w.next(), &key_vector);
                w.next().write_bytes(&sealed_key);
            });
        });
    });
    let certificates = sequence(|w| {
        let own = Some((id.as_ref(), name));
        for (der, attributes) in [(&certificate.der, own), (&authority.der, None)] {
            write_bag(w.next(), CERTIFICATE_BAG, attributes, |w| {
                w.write_sequence(|w| {
                    write_oid(w.next(), X509_CERTIFICATE);
                    w.next().write_tagged(Tag::context(0), |w| w.write_bytes(der));
                });
            });
        }
    });
    let (vector, sealed) = cipher.encrypt(&certificates)?;
    let safe = sequence(|w| {
        write_content(w.next(), DATA, |w| w.write_bytes(&keys));
        write_content(w.next(), ENCRYPTED_DATA, |w| {
            w.write_sequence(|w| {
                w.next().write_u8(0);
                w.next().write_sequence(|w| {
                    write_oid(w.next(), DATA);
                    cipher.write_algorithm(w.next(), &vector);
                    w.next().write_tagged_implicit(Tag::context(0), |w| w.write_bytes(&sealed));
                });
            });
        });
    });
    let salt = random::<16>()?;
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &*mac_key(password, &salt)), &safe);
    Ok(sequence(|w| {
        w.next().write_u8(3);
        write_content(w.next(), DATA, |w| w.write_bytes(&safe));
        w.next().write_sequence(|w| {
            w.next().write_sequence(|w| {
                w.next().write_sequence(|w| {
                    write_oid(w.next(), SHA256);
                    w.next().write_null();
                });
                w.next().write_bytes(tag.as_ref());
            });
            w.next().write_bytes(&salt);
            w.next().write_u32(ITERATIONS.get());
        });
    }))
}

/// One key made of the password, for both parts: what would make the second key differ costs as much again and protects nothing.
struct Cipher {
    salt: [u8; 16],
    key: Zeroizing<[u8; 32]>,
}

impl Cipher {
    fn new(password: &FilePassword) -> Result<Self, CaError> {
        let salt = random()?;
        let mut key = Zeroizing::new([0; 32]);
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ITERATIONS, &salt, password.0.as_bytes(), &mut *key);
        Ok(Self { salt, key })
    }

    /// The initialisation vector and the ciphertext. `plain` is copied once, to where it is encrypted.
    fn encrypt(&self, plain: &[u8]) -> Result<([u8; 16], Vec<u8>), CaError> {
        let failed = |_| CaError::Crypto;
        let vector = random()?;
        let key = UnboundCipherKey::new(&AES_256, &*self.key).map_err(failed)?;
        let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).map_err(failed)?;
        // Room for the padding from the start, so that nothing is left behind where the buffer would grow.
        let mut buffer = Zeroizing::new(Vec::with_capacity(plain.len() + 16));
        buffer.extend_from_slice(plain);
        key.less_safe_encrypt(&mut *buffer, EncryptionContext::Iv128(FixedLength::from(vector))).map_err(failed)?;
        Ok((vector, buffer.to_vec()))
    }

    /// PBES2 with PBKDF2 (RFC 8018 appendix A).
    fn write_algorithm(&self, w: DERWriter<'_>, vector: &[u8; 16]) {
        w.write_sequence(|w| {
            write_oid(w.next(), PBES2);
            w.next().write_sequence(|w| {
                w.next().write_sequence(|w| {
                    write_oid(w.next(), PBKDF2);
                    w.next().write_sequence(|w| {
                        w.next().write_bytes(&self.salt);
                        w.next().write_u32(ITERATIONS.get());
                        w.next().write_sequence(|w| {
                            write_oid(w.next(), HMAC_WITH_SHA256);
                            w.next().write_null();
                        });
                    });
                });
                w.next().write_sequence(|w| {
                    write_oid(w.next(), AES_256_CBC);
                    w.next().write_bytes(vector);
                });
            });
        });
    }
}

/// The key of the MAC (RFC 7292 appendix B.2, with the identifier 3). It is as long as one digest, so one round makes it.
fn mac_key(password: &FilePassword, salt: &[u8; 16]) -> Zeroizing<[u8; 32]> {
    // Big-endian UTF-16 with two bytes of zero behind it; the password is ASCII.
    let mut text = Zeroizing::new(Vec::with_capacity(2 * password.0.len() + 2));
    text.extend(password.0.bytes().chain([0]).flat_map(|byte| [0, byte]));
    let whole_blocks = |length: usize| length.div_ceil(SHA256_BLOCK) * SHA256_BLOCK;
    let mut input =
        Zeroizing::new(Vec::with_capacity(SHA256_BLOCK + whole_blocks(salt.len()) + whole_blocks(text.len())));
    input.extend([3; SHA256_BLOCK]);
    input.extend(salt.iter().cycle().take(whole_blocks(salt.len())));
    input.extend(text.iter().cycle().take(whole_blocks(text.len())));
    let mut key = Zeroizing::new([0; 32]);
    copy(&digest::digest(&digest::SHA256, &input), &mut key);
    for _ in 1..ITERATIONS.get() {
        let next = digest::digest(&digest::SHA256, &*key);
        copy(&next, &mut key);
    }
    key
}

fn copy(from: &digest::Digest, to: &mut [u8; 32]) {
    if let Ok(bytes) = <&[u8; 32]>::try_from(from.as_ref()) {
        *to = *bytes;
    }
}

fn random<const N: usize>() -> Result<[u8; N], CaError> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| CaError::Crypto)?;
    Ok(bytes)
}

/// ContentInfo.
fn write_content(w: DERWriter<'_>, kind: &[u64], content: impl FnOnce(DERWriter<'_>)) {
    w.write_sequence(|w| {
        write_oid(w.next(), kind);
        w.next().write_tagged(Tag::context(0), content);
    });
}

/// SafeBag, with the attributes that join a certificate to its key.
fn write_bag(w: DERWriter<'_>, kind: &[u64], own: Option<(&[u8], &str)>, value: impl FnOnce(DERWriter<'_>)) {
    w.write_sequence(|w| {
        write_oid(w.next(), kind);
        w.next().write_tagged(Tag::context(0), value);
        let Some((id, name)) = own else { return };
        w.next().write_set_of(|w| {
            w.next().write_sequence(|w| {
                write_oid(w.next(), FRIENDLY_NAME);
                w.next().write_set_of(|w| w.next().write_bmp_string(name));
            });
            w.next().write_sequence(|w| {
                write_oid(w.next(), LOCAL_KEY_ID);
                w.next().write_set_of(|w| w.next().write_bytes(id));
            });
        });
    });
}

fn write_oid(w: DERWriter<'_>, oid: &[u64]) {
    w.write_oid(&ObjectIdentifier::from_slice(oid));
}
