//! The lease of a generation, stored in its message.

use std::{collections::HashMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::domain::{budget::Reservation, generation::GenerationRequest, time::Timestamp};

/// How long a lease lasts without a renewal.
pub(in crate::storage) const LEASE_DURATION: Duration = Duration::from_secs(15);

/// How long an expired lease is respected still: clocks differ between machines.
pub(in crate::storage) const CLOCK_SKEW: Duration = Duration::from_secs(5);

/// How soon after its start a generation may be taken over, if its owner does not renew the lease.
pub(in crate::storage) const TAKEOVER_AFTER: Duration = LEASE_DURATION.saturating_add(CLOCK_SKEW);

/// The condition that the owner of a token still has the lease.
pub(in crate::storage) const OWNED: &str = "#lease.#token = :token";

/// The condition that a lease was not renewed since it was read.
pub(in crate::storage) const NOT_RENEWED: &str = "#lease.#token = :token AND #lease.expires_at = :seen_expiry";

/// The update that renews a lease.
pub(in crate::storage) const RENEW: &str = "SET #lease.expires_at = :expires_at";

/// The names in the expressions above; both are reserved words.
pub(in crate::storage) fn lease_names() -> HashMap<String, String> {
    [("#lease", "lease"), ("#token", "token")].map(|(name, attribute)| (name.to_owned(), attribute.to_owned())).into()
}

/// The right to write a generation, for the owner of a random token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::storage) struct LeaseRecord {
    pub(in crate::storage) token: String,
    pub(in crate::storage) expires_at: Timestamp,
    /// What the generation takes of its tenant's budget; its end settles it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::storage) reservation: Option<Reservation>,
    /// The estimated tokens of the request to the model.
    #[serde(default)]
    pub(in crate::storage) input_tokens: u32,
}

impl LeaseRecord {
    /// A new lease, which starts now.
    pub(in crate::storage) fn new(request: GenerationRequest<'_>, now: Timestamp) -> Self {
        Self {
            token: format!("{:016x}", rand::random::<u64>()),
            expires_at: now.plus(LEASE_DURATION),
            reservation: request.reservation,
            input_tokens: request.input_tokens,
        }
    }

    /// Whether another process may take over: the lease has expired by any machine's clock.
    pub(in crate::storage) fn allows_takeover(&self, now: Timestamp) -> bool {
        self.expires_at.plus(CLOCK_SKEW) <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takeover_waits_for_the_expiry_and_the_clock_skew() {
        let now = Timestamp::from_millis(1_769_851_800_120);
        let lease = LeaseRecord::new(GenerationRequest::default(), now);
        assert_ne!(lease.token, LeaseRecord::new(GenerationRequest::default(), now).token);
        let limit = now.plus(LEASE_DURATION + CLOCK_SKEW);
        assert!(!lease.allows_takeover(limit.minus(Duration::from_millis(1))));
        assert!(lease.allows_takeover(limit));
    }
}
