//! The commands of `chat tenant`.

use std::process::ExitCode;

use anyhow::{Error, Result, bail};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use shared::domain::{
    api_key::ApiKey,
    chat::ChatConfig,
    id::TenantId,
    tenant::{NewModels, NewTenant, TenantRecord, TenantStatus},
    time::Timestamp,
};

use super::options::{
    Action, Create, Erase, LimitOptions, Options, RetentionOptions, SetLimits, SetModels, Suspend, Tenant,
};
use crate::{
    admin::{
        failure::PartialFailure,
        parse::RetentionDays,
        session::{self, AdminSession, CurrentUse},
        view,
    },
    terminal::Colour,
};

/// How many tenants' open connections are counted concurrently.
const CONCURRENCY: usize = 16;

/// Runs the command.
pub(crate) fn run(options: Options) -> ExitCode {
    let Options { action, deployment } = options;
    session::run(&deployment, async |admin| match action {
        Action::Create(create) => create.run(admin).await,
        Action::List => list(admin).await,
        Action::Show(tenant) => tenant.show(admin).await,
        Action::Suspend(suspend) => suspend.run(admin).await,
        Action::Resume(tenant) => tenant.resume(admin).await,
        Action::SetLimits(change) => change.run(admin).await,
        Action::SetModels(change) => change.run(admin).await,
        Action::Erase(erase) => erase.run(admin).await,
    })
}

impl Create {
    async fn run(self, admin: &AdminSession) -> Result<()> {
        let Self { name, environment, limits, retention, agent, model, temperature, max_tokens } = self;
        let key = ApiKey::generate(&environment);
        let defaults = ChatConfig { agent, model, system_prompt: None, temperature, max_tokens };
        let new = NewTenant { name: &name, key: &key.hash(), limits: limits.or_default(), defaults };
        let now = Timestamp::now();
        let Some(tenant_id) = admin.tenants.create(new, now).await? else {
            bail!("the generated key is already in use, which is next to impossible: run this again");
        };
        admin.terminal.success(format_args!("Created the tenant {}", admin.terminal.paint(Colour::Bold, &name)));
        // Shown before anything else can fail.
        admin.show_new_key(key.reveal());
        let mut event = json!({"tenant_id": tenant_id, "name": name, "api_key": key.reveal()});
        let settings = async {
            limits.apply_budget(admin, &tenant_id).await?;
            retention.apply(admin, &tenant_id).await?;
            let created = admin.tenant(tenant_id.as_str()).await?;
            let current = admin.current_use(&created).await?;
            Ok::<_, Error>((created, current))
        };
        let (created, current) = match settings.await {
            Ok(set) => set,
            Err(error) => {
                let error = admin.explain(error).context(format!(
                    "the tenant was created, but its limits and retention may not be set: see cargo chat tenant show \
                     {tenant_id}, and set them with cargo chat tenant set-limits {tenant_id}"
                ));
                return Err(PartialFailure { done: event, error }.into());
            }
        };
        merge(&mut event, view::tenant_json(&created, current, now));
        event["key_id"] = event["keys"][0]["key_id"].clone();
        admin.terminal.line(view::tenant_lines(&created, current, &admin.terminal));
        admin.terminal.event(&event);
        Ok(())
    }
}

async fn list(admin: &AdminSession) -> Result<()> {
    let current = admin.tenants.list().await?.into_iter().map(async |tenant| {
        let current = admin.current_use(&tenant).await?;
        Ok::<_, anyhow::Error>((tenant, current))
    });
    let tenants: Vec<(TenantRecord, CurrentUse)> = stream::iter(current).buffered(CONCURRENCY).try_collect().await?;
    let now = Timestamp::now();
    if tenants.is_empty() {
        admin.terminal.line("There are no tenants: create one with `cargo chat tenant create NAME`");
    } else {
        admin.terminal.line(view::tenants_table(&tenants, now, &admin.terminal));
    }
    let tenants: Value = tenants.iter().map(|(tenant, current)| view::tenant_json(tenant, *current, now)).collect();
    admin.terminal.event(&json!({"tenants": tenants}));
    Ok(())
}

impl Tenant {
    async fn show(self, admin: &AdminSession) -> Result<()> {
        let tenant = admin.tenant(&self.tenant).await?;
        let current = admin.current_use(&tenant).await?;
        let now = Timestamp::now();
        let terminal = &admin.terminal;
        let keys = view::keys_table(&tenant, now, terminal);
        terminal.line(format_args!("{}\n\n{keys}", view::tenant_lines(&tenant, current, terminal)));
        terminal.event(&view::tenant_json(&tenant, current, now));
        Ok(())
    }

