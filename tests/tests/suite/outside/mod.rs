//! What strangers can see: these tests have nothing but the two addresses and the command line, so they also run against
//! a stack that is deployed elsewhere (`API_URL`, `WS_URL`, `STACK`). What reaches into the tables or the processes of the
//! stack on this machine is beside this folder.

mod api_page;
mod create_chat;
mod create_ticket;
mod crowd;
mod delete_chat;
mod fallback;
mod get_chat;
mod idempotency;
pub(crate) mod isolation;
pub(crate) mod keys;
mod limits;
pub(crate) mod list_messages;
pub(crate) mod list_user_chats;
mod quick_start;
mod schemathesis;
mod suspension;
mod update_chat;
pub(crate) mod wishes;
mod ws_connect;
mod ws_message;
