//! For programs: each line of stdin is a message, each line of stdout an event.

use anyhow::{Context, Result};
use chat_api_client::Update;
use serde_json::{json, to_value};
use tokio::{
    io::{AsyncBufReadExt, BufReader, stdin},
    signal::ctrl_c,
};

use super::{
    conversation::Conversation,
    pipe::next_update,
    run::{Ending, fail},
};
use crate::terminal::Terminal;

/// Runs until stdin ends. A message is sent when the answer before it has ended.
pub(super) async fn run(conversation: &mut Conversation, terminal: &Terminal) -> Result<Ending> {
    let mut lines = BufReader::new(stdin()).lines();
    let mut ending = Ending::Left;
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line.context("stdin is not a text")?,
            update = next_update(conversation) => {
                print(update, terminal);
                continue;
            }
            _ = ctrl_c() => return Ok(Ending::Interrupted),
        };
        let Some(line) = line else { return Ok(ending) };
        if line.trim().is_empty() {
            continue;
        }
        match exchange(&line, conversation, terminal).await {
            Ok(Ending::Interrupted) => return Ok(Ending::Interrupted),
            Ok(_) => {}
            Err(error) => {
                fail(&error, terminal, true);
                ending = Ending::Failed;
            }
        }
    }
}

/// Sends a message, and prints all events up to the end of its answer.
async fn exchange(content: &str, conversation: &mut Conversation, terminal: &Terminal) -> Result<Ending> {
    let answer = conversation.send(content).await?;
    let mut cancels = 0;
    let ended = loop {
        tokio::select! {
            biased;
            update = next_update(conversation) => print(update, terminal),
            ended = answer.ended() => break ended,
            _ = ctrl_c() => {
                answer.cancel();
                cancels += 1;
                if cancels > 1 {
                    return Ok(Ending::Interrupted);
                }
            }
        }
    };
    ended?;
    Ok(if cancels > 0 { Ending::Interrupted } else { Ending::Left })
}

fn print(update: Update, terminal: &Terminal) {
    match update {
        Update::Event(event) => match to_value(event) {
            Ok(event) => terminal.event(&event),
            Err(error) => terminal.warning(error),
        },
        Update::State(state, error) => {
            let state = format!("{state:?}").to_lowercase();
            let error = error.map(|error| json!({"code": error.code(), "message": error.to_string()}));
            terminal.event(&json!({"event": "state", "state": state, "error": error}));
        }
        Update::Retry { error, after } => {
            let (code, seconds) = (error.code(), after.as_secs_f64());
            terminal.event(&json!({"event": "retry", "code": code, "after_seconds": seconds}));
        }
        _ => {}
    }
}
