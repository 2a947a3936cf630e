//! `chat tenant`, `chat key` and `chat user`, as the program that people run, on a real DynamoDB Local.

mod aws;
mod harness;
mod keys;
mod sockets;
mod tenants;
mod users;
