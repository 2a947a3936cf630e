//! For programs: each line of stdin is a message, each line of stdout an event.

use std::{
    io::{self, ErrorKind, Write, stdin, stdout},
    thread,
};

use anyhow::{Context, Error, Result};
use chat_api_client::Update;
use serde_json::{Value, json, to_value};
use tokio::{signal::ctrl_c, sync::mpsc};

use super::{
    conversation::Conversation,
    pipe::next_update,
    run::{Ending, failure},
    wait,
};
use crate::terminal::Terminal;

/// Runs until stdin ends or the reader of stdout has gone. A message is sent when the answer before it has ended.
pub(super) async fn run(conversation: &mut Conversation, terminal: &Terminal) -> Result<Ending> {
    match send_lines(conversation, terminal).await {
        Err(error) if is_broken_pipe(&error) => Ok(Ending::Left),
        ended => ended,
    }
}

pub(super) fn is_broken_pipe(error: &Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

async fn send_lines(conversation: &mut Conversation, terminal: &Terminal) -> Result<Ending> {
    let mut lines = lines();
    let mut ending = Ending::Left;
    loop {
        let line = tokio::select! {
            line = lines.recv() => line,
            update = next_update(conversation) => {
                print(update)?;
                continue;
            }
            _ = ctrl_c() => return Ok(Ending::Interrupted),
        };
        let Some(line) = line else { return Ok(ending) };
        let line = line.context("stdin is not a text")?;
        if line.trim().is_empty() {
            continue;
        }
        match exchange(&line, conversation, terminal).await {
            Ok(Ending::Interrupted) => return Ok(Ending::Interrupted),
            Ok(_) => {}
            Err(error) if error.is::<io::Error>() => return Err(error),
            Err(error) => {
                terminal.failure(format!("{error:#}"));
                write(&failure(&error))?;
                ending = Ending::Failed;
            }
        }
    }
}

/// The lines of stdin. A thread reads them, since a read cannot be ended.
fn lines() -> mpsc::Receiver<io::Result<String>> {
    let (sender, lines) = mpsc::channel(1);
    thread::spawn(move || {
        for line in stdin().lines() {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Sends a message, and prints all events up to the end of its answer.
async fn exchange(content: &str, conversation: &mut Conversation, terminal: &Terminal) -> Result<Ending> {
    let answer = wait::response(conversation.send(content), terminal).await?;
    let mut cancels = 0;
    let ended = loop {
        tokio::select! {
            biased;
            update = next_update(conversation) => print(update)?,
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

fn print(update: Update) -> Result<()> {
    match update {
        Update::Event(event) => write(&to_value(event)?)?,
        Update::State(state, error) => {
            let state = format!("{state:?}").to_lowercase();
            let error = error.map(|error| json!({"code": error.code(), "message": error.to_string()}));
            write(&json!({"event": "state", "state": state, "error": error}))?;
        }
        Update::Retry { error, after } => {
            let (code, seconds) = (error.code(), after.as_secs_f64());
            write(&json!({"event": "retry", "code": code, "after_seconds": seconds}))?;
        }
        _ => {}
    }
    Ok(())
}

fn write(event: &Value) -> io::Result<()> {
    let mut stdout = stdout().lock();
    writeln!(stdout, "{event}")?;
    stdout.flush()
}
