//! `chat tenant`: who may use the API, and how much.

use std::process::ExitCode;

use anyhow::{Result, bail};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use shared::domain::agent_name::AgentName;
use shared::domain::api_key::ApiKey;
use shared::domain::chat::{ChatConfig, MaxTokens, ModelName, Temperature};
use shared::domain::id::TenantId;
use shared::domain::limits::Limits;
use shared::domain::tenant::{NewLimits, NewTenant, TenantStatus};
use shared::domain::time::Timestamp;

use crate::admin::{self, Admin, Consent, HalfDone, Keep, Patience, PlaceOptions};
use crate::terminal::Colour;

/// Of how many tenants the open connections are counted at once.
const COUNTED_AT_ONCE: usize = 16;

/// The flags of `chat tenant`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = admin::HELP)]
pub(crate) struct Options {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    place: PlaceOptions,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum Verb {
    /// Make a tenant and its first API key, which is shown this once.
    #[command(after_help = admin::HELP)]
    Create(Box<Create>),
    /// Show all tenants.
    #[command(after_help = admin::HELP)]
    List,
    /// Show a tenant with its limits, defaults and keys.
    #[command(after_help = admin::HELP)]
    Show(Tenant),
    /// Refuse a tenant's requests from now on, and close its sockets. It may be run again until none is left.
    #[command(after_help = admin::HELP)]
    Suspend(Suspend),
    /// Let a suspended tenant come in again, with the keys that it has.
    #[command(after_help = admin::HELP)]
    Resume(Tenant),
    /// Change some of a tenant's limits; the next request feels it.
    #[command(after_help = admin::HELP)]
    SetLimits(SetLimits),
    /// Delete a tenant with its keys, users and chats, for good. It may be run again until nothing is left.
    #[command(after_help = admin::HELP)]
    Erase(Erase),
}

#[derive(Debug, Clone, clap::Args)]
struct Erase {
    #[command(flatten)]
    tenant: Tenant,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    patience: Patience,
}

#[derive(Debug, Clone, clap::Args)]
struct Tenant {
    /// The tenant's id, or its name if no other has the same
    tenant: String,
}

#[derive(Debug, Clone, clap::Args)]
struct Suspend {
    #[command(flatten)]
    tenant: Tenant,
    #[command(flatten)]
    patience: Patience,
}

#[derive(Debug, Clone, clap::Args)]
struct Create {
    /// The tenant's name, for people
    #[arg(value_parser = admin::name)]
    name: String,

    /// The environment that the key names, as in ck_live_…
    #[arg(long, value_parser = admin::environment, default_value = "live")]
    environment: String,

    #[command(flatten)]
    limits: SomeLimits,

    #[command(flatten)]
    retention: Retention,

    /// The agent of chats that do not name one [default: the service's]
    #[arg(long, value_parser = admin::field::<AgentName>, help_heading = "Defaults of its chats")]
    agent: Option<AgentName>,

    /// The model of chats that do not name one, in the agent's terms [default: the agent's]
    #[arg(long, value_parser = admin::field::<ModelName>, help_heading = "Defaults of its chats")]
    model: Option<ModelName>,

    /// How freely the model chooses its words, 0 to 2 [default: the agent's]
    #[arg(long, value_name = "NUMBER", value_parser = admin::field::<Temperature>, allow_negative_numbers = true,
          help_heading = "Defaults of its chats")]
    temperature: Option<Temperature>,

    /// How many tokens an answer may have [default: the agent's]
    #[arg(long, value_name = "N", value_parser = admin::field::<MaxTokens>, allow_negative_numbers = true,
          help_heading = "Defaults of its chats")]
    max_tokens: Option<MaxTokens>,
}

#[derive(Debug, Clone, clap::Args)]
struct SetLimits {
    #[command(flatten)]
    tenant: Tenant,
    #[command(flatten)]
    limits: SomeLimits,
    #[command(flatten)]
    retention: Retention,
}

/// How long chats are kept, where that is not to stay as it is.
#[derive(Debug, Clone, Copy, clap::Args)]
struct Retention {
    /// Delete chats this many days after their last message; 0 or none keeps them for ever, as those of a new tenant
    #[arg(long, value_name = "DAYS", value_parser = admin::keep, allow_negative_numbers = true, help_heading = "Limits")]
    retention_days: Option<Keep>,
}

