//! `chat tenant`, `chat key`, `chat user` and `chat usage`: runs the program on a real DynamoDB Local.

mod aws;
mod harness;
mod keys;
mod sockets;
mod tenants;
mod usage;
mod users;
