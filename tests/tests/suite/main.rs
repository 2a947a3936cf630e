//! Everything that is tested on the running stack: a file a function, and one each for what goes across them.

mod create_chat;
mod delete_chat;
mod dev;
mod fallback;
mod get_chat;
mod keys;
mod list_messages;
mod list_user_chats;
mod quick_start;
mod store;
mod supervision;
mod template;
mod ws_connect;
mod ws_disconnect;
mod ws_message;
