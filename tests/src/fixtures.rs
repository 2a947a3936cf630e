//! Tables of one test in the stack's DynamoDB. Maintenance of these tables may run at any chosen time and finds nothing of
//! other tests.

use std::{collections::BTreeSet, time::Duration};

use aws_sdk_dynamodb::{
    Client,
    types::{AttributeValue, BillingMode, GlobalSecondaryIndex},
};
use shared::{
    domain::{
        api_key::{ApiKey, KeyHash},
        chat::{ChatConfig, NewChat},
        connection::{Connection, ConnectionGrant},
        generation::{GenerationRequest, Outcome},
        id::{ChatId, ConnectionId, MessageId, TenantId, UserId},
        limits::Limits,
        message::{FinishReason, Status, Usage},
        tenant::NewTenant,
        time::Timestamp,
    },
    generation::ChatConnections,
    maintenance::{Maintenance, Report, StopTime},
    storage::{
        AppendResult, ChatPosition, ChatRepository, ConnectionRepository, CreateResult, Exchange, FinishResult,
        GenerationRepository, MessageRepository, NewMessage, TenantRepository, UsageRepository, UserRepository,
    },
    websocket::Publisher,
};

use crate::{ManagementStub, SocketBehavior, Stack, management_client, take_slot};

const TABLES: [&str; 3] = ["TenantsTable", "ChatsTable", "ConnectionsTable"];

/// Tables of one test, with `@connections`.
#[derive(Debug)]
pub struct TableFixture {
    client: Client,
    prefix: String,
    /// The sockets.
    pub management: ManagementStub,
}

/// A tenant in these tables.
#[derive(Clone, Debug)]
pub struct TenantFixture {
    /// Its id.
    pub id: TenantId,
    /// The hash of its key.
    pub key: KeyHash,
}

/// A message of a user, and the generation that answers it.
#[must_use]
pub const fn new_message(content: &str) -> NewMessage<'_> {
    let generation = GenerationRequest { model: "echo", input_tokens: 0, reservation: None };
    NewMessage { content, client_id: None, generation }
}

impl TableFixture {
    /// Creates tables like those of the stack, and these open sockets.
    pub async fn with_sockets(sockets: &[&str]) -> Self {
        let client = Stack::shared().dynamodb();
        let prefix = MessageId::generate().to_string();
        for table in TABLES {
            copy_table(&client, table, &format!("{prefix}-{table}")).await;
        }
        let sockets: Vec<_> = sockets.iter().map(|id| ((*id).to_owned(), SocketBehavior::accepts_in(0))).collect();
        Self { client, prefix, management: ManagementStub::start(&sockets).await }
    }

    /// Creates tables without open sockets.
    pub async fn new() -> Self {
        Self::with_sockets(&[]).await
    }

    /// Maintenance of these tables, through a proxy if its address is given.
    #[must_use]
    pub fn maintenance(&self, proxy: Option<&str>) -> Maintenance {
        let client = match proxy {
            None => self.client.clone(),
            Some(url) => Client::from_conf(self.client.config().to_builder().endpoint_url(url).build()),
        };
        let publisher = Publisher::new(management_client(&self.management.url));
        Maintenance {
            tenants: TenantRepository::new(client.clone(), self.table("TenantsTable")),
            chats: ChatRepository::new(client.clone(), self.table("ChatsTable")),
            generations: GenerationRepository::new(client.clone(), self.table("ChatsTable")),
            sockets: ChatConnections {
                connections: ConnectionRepository::new(client, self.table("ConnectionsTable")),
                publisher,
            },
        }
    }

    /// Runs maintenance to its end; it must not fail.
    pub async fn maintain(&self, now: Timestamp) -> Report {
        let (report, result) =
            self.maintenance(None).run(now, StopTime::within(Duration::from_secs(600)), "test").await;
        result.expect("DynamoDB responds");
        assert_eq!((report.failures, report.incomplete), (0, false), "{report:?}");
        report
    }

    /// The tenants table.
    #[must_use]
    pub fn tenants(&self) -> TenantRepository {
        self.maintenance(None).tenants
    }

    /// The chats table.
    #[must_use]
    pub fn chats(&self) -> ChatRepository {
        self.maintenance(None).chats
    }

    /// The messages of the chats table.
    #[must_use]
    pub fn messages(&self) -> MessageRepository {
        MessageRepository::new(self.client.clone(), self.table("ChatsTable"))
    }

    /// The generations of the chats table.
    #[must_use]
    pub fn generations(&self) -> GenerationRepository {
        self.maintenance(None).generations
    }

    /// The usage in the chats table.
    #[must_use]
    pub fn usage(&self) -> UsageRepository {
        UsageRepository::new(self.client.clone(), self.table("ChatsTable"))
    }

    /// The users of the chats table.
    #[must_use]
    pub fn users(&self) -> UserRepository {
        UserRepository::new(self.client.clone(), self.table("ChatsTable"))
    }

    /// The connections table.
    #[must_use]
    pub fn connections(&self) -> ConnectionRepository {
        self.maintenance(None).sockets.connections
    }

    /// Creates a tenant.
    pub async fn tenant(&self) -> TenantFixture {
        let key = ApiKey::new(&format!("key-{}", MessageId::generate())).hash();
        let new = NewTenant { name: "Fixture", key: &key, limits: Limits::default(), defaults: ChatConfig::default() };
        let id =
            self.tenants().create(new, Timestamp::now()).await.expect("DynamoDB responds").expect("the key is new");
        TenantFixture { id, key }
    }

