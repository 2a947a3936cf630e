//! What a streamer does beside streaming: it saves what was said, keeps its lease, and looks what others want.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{
    stream::{Answering, Ending},
    writer::Beginning,
    writers::Writers,
};
use crate::{
    error::{ApiError, Code},
    id::ConnectionId,
    store::{Connection, Hold, Look, Pass, Resume, StoreError},
    telemetry,
    time::Timestamp,
};

/// How often what was said is saved. What comes between is lost with the process.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);

/// How long a lease is left without renewal when there is nothing to save.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(5);

/// How often the streamer looks what others want. They wait for it, so it has to be below a second.
const LOOK_INTERVAL: Duration = Duration::from_millis(800);

/// Saves what has been said and renews the lease, until that is not the streamer's right any more.
pub(super) async fn keep(answering: &Answering, hold: &Hold, writers: &Writers) -> Ending {
    let feed = &writers.telling().feed;
    let mut saved = 0;
    let mut renewed = Instant::now();
    loop {
        tokio::time::sleep(SAVE_INTERVAL).await;
        let text = feed.text_from(saved);
        let held = if !text.is_empty() {
            hold.save(&text, Timestamp::now()).await
        } else if renewed.elapsed() >= RENEWAL_INTERVAL {
            hold.renew(Timestamp::now()).await
        } else {
            continue;
        };
        match held {
            Ok(true) => {
                saved += text.len();
                renewed = Instant::now();
            }
            Ok(false) => return lost(answering, hold).await,
            // The next try saves this piece too, if it comes in time.
            Err(error) if hold.lapses_at() <= Timestamp::now() => return Ending::Failed(error.into()),
            Err(error) => telemetry::log_cause(&error.into(), &answering.request_id),
        }
    }
}

/// Why a lease is not the streamer's any more.
async fn lost(answering: &Answering, hold: &Hold) -> Ending {
    match hold.look().await {
        Ok(Look::Deleted) => deleted(answering),
        _ => Ending::Lost,
    }
}

fn deleted(answering: &Answering) -> Ending {
    Ending::Failed(ApiError::chat_not_found(answering.connection.pass.chat_id.as_str()))
}

/// Looks what others want of the answer until one of them wants it to end, or it is `over`. Then a wish that is just
/// being taken on is still seen to: whoever had it believes that it was.
pub(super) async fn watch(
    answering: &Answering,
    hold: &Hold,
    writers: &Writers,
    over: &CancellationToken,
) -> Option<Ending> {
    let Pass { tenant_id, key, .. } = &answering.connection.pass;
    let mut taken_on = Vec::new();
    while over.run_until_cancelled(tokio::time::sleep(LOOK_INTERVAL)).await.is_some() {
        if let Err(shut) = answering.doorkeeper.recheck(tenant_id, key, Timestamp::now()).await
            && shut.code() == Code::ConnectionClosing
        {
            return Some(Ending::Failed(unwelcome(shut)));
        }
        let (cancelled_by, resumes) = match hold.look().await {
            Ok(Look::Wanted { cancelled_by, resumes }) => (cancelled_by, resumes),
            Ok(Look::Deleted) => return Some(deleted(answering)),
            // A look that fails is made up for by the next one.
            Err(_) => continue,
        };
        for resume in resumes {
            if let Err(error) = take_on(answering, hold, writers, resume, &mut taken_on).await {
                telemetry::log_cause(&error.into(), &answering.request_id);
            }
        }
        if let Some(by) = cancelled_by {
            tell_end_too(answering, writers, &by).await;
            return Some(Ending::Cancelled);
        }
    }
    None
}

/// Lets a socket hear the end that has no writer.
pub(super) async fn tell_end_too(answering: &Answering, writers: &Writers, socket: &ConnectionId) {
    if !writers.has(socket)
        && let Ok(Some(socket)) = find(answering, socket).await
    {
        writers.begin(socket, Beginning::End);
    }
}

/// Gives a socket a writer, then takes its wish away. If that fails, or is seen too late, the next look does the rest:
/// a wish that was `taken_on` does not get a second writer.
async fn take_on(
    answering: &Answering,
    hold: &Hold,
    writers: &Writers,
    resume: Resume,
    taken_on: &mut Vec<Resume>,
) -> Result<(), StoreError> {
    if !taken_on.contains(&resume) {
        if let Some(socket) = find(answering, &resume.connection_id).await? {
            writers.begin(socket, Beginning::Offset(resume.offset));
        }
        taken_on.push(resume.clone());
    }
    hold.take_on(&resume).await
}

/// A socket of the chat; `None` when it is gone.
async fn find(answering: &Answering, socket: &ConnectionId) -> Result<Option<Connection>, StoreError> {
    let Pass { tenant_id, chat_id, .. } = &answering.connection.pass;
    let sockets = answering.sockets.connections.of_chat(tenant_id, chat_id, Timestamp::now()).await?;
    Ok(sockets.into_iter().find(|connection| connection.connection_id == *socket))
}

/// What all sockets of the chat are told, also those that may stay.
fn unwelcome(shut: ApiError) -> ApiError {
    ApiError::new(
        Code::AgentError,
        "The answer was ended, since whoever asked for it may not any more.",
        "Ask for it again with `regenerate`, on a connection that another API key opened.",
    )
    .with_retryable(false)
    .with_cause(shut)
}