impl Retention {
    async fn set(self, admin: &Admin, tenant: &TenantId) -> Result<()> {
        if let Some(Keep(days)) = self.retention_days
            && !admin.tenants.set_retention(tenant, days, Timestamp::now()).await?
        {
            bail!("the tenant {tenant} is gone");
        }
        Ok(())
    }
}

/// Limits, where they are not to stay as they are.
#[derive(Debug, Clone, Copy, clap::Args)]
struct SomeLimits {
    /// REST requests a minute; a new tenant gets 100
    #[arg(long, value_name = "N", value_parser = admin::per_minute, allow_negative_numbers = true,
          help_heading = "Limits")]
    rest_per_minute: Option<u32>,

    /// Tickets a minute; a new tenant gets 600
    #[arg(long, value_name = "N", value_parser = admin::per_minute, allow_negative_numbers = true,
          help_heading = "Limits")]
    tickets_per_minute: Option<u32>,

    /// Connections open at once, at most 1000; a new tenant gets 50
    #[arg(long, value_name = "N", value_parser = admin::connections, allow_negative_numbers = true,
          help_heading = "Limits")]
    connections: Option<u32>,
}

impl SomeLimits {
    fn is_some(self) -> bool {
        self.rest_per_minute.or(self.tickets_per_minute).or(self.connections).is_some()
    }

    fn or_default(self) -> Limits {
        let usual = Limits::default();
        Limits {
            rest_per_minute: self.rest_per_minute.unwrap_or(usual.rest_per_minute),
            tickets_per_minute: self.tickets_per_minute.unwrap_or(usual.tickets_per_minute),
            connections: self.connections.unwrap_or(usual.connections),
        }
    }
}

/// Runs the command.
pub(crate) fn main(options: Options) -> ExitCode {
    let Options { verb, place } = options;
    admin::main(&place, async |admin| match verb {
        Verb::Create(create) => create.run(admin).await,
        Verb::List => list(admin).await,
        Verb::Show(tenant) => tenant.show(admin).await,
        Verb::Suspend(suspend) => suspend.run(admin).await,
        Verb::Resume(tenant) => tenant.resume(admin).await,
        Verb::SetLimits(change) => change.run(admin).await,
        Verb::Erase(erase) => erase.run(admin).await,
    })
}

impl Create {
    async fn run(self, admin: &Admin) -> Result<()> {
        let Self { name, environment, limits, retention, agent, model, temperature, max_tokens } = self;
        let key = ApiKey::generate(&environment);
        let defaults = ChatConfig { agent, model, system_prompt: None, temperature, max_tokens };
        let new = NewTenant { name: &name, key: &key.hash(), limits: limits.or_default(), defaults };
        let now = Timestamp::now();
        let Some(tenant_id) = admin.tenants.create(new, now).await? else {
            bail!("the key that was made is in use already, which cannot be; try again");
        };
        admin.done(format_args!("Made the tenant {}", admin.terminal.paint(Colour::Bold, &name)));
        // Whatever fails from here on, the key must be seen.
        admin.reveal(key.reveal());
        let mut event = json!({"tenant_id": tenant_id, "name": name, "api_key": key.reveal()});
        let retained = retention.set(admin, &tenant_id).await;
        if let Ok(Some(made)) = admin.tenants.find(tenant_id.as_str()).await {
            merge(&mut event, admin::tenant(&made, 0, now));
            event["key_id"] = event["keys"][0]["key_id"].clone();
            admin.terminal.line(admin::tenant_lines(&made, 0, &admin.terminal));
        }
        if let Err(error) = retained {
            let error = admin.explain(error).context("the tenant is there, but its chats may be kept for ever");
            return Err(HalfDone { event, error }.into());
        }
        admin.terminal.event(&event);
        Ok(())
    }
}

async fn list(admin: &Admin) -> Result<()> {
    let counted = admin.tenants.list().await?.into_iter().map(async |tenant| {
        let connections = admin.connections(&tenant).await?;
        Ok::<_, anyhow::Error>((tenant, connections))
    });
    let tenants: Vec<_> = stream::iter(counted).buffered(COUNTED_AT_ONCE).try_collect().await?;
    let now = Timestamp::now();
    if tenants.is_empty() {
        admin.terminal.line("There are no tenants; `cargo chat tenant create NAME` makes one");
    } else {
        admin.terminal.line(admin::tenants_table(&tenants, now, &admin.terminal));
    }
    let tenants: Value = tenants.iter().map(|(tenant, connections)| admin::tenant(tenant, *connections, now)).collect();
    admin.terminal.event(&json!({"tenants": tenants}));
    Ok(())
}

