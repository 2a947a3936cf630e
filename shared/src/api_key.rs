//! API keys: a secret while it travels, a hash where it rests.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

/// A tenant's API key in the clear. It can be hashed and nothing else: it has no text form and `Debug` hides it.
#[derive(Debug)]
pub struct ApiKey(SecretString);

impl ApiKey {
    /// Takes a key as a caller sent it.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(SecretString::from(text))
    }

    /// What is stored and looked up in place of the key.
    ///
    /// Keys hold at least 128 random bits, so a plain SHA-256 cannot be turned back by guessing; looking a hash up also
    /// leaves nothing to time.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        let digest = Sha256::digest(self.0.expose_secret().as_bytes());
        KeyHash(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// The SHA-256 of an API key, in 64 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KeyHash(String);

impl KeyHash {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_the_key_nor_its_hash_shows_itself() {
        let key = ApiKey::new("s3cret");
        let shown = format!("{key:?} {:?}", key.hash());
        assert!(!shown.contains("s3cret") && !shown.contains(key.hash().as_str()), "{shown}");
    }

    #[test]
    fn the_hash_is_sha_256() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; // FIPS 180-2, "abc".
        assert_eq!(ApiKey::new("abc").hash().as_str(), expected);
    }
}
