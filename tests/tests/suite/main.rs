//! Everything that is tested on the running stack: a file a function, and one each for what goes across them.

mod after_the_answer;
mod api_page;
mod budgets;
mod create_chat;
mod create_ticket;
mod delete_chat;
mod dev;
mod fallback;
mod get_chat;
mod idempotency;
mod isolation;
mod keys;
mod limits;
mod list_messages;
mod list_user_chats;
mod quick_start;
mod schemathesis;
mod store;
mod supervision;
mod suspension;
mod template;
mod update_chat;
mod ws_connect;
mod ws_disconnect;
mod ws_message;
