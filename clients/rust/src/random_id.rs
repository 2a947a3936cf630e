//! Random ids.

/// 128 random bits, in hexadecimal digits.
pub(crate) fn random_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}
