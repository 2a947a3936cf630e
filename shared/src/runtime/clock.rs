//! The clock as a value, so that a test decides what time it is.

use tokio::time::Instant;

use crate::domain::time::Timestamp;

/// The current time: this machine's, or the time that a test sets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock(Source);

#[derive(Clone, Copy, Debug, Default)]
enum Source {
    #[default]
    System,
    Tokio {
        base: Timestamp,
        started: Instant,
    },
}

impl Clock {
    /// This machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that shows `base` now and advances with tokio's time, which a test may pause.
    #[must_use]
    pub fn tokio(base: Timestamp) -> Self {
        Self(Source::Tokio { base, started: Instant::now() })
    }

    /// The present.
    #[must_use]
    pub fn now(self) -> Timestamp {
        match self.0 {
            Source::System => Timestamp::now(),
            Source::Tokio { base, started } => base.plus(started.elapsed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn tokio_clock_advances_with_paused_time() {
        let base = Timestamp::from_millis(1_769_851_800_000);
        let clock = Clock::tokio(base);
        assert_eq!(clock.now(), base);
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert_eq!(clock.now().millis_since(base), 1_500);
    }
}
