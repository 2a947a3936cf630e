//! The real template, deployed by CloudFormation on ministack, an emulator of AWS that enforces the policies of the functions'
//! roles. docs/OPERATIONS.md lists the differences from AWS.

mod black_box;
mod bootstraps;
mod emulator;
mod policies;
