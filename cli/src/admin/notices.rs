//! What several commands tell the operator.

use shared::domain::{tenant::TenantRecord, time::Timestamp};

use super::{session::AdminSession, view};
use crate::terminal::Colour;

impl AdminSession {
    /// Warns if no key of a tenant is live.
    pub(super) fn warn_without_live_key(&self, tenant: &TenantRecord, now: Timestamp) {
        if view::live_keys(tenant, now) == 0 {
            self.terminal.warning(format_args!(
                "{name} has no live key, so all its requests are refused: create one with `cargo chat key create {id}`",
                name = tenant.access.name,
                id = tenant.tenant_id,
            ));
        }
    }

    /// Shows a new key to people, the only time that this is possible. Programs find it in the JSON on stdout: stderr
    /// often ends up in a log.
    pub(super) fn show_new_key(&self, key: &str) {
        if self.terminal.is_json() {
            return;
        }
        let key = self.terminal.paint(Colour::Bold, key);
        let note = "This key is shown only now: the tables contain its hash. Store it where you store secrets.";
        let note = self.terminal.paint(Colour::Yellow, note);
        self.terminal.line(format_args!("\n  {key}\n\n  {note}\n"));
    }
}
