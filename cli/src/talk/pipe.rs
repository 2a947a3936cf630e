//! One message from stdin, the text of its answer to stdout.

use std::{
    io::{self, IsTerminal, Write, stdout},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use chat_api_client::{Answer, Update, event::FinishReason};
use tokio::{
    io::{AsyncReadExt, stdin},
    signal::ctrl_c,
    time::timeout,
};

use super::{
    conversation::Conversation,
    events::is_broken_pipe,
    run::{Ending, explain},
    view, wait,
};
use crate::terminal::Terminal;

/// How long to wait until the server has ended an answer without a reader.
const CANCEL_WITHIN: Duration = Duration::from_secs(2);

/// Runs until the answer has ended, or its reader has gone.
pub(super) async fn run(conversation: &mut Conversation, terminal: &Terminal) -> Result<Ending> {
    let mut content = String::new();
    stdin().read_to_string(&mut content).await.context("stdin is not a text")?;
    if content.trim().is_empty() {
        bail!("there is nothing to send: write a message to stdin, as in `echo hello | cargo chat talk`");
    }
    let answer = wait::response(conversation.send(content.trim_end()), terminal).await?;
    let ending = show(answer.clone(), conversation, terminal).await;
    if !answer.has_ended() {
        answer.cancel();
        // Without its end, the server goes on; nothing more can be done about that.
        let _ = timeout(CANCEL_WITHIN, answer.ended()).await;
    }
    match ending {
        Err(error) if is_broken_pipe(&error) => Ok(Ending::Left),
        ending => ending,
    }
}

async fn show(mut answer: Answer, conversation: &mut Conversation, terminal: &Terminal) -> Result<Ending> {
    let is_terminal = stdout().is_terminal();
    let mut cancels = 0;
    let mut last_note = None;
    loop {
        let part = tokio::select! {
            part = answer.next() => part,
            update = next_update(conversation) => {
                let note = view::note(&update);
                if note.is_some() && note != last_note {
                    terminal.warning(note.as_deref().unwrap_or_default());
                    last_note = note;
                }
                continue;
            }
            _ = ctrl_c() => {
                answer.cancel();
                cancels += 1;
                if cancels > 1 {
                    return Ok(Ending::Interrupted);
                }
                continue;
            }
        };
        match part {
            Ok(Some(part)) if is_terminal => write(&view::printable(&part))?,
            Ok(Some(part)) => write(&part)?,
            Ok(None) => break,
            Err(error) => {
                end_line(&answer)?;
                terminal.failure(explain(&error.into()));
                return Ok(Ending::Failed);
            }
        }
    }
    end_line(&answer)?;
    let end = answer.ended().await?;
    if end.finish_reason == FinishReason::Length {
        terminal.warning(view::CUT);
    }
    Ok(if cancels > 0 { Ending::Interrupted } else { Ending::Left })
}

/// The next report of the chat, if one is open.
pub(super) async fn next_update(conversation: &mut Conversation) -> Update {
    let update = match conversation.updates() {
        Some(updates) => updates.next().await,
        None => None,
    };
    match update {
        Some(update) => update,
        None => std::future::pending().await,
    }
}

fn write(part: &str) -> io::Result<()> {
    let mut stdout = stdout().lock();
    stdout.write_all(part.as_bytes())?;
    stdout.flush()
}

/// Ends the last line of a text, as programs in pipes expect.
fn end_line(answer: &Answer) -> io::Result<()> {
    let text = answer.text();
    if text.is_empty() || text.ends_with('\n') { Ok(()) } else { write("\n") }
}
