//! Starts the right form of a conversation.

use std::{
    io::{IsTerminal, stdin, stdout},
    process::ExitCode,
};

use anyhow::Error;
use chat_api_client::{ChatError, Code};
use serde_json::{Value, json};

use super::{conversation::Conversation, events, options::Options, pipe, terminal_chat, wait};
use crate::{async_runtime::block_on, terminal::Terminal};

/// The exit code of a program that Ctrl-C ended: 128 and the number of SIGINT.
const INTERRUPTED: u8 = 130;

/// How a conversation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Left,
    Failed,
    Interrupted,
}

/// Runs the command.
pub(crate) fn run(options: Options) -> ExitCode {
    let is_terminal = stdin().is_terminal() && stdout().is_terminal();
    // In a pipe, stdout has the text of the answer alone.
    let terminal = Terminal::new(options.json || !is_terminal);
    let is_json = options.json;
    let work = async {
        let mut conversation = Conversation::new(options.api()?, &options.user, options.model.clone());
        if let Some(chat) = &options.chat {
            wait::response(conversation.open(chat), &terminal).await?;
        }
        if options.json {
            events::run(&mut conversation, &terminal).await
        } else if is_terminal {
            terminal_chat::run(&mut conversation, options.url(), &terminal).await
        } else {
            pipe::run(&mut conversation, &terminal).await
        }
    };
    match block_on(work) {
        Ok(Ending::Left) => ExitCode::SUCCESS,
        Ok(Ending::Failed) => ExitCode::FAILURE,
        Ok(Ending::Interrupted) => ExitCode::from(INTERRUPTED),
        Err(error) => {
            terminal.failure(explain(&error));
            if is_json {
                terminal.event(&failure(&error));
            }
            ExitCode::FAILURE
        }
    }
}

/// An error for programs.
pub(super) fn failure(error: &Error) -> Value {
    let code = error.downcast_ref::<ChatError>().map(ChatError::code);
    json!({"event": "failed", "code": code, "message": format!("{error:#}")})
}

/// An error with what a person at a terminal can do about it.
pub(super) fn explain(error: &Error) -> String {
    let Some(error) = error.downcast_ref::<ChatError>() else { return format!("{error:#}") };
    let suggestion = match error.code() {
        Code::ChatNotFound => "/chats lists yours; without CHAT, your first message starts one.",
        Code::MissingApiKey | Code::InvalidApiKey => "Set CHAT_API_KEY to a key of your tenant.",
        Code::ConnectionFailed if error.to_string().contains("://localhost") => {
            "Is `cargo chat dev` running? Otherwise pass the address with --url."
        }
        _ => error.suggestion(),
    };
    format!("{error} {suggestion}").trim_end().to_owned()
}
