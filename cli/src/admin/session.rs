//! An operator's session: the tables and sockets of a stack, for one command.

use std::process::ExitCode;

use anyhow::{Error, Result};
use aws_sdk_apigatewaymanagement::Client as ManagementClient;
use serde_json::json;
use shared::{
    domain::{tenant::TenantRecord, time::Timestamp},
    runtime::aws,
    storage::{
        BudgetRepository, BudgetStatus, ChatRepository, ConnectionRepository, IdempotencyRepository, MessageRepository,
        TenantIndex, TenantRepository, UsageRepository, UserRepository,
    },
};

use super::{
    deployment::{Deployment, DeploymentOptions},
    explain::explain,
    failure::PartialFailure,
};
use crate::{async_runtime, terminal::Terminal};

/// The tables and sockets of a stack.
#[derive(Debug)]
pub(super) struct AdminSession {
    pub(super) terminal: Terminal,
    pub(super) tenants: TenantRepository,
    pub(super) budgets: BudgetRepository,
    pub(super) usage: UsageRepository,
    pub(super) chats: ChatRepository,
    pub(super) messages: MessageRepository,
    pub(super) users: UserRepository,
    pub(super) idempotency: IdempotencyRepository,
    pub(super) tenant_index: TenantIndex,
    pub(super) connections: ConnectionRepository,
    pub(super) management: ManagementClient,
    pub(super) deployment: Deployment,
}

/// What a tenant uses now.
#[derive(Clone, Copy, Debug)]
pub(super) struct CurrentUse {
    /// How many connections are open.
    pub(super) connections: usize,
    /// How many generations run, with the tenant's own limits of them.
    pub(super) budget: BudgetStatus,
}

/// Runs a command in a session, and prints its failure.
pub(super) fn run(options: &DeploymentOptions, command: impl AsyncFnOnce(&AdminSession) -> Result<()>) -> ExitCode {
    let terminal = Terminal::new(options.json);
    let work = async {
        let admin = Box::pin(AdminSession::open(options, terminal.clone())).await?;
        Box::pin(command(&admin)).await.map_err(|error| admin.explain(error))
    };
    match async_runtime::block_on(work) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let PartialFailure { done: mut event, error } = PartialFailure::from(error);
            let message = format!("{error:#}");
            terminal.failure(&message);
            event["error"] = json!({"message": message});
            terminal.event(&event);
            ExitCode::FAILURE
        }
    }
}

impl AdminSession {
    async fn open(options: &DeploymentOptions, terminal: Terminal) -> Result<Self> {
        let (config, deployment) = options.find().await?;
        let dynamodb = aws::dynamodb(&config);
        Ok(Self {
            terminal,
            tenants: TenantRepository::new(dynamodb.clone(), deployment.tenants.clone()),
            budgets: BudgetRepository::new(dynamodb.clone(), deployment.chats.clone()),
            usage: UsageRepository::new(dynamodb.clone(), deployment.chats.clone()),
            chats: ChatRepository::new(dynamodb.clone(), deployment.chats.clone()),
            messages: MessageRepository::new(dynamodb.clone(), deployment.chats.clone()),
            users: UserRepository::new(dynamodb.clone(), deployment.chats.clone()),
            idempotency: IdempotencyRepository::new(dynamodb.clone(), deployment.chats.clone()),
            tenant_index: TenantIndex::new(dynamodb.clone(), deployment.chats.clone()),
            connections: ConnectionRepository::new(dynamodb, deployment.connections.clone()),
            management: aws::management_api(&config, deployment.management.clone()),
            deployment,
        })
    }

    /// What a tenant uses now.
    pub(super) async fn current_use(&self, tenant: &TenantRecord) -> Result<CurrentUse> {
        let id = &tenant.tenant_id;
        let (slots, budget) =
            tokio::join!(self.connections.slots().list(id), self.budgets.status(id, Timestamp::now()));
        Ok(CurrentUse { connections: slots?.len(), budget: budget? })
    }

    /// Adds to an error what the operator can do about it.
    pub(super) fn explain(&self, error: Error) -> Error {
        explain(error, &self.deployment)
    }
}
