//! The engine in paused time, with storage and sockets in memory.

mod engine;
mod fakes;
mod replay;
mod usage;
