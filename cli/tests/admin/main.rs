//! `chat tenant` and `chat key`, as the program that people run, on a real DynamoDB Local.

mod aws;
mod harness;
mod keys;
mod sockets;
mod tenants;