    /// Creates a chat.
    pub async fn chat(&self, tenant: &TenantFixture, user: &str, at: Timestamp) -> ChatId {
        let new = NewChat {
            user_id: user_id(user),
            title: None,
            metadata: Default::default(),
            config: ChatConfig::default(),
        };
        match self.chats().create(&tenant.id, new, None, at).await.expect("DynamoDB responds") {
            CreateResult::Created(chat) => chat.chat_id,
            other => panic!("not created: {other:?}"),
        }
    }

    /// Stores a message, whose generation is running from then on.
    pub async fn append(&self, tenant: &TenantFixture, chat: &ChatId, at: Timestamp) -> Box<Exchange> {
        match self.try_append(tenant, chat, at).await {
            AppendResult::Stored(exchange) => exchange,
            other => panic!("not stored: {other:?}"),
        }
    }

    /// Tries to store a message.
    pub async fn try_append(&self, tenant: &TenantFixture, chat: &ChatId, at: Timestamp) -> AppendResult {
        let new = new_message("Hello");
        self.messages().append(&tenant.id, chat, ChatPosition::default(), new, at).await.expect("DynamoDB responds")
    }

    /// Completes a generation.
    pub async fn complete(&self, tenant: &TenantFixture, chat: &ChatId, exchange: &Exchange, at: Timestamp) {
        let lease = self.generations().lease(&tenant.id, chat, &exchange.generation);
        let outcome = Outcome {
            content: "Hello to you".to_owned(),
            status: Status::Complete,
            finish_reason: FinishReason::Stop,
            usage: Usage::default(),
            first_token_ms: None,
        };
        assert_eq!(lease.finish(&outcome, at).await.expect("DynamoDB responds"), FinishResult::Stored);
        let removed = lease.remove_record(outcome.usage, at).await.expect("DynamoDB responds");
        lease.count_usage(&removed.expect("the generation runs")).await.expect("DynamoDB responds");
    }

    /// Stores a message and its complete answer.
    pub async fn exchange(&self, tenant: &TenantFixture, chat: &ChatId, at: Timestamp) {
        let exchange = self.append(tenant, chat, at).await;
        self.complete(tenant, chat, &exchange, at).await;
    }

    /// Stores an open connection with its slot.
    pub async fn connection(&self, tenant: &TenantFixture, chat: &ChatId, id: &str, at: Timestamp) -> Connection {
        let grant = ConnectionGrant {
            tenant_id: tenant.id.clone(),
            key: tenant.key.clone(),
            user_id: user_id("u"),
            chat_id: chat.clone(),
        };
        let mut connection = Connection::open(ConnectionId::from_gateway(id), grant, at);
        connection.established = true;
        assert!(take_slot(&self.connections(), &connection, 50).await);
        self.connections().put(&connection).await.expect("DynamoDB responds");
        connection
    }

    /// All keys of a table.
    pub async fn keys(&self, table: &str) -> BTreeSet<String> {
        let items = self.client.scan().table_name(self.table(table)).into_paginator().items().send();
        let items: Vec<_> = items.try_collect().await.expect("DynamoDB responds");
        let text =
            |value: Option<&AttributeValue>| value.and_then(|value| value.as_s().ok().cloned()).unwrap_or_default();
        items.iter().map(|item| format!("{} {}", text(item.get("pk")), text(item.get("sk")))).collect()
    }

    /// The keys of all items in a maintenance queue.
    pub async fn queued(&self, table: &str) -> BTreeSet<String> {
        let items = self
            .client
            .scan()
            .table_name(self.table(table))
            .index_name("by_maintenance")
            .into_paginator()
            .items()
            .send();
        let items: Vec<_> = items.try_collect().await.expect("DynamoDB responds");
        items.iter().map(|item| item["pk"].as_s().expect("a text").clone()).collect()
    }

    /// Corrupts an attribute, so that its item cannot be read.
    pub async fn corrupt(&self, table: &str, pk: &str, sk: &str, attribute: &str) {
        let update = self.client.update_item().table_name(self.table(table));
        let update = update.key("pk", AttributeValue::S(pk.to_owned())).key("sk", AttributeValue::S(sk.to_owned()));
        let update =
            update.update_expression("SET #attribute = :bad").expression_attribute_names("#attribute", attribute);
        update.expression_attribute_values(":bad", AttributeValue::Bool(true)).send().await.expect("DynamoDB responds");
    }

    fn table(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }
}

fn user_id(user: &str) -> UserId {
    UserId::parse(user).expect("a user")
}

async fn copy_table(client: &Client, from: &str, to: &str) {
    let described = client.describe_table().table_name(from).send().await.expect("the table exists");
    let table = described.table.expect("a description");
    let indexes = table.global_secondary_indexes.unwrap_or_default().into_iter().map(|index| {
        GlobalSecondaryIndex::builder()
            .set_index_name(index.index_name)
            .set_key_schema(index.key_schema)
            .set_projection(index.projection)
            .build()
            .expect("an index")
    });
    client
        .create_table()
        .table_name(to)
        .set_attribute_definitions(table.attribute_definitions)
        .set_key_schema(table.key_schema)
        .set_global_secondary_indexes(Some(indexes.collect()))
        .billing_mode(BillingMode::PayPerRequest)
        .send()
        .await
        .expect("the table is created");
}
