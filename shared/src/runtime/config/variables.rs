//! Every environment variable that a function reads.

/// An environment variable.
#[derive(Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What it holds, in words that follow "template.yaml sets it to" and "it is not".
    pub meaning: &'static str,
    /// Who sets it.
    pub set_by: SetBy,
}

/// Who sets a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetBy {
    /// `template.yaml`.
    Template,
    /// The local stack; the template never does.
    LocalStack,
}

const fn set_by_template(name: &'static str, meaning: &'static str) -> Variable {
    Variable { name, meaning, set_by: SetBy::Template }
}

const fn set_by_local_stack(name: &'static str, meaning: &'static str) -> Variable {
    Variable { name, meaning, set_by: SetBy::LocalStack }
}

/// Whether work after the response is detached from the invocation: `detached` where nothing freezes the process.
pub static AFTER_RESPONSE: Variable = set_by_local_stack("AFTER_RESPONSE", "`detached`, or nothing");

/// The agents that chats may use, of those that are configured; all of them unless set.
pub static ALLOWED_AGENTS: Variable = set_by_template("ALLOWED_AGENTS", "a list of agents, separated by commas");

/// The models that chats may use beside the configured ones.
pub static ALLOWED_MODELS: Variable =
    set_by_template("ALLOWED_MODELS", "a list of models, or prefixes that end in *, separated by commas");

/// The model of the agent `bedrock` in chats that name none.
pub static BEDROCK_MODEL: Variable = set_by_template("BEDROCK_MODEL", "the name of a model");

/// The chats table.
pub static CHATS_TABLE: Variable = set_by_template("CHATS_TABLE", "the name of the chats table");

/// The agents that the deployment configures.
pub static CONFIGURED_AGENTS: Variable = set_by_template("CONFIGURED_AGENTS", "a list of agents, separated by commas");

/// The connections table.
pub static CONNECTIONS_TABLE: Variable = set_by_template("CONNECTIONS_TABLE", "the name of the connections table");

/// How many connections a chat has open, unless its tenant has a limit of its own.
pub static CONNECTIONS_PER_CHAT: Variable = set_by_template("CONNECTIONS_PER_CHAT", "a whole number from 0");

/// How many connections a tenant opens a minute, unless it has a limit of its own.
pub static CONNECTS_PER_MINUTE: Variable = set_by_template("CONNECTS_PER_MINUTE", "a whole number from 0");

/// The tokens of a chat that an agent is given.
pub static CONTEXT_TOKENS: Variable = set_by_template("CONTEXT_TOKENS", "a whole number from 0");

/// The agent of chats that name none.
pub static DEFAULT_AGENT: Variable = set_by_template("DEFAULT_AGENT", "the name of an agent");

/// The pace of the agent `echo`.
pub static ECHO_TOKENS_PER_SECOND: Variable = set_by_template("ECHO_TOKENS_PER_SECOND", "0, or a number from 1");

/// The milliseconds between two token frames to one socket, after the first ones of an answer.
pub static FRAME_INTERVAL_MS: Variable = set_by_template("FRAME_INTERVAL_MS", "a whole number from 0");

/// How many generations a tenant runs at once, unless it has a limit of its own.
pub static GENERATIONS_PER_TENANT: Variable = set_by_template("GENERATIONS_PER_TENANT", "a whole number from 0");

/// The least severe level that is logged.
pub static LOG_LEVEL: Variable = set_by_template("LOG_LEVEL", "a level of severity");

/// Where messages to sockets are posted: `https://{api}.execute-api.{region}.amazonaws.com/{stage}`. The event's domain
/// does not do: it may be a custom one, which does not serve `@connections`.
pub static MANAGEMENT_ENDPOINT: Variable = set_by_template("MANAGEMENT_ENDPOINT", "the address of the management API");

/// The most tokens of an answer.
pub static MAX_TOKENS: Variable = set_by_template("MAX_TOKENS", "a whole number from 1 to 100000");

/// How many messages a tenant sends a minute, unless it has a limit of its own.
pub static MESSAGES_PER_MINUTE: Variable = set_by_template("MESSAGES_PER_MINUTE", "a whole number from 0");

/// How many tokens the generations of a tenant use a day, unless it has a quota of its own.
pub static TOKENS_PER_DAY: Variable = set_by_template("TOKENS_PER_DAY", "a whole number from 0, or none");

/// How many tokens the generations of a tenant use a month, unless it has a quota of its own.
pub static TOKENS_PER_MONTH: Variable = set_by_template("TOKENS_PER_MONTH", "a whole number from 0, or none");

/// The key of the agent `openai` on the local stack. On AWS, [`OPENAI_SECRET_NAME`] says where it is kept.
pub static OPENAI_API_KEY: Variable = set_by_local_stack("OPENAI_API_KEY", "the key of a model's API");

/// The address of the agent `openai` before `/chat/completions`.
pub static OPENAI_BASE_URL: Variable =
    set_by_template("OPENAI_BASE_URL", "an address that begins with http:// or https://");

/// Further headers of the agent `openai`.
pub static OPENAI_HEADERS: Variable =
    set_by_template("OPENAI_HEADERS", "a JSON object of header names and header values");

/// The model of the agent `openai` in chats that name none.
pub static OPENAI_MODEL: Variable = set_by_template("OPENAI_MODEL", "the name of a model");

/// The secret of Secrets Manager that holds the key of the agent `openai`.
pub static OPENAI_SECRET_NAME: Variable = set_by_template("OPENAI_SECRET_NAME", "the name of a secret");

/// The stack, by which metrics are told from those of other stacks.
pub static STACK_NAME: Variable = set_by_template("STACK_NAME", "the name of the stack");

/// The tenants table.
pub static TENANTS_TABLE: Variable = set_by_template("TENANTS_TABLE", "the name of the tenants table");

/// Where clients open WebSockets: `wss://…`, without a query.
pub static WEBSOCKET_URL: Variable = set_by_template("WEBSOCKET_URL", "the address of the WebSocket API");
