//! The commands of `chat key`.

use std::{
    io::{IsTerminal, Read, stdin},
    process::ExitCode,
};

use anyhow::{Context, Error, Result, anyhow, bail};
use serde_json::{Value, json};
use shared::domain::{
    api_key::{ApiKey, KeyHash},
    tenant::{KeyRecord, NewKey, TenantRecord},
    time::Timestamp,
};

use super::options::{Action, Create, Options, Revoke, Rotate};
use crate::admin::{
    failure::PartialFailure,
    lookup::{find_key, require_key, unknown_key},
    parse,
    session::{self, AdminSession},
    view,
};

/// Keys are stored in the access item, which every request writes: its size costs money.
const MAX_LIVE_KEYS: usize = 10;
/// An imported key of fewer characters could be guessed.
const SHORT_KEY: usize = 20;
/// Reads enough of stdin to see that a key is too long.
const MAX_STDIN_BYTES: u64 = 4096;

/// Runs the command.
pub(crate) fn run(options: Options) -> ExitCode {
    let Options { action, deployment } = options;
    session::run(&deployment, async |admin| match action {
        Action::Create(create) => create.run(admin).await,
        Action::List { tenant } => list(admin, &tenant.tenant).await,
        Action::Revoke(revoke) => revoke.run(admin).await,
        Action::Rotate(rotate) => rotate.run(admin).await,
    })
}

impl Create {
    async fn run(self, admin: &AdminSession) -> Result<()> {
        let tenant = admin.tenant(&self.tenant.tenant).await?;
        let now = Timestamp::now();
        let expires_at = self.expiry.time(now)?;
        let key = if self.import { read_key(admin)? } else { ApiKey::generate(&self.environment) };
        let record = add_key(admin, &tenant, &key, expires_at, now).await?;
        let mut event = created_json(&tenant, &record, now);
        if self.import {
            admin.terminal.success(format_args!("Imported a key of {}: {}", tenant.access.name, describe(&record)));
        } else {
            admin.terminal.success(format_args!("Created a key for {}: {}", tenant.access.name, describe(&record)));
            admin.show_new_key(key.reveal());
            event["api_key"] = json!(key.reveal());
        }
        admin.terminal.event(&event);
        Ok(())
    }
}

async fn list(admin: &AdminSession, tenant: &str) -> Result<()> {
    let tenant = admin.tenant(tenant).await?;
    let now = Timestamp::now();
    admin.terminal.line(view::keys_table(&tenant, now, &admin.terminal));
    admin.warn_without_live_key(&tenant, now);
    let keys = view::keys_json(&tenant, now);
    admin.terminal.event(&json!({"tenant_id": tenant.tenant_id, "name": tenant.access.name, "keys": keys}));
    Ok(())
}

impl Revoke {
    async fn run(self, admin: &AdminSession) -> Result<()> {
        let key_id = &self.key.key_id;
        let tenant = admin.tenant(&self.key.tenant.tenant).await?;
        let revoked = match find_key(&tenant, key_id) {
            Some((hash, _)) => admin.tenants.revoke_key(&tenant.tenant_id, &hash).await?,
            // An earlier run may have revoked it, and left sockets open.
            None if key_id.starts_with("key_") => false,
            None => bail!(unknown_key(&tenant, key_id)),
        };
        if revoked {
            admin.terminal.success(format_args!("Revoked {key_id} of {}", tenant.access.name));
        } else {
            admin.terminal.warning(unknown_key(&tenant, key_id));
        }
        let sockets = admin.close_sockets(&tenant.tenant_id, self.deadline).await;
        let left = admin.reload(&tenant).await?;
        let now = Timestamp::now();
        admin.warn_without_live_key(&left, now);
        let live_keys = view::live_keys(&left, now);
        let event = json!({
            "tenant_id": tenant.tenant_id, "key_id": key_id, "revoked": revoked, "live_keys": live_keys,
        });
        admin.finish(event, &sockets)
    }
}

