//! The agents of the local stack.

/// The agents that run without AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Agent {
    /// Repeats the message; needs nothing
    Echo,
    /// A model behind an OpenAI-compatible endpoint
    #[value(name = "openai")]
    OpenAi,
    /// A small real model on this machine, fetched once (127 MB)
    LocalLlm,
}

impl Agent {
    /// Its name in the functions.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::OpenAi | Self::LocalLlm => "openai",
        }
    }
}
