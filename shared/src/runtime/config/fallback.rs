//! The configuration of `fallback`.

use super::{environment::Environment, function::FunctionConfig};

/// The configuration of `fallback`, which reads nothing of its own.
pub struct FallbackConfig;

impl FunctionConfig for FallbackConfig {
    const FUNCTION: &'static str = "fallback";

    fn read(_: &mut Environment) -> Option<Self> {
        Some(Self)
    }
}
