//! The flags of `chat key`.

use std::time::Duration;

use anyhow::{Result, bail};
use shared::domain::time::Timestamp;

use crate::admin::{self, Patience, PlaceOptions};

/// The flags of `chat key`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = admin::HELP)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(super) verb: Verb,
    #[command(flatten)]
    pub(super) place: PlaceOptions,
}

#[derive(Debug, Clone, clap::Subcommand)]
pub(super) enum Verb {
    /// Give a tenant one key more, which is shown this once. Expired keys are forgotten.
    #[command(after_help = admin::HELP)]
    Create(Create),
    /// Show the keys of a tenant; never their text, which nobody has.
    #[command(after_help = admin::HELP)]
    List {
        #[command(flatten)]
        tenant: Tenant,
    },
    /// End a key: the next request with it is refused, and the sockets that it opened are closed, with those of all keys
    /// that are revoked or have expired. It may be run again until none is left.
    #[command(after_help = admin::HELP)]
    Revoke(Revoke),
    /// Replace a key by a new one; the old one goes on for a while, so that nobody is locked out.
    #[command(after_help = admin::HELP)]
    Rotate(Rotate),
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct Tenant {
    /// The tenant's id, or its name if no other has the same
    pub(super) tenant: String,
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct Key {
    #[command(flatten)]
    pub(super) tenant: Tenant,
    /// The key's id, key_…, as `chat key list` shows it
    pub(super) key_id: String,
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct Create {
    #[command(flatten)]
    pub(super) tenant: Tenant,
    #[command(flatten)]
    pub(super) expiry: Expiry,
    /// The environment that the key names, as in ck_live_…
    #[arg(long, value_parser = admin::environment, default_value = "live")]
    pub(super) environment: String,
    /// Take the key from stdin instead of making one
    #[arg(long, conflicts_with = "environment")]
    pub(super) import: bool,
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct Revoke {
    #[command(flatten)]
    pub(super) key: Key,
    #[command(flatten)]
    pub(super) patience: Patience,
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct Rotate {
    #[command(flatten)]
    pub(super) key: Key,
    /// How long the old key goes on; 0 revokes it at once, and closes its sockets
    #[arg(long, value_name = "SPAN", value_parser = admin::age, default_value = "24h")]
    pub(super) grace: Duration,
    #[command(flatten)]
    pub(super) patience: Patience,
    #[command(flatten)]
    pub(super) expiry: Expiry,
    /// The environment that the new key names, as in ck_live_…
    #[arg(long, value_parser = admin::environment, default_value = "live")]
    pub(super) environment: String,
}

/// When a new key ends. It does not, unless told so.
#[derive(Debug, Clone, Copy, clap::Args)]
#[group(multiple = false)]
pub(super) struct Expiry {
    /// How long the new key lives, such as 90d or 12h [default: for ever]
    #[arg(long, value_name = "SPAN", value_parser = admin::age)]
    pub(super) expires_in: Option<Duration>,
    /// Until when the new key lives, such as 2027-01-31T09:30:00Z
    #[arg(long, value_name = "TIME", value_parser = admin::moment)]
    pub(super) expires_at: Option<Timestamp>,
}

impl Expiry {
    /// When the key ends that is made now.
    ///
    /// # Errors
    ///
    /// When that is not in the future.
    pub(super) fn time(self, now: Timestamp) -> Result<Option<Timestamp>> {
        let time = self.expires_at.or(self.expires_in.map(|age| now.plus(age)));
        if time.is_some_and(|time| time <= now) {
            bail!("the key would have expired already; grant a time to come");
        }
        Ok(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_ends_in_the_future_or_never() {
        let now = Timestamp::from_millis(1_000);
        let expiry = |expires_in, expires_at| Expiry { expires_in, expires_at }.time(now).ok();
        assert_eq!(expiry(None, None), Some(None));
        assert_eq!(expiry(Some(Duration::from_secs(1)), None), Some(Some(Timestamp::from_millis(2_000))));
        assert_eq!(expiry(Some(Duration::ZERO), None), None);
        assert_eq!(expiry(None, Some(now)), None);
    }
}
