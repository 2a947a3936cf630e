//! What a generation takes of its tenant's budget, from the frame that asks for it until its end.

use shared::{
    domain::{
        budget::{self, GenerationSlot, Reservation},
        chat::ChatConfig,
        connection::ConnectionGrant,
        error::{ApiError, Code},
        id::TenantId,
        time::Timestamp,
    },
    runtime::{after_response, telemetry},
    storage::{BudgetAdmission, BudgetRepository},
    websocket::SocketEvent,
};

use crate::app::App;

/// A reservation that this invocation has made. Dropping it settles it after the response, with no tokens used, unless a
/// generation [keeps](Self::keep) it.
pub(crate) struct BudgetReservation {
    budgets: BudgetRepository,
    tenant: TenantId,
    reservation: Reservation,
    request_id: String,
    is_kept: bool,
}

impl App {
    /// Counts a message, and reserves what its generation takes: one of the generations at once, and `tokens` of the
    /// quotas.
    ///
    /// # Errors
    ///
    /// `GENERATION_LIMIT_EXCEEDED`, `MESSAGE_RATE_EXCEEDED`, `QUOTA_EXCEEDED`.
    pub(crate) async fn reserve(
        &self,
        grant: &ConnectionGrant,
        tokens: u32,
        event: &SocketEvent,
    ) -> Result<BudgetReservation, ApiError> {
        let now = Timestamp::now();
        let reserved = BudgetReservation {
            budgets: self.budgets.clone(),
            tenant: grant.tenant_id.clone(),
            reservation: Reservation { slot: GenerationSlot::new(now), tokens },
            request_id: event.request_id.clone(),
            is_kept: false,
        };
        let refusal = match self.budgets.admit(&reserved.tenant, reserved.reservation, self.budget_limits, now).await? {
            BudgetAdmission::Admitted => return Ok(reserved),
            BudgetAdmission::GenerationLimit(limit) => budget::generation_limit_exceeded(limit),
            BudgetAdmission::MessageRate { limit, ends_at } => budget::message_rate_exceeded(limit, ends_at, now),
            BudgetAdmission::Quota(exceeded) => budget::quota_exceeded(exceeded, now),
        };
        reserved.keep();
        Err(refusal)
    }

    /// A reservation that was refused for its tokens, made again with the fewer `tokens` that the chat shows to be enough.
    ///
    /// # Errors
    ///
    /// As [`reserve`](Self::reserve).
    pub(crate) async fn or_reserve_less(
        &self,
        reserved: Result<BudgetReservation, ApiError>,
        grant: &ConnectionGrant,
        tokens: u32,
        event: &SocketEvent,
    ) -> Result<BudgetReservation, ApiError> {
        match reserved {
            Err(error) if error.code() == Code::QuotaExceeded => Box::pin(self.reserve(grant, tokens, event)).await,
            reserved => reserved,
        }
    }

    /// The most tokens that a generation can use, whatever its chat: a full context window, the new message and the longest
    /// text.
    pub(crate) fn most_tokens(&self, new: u32) -> u32 {
        self.context_tokens.saturating_add(new).saturating_add(self.allowed.max_tokens.get())
    }

    /// The most tokens that a generation can use with this input.
    pub(crate) fn tokens(&self, input: u32, config: &ChatConfig) -> u32 {
        input.saturating_add(config.max_tokens.unwrap_or(self.allowed.max_tokens).get())
    }
}

impl BudgetReservation {
    /// What is reserved.
    pub(crate) fn reservation(&self) -> Reservation {
        self.reservation
    }

    /// Leaves it to the end of the generation.
    pub(crate) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for BudgetReservation {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        let (budgets, tenant, reservation) = (self.budgets.clone(), self.tenant.clone(), self.reservation);
        let request_id = self.request_id.clone();
        after_response::spawn(telemetry::background_task("settle_budget", async move {
            if let Err(error) = budgets.settle(&tenant, reservation, 0).await {
                telemetry::log_attempt(&error.into(), &request_id);
            }
        }));
    }
}
