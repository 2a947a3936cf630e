//! Models of Amazon Bedrock, through `ConverseStream`, which is the same for all models.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html>

use std::error::Error as StdError;

use aws_sdk_bedrockruntime::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::converse_stream::builders::ConverseStreamFluentBuilder,
    primitives::event_stream::EventReceiver,
    types::{
        ContentBlock, ContentBlockDelta, ConversationRole, ConverseStreamOutput, InferenceConfiguration, Message,
        StopReason, SystemContentBlock, TokenUsage, error::ConverseStreamOutputError,
    },
};
use futures_util::{StreamExt, stream};

use super::{
    agent::{Agent, Delta, Deltas},
    conversation::{Conversation, Turn},
    error::{AgentError, Failure},
    retry,
};
use crate::domain::{
    chat::{ChatConfig, ModelName},
    message::{FinishReason, Role, Usage},
};

/// A model of Amazon Bedrock.
#[derive(Clone, Debug)]
pub struct Bedrock {
    client: Client,
    /// The model of chats that name none: the id of a model or of an inference profile.
    model: Option<ModelName>,
}

impl Bedrock {
    /// An agent that calls `client`, with `model` for chats that name none.
    #[must_use]
    pub fn new(client: Client, model: Option<ModelName>) -> Self {
        Self { client, model }
    }

    fn request(&self, conversation: Conversation) -> Result<ConverseStreamFluentBuilder, Failure> {
        let config = conversation.config.clone();
        let model = config.model.as_ref().or(self.model.as_ref()).ok_or(Failure::Rejected)?;
        let messages: Result<Vec<Message>, _> = conversation.alternating().into_iter().map(message).collect();
        let system = config.system_prompt.as_ref().filter(|prompt| !prompt.as_str().is_empty());
        let system = system.map(|prompt| vec![SystemContentBlock::Text(prompt.as_str().to_owned())]);
        let inference = InferenceConfiguration::builder()
            .set_max_tokens(config.max_tokens.and_then(|max| i32::try_from(max.get()).ok()))
            .set_temperature(config.temperature.map(|temperature| temperature.get() as f32))
            .build();
        Ok(self
            .client
            .converse_stream()
            .model_id(model.as_str())
            .set_messages(Some(messages?))
            .set_system(system)
            .inference_config(inference))
    }
}

impl Agent for Bedrock {
    fn model(&self, config: &ChatConfig) -> String {
        let model = config.model.as_ref().or(self.model.as_ref());
        model.map_or_else(|| "bedrock".to_owned(), |model| model.as_str().to_owned())
    }

    fn respond(&self, conversation: Conversation) -> Deltas {
        let request = self.request(conversation);
        retry::until_first_token(move || {
            let request = request.clone();
            async move {
                let output = request?.send().await.map_err(|error| agent_error(error, ProvideErrorMetadata::code))?;
                Ok(read(output.stream))
            }
        })
    }
}

fn message(turn: Turn) -> Result<Message, Failure> {
    let role = match turn.role {
        Role::User => ConversationRole::User,
        Role::Assistant => ConversationRole::Assistant,
    };
    Message::builder().role(role).content(ContentBlock::Text(turn.content)).build().map_err(|_| Failure::Rejected)
}

fn read(events: EventReceiver<ConverseStreamOutput, ConverseStreamOutputError>) -> Deltas {
    stream::unfold(Some(events), async |events| {
        let mut events = events?;
        match events.recv().await {
            Ok(None) => None,
            Ok(Some(event)) => Some((delta(event), Some(events))),
            Err(error) => Some((Err(agent_error(error, exception_name)), None)),
        }
    })
    .boxed()
}

/// The delta of an event; empty for events that carry no text.
fn delta(event: ConverseStreamOutput) -> Result<Delta, AgentError> {
    let empty = Delta::default();
    Ok(match event {
        ConverseStreamOutput::ContentBlockDelta(event) => match event.delta {
            Some(ContentBlockDelta::Text(content)) => Delta { content, ..empty },
            _ => empty,
        },
        ConverseStreamOutput::MessageStop(event) => {
            Delta { finish_reason: Some(finish_reason(&event.stop_reason)?), ..empty }
        }
        ConverseStreamOutput::Metadata(event) => Delta { usage: event.usage.as_ref().map(usage), ..empty },
        _ => empty,
    })
}

fn finish_reason(reason: &StopReason) -> Result<FinishReason, AgentError> {
    match reason {
        StopReason::MaxTokens | StopReason::ModelContextWindowExceeded => Ok(FinishReason::Length),
        StopReason::ContentFiltered | StopReason::GuardrailIntervened => {
            Err(AgentError::new(Failure::Refused, format!("stop reason {}", reason.as_str())))
        }
        StopReason::MalformedModelOutput | StopReason::MalformedToolUse => {
            Err(AgentError::new(Failure::BrokenOff, format!("stop reason {}", reason.as_str())))
        }
        _ => Ok(FinishReason::Stop),
    }
}

fn usage(usage: &TokenUsage) -> Usage {
    let tokens = |count: i32| u32::try_from(count).unwrap_or_default();
    Usage::reported(tokens(usage.input_tokens), tokens(usage.output_tokens))
}

/// The name of an exception in the middle of a stream; the SDK does not provide it there.
fn exception_name(error: &ConverseStreamOutputError) -> Option<&str> {
    match error {
        ConverseStreamOutputError::InternalServerException(_) => Some("InternalServerException"),
        ConverseStreamOutputError::ModelStreamErrorException(_) => Some("ModelStreamErrorException"),
        ConverseStreamOutputError::ServiceUnavailableException(_) => Some("ServiceUnavailableException"),
        ConverseStreamOutputError::ThrottlingException(_) => Some("ThrottlingException"),
        ConverseStreamOutputError::ValidationException(_) => Some("ValidationException"),
        _ => error.code(),
    }
}

fn agent_error<E, R>(error: SdkError<E, R>, name: impl Fn(&E) -> Option<&str>) -> AgentError
where
    E: StdError + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    match &error {
        // Only the name: the message beside it may quote the conversation.
        SdkError::ServiceError(service) => {
            let code = name(service.err()).unwrap_or("no name").to_owned();
            AgentError::new(failure_by_code(&code), code)
        }
        SdkError::DispatchFailure(dispatch) if !dispatch.is_io() && !dispatch.is_timeout() => {
            // No credentials, or no region.
            AgentError::new(Failure::Denied, error)
        }
        SdkError::ConstructionFailure(_) => AgentError::new(Failure::Rejected, error),
        SdkError::ResponseError(_) => AgentError::new(Failure::BrokenOff, error),
        _ => AgentError::new(Failure::Unavailable, error),
    }
}

fn failure_by_code(code: &str) -> Failure {
    match code {
        "ThrottlingException" | "ServiceUnavailableException" | "ModelNotReadyException" => Failure::Overloaded,
        "ModelTimeoutException" => Failure::TimedOut,
        "ModelStreamErrorException" => Failure::BrokenOff,
        "ValidationException" | "ResourceNotFoundException" => Failure::Rejected,
        "AccessDeniedException"
        | "UnrecognizedClientException"
        | "ExpiredTokenException"
        | "InvalidSignatureException"
        | "ServiceQuotaExceededException" => Failure::Denied,
        _ => Failure::Unavailable,
    }
}
