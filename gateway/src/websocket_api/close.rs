//! Why a connection closes: close code, reason, and who initiates it.

use tokio_tungstenite::tungstenite::{
    Error,
    error::ProtocolError,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

/// `$disconnect` gets the code as `disconnectStatusCode` and the reason as `disconnectReason`.
pub(super) struct Close {
    pub(super) code: u16,
    pub(super) reason: String,
    pub(super) initiator: Initiator,
}

#[derive(PartialEq, Eq)]
pub(super) enum Initiator {
    Client,
    Gateway,
    /// The client is sending a frame that the gateway does not read to its end.
    GatewayMidFrame,
}

impl Close {
    pub(super) fn gateway(code: CloseCode, reason: &str) -> Self {
        Self { code: code.into(), reason: reason.to_owned(), initiator: Initiator::Gateway }
    }

    pub(super) fn normal() -> Self {
        Self::gateway(CloseCode::Normal, "Connection Closed Normally")
    }

    pub(super) fn going_away() -> Self {
        Self::gateway(CloseCode::Away, "Going away")
    }

    /// The client's close frame.
    pub(super) fn client(frame: Option<CloseFrame>) -> Self {
        let (code, reason) = match frame {
            Some(frame) if !frame.reason.is_empty() => (frame.code, frame.reason.to_string()),
            Some(frame) if frame.code == CloseCode::Away => (frame.code, "Going away".to_owned()),
            Some(frame) => (frame.code, "Connection Closed Normally".to_owned()),
            None => (CloseCode::Status, "Client-side close frame status not set".to_owned()),
        };
        Self { code: code.into(), reason, initiator: Initiator::Client }
    }

    /// The connection ended without a close frame.
    pub(super) fn abnormal() -> Self {
        let reason = "Connection closed abnormally".to_owned();
        Self { code: CloseCode::Abnormal.into(), reason, initiator: Initiator::Client }
    }

    pub(super) fn error(error: &Error) -> Self {
        match error {
            Error::Capacity(_) => Self {
                initiator: Initiator::GatewayMidFrame,
                ..Self::gateway(CloseCode::Size, "Message or frame too large")
            },
            Error::Utf8(_) => Self::gateway(CloseCode::Invalid, "Text is not UTF-8"),
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) | Error::Io(_) => Self::abnormal(),
            _ => Self::gateway(CloseCode::Protocol, "Protocol error"),
        }
    }
}