impl Rotate {
    async fn run(self, admin: &AdminSession) -> Result<()> {
        let tenant = admin.tenant(&self.key.tenant.tenant).await?;
        let (hash, old) = require_key(&tenant, &self.key.key_id)?;
        let now = Timestamp::now();
        let key = ApiKey::generate(&self.environment);
        let record = add_key(admin, &tenant, &key, self.expiry.time(now)?, now).await?;
        admin.terminal.success(format_args!("Created a key for {}: {}", tenant.access.name, describe(&record)));
        admin.show_new_key(key.reveal());
        let mut event = created_json(&tenant, &record, now);
        event["api_key"] = json!(key.reveal());
        let is_invalid = match self.retire(admin, &tenant, &hash, &old, now).await {
            Ok((previous, is_invalid)) => {
                event["previous"] = previous;
                is_invalid
            }
            Err(error) => {
                // Without the new key in the output, it would be lost.
                let what = format!("the new key was created, but the old key {} is still valid", old.key_id);
                return Err(PartialFailure { done: event, error: admin.explain(error).context(what) }.into());
            }
        };
        if !is_invalid {
            event["sockets"] = Value::Null;
            admin.terminal.event(&event);
            return Ok(());
        }
        let sockets = admin.close_sockets(&tenant.tenant_id, self.deadline).await;
        admin.finish(event, &sockets)
    }

    /// Revokes the old key or lets it expire. Returns what became of it, and whether it is invalid already.
    async fn retire(
        &self,
        admin: &AdminSession,
        tenant: &TenantRecord,
        hash: &KeyHash,
        old: &KeyRecord,
        now: Timestamp,
    ) -> Result<(Value, bool)> {
        if let Some(expires_at) = old.expires_at.filter(|expires_at| *expires_at <= now) {
            admin.terminal.success(format_args!("The old key {} had already expired", old.key_id));
            return Ok((json!({"key_id": old.key_id, "revoked": false, "expires_at": expires_at}), true));
        }
        let gone = || anyhow!("the key {} was revoked meanwhile", old.key_id);
        if self.grace.is_zero() {
            if !admin.tenants.revoke_key(&tenant.tenant_id, hash).await? {
                return Err(gone());
            }
            admin.terminal.success(format_args!("Revoked {} of {}", old.key_id, tenant.access.name));
            return Ok((json!({"key_id": old.key_id, "revoked": true, "expires_at": null}), true));
        }
        let grace = now.plus(self.grace);
        let expires_at = old.expires_at.map_or(grace, |expires_at| expires_at.min(grace));
        if !admin.tenants.set_key_expiry(&tenant.tenant_id, hash, expires_at).await? {
            return Err(gone());
        }
        admin.terminal.success(format_args!("The old key {} is valid until {}", old.key_id, view::minute(expires_at)));
        Ok((json!({"key_id": old.key_id, "revoked": false, "expires_at": expires_at}), false))
    }
}

/// Adds a key to a tenant, and removes its expired keys.
async fn add_key(
    admin: &AdminSession,
    tenant: &TenantRecord,
    key: &ApiKey,
    expires_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<KeyRecord> {
    if view::live_keys(tenant, now) >= MAX_LIVE_KEYS {
        bail!("{} has {MAX_LIVE_KEYS} live keys, the maximum: revoke an unneeded key", tenant.access.name);
    }
    let new = NewKey { key: &key.hash(), expires_at };
    let record = admin.tenants.add_key(&tenant.tenant_id, new, now).await?;
    let record = record
        .ok_or_else(|| anyhow!("this key is already in use, by this tenant or another: import a different key"))?;
    for (hash, old) in tenant.access.keys() {
        if old.expires_at.is_some_and(|expires_at| expires_at <= now) {
            // The next new key removes it if this fails.
            let _ = admin.tenants.revoke_key(&tenant.tenant_id, &hash).await;
        }
    }
    Ok(record)
}

/// Reads a key from stdin: one line from a terminal, everything from a pipe.
fn read_key(admin: &AdminSession) -> Result<ApiKey> {
    let mut text = String::new();
    let read = if stdin().is_terminal() {
        admin.terminal.line("Paste the key and press Enter:");
        stdin().read_line(&mut text)
    } else {
        stdin().take(MAX_STDIN_BYTES).read_to_string(&mut text)
    };
    read.context("failed to read the key from stdin")?;
    let key = parse::imported_key(&text).map_err(Error::msg)?;
    if key.reveal().len() < SHORT_KEY {
        admin.terminal.warning(format_args!("the key has fewer than {SHORT_KEY} characters and could be guessed"));
    }
    Ok(key)
}

fn created_json(tenant: &TenantRecord, record: &KeyRecord, now: Timestamp) -> Value {
    let mut event = view::key_json(record, now);
    event["tenant_id"] = json!(tenant.tenant_id);
    event
}

fn describe(record: &KeyRecord) -> String {
    let expires =
        record.expires_at.map_or_else(|| "does not expire".to_owned(), |at| format!("expires {}", view::minute(at)));
    format!("{} ({expires})", record.key_id)
}
