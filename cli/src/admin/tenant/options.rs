//! The flags of `chat tenant`.

use shared::domain::{
    agent_name::AgentName,
    budget::{BudgetOverrides, TokenQuota},
    chat::{MaxTokens, ModelName, Temperature},
    limits::Limits,
    tenant::NewLimits,
};

use crate::admin::{
    confirmation::Confirmation,
    deployment::DeploymentOptions,
    help::AFTER_HELP,
    parse::{self, AllowedAgents, AllowedModels, RetentionDays},
    sockets::CloseDeadline,
};

/// The flags of `chat tenant`.
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
    /// Create a tenant and its first API key, which is shown only now.
    #[command(after_help = AFTER_HELP)]
    Create(Box<Create>),
    /// List all tenants.
    #[command(after_help = AFTER_HELP)]
    List,
    /// Show a tenant with its limits, defaults and keys.
    #[command(after_help = AFTER_HELP)]
    Show(Tenant),
    /// Refuse a tenant's requests from now on, and close its sockets. Can be run again until none is left.
    #[command(after_help = AFTER_HELP)]
    Suspend(Suspend),
    /// Accept the requests of a suspended tenant again.
    #[command(after_help = AFTER_HELP)]
    Resume(Tenant),
    /// Change limits of a tenant, from the next request on.
    #[command(after_help = AFTER_HELP)]
    SetLimits(SetLimits),
    /// Choose agents and models that a tenant's chats may use, of those that the deployment allows.
    #[command(after_help = AFTER_HELP)]
    SetModels(SetModels),
    /// Erase a tenant with its keys, users and chats. Can be run again until nothing is left.
    #[command(after_help = AFTER_HELP)]
    Erase(Erase),
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct Tenant {
    /// The tenant's id, or its name if no other tenant has the same
    pub(super) tenant: String,
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct Create {
    /// The tenant's name, for people
    #[arg(value_parser = parse::name)]
    pub(super) name: String,

    /// The environment in the text of the key, as in ck_live_…
    #[arg(long, value_parser = parse::environment, default_value = "live")]
    pub(super) environment: String,

    #[command(flatten)]
    pub(super) limits: LimitOptions,

    #[command(flatten)]
    pub(super) retention: RetentionOptions,

    /// The agent of chats that name none [default: the deployment's]
    #[arg(long, value_parser = parse::field::<AgentName>, help_heading = "Defaults of its chats")]
    pub(super) agent: Option<AgentName>,

    /// The model of chats that name none, by the agent's name for it [default: the agent's]
    #[arg(long, value_parser = parse::field::<ModelName>, help_heading = "Defaults of its chats")]
    pub(super) model: Option<ModelName>,

    /// The sampling temperature, 0 to 2 [default: the agent's]
    #[arg(long, value_name = "NUMBER", value_parser = parse::field::<Temperature>, allow_negative_numbers = true,
          help_heading = "Defaults of its chats")]
    pub(super) temperature: Option<Temperature>,

    /// The maximum number of tokens of an answer [default: the agent's]
    #[arg(long, value_name = "N", value_parser = parse::field::<MaxTokens>, allow_negative_numbers = true,
          help_heading = "Defaults of its chats")]
    pub(super) max_tokens: Option<MaxTokens>,
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct Suspend {
    #[command(flatten)]
    pub(super) tenant: Tenant,
    #[command(flatten)]
    pub(super) deadline: CloseDeadline,
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct SetLimits {
    #[command(flatten)]
    pub(super) tenant: Tenant,
    #[command(flatten)]
    pub(super) limits: LimitOptions,
    #[command(flatten)]
    pub(super) retention: RetentionOptions,
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct SetModels {
    #[command(flatten)]
    pub(super) tenant: Tenant,

    /// Agents, such as openai,bedrock; all for those of the deployment, as for a new tenant
    #[arg(long, value_name = "LIST", value_parser = parse::allowed_agents)]
    pub(super) agents: Option<AllowedAgents>,

    /// Models, such as gpt-4.1-nano,gpt-5*; all for those of the deployment, as for a new tenant
    #[arg(long, value_name = "LIST", value_parser = parse::allowed_models)]
    pub(super) models: Option<AllowedModels>,
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct Erase {
    #[command(flatten)]
    pub(super) tenant: Tenant,
    #[command(flatten)]
    pub(super) confirmation: Confirmation,
    #[command(flatten)]
    pub(super) deadline: CloseDeadline,
}

/// The retention, if it is to change.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct RetentionOptions {
    /// Delete chats this many days after their last message; 0 or none keeps them for ever, as for a new tenant
    #[arg(long, value_name = "DAYS", value_parser = parse::retention_days, allow_negative_numbers = true,
          help_heading = "Limits")]
    pub(super) retention_days: Option<RetentionDays>,
}

