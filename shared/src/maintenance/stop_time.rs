//! When a run has to stop.

use std::time::Duration;

use tokio::time::Instant;

/// The time from which on a run starts nothing new.
#[derive(Clone, Copy, Debug)]
pub struct StopTime(Instant);

impl StopTime {
    /// This long from now.
    #[must_use]
    pub fn within(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    pub(super) fn is_reached(self) -> bool {
        Instant::now() >= self.0
    }
}
