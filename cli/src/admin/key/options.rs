//! The flags of `chat key`.

use std::time::Duration;

use anyhow::{Result, bail};
use shared::domain::time::Timestamp;

use crate::admin::{deployment::DeploymentOptions, help::AFTER_HELP, parse, sockets::CloseDeadline};

/// The flags of `chat key`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(super) action: Action,
    #[command(flatten)]
    pub(super) deployment: DeploymentOptions,
}

#[derive(Debug, Clone, clap::Subcommand)]
pub(super) enum Action {
    /// Create another key for a tenant. The key is shown only now; expired keys are removed.
    #[command(after_help = AFTER_HELP)]
    Create(Create),
    /// List the keys of a tenant, without their text, of which only hashes are stored.
    #[command(after_help = AFTER_HELP)]
    List {
        #[command(flatten)]
        tenant: Tenant,
    },
    /// Revoke a key: its next request is refused, and its sockets are closed, as are those of all keys that were revoked
    /// or have expired. Can be run again until none is left.
    #[command(after_help = AFTER_HELP)]
    Revoke(Revoke),
    /// Create a key and let an old one expire after a grace period, in which clients can switch.
    #[command(after_help = AFTER_HELP)]
    Rotate(Rotate),
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct Tenant {
    /// The tenant's id, or its name if no other tenant has the same
    pub(super) tenant: String,
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct Key {
    #[command(flatten)]
    pub(super) tenant: Tenant,
    /// The key's id, key_…, from `chat key list`
    pub(super) key_id: String,
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct Create {
    #[command(flatten)]
    pub(super) tenant: Tenant,
    #[command(flatten)]
    pub(super) expiry: Expiry,
    /// The environment in the text of the key, as in ck_live_…
    #[arg(long, value_parser = parse::environment, default_value = "live")]
    pub(super) environment: String,
    /// Read the key from stdin instead of generating one
    #[arg(long, conflicts_with = "environment")]
    pub(super) import: bool,
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct Revoke {
    #[command(flatten)]
    pub(super) key: Key,
    #[command(flatten)]
    pub(super) deadline: CloseDeadline,
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct Rotate {
    #[command(flatten)]
    pub(super) key: Key,
    /// How long the old key stays valid; 0 revokes it at once and closes its sockets
    #[arg(long, value_name = "DURATION", value_parser = parse::duration, default_value = "24h")]
    pub(super) grace: Duration,
    #[command(flatten)]
    pub(super) deadline: CloseDeadline,
    #[command(flatten)]
    pub(super) expiry: Expiry,
    /// The environment in the text of the new key, as in ck_live_…
    #[arg(long, value_parser = parse::environment, default_value = "live")]
    pub(super) environment: String,
}

/// When a new key expires; never by default.
#[derive(Debug, Clone, Copy, clap::Args)]
#[group(multiple = false)]
pub(super) struct Expiry {
    /// Let the new key expire after this time, such as 90d or 12h [default: never]
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    pub(super) expires_in: Option<Duration>,
    /// Let the new key expire at this time, such as 2027-01-31T09:30:00Z
    #[arg(long, value_name = "TIME", value_parser = parse::timestamp)]
    pub(super) expires_at: Option<Timestamp>,
}

impl Expiry {
    /// When a key expires that is created now.
    ///
    /// # Errors
    ///
    /// When that is not in the future.
    pub(super) fn time(self, now: Timestamp) -> Result<Option<Timestamp>> {
        let time = self.expires_at.or(self.expires_in.map(|duration| now.plus(duration)));
        if time.is_some_and(|time| time <= now) {
            bail!("the key would already be expired: pass a time in the future");
        }
        Ok(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_expires_in_the_future_or_never() {
        let now = Timestamp::from_millis(1_000);
        let expiry = |expires_in, expires_at| Expiry { expires_in, expires_at }.time(now).ok();
        assert_eq!(expiry(None, None), Some(None));
        assert_eq!(expiry(Some(Duration::from_secs(1)), None), Some(Some(Timestamp::from_millis(2_000))));
        assert_eq!(expiry(Some(Duration::ZERO), None), None);
        assert_eq!(expiry(None, Some(now)), None);
    }
}
