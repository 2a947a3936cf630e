//! The connection grant of a handshake: of its ticket, or of its API key.

use shared::{
    auth::check_chat_access,
    domain::{
        api_key::KeyHash,
        connection::ConnectionGrant,
        error::{ApiError, Code},
        id::TenantId,
        limits::Limits,
        ticket::TicketText,
        time::Timestamp,
    },
    websocket::SocketEvent,
};

use crate::{app::App, query};

/// A checked grant, and the limits of its tenant.
pub(crate) type Granted = (ConnectionGrant, Limits);

/// Obtains the grant of a handshake, and checks that it may open the chat.
///
/// # Errors
///
/// Why the handshake is refused.
pub(crate) async fn obtain(app: &App, event: &SocketEvent, now: Timestamp) -> Result<Granted, ApiError> {
    match event.ticket() {
        Some(ticket) => Box::pin(grant_by_ticket(app, &ticket, now)).await,
        None => grant_by_key(app, event, now).await,
    }
}

/// The grant by a ticket. Anyone may send tickets, so a random text costs nothing, and an unknown or used ticket a read:
/// to redeem it would be a write, also in vain.
async fn grant_by_ticket(app: &App, ticket: &TicketText, now: Timestamp) -> Result<Granted, ApiError> {
    if !ticket.is_plausible() {
        return Err(invalid_ticket());
    }
    let grant = app.tickets.find(ticket, now).await?.ok_or_else(invalid_ticket)?;
    let (redeemed, checked) = tokio::join!(app.tickets.redeem(ticket, now), check(app, grant, now));
    redeemed?.ok_or_else(invalid_ticket)?;
    checked
}

async fn grant_by_key(app: &App, event: &SocketEvent, now: Timestamp) -> Result<Granted, ApiError> {
    let (tenant, key) = app.authenticator.identify(event.api_key()).await?;
    match grant_by_key_of(app, event, &tenant, &key, now).await {
        Err(error) if error.code() == Code::InvalidApiKey => {
            // The key may have moved to another tenant since this process read whose it is.
            app.authenticator.forget(&key);
            let (moved_to, _) = app.authenticator.identify(event.api_key()).await?;
            if moved_to == tenant { Err(error) } else { grant_by_key_of(app, event, &moved_to, &key, now).await }
        }
        granted => granted,
    }
}

/// The grant by a key of this tenant. A key that is not valid learns nothing about the rest of the handshake.
async fn grant_by_key_of(
    app: &App,
    event: &SocketEvent,
    tenant: &TenantId,
    key: &KeyHash,
    now: Timestamp,
) -> Result<Granted, ApiError> {
    match query::user_and_chat(event.query()) {
        Ok((user_id, chat_id)) => {
            let grant = ConnectionGrant { tenant_id: tenant.clone(), key: key.clone(), user_id, chat_id };
            check(app, grant, now).await
        }
        Err(error) => {
            app.authenticator.open(tenant, key, now).await??;
            Err(error)
        }
    }
}

/// Checks that the grant's tenant has access, and that its user may open the chat.
async fn check(app: &App, grant: ConnectionGrant, now: Timestamp) -> Result<Granted, ApiError> {
    let ConnectionGrant { tenant_id, key, chat_id, .. } = &grant;
    let (access, owner) =
        tokio::join!(app.authenticator.open(tenant_id, key, now), app.chats.owner_of(tenant_id, chat_id));
    let access = access??;
    check_chat_access(&grant, owner?.as_ref())?;
    Ok((grant, access.limits))
}

fn invalid_ticket() -> ApiError {
    ApiError::new(
        Code::InvalidTicket,
        "This ticket was used already, is older than a minute, or never was.",
        "Get a new one with POST /api/v1/chats/{chat_id}/tickets and connect with it within a minute.",
    )
}
