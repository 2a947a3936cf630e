//! Help that all admin commands share.

/// The end of each command's help.
pub(super) const AFTER_HELP: &str = "\
With --json, stdout gets one JSON object on one line, and everything for people goes to stderr.
If a command fails, that object has {\"error\": {\"message\": \"…\"}} beside what was done before.
Exit codes: 0 success, 1 failure, 2 invalid arguments.";