/// The limits that are to change.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct LimitOptions {
    /// REST requests a minute; 100 for a new tenant
    #[arg(long, value_name = "N", value_parser = parse::per_minute, allow_negative_numbers = true,
          help_heading = "Limits")]
    pub(super) rest_per_minute: Option<u32>,

    /// Tickets a minute; 600 for a new tenant
    #[arg(long, value_name = "N", value_parser = parse::per_minute, allow_negative_numbers = true,
          help_heading = "Limits")]
    pub(super) tickets_per_minute: Option<u32>,

    /// Open connections, at most 1000; 50 for a new tenant
    #[arg(long, value_name = "N", value_parser = parse::connections, allow_negative_numbers = true,
          help_heading = "Limits")]
    pub(super) connections: Option<u32>,

    /// Connects a minute [default: the deployment's]
    #[arg(long, value_name = "N", value_parser = parse::per_minute, allow_negative_numbers = true,
          help_heading = "Limits")]
    pub(super) connects_per_minute: Option<u32>,

    /// Open connections of one chat, at most 1000 [default: the deployment's]
    #[arg(long, value_name = "N", value_parser = parse::connections, allow_negative_numbers = true,
          help_heading = "Limits")]
    pub(super) connections_per_chat: Option<u32>,

    /// Generations at once, at most 1000 [default: the deployment's]
    #[arg(long, value_name = "N", value_parser = parse::generations, allow_negative_numbers = true,
          help_heading = "Limits")]
    pub(super) generations: Option<u32>,

    /// Messages a minute [default: the deployment's]
    #[arg(long, value_name = "N", value_parser = parse::per_minute, allow_negative_numbers = true,
          help_heading = "Limits")]
    pub(super) messages_per_minute: Option<u32>,

    /// Tokens a day (UTC), input and output together; or none [default: the deployment's]
    #[arg(long, value_name = "N", value_parser = parse::quota, allow_negative_numbers = true,
          help_heading = "Limits")]
    pub(super) tokens_per_day: Option<TokenQuota>,

    /// Tokens a month (UTC), input and output together; or none [default: the deployment's]
    #[arg(long, value_name = "N", value_parser = parse::quota, allow_negative_numbers = true,
          help_heading = "Limits")]
    pub(super) tokens_per_month: Option<TokenQuota>,
}

impl LimitOptions {
    /// Whether any limit is to change.
    pub(super) fn is_some(self) -> bool {
        self.of_access() != NewLimits::default() || self.budget().is_some()
    }

    /// The limits of tenant access.
    pub(super) fn of_access(self) -> NewLimits {
        NewLimits {
            rest_per_minute: self.rest_per_minute,
            tickets_per_minute: self.tickets_per_minute,
            connections: self.connections,
            connects_per_minute: self.connects_per_minute,
            connections_per_chat: self.connections_per_chat,
        }
    }

    /// The limits of the budget.
    pub(super) fn budget(self) -> BudgetOverrides {
        BudgetOverrides {
            generations: self.generations,
            messages_per_minute: self.messages_per_minute,
            tokens_per_day: self.tokens_per_day,
            tokens_per_month: self.tokens_per_month,
        }
    }

    /// The limits of a new tenant.
    pub(super) fn or_default(self) -> Limits {
        let default = Limits::default();
        Limits {
            rest_per_minute: self.rest_per_minute.unwrap_or(default.rest_per_minute),
            tickets_per_minute: self.tickets_per_minute.unwrap_or(default.tickets_per_minute),
            connections: self.connections.unwrap_or(default.connections),
            connects_per_minute: self.connects_per_minute,
            connections_per_chat: self.connections_per_chat,
        }
    }
}
