//! The handler of `GET /api/v1/usage`.

use shared::{
    auth::Tenant,
    domain::{
        day::Day,
        error::ApiError,
        id::TenantId,
        time::Timestamp,
        usage::{GroupBy, UsageCounts, UsageKey, UsageReport, UsageRequest},
    },
    rest::{self, Request, Response},
    runtime::{bootstrap::Clients, config::GetUsageConfig},
    storage::{StorageError, UsageRepository},
};

/// How many items a request may read: ten pages of DynamoDB. As many groups of 110 bytes fit a function's response.
const MAX_ITEMS: usize = 50_000;

#[derive(Clone, Debug)]
pub(crate) struct App {
    usage: UsageRepository,
}

impl App {
    pub(crate) fn from_config(config: GetUsageConfig, clients: &Clients) -> Self {
        Self { usage: UsageRepository::new(clients.dynamodb(), config.chats_table) }
    }
}

pub(crate) async fn handle(app: App, tenant: Tenant, request: Request) -> Result<Response, ApiError> {
    let asked = UsageRequest::read(rest::query(&request), Day::of(Timestamp::now()))?;
    let counts = read(&app.usage, &tenant.id, asked).await?.ok_or_else(|| asked.too_much())?;
    rest::ok(&UsageReport::of(asked, counts))
}

/// The counts by what they are grouped by; `None` when there are too many.
async fn read(
    usage: &UsageRepository,
    tenant: &TenantId,
    UsageRequest { from, to, group_by }: UsageRequest,
) -> Result<Option<Vec<(UsageKey, UsageCounts)>>, StorageError> {
    if group_by == GroupBy::User {
        let Some(users) = usage.by_user(tenant, from, to, MAX_ITEMS).await? else { return Ok(None) };
        return Ok(Some(users.into_iter().map(|user| (UsageKey::User(user.user_id), user.counts)).collect()));
    }
    let Some(models) = usage.by_model(tenant, from, to, MAX_ITEMS).await? else { return Ok(None) };
    let key = |day, model| if group_by == GroupBy::Day { UsageKey::Day(day) } else { UsageKey::Model(model) };
    Ok(Some(models.into_iter().map(|model| (key(model.day, model.model), model.counts)).collect()))
}
