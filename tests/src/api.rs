//! A stack as clients and operators see it, local or deployed: two addresses and the command line.

use std::{env, process::Command, sync::OnceLock};

use reqwest::StatusCode;
use serde_json::Value;
use shared::domain::limits::Limits;

use crate::{Options, Stack, Tenant, unreached_limits};

/// A tenant as an operator sees it: its id is text.
pub type Customer = Tenant<String>;

/// A stack, known by its addresses.
#[derive(Debug)]
pub struct Api {
    rest_url: String,
    websocket_url: String,
    /// The arguments with which `chat` finds the stack.
    location: Vec<String>,
    /// Further environment variables of `chat`.
    variables: Vec<(String, String)>,
    /// The status of every refused handshake, where the gateway knows only one.
    refusal: Option<StatusCode>,
}

impl Api {
    /// The deployed stack that the environment names, or else the shared stack of this process.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Api> = OnceLock::new();
        SHARED.get_or_init(|| if env::var_os("API_URL").is_some() { Self::deployed() } else { Self::local() })
    }

    fn local() -> Self {
        let stack = Stack::shared();
        let location = ["--dynamodb-endpoint", stack.dynamodb_endpoint(), "--management-endpoint", stack.rest_url()];
        Self {
            rest_url: stack.rest_url().to_owned(),
            websocket_url: stack.websocket_url().to_owned(),
            location: location.map(str::to_owned).to_vec(),
            variables: Vec::new(),
            refusal: None,
        }
    }

    /// A stack on AWS or an emulator; the SDK finds credentials, region and endpoint.
    fn deployed() -> Self {
        let variable = |name| env::var(name).unwrap_or_else(|_| panic!("API_URL requires {name}"));
        let mut api = Self::of_stack(&variable("STACK"), &variable("API_URL"), &variable("WS_URL"), &[]);
        api.refusal = env::var("REFUSAL").ok().map(|status| status.parse().expect("REFUSAL must be a status"));
        api
    }

    /// The CloudFormation stack with this name and these addresses. `variables` tell the SDK where it is.
    #[must_use]
    pub fn of_stack(name: &str, rest_url: &str, websocket_url: &str, variables: &[(&str, &str)]) -> Self {
        let Options { workspace, target, .. } = Options::binaries();
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--bin", "chat"]).current_dir(workspace).env("CARGO_TARGET_DIR", target);
        assert!(build.status().is_ok_and(|status| status.success()), "the command line builds");
        let mut location = vec!["--stack".to_owned(), name.to_owned()];
        // On AWS the command line finds it by itself.
        if let Some(address) = websocket_url.strip_prefix("ws://") {
            location.extend(["--management-endpoint".to_owned(), format!("http://{address}")]);
        }
        Self {
            rest_url: rest_url.to_owned(),
            websocket_url: websocket_url.to_owned(),
            location,
            variables: variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            refusal: None,
        }
    }

    /// The address of the REST API, without a slash at its end.
    #[must_use]
    pub fn rest_url(&self) -> &str {
        &self.rest_url
    }

    /// The address of the WebSocket API, without a query.
    #[must_use]
    pub fn websocket_url(&self) -> &str {
        &self.websocket_url
    }

    /// The status of a refused handshake instead of `expected`: an emulator may know only one.
    #[must_use]
    pub fn refusal(&self, expected: StatusCode) -> StatusCode {
        self.refusal.unwrap_or(expected)
    }

    /// Creates a tenant with its own key and limits that no unrelated test reaches.
    pub async fn tenant(&self, name: &str) -> Customer {
        self.tenant_with(name, unreached_limits()).await
    }

    /// Creates a tenant with its own key.
    pub async fn tenant_with(&self, name: &str, limits: Limits) -> Customer {
        let options = [
            ("--rest-per-minute", Some(limits.rest_per_minute)),
            ("--tickets-per-minute", Some(limits.tickets_per_minute)),
            ("--connections", Some(limits.connections)),
            ("--connects-per-minute", limits.connects_per_minute),
            ("--connections-per-chat", limits.connections_per_chat),
        ];
        let options = options.into_iter().filter_map(|(option, limit)| Some([option.to_owned(), limit?.to_string()]));
        let options: Vec<String> = options.flatten().collect();
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let created = self.chat(&[&["tenant", "create", name], &options[..]].concat()).await;
        let text = |name: &str| created[name].as_str().expect("the output has it").to_owned();
        Tenant::new(&self.rest_url, &self.websocket_url, text("tenant_id"), text("api_key"))
    }

    /// Runs `chat` on the stack; returns its JSON output.
    pub async fn chat(&self, arguments: &[&str]) -> Value {
        let output = tokio::process::Command::new(Options::binaries().target.join("debug/chat"))
            .args(arguments)
            .args(&self.location)
            .arg("--json")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .output()
            .await
            .expect("the command line runs");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }
}
