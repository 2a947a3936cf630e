//! The query of a handshake that has no ticket.

use shared::domain::{
    error::ApiError,
    id::{ChatId, UserId},
    input::{Field, Fields, Value},
};

/// Reads the user and the chat.
///
/// # Errors
///
/// `MISSING_PARAMETER`, `INVALID_PARAMETER`, `UNKNOWN_FIELD`, and `CHAT_NOT_FOUND` for a text that is no chat id.
pub(crate) fn user_and_chat(mut query: Fields) -> Result<(UserId, ChatId), ApiError> {
    let user_id = query.required("user_id")?;
    let ChatText(text) = query.required("chat_id")?;
    query.optional::<ReadElsewhere>("api_key")?;
    query.finish()?;
    let chat_id = ChatId::parse(&text).ok_or_else(|| ApiError::chat_not_found(&text))?;
    Ok((user_id, chat_id))
}

/// A parameter that is known, and read elsewhere.
struct ReadElsewhere;

impl Field for ReadElsewhere {
    const ALLOWED: &'static str = "a text";

    fn read(_: &Value) -> Option<Self> {
        Some(Self)
    }
}

/// Any text: a text that is no chat id names a chat that does not exist.
struct ChatText(String);

impl Field for ChatText {
    const ALLOWED: &'static str = "the id of a chat, chat_…";

    fn read(value: &Value) -> Option<Self> {
        value.as_str().filter(|text| !text.is_empty()).map(|text| Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use shared::domain::error::Code;

    use super::*;

    fn refused(pairs: &[(&str, &str)]) -> Code {
        user_and_chat(Fields::from_pairs(pairs.iter().copied())).expect_err("a refusal").code()
    }

    #[test]
    fn user_and_chat_are_read_beside_the_key() {
        let chat = ChatId::generate();
        let query = [("user_id", "u"), ("chat_id", chat.as_str()), ("api_key", "secret")];
        let (user_id, chat_id) = user_and_chat(Fields::from_pairs(query)).expect("a query");
        assert_eq!((user_id.as_str(), chat_id), ("u", chat));
    }

    #[test]
    fn missing_parameters_are_refused() {
        assert_eq!(refused(&[("chat_id", "chat_1")]), Code::MissingParameter);
        assert_eq!(refused(&[("user_id", "u")]), Code::MissingParameter);
        assert_eq!(refused(&[("user_id", "u"), ("chat_id", "")]), Code::InvalidParameter);
    }

    #[test]
    fn parameters_that_are_sent_twice_are_refused() {
        assert_eq!(refused(&[("user_id", "u"), ("user_id", "v"), ("chat_id", "chat_1")]), Code::InvalidParameter);
    }

    #[test]
    fn unknown_parameter_is_refused_before_the_chat_is_read() {
        assert_eq!(refused(&[("user_id", "u"), ("chat_id", "nonsense"), ("colour", "red")]), Code::UnknownField);
    }

    #[test]
    fn text_that_is_no_chat_id_is_a_chat_that_does_not_exist() {
        assert_eq!(refused(&[("user_id", "u"), ("chat_id", "nonsense")]), Code::ChatNotFound);
    }
}
