//! The commands of the prompt.

/// What a line of the prompt asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Input {
    Nothing,
    Message(String),
    New,
    /// Lists the chats, or opens the one with this number.
    Chats(Option<usize>),
    History,
    Regenerate,
    /// Shows the model, or changes it.
    Model(Option<String>),
    Help,
    Quit,
    /// Not a command.
    Unknown(String),
}

/// Each command with its arguments, and what it does.
pub(super) const COMMANDS: [(&str, &str, &str); 7] = [
    ("/new", "", "start another chat"),
    ("/chats", "[NUMBER]", "list your chats, or open the one with this number"),
    ("/history", "", "show the messages of this chat"),
    ("/regenerate", "", "ask for another answer in the place of the last one"),
    ("/model", "[NAME]", "show or change the model of this chat"),
    ("/help", "", "show this list"),
    ("/quit", "", "leave; so does Ctrl-D"),
];

/// Reads a line. A message that begins with a slash is written with two.
pub(super) fn parse(line: &str) -> Input {
    let line = line.trim();
    if let Some(text) = line.strip_prefix("//") {
        return Input::Message(format!("/{text}"));
    }
    // A pasted text of several lines is a message.
    if !line.starts_with('/') || line.contains('\n') {
        return if line.is_empty() { Input::Nothing } else { Input::Message(line.to_owned()) };
    }
    let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let argument = Some(argument.trim()).filter(|argument| !argument.is_empty());
    match (name, argument) {
        ("/new", None) => Input::New,
        ("/chats", None) => Input::Chats(None),
        ("/chats", Some(number)) => match number.parse() {
            Ok(number) => Input::Chats(Some(number)),
            Err(_) => Input::Unknown(line.to_owned()),
        },
        ("/history", None) => Input::History,
        ("/regenerate", None) => Input::Regenerate,
        ("/model", name) => Input::Model(name.map(str::to_owned)),
        ("/help", None) => Input::Help,
        ("/quit", None) => Input::Quit,
        _ => Input::Unknown(line.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_messages_or_commands() {
        let message = |text: &str| Input::Message(text.to_owned());
        let unknown = |text: &str| Input::Unknown(text.to_owned());
        for (line, input) in [
            ("  ", Input::Nothing),
            (" Hello /new ", message("Hello /new")),
            ("//etc/hosts is a file", message("/etc/hosts is a file")),
            ("/new", Input::New),
            ("/chats", Input::Chats(None)),
            ("/chats  2", Input::Chats(Some(2))),
            ("/chats two", unknown("/chats two")),
            ("/model", Input::Model(None)),
            ("/model echo@20", Input::Model(Some("echo@20".to_owned()))),
            ("/model\necho@20", message("/model\necho@20")),
            ("/etc/hosts", unknown("/etc/hosts")),
            ("/quit now", unknown("/quit now")),
        ] {
            assert_eq!(parse(line), input, "{line}");
        }
    }

    #[test]
    fn every_listed_command_is_one() {
        for (name, _, _) in COMMANDS {
            assert!(!matches!(parse(name), Input::Unknown(_)), "{name}");
        }
    }
}
