//! `chat key`: the API keys of a tenant.

mod options;

use std::io::{IsTerminal, Read};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use shared::domain::api_key::{ApiKey, KeyHash};
use shared::domain::tenant::{KeyRecord, NewKey, TenantRecord};
use shared::domain::time::Timestamp;

pub(crate) use options::Options;

use crate::admin::{self, Admin, HalfDone};
use options::{Create, Revoke, Rotate, Verb};

/// Tenants pay for every key with every request, since the gate that a request passes is written whole.
const MAX_LIVE_KEYS: usize = 10;
/// Below this many characters an imported key can be guessed.
const SHORT: usize = 20;

/// Runs the command.
pub(crate) fn main(options: Options) -> ExitCode {
    let Options { verb, place } = options;
    admin::main(&place, async |admin| match verb {
        Verb::Create(create) => create.run(admin).await,
        Verb::List { tenant } => list(admin, &tenant.tenant).await,
        Verb::Revoke(revoke) => revoke.run(admin).await,
        Verb::Rotate(rotate) => rotate.run(admin).await,
    })
}

impl Create {
    async fn run(self, admin: &Admin) -> Result<()> {
        let tenant = admin.tenant(&self.tenant.tenant).await?;
        let now = Timestamp::now();
        let expires_at = self.expiry.time(now)?;
        let key = if self.import { import(admin)? } else { ApiKey::generate(&self.environment) };
        let record = issue(admin, &tenant, &key, expires_at, now).await?;
        let mut event = made(&tenant, &record, now);
        if self.import {
            admin.done(format_args!("Took over a key of {} as {}", tenant.access.name, until(&record)));
        } else {
            admin.done(format_args!("Made a key for {}: {}", tenant.access.name, until(&record)));
            admin.reveal(key.reveal());
            event["api_key"] = json!(key.reveal());
        }
        admin.terminal.event(&event);
        Ok(())
    }
}

async fn list(admin: &Admin, tenant: &str) -> Result<()> {
    let tenant = admin.tenant(tenant).await?;
    let now = Timestamp::now();
    admin.terminal.line(admin::keys_table(&tenant, now, &admin.terminal));
    admin.warn_without_keys(&tenant, now);
    let keys = admin::keys(&tenant, now);
    admin.terminal.event(&json!({"tenant_id": tenant.tenant_id, "name": tenant.access.name, "keys": keys}));
    Ok(())
}

impl Revoke {
    async fn run(self, admin: &Admin) -> Result<()> {
        let key_id = &self.key.key_id;
        let tenant = admin.tenant(&self.key.tenant.tenant).await?;
        let revoked = match admin::live_key_of(&tenant, key_id) {
            Some((hash, _)) => admin.tenants.revoke_key(&tenant.tenant_id, &hash).await?,
            // It may have been revoked before, and sockets of it left open.
            None if key_id.starts_with("key_") => false,
            None => bail!(admin::no_key(&tenant, key_id)),
        };
        if revoked {
            admin.done(format_args!("Revoked {key_id} of {}", tenant.access.name));
        } else {
            admin.terminal.warning(admin::no_key(&tenant, key_id));
        }
        let closing = admin.close_sockets(&tenant.tenant_id, self.patience).await;
        let left = admin.again(&tenant).await?;
        let now = Timestamp::now();
        admin.warn_without_keys(&left, now);
        let live_keys = admin::live_keys(&left, now);
        let event = json!({
            "tenant_id": tenant.tenant_id, "key_id": key_id, "revoked": revoked, "live_keys": live_keys,
        });
        admin.conclude(event, &closing)
    }
}

impl Rotate {
    async fn run(self, admin: &Admin) -> Result<()> {
        let tenant = admin.tenant(&self.key.tenant.tenant).await?;
        let (hash, old) = admin::key_of(&tenant, &self.key.key_id)?;
        let now = Timestamp::now();
        let key = ApiKey::generate(&self.environment);
        let record = issue(admin, &tenant, &key, self.expiry.time(now)?, now).await?;
        admin.done(format_args!("Made a key for {}: {}", tenant.access.name, until(&record)));
        admin.reveal(key.reveal());
        let mut event = made(&tenant, &record, now);
        event["api_key"] = json!(key.reveal());
        let has_ended = match self.retire(admin, &tenant, &hash, &old, now).await {
            Ok((previous, has_ended)) => {
                event["previous"] = previous;
                has_ended
            }
            Err(error) => {
                // The new key is good, and would be lost otherwise.
                let what = format!("the new key is there, but the old one, {}, goes on as before", old.key_id);
                return Err(HalfDone { event, error: admin.explain(error).context(what) }.into());
            }
        };
        if !has_ended {
            event["sockets"] = Value::Null;
            admin.terminal.event(&event);
            return Ok(());
        }
        let closing = admin.close_sockets(&tenant.tenant_id, self.patience).await;
        admin.conclude(event, &closing)
    }

