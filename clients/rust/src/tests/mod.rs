//! The rules of docs/CLIENTS.md, with sockets that the test answers, on paused time.

mod answers;
mod connections;
mod messages;
mod server;
