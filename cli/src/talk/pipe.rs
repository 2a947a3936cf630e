//! One message from stdin, the text of its answer to stdout.

use std::io::{self, Write, stdout};

use anyhow::{Context, Result, bail};
use chat_api_client::{Answer, Update, event::FinishReason};
use tokio::{
    io::{AsyncReadExt, stdin},
    signal::ctrl_c,
};

use super::{
    conversation::Conversation,
    run::{Ending, fail},
    view,
};
use crate::terminal::Terminal;

/// Runs until the answer has ended.
pub(super) async fn run(conversation: &mut Conversation, terminal: &Terminal) -> Result<Ending> {
    let mut content = String::new();
    stdin().read_to_string(&mut content).await.context("stdin is not a text")?;
    if content.trim().is_empty() {
        bail!("there is nothing to send: write a message to stdin, as in `echo hello | cargo chat talk`");
    }
    let mut answer = conversation.send(content.trim_end()).await?;
    let mut cancels = 0;
    loop {
        let part = tokio::select! {
            part = answer.next() => part,
            update = next_update(conversation) => {
                note(update, terminal);
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
            Ok(Some(part)) => {
                if write(&part).is_err() {
                    // Nobody reads the rest.
                    answer.cancel();
                    return Ok(Ending::Left);
                }
            }
            Ok(None) => break,
            Err(error) => {
                end_line(&answer);
                fail(&error.into(), terminal, false);
                return Ok(Ending::Failed);
            }
        }
    }
    end_line(&answer);
    let end = answer.ended().await?;
    if end.finish_reason == FinishReason::Length {
        terminal.warning(view::CUT);
    }
    Ok(if cancels > 0 { Ending::Interrupted } else { Ending::Left })
}

/// The next report of the chat; none if there is no chat.
pub(super) async fn next_update(conversation: &mut Conversation) -> Update {
    let update = match conversation.updates() {
        Some(updates) => updates.next().await,
        None => None,
    };
    match update {
        Some(update) => update,
        // The chat is closed, which its answers tell.
        None => std::future::pending().await,
    }
}

fn note(update: Update, terminal: &Terminal) {
    if let Some(note) = view::note(&update) {
        terminal.warning(note);
    }
}

fn write(part: &str) -> io::Result<()> {
    let mut stdout = stdout().lock();
    stdout.write_all(part.as_bytes())?;
    stdout.flush()
}

/// Ends the last line of a text, as programs in pipes expect.
fn end_line(answer: &Answer) {
    let text = answer.text();
    if !text.is_empty() && !text.ends_with('\n') {
        // The reader may be gone.
        let _ = write("\n");
    }
}
