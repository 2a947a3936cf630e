//! The slot of the tenant's budget that a generation holds from the frame that asks for it until its end.

use shared::{
    domain::{
        budget::{self, GenerationSlot},
        connection::ConnectionGrant,
        error::ApiError,
        id::TenantId,
        time::Timestamp,
    },
    runtime::{after_response, telemetry},
    storage::{BudgetAdmission, BudgetRepository},
    websocket::SocketEvent,
};

use crate::app::App;

/// A slot that this invocation has taken. Dropping it releases the slot after the response, unless a generation
/// [keeps](Self::keep) it.
pub(crate) struct TakenSlot {
    budgets: BudgetRepository,
    tenant: TenantId,
    slot: GenerationSlot,
    request_id: String,
    is_kept: bool,
}

impl App {
    /// Counts a message, and takes a slot for its generation.
    ///
    /// # Errors
    ///
    /// `GENERATION_LIMIT_EXCEEDED`, `MESSAGE_RATE_EXCEEDED`.
    pub(crate) async fn take_slot(&self, grant: &ConnectionGrant, event: &SocketEvent) -> Result<TakenSlot, ApiError> {
        let now = Timestamp::now();
        let taken = TakenSlot {
            budgets: self.budgets.clone(),
            tenant: grant.tenant_id.clone(),
            slot: GenerationSlot::new(now),
            request_id: event.request_id.clone(),
            is_kept: false,
        };
        match self.budgets.admit(&taken.tenant, taken.slot, self.budget_limits, now).await? {
            BudgetAdmission::Admitted => Ok(taken),
            BudgetAdmission::GenerationLimit(limit) => {
                taken.keep();
                Err(budget::generation_limit_exceeded(limit))
            }
            BudgetAdmission::MessageRate { limit, ends_at } => {
                taken.keep();
                Err(budget::message_rate_exceeded(limit, ends_at, now))
            }
        }
    }
}

impl TakenSlot {
    /// The slot's name.
    pub(crate) fn name(&self) -> GenerationSlot {
        self.slot
    }

    /// Leaves the release to the end of the generation.
    pub(crate) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for TakenSlot {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        let (budgets, tenant, slot) = (self.budgets.clone(), self.tenant.clone(), self.slot);
        let request_id = self.request_id.clone();
        after_response::spawn(telemetry::background_task("release_slot", async move {
            if let Err(error) = budgets.release(&tenant, slot).await {
                telemetry::log_attempt(&error.into(), &request_id);
            }
        }));
    }
}