    async fn resume(self, admin: &AdminSession) -> Result<()> {
        let tenant = admin.tenant(&self.tenant).await?;
        set_status(admin, &tenant, TenantStatus::Active).await?;
        let resumed = admin.reload(&tenant).await?;
        admin.terminal.success(format_args!("Resumed {}", resumed.access.name));
        admin.warn_without_live_key(&resumed, Timestamp::now());
        admin.terminal.event(&admin.tenant_json(&resumed).await?);
        Ok(())
    }
}

async fn suspend(admin: &AdminSession, tenant: &TenantRecord) -> Result<()> {
    set_status(admin, tenant, TenantStatus::Suspended).await?;
    admin.terminal.success(format_args!("Suspended {}: its requests are refused", tenant.access.name));
    Ok(())
}

async fn set_status(admin: &AdminSession, tenant: &TenantRecord, status: TenantStatus) -> Result<()> {
    if !admin.tenants.set_status(&tenant.tenant_id, status).await? {
        bail!("the tenant {} no longer exists", tenant.tenant_id);
    }
    Ok(())
}

impl Suspend {
    async fn run(self, admin: &AdminSession) -> Result<()> {
        let tenant = admin.tenant(&self.tenant.tenant).await?;
        suspend(admin, &tenant).await?;
        let sockets = admin.close_sockets(&tenant.tenant_id, self.deadline).await;
        let event = admin.tenant_json(&admin.reload(&tenant).await?).await?;
        admin.finish(event, &sockets)
    }
}

impl SetLimits {
    async fn run(self, admin: &AdminSession) -> Result<()> {
        let tenant = admin.tenant(&self.tenant.tenant).await?;
        if !self.limits.is_some() && self.retention.retention_days.is_none() {
            bail!(
                "there is nothing to change: pass --rest-per-minute, --tickets-per-minute, --connections, \
                 --connects-per-minute, --connections-per-chat, --generations, --messages-per-minute, --tokens-per-day, \
                 --tokens-per-month or --retention-days"
            );
        }
        if self.limits.is_some() && !admin.tenants.set_limits(&tenant.tenant_id, self.limits.of_access()).await? {
            bail!("the tenant {} no longer exists", tenant.tenant_id);
        }
        self.limits.apply_budget(admin, &tenant.tenant_id).await?;
        self.retention.apply(admin, &tenant.tenant_id).await?;
        let changed = admin.reload(&tenant).await?;
        let access = &changed.access;
        let current = admin.current_use(&changed).await?;
        let limits = view::limits(&access.limits, current.budget.limits);
        let retention = view::retention(access.retention_days);
        admin.terminal.success(format_args!("Limits of {}: {limits}; chats are kept {retention}", access.name));
        admin.terminal.event(&view::tenant_json(&changed, current, Timestamp::now()));
        Ok(())
    }
}

impl LimitOptions {
    async fn apply_budget(self, admin: &AdminSession, tenant: &TenantId) -> Result<()> {
        if self.budget().is_some() {
            admin.budgets.set_limits(tenant, self.budget()).await?;
        }
        Ok(())
    }
}

impl SetModels {
    async fn run(self, admin: &AdminSession) -> Result<()> {
        let Self { tenant, agents, models } = self;
        let tenant = admin.tenant(&tenant.tenant).await?;
        if agents.is_none() && models.is_none() {
            bail!("there is nothing to change: pass --agents or --models");
        }
        let new = NewModels { agents: agents.map(|agents| agents.0), models: models.map(|models| models.0) };
        if !admin.tenants.set_models(&tenant.tenant_id, new).await? {
            bail!("the tenant {} no longer exists", tenant.tenant_id);
        }
        let changed = admin.reload(&tenant).await?;
        let access = &changed.access;
        admin.terminal.success(format_args!("Chats of {} may use {}", access.name, view::models(access)));
        admin.terminal.event(&admin.tenant_json(&changed).await?);
        Ok(())
    }
}

impl RetentionOptions {
    async fn apply(self, admin: &AdminSession, tenant: &TenantId) -> Result<()> {
        if let Some(RetentionDays(days)) = self.retention_days
            && !admin.tenants.set_retention(tenant, days, Timestamp::now()).await?
        {
            bail!("the tenant {tenant} no longer exists");
        }
        Ok(())
    }
}

impl Erase {
    async fn run(self, admin: &AdminSession) -> Result<()> {
        let tenant = admin.tenant(&self.tenant.tenant).await?;
        let what = format!("the tenant {} with all its keys, users and chats", tenant.access.name);
        self.confirmation.require(&admin.terminal, &what, &tenant.access.name)?;
        suspend(admin, &tenant).await?;
        let sockets = admin.close_sockets(&tenant.tenant_id, self.deadline).await;
        let event = json!({"tenant_id": tenant.tenant_id, "name": tenant.access.name, "erased": false});
        if !sockets.is_complete() {
            return admin.finish(event, &sockets);
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