impl Tenant {
    async fn show(self, admin: &Admin) -> Result<()> {
        let tenant = admin.tenant(&self.tenant).await?;
        let connections = admin.connections(&tenant).await?;
        let now = Timestamp::now();
        let terminal = &admin.terminal;
        let keys = admin::keys_table(&tenant, now, terminal);
        terminal.line(format_args!("{}\n\n{keys}", admin::tenant_lines(&tenant, connections, terminal)));
        terminal.event(&admin::tenant(&tenant, connections, now));
        Ok(())
    }

    async fn resume(self, admin: &Admin) -> Result<()> {
        let tenant = admin.tenant(&self.tenant).await?;
        self.set(admin, &tenant, TenantStatus::Active).await?;
        let resumed = admin.again(&tenant).await?;
        admin.done(format_args!("Resumed {}", resumed.access.name));
        admin.warn_without_keys(&resumed, Timestamp::now());
        admin.terminal.event(&admin.shown(&resumed).await?);
        Ok(())
    }

    async fn set(
        &self,
        admin: &Admin,
        tenant: &shared::domain::tenant::TenantRecord,
        status: TenantStatus,
    ) -> Result<()> {
        if !admin.tenants.set_status(&tenant.tenant_id, status).await? {
            bail!("the tenant {} is gone", self.tenant);
        }
        Ok(())
    }
}

impl Suspend {
    async fn run(self, admin: &Admin) -> Result<()> {
        let tenant = admin.tenant(&self.tenant.tenant).await?;
        self.tenant.set(admin, &tenant, TenantStatus::Suspended).await?;
        admin.done(format_args!("Suspended {}: its requests are refused", tenant.access.name));
        let closing = admin.close_sockets(&tenant.tenant_id, self.patience).await;
        let event = admin.shown(&admin.again(&tenant).await?).await?;
        admin.conclude(event, &closing)
    }
}

impl SetLimits {
    async fn run(self, admin: &Admin) -> Result<()> {
        let tenant = admin.tenant(&self.tenant.tenant).await?;
        if !self.limits.is_some() && self.retention.retention_days.is_none() {
            bail!(
                "there is nothing to change; grant --rest-per-minute, --tickets-per-minute, --connections or \
                 --retention-days"
            );
        }
        let SomeLimits { rest_per_minute, tickets_per_minute, connections } = self.limits;
        let new = NewLimits { rest_per_minute, tickets_per_minute, connections };
        if self.limits.is_some() && !admin.tenants.set_limits(&tenant.tenant_id, new).await? {
            bail!("the tenant {} is gone", tenant.tenant_id);
        }
        self.retention.set(admin, &tenant.tenant_id).await?;
        let changed = admin.again(&tenant).await?;
        let (limits, kept) = (admin::limits(&changed.access.limits), admin::kept(changed.access.retention_days));
        admin.done(format_args!("{} may make {limits}; its chats are kept {kept}", changed.access.name));
        admin.terminal.event(&admin.shown(&changed).await?);
        Ok(())
    }
}

impl Erase {
    async fn run(self, admin: &Admin) -> Result<()> {
        let tenant = admin.tenant(&self.tenant.tenant).await?;
        let what = format!("the tenant {} with all its keys, users and chats", tenant.access.name);
        self.consent.ask(admin, &what, &tenant.access.name)?;
        self.tenant.set(admin, &tenant, TenantStatus::Suspended).await?;
        admin.done(format_args!("Suspended {}: its requests are refused", tenant.access.name));
        let closing = admin.close_sockets(&tenant.tenant_id, self.patience).await;
        let event = json!({"tenant_id": tenant.tenant_id, "name": tenant.access.name, "erased": false});
        if !closing.is_done() {
            return admin.conclude(event, &closing);
        }
        admin.erase_tenant(&tenant, event).await
    }
}

/// Adds the fields of one object to another.
fn merge(object: &mut Value, fields: Value) {
    if let (Value::Object(object), Value::Object(fields)) = (object, fields) {
        object.extend(fields);
    }
}