    /// Ends the old key, now or later. Returns what became of it, and whether it has ended.
    async fn retire(
        &self,
        admin: &Admin,
        tenant: &TenantRecord,
        hash: &KeyHash,
        old: &KeyRecord,
        now: Timestamp,
    ) -> Result<(Value, bool)> {
        if let Some(expires_at) = old.expires_at.filter(|expires_at| *expires_at <= now) {
            admin.done(format_args!("The old key, {}, had expired already", old.key_id));
            return Ok((json!({"key_id": old.key_id, "revoked": false, "expires_at": expires_at}), true));
        }
        let gone = || anyhow!("the key {} was revoked by someone else meanwhile", old.key_id);
        if self.grace.is_zero() {
            if !admin.tenants.revoke_key(&tenant.tenant_id, hash).await? {
                return Err(gone());
            }
            admin.done(format_args!("Revoked {} of {}", old.key_id, tenant.access.name));
            return Ok((json!({"key_id": old.key_id, "revoked": true, "expires_at": null}), true));
        }
        let grace = now.plus(self.grace);
        let expires_at = old.expires_at.map_or(grace, |expires_at| expires_at.min(grace));
        if !admin.tenants.set_key_expiry(&tenant.tenant_id, hash, expires_at).await? {
            return Err(gone());
        }
        admin.done(format_args!("The old key, {}, works until {}", old.key_id, admin::when(expires_at)));
        Ok((json!({"key_id": old.key_id, "revoked": false, "expires_at": expires_at}), false))
    }
}

/// Puts a key into the tenant's gate. Those that have expired make room.
async fn issue(
    admin: &Admin,
    tenant: &TenantRecord,
    key: &ApiKey,
    expires_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<KeyRecord> {
    if admin::live_keys(tenant, now) >= MAX_LIVE_KEYS {
        bail!("{} has {MAX_LIVE_KEYS} live keys, which is the most; revoke one that is not needed", tenant.access.name);
    }
    let new = NewKey { key: &key.hash(), expires_at };
    let record = admin.tenants.add_key(&tenant.tenant_id, new, now).await?;
    let record = record.ok_or_else(|| anyhow!("this key is in use already, by this tenant or by another one"))?;
    for (hash, old) in tenant.access.keys() {
        if old.expires_at.is_some_and(|expires_at| expires_at <= now) {
            // The next new key makes up for it.
            let _ = admin.tenants.revoke_key(&tenant.tenant_id, &hash).await;
        }
    }
    Ok(record)
}

/// Reads a key from stdin: a line that someone types, or all that comes through a pipe.
fn import(admin: &Admin) -> Result<ApiKey> {
    let mut text = String::new();
    let stdin = std::io::stdin();
    let read = if stdin.is_terminal() {
        admin.terminal.line("Paste the key and press Enter:");
        stdin.read_line(&mut text)
    } else {
        // Enough to see that it is too long.
        stdin.take(4096).read_to_string(&mut text)
    };
    read.context("failed to read the key from stdin")?;
    let key = admin::key_text(&text).map_err(anyhow::Error::msg)?;
    if key.reveal().len() < SHORT {
        admin.terminal.warning(format_args!("the key is shorter than {SHORT} characters and might be guessed"));
    }
    Ok(key)
}

fn made(tenant: &TenantRecord, record: &KeyRecord, now: Timestamp) -> Value {
    let mut event = admin::key(record, now);
    event["tenant_id"] = json!(tenant.tenant_id);
    event
}

fn until(record: &KeyRecord) -> String {
    let expires =
        record.expires_at.map_or_else(|| "does not expire".to_owned(), |at| format!("expires {}", admin::when(at)));
    format!("{} ({expires})", record.key_id)
}
