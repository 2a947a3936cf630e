//! Other programs: started so that none of them outlives this one.
//!
//! Each child gets a process group of its own, so that Ctrl-C on the terminal reaches only this program, which then
//! ends its children in an order that it knows. Some children start processes in sessions of their own (`cargo lambda
//! watch` does), so ending one means ending its whole tree. And should this program be killed outright, a guard, a
//! second process of it, sees its stdin close and ends what is left.

mod children;
mod guard;
mod output;
mod tree;

pub(crate) use children::{Child, Children, PRIVATE};
pub(crate) use guard::{GUARD_COMMAND, run as guard};
pub(crate) use output::{Log, first_line, without_colours};
