//! The real template, deployed: CloudFormation makes the stack, and every call passes the policies of the functions'
//! roles. It runs on ministack, an emulator of AWS from elsewhere. What differs from AWS: docs/OPERATIONS.md.

mod black_box;
mod bootstraps;
mod emulator;
mod policies;
