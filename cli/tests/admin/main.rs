//! `chat tenant`, `chat key` and `chat user`: runs the program on a real DynamoDB Local.

mod aws;
mod harness;
mod keys;
mod sockets;
mod tenants;
mod users;
