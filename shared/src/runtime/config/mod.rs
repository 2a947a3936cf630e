//! The configuration of each function: one struct per function, read from the environment once, before it runs.
//!
//! Names and values come from `template.yaml`. The variables of a function are data too ([`FUNCTIONS`]), so that a test
//! compares them with the template. A value may be a key: no type here prints one.

mod allowed_models;
mod create_chat;
mod create_ticket;
mod delete_chat;
mod environment;
mod error;
mod fallback;
mod function;
mod functions;
mod get_chat;
mod get_usage;
mod list_messages;
mod list_user_chats;
mod maintenance;
mod runtime;
mod update_chat;
pub mod variables;
mod ws_connect;
mod ws_disconnect;
mod ws_message;

pub use create_chat::CreateChatConfig;
pub use create_ticket::CreateTicketConfig;
pub use delete_chat::DeleteChatConfig;
pub use environment::Environment;
pub use error::{ConfigError, Problem};
pub use fallback::FallbackConfig;
pub use function::{FunctionConfig, RestConfig};
pub use functions::{FUNCTIONS, FunctionVariables};
pub use get_chat::GetChatConfig;
pub use get_usage::GetUsageConfig;
pub use list_messages::ListMessagesConfig;
pub use list_user_chats::ListUserChatsConfig;
pub use maintenance::MaintenanceConfig;
pub use runtime::RuntimeConfig;
pub use update_chat::UpdateChatConfig;
pub use ws_connect::WsConnectConfig;
pub use ws_disconnect::WsDisconnectConfig;
pub use ws_message::{OpenAiConfig, WsMessageConfig};
