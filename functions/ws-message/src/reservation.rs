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
    generation::{LostGenerationSearch, most_input_tokens},
    runtime::{after_response, telemetry},
    storage::{BudgetAdmission, BudgetRepository},
    websocket::SocketEvent,
};

use crate::app::App;

/// A reservation that this invocation has made. Dropping it settles it after the response, unless a generation
/// [takes it over](Self::hand_over).
pub(crate) struct BudgetReservation {
    budgets: BudgetRepository,
    grant: ConnectionGrant,
    reservation: Reservation,
    request_id: String,
    /// The tokens to settle it with when it is dropped.
    used: u32,
    is_handed_over: bool,
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
            grant: grant.clone(),
            reservation: Reservation { slot: GenerationSlot::new(now), tokens },
            request_id: event.request_id.clone(),
            used: 0,
            is_handed_over: false,
        };
        let refusal = match self
            .budgets
            .admit((&grant.tenant_id, &grant.chat_id), reserved.reservation, self.budget_limits, now)
            .await?
        {
            BudgetAdmission::Admitted => return Ok(reserved),
            BudgetAdmission::GenerationLimit { limit, may_be_lost } => {
                if may_be_lost {
                    self.search_lost_generations(&grant.tenant_id, event);
                }
                budget::generation_limit_exceeded(limit)
            }
            BudgetAdmission::MessageRate { limit, ends_at } => budget::message_rate_exceeded(limit, ends_at, now),
            BudgetAdmission::Quota(exceeded) => budget::quota_exceeded(exceeded, now),
        };
        // There is nothing to settle.
        reserved.hand_over();
        Err(refusal)
    }

    /// Takes over the generations of a tenant whose owners died, after the response: a later message finds their slots free.
    fn search_lost_generations(&self, tenant: &TenantId, event: &SocketEvent) {
        let search = LostGenerationSearch {
            budgets: self.budgets.clone(),
            chats: self.chats.clone(),
            generations: self.generations.clone(),
            sockets: self.sockets.clone(),
        };
        let (tenant, request_id) = (tenant.clone(), event.request_id.clone());
        after_response::spawn(telemetry::background_task("take_over_lost", async move {
            if let Err(error) = search.run(&tenant, Timestamp::now(), &request_id).await {
                telemetry::log_attempt(&error.into(), &request_id);
            }
        }));
    }

    /// Reserves again if the worst case was refused for its tokens: `tokens` are what this chat can use, which is less.
    ///
    /// # Errors
    ///
    /// As [`reserve`](Self::reserve).
    pub(crate) async fn retry_with_fewer(
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

    /// The most tokens that a generation can use, whatever its chat, if its newest message has at most `newest` tokens.
    pub(crate) fn worst_case_tokens(&self, newest: u32) -> u32 {
        most_input_tokens(newest, self.context_tokens).saturating_add(self.allowed.max_tokens.get())
    }

    /// The most tokens that a generation can use with this input.
    pub(crate) fn exact_tokens(&self, input: u32, config: &ChatConfig) -> u32 {
        input.saturating_add(config.max_tokens.unwrap_or(self.allowed.max_tokens).get())
    }
}

impl BudgetReservation {
    /// What is reserved.
    pub(crate) fn reservation(&self) -> Reservation {
        self.reservation
    }

    /// Counts the request as used, even if no generation takes the reservation over: the model has been asked.
    pub(crate) fn note_request(&mut self, input_tokens: u32) {
        self.used = input_tokens;
    }

    /// Leaves it to the end of the generation.
    pub(crate) fn hand_over(mut self) {
        self.is_handed_over = true;
    }
}

impl Drop for BudgetReservation {
    fn drop(&mut self) {
        if self.is_handed_over {
            return;
        }
        let (budgets, grant, reservation) = (self.budgets.clone(), self.grant.clone(), self.reservation);
        let (request_id, used) = (self.request_id.clone(), self.used.into());
        after_response::spawn(telemetry::background_task("settle_budget", async move {
            if let Err(error) = budgets.settle((&grant.tenant_id, &grant.chat_id), reservation, used).await {
                telemetry::log_attempt(&error.into(), &request_id);
            }
        }));
    }
}
