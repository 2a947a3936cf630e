//! API keys: a secret in a request, a SHA-256 hash in the table.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Base-62 digits of a secret: 62^22 is more than 2^130.
const SECRET_DIGITS: usize = 22;

/// Base-62 digits of a CRC-32: 62^6 is more than 2^32.
const CHECK_DIGITS: usize = 6;

/// A tenant's API key in clear text.
///
/// Generated keys are `ck_{environment}_`, 22 random base-62 digits and 6 digits of a CRC-32 over everything before
/// them: typing errors and false hits of secret scanners are found without a read of the table. A tenant may also use
/// any other text as its key.
#[derive(Debug)]
pub struct ApiKey(SecretString);

impl ApiKey {
    /// Wraps a key as the caller sent it.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(SecretString::from(text))
    }

    /// Generates a key for an environment such as `live` or `test`.
    #[must_use]
    pub fn generate(environment: &str) -> Self {
        Self(SecretString::from(generate_secret(&format!("ck_{environment}_"))))
    }

    /// False for a key that begins with `ck_` and has a wrong checksum.
    #[must_use]
    pub fn is_plausible(&self) -> bool {
        let text = self.0.expose_secret();
        !text.starts_with("ck_") || has_valid_checksum(text)
    }

    /// The hash that is stored and looked up.
    ///
    /// Generated keys hold at least 128 random bits, so SHA-256 without a salt cannot be reversed by guessing. A lookup
    /// by hash leaks nothing through timing.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        KeyHash(sha256(self.0.expose_secret().as_bytes()))
    }

    /// The key as text, to be shown once to its owner.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }
}

/// The SHA-256 of an API key, in 64 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyHash(String);

impl KeyHash {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn from_stored(hash: &str) -> Self {
        Self(hash.to_owned())
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash")
    }
}

/// The SHA-256 of some bytes, in 64 hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A secret: the prefix, 22 random base-62 digits, which have more than 2^130 values, and 6 digits of a CRC-32 over
/// everything before them.
pub(super) fn generate_secret(prefix: &str) -> String {
    let digits: String = (0..SECRET_DIGITS).map(|_| digit(rand::random_range(0..62))).collect();
    let unchecked = format!("{prefix}{digits}");
    let check = check_digits(&unchecked);
    format!("{unchecked}{check}")
}

/// Whether a text ends with the checksum of what precedes it, as [`generate_secret`] makes it.
pub(super) fn has_valid_checksum(text: &str) -> bool {
    text.split_at_checked(text.len().saturating_sub(CHECK_DIGITS))
        .is_some_and(|(unchecked, check)| check_digits(unchecked) == check)
}

fn check_digits(text: &str) -> String {
    let mut rest = crc32fast::hash(text.as_bytes());
    let mut digits: Vec<char> = Vec::with_capacity(CHECK_DIGITS);
    for _ in 0..CHECK_DIGITS {
        digits.push(digit(rest % 62));
        rest /= 62;
    }
    digits.iter().rev().collect()
}

fn digit(value: u32) -> char {
    char::from(BASE62[value as usize % 62])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_neither_key_nor_hash() {
        let key = ApiKey::new("s3cret");
        let shown = format!("{key:?} {:?}", key.hash());
        assert!(!shown.contains("s3cret") && !shown.contains(key.hash().as_str()), "{shown}");
    }

    #[test]
    fn hash_is_sha_256() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; // FIPS 180-2, "abc".
        assert_eq!(ApiKey::new("abc").hash().as_str(), expected);
    }

    #[test]
    fn generated_keys_detect_typing_errors() {
        let key = ApiKey::generate("live");
        let text = key.reveal();
        assert_eq!(text.len(), "ck_live_".len() + SECRET_DIGITS + CHECK_DIGITS);
        assert!(text.starts_with("ck_live_") && key.is_plausible());
        assert_ne!(text, ApiKey::generate("live").reveal());
        for place in 0..text.len() {
            let mut mistyped = text.as_bytes().to_vec();
            mistyped[place] = if mistyped[place] == b'x' { b'y' } else { b'x' };
            let mistyped = ApiKey::new(std::str::from_utf8(&mistyped).expect("ASCII"));
            assert!(place < 3 || !mistyped.is_plausible(), "an error at {place} is not detected");
        }
    }

    #[test]
    fn texts_without_the_prefix_are_accepted() {
        for text in ["your-tenant-api-key", "x", "sk_live_123", "ключ"] {
            assert!(ApiKey::new(text).is_plausible(), "{text}");
        }
        for text in ["ck_", "ck_ключ", "ck_live_"] {
            assert!(!ApiKey::new(text).is_plausible(), "{text}");
        }
    }

    #[test]
    fn checksum_is_crc_32_in_base_62() {
        // The check value of CRC-32/ISO-HDLC is 0xCBF43926 = 3421780262.
        let value = check_digits("123456789").bytes().fold(0_u64, |value, byte| {
            value * 62 + BASE62.iter().position(|digit| *digit == byte).expect("a digit") as u64
        });
        assert_eq!(value, 0xCBF4_3926);
    }
}
