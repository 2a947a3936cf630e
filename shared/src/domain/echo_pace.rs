//! The pace that a chat sets for the agent `echo` by its model: `echo@20` is 20 tokens a second.

use crate::domain::chat::ModelName;

/// The slowest pace, in tokens a second. A slower generation would hold its process for nothing.
pub const SLOWEST: f64 = 1.0;

/// Which names of models are allowed; completes the sentence "Send `config.model` as …".
pub const ALLOWED: &str = "`echo@0` for no pause between tokens, or `echo@` with a number from 1";

/// The pace in tokens a second that a name sets; 0 is as fast as possible. `None` for every other name.
#[must_use]
pub fn of_model(model: &ModelName) -> Option<f64> {
    let pace = model.as_str().strip_prefix("echo@")?.parse().ok();
    pace.filter(|pace: &f64| pace.is_finite() && *pace >= 0.0)
}

/// Whether a name sets a pace below [`SLOWEST`].
#[must_use]
pub fn is_too_slow(model: &ModelName) -> bool {
    of_model(model).is_some_and(is_below_floor)
}

/// Whether a pace is below [`SLOWEST`]; 0 is not.
#[must_use]
pub fn is_below_floor(pace: f64) -> bool {
    pace > 0.0 && pace < SLOWEST
}
