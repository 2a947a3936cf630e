//! The documents and their files.

use serde_json::Value;

use super::{asyncapi, openapi};

/// A document that describes a part of the API.
#[derive(Debug, Clone, Copy)]
pub(super) enum Document {
    /// The REST API, as OpenAPI 3.1.
    OpenApi,
    /// The WebSocket API, as AsyncAPI 3.0.
    AsyncApi,
}

impl Document {
    pub(super) const ALL: [Self; 2] = [Self::OpenApi, Self::AsyncApi];

    /// The path of its file in the workspace.
    pub(super) fn file(self) -> &'static str {
        match self {
            Self::OpenApi => "docs/openapi.json",
            Self::AsyncApi => "docs/asyncapi.json",
        }
    }

    /// The document as the types describe it now.
    pub(super) fn generate(self) -> Value {
        match self {
            Self::OpenApi => openapi::document(),
            Self::AsyncApi => asyncapi::document(),
        }
    }

    /// The content of its file.
    pub(super) fn text(self) -> String {
        format!("{:#}\n", self.generate())
    }
}
