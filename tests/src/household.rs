//! Tables of a test's own in the stack's DynamoDB: whoever keeps house in them may be told any time of day, and meets
//! nothing of other tests.

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
        generation::Outcome,
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
        GenerationRepository, MessageRepository, NewMessage, TenantRepository, UserRepository,
    },
    websocket::Publisher,
};

use crate::{ManagementApi, Manner, Stack, management_client};

const TABLES: [&str; 3] = ["TenantsTable", "ChatsTable", "ConnectionsTable"];

/// Tables of a test's own, with a management API.
#[derive(Debug)]
pub struct Household {
    client: Client,
    prefix: String,
    /// The sockets that are open.
    pub management: ManagementApi,
}

/// A tenant of these tables.
#[derive(Clone, Debug)]
pub struct Resident {
    /// Its id.
    pub id: TenantId,
    /// The hash of its key.
    pub key: KeyHash,
}

impl Household {
    /// Makes tables like those of the stack, and a management API with these sockets.
    pub async fn with_sockets(sockets: &[&str]) -> Self {
        let client = Stack::shared().dynamodb();
        let prefix = MessageId::generate().to_string();
        for table in TABLES {
            copy_table(&client, table, &format!("{prefix}-{table}")).await;
        }
        let sockets: Vec<_> = sockets.iter().map(|id| ((*id).to_owned(), Manner::takes(0))).collect();
        Self { client, prefix, management: ManagementApi::start(&sockets).await }
    }

    /// As [`with_sockets`](Self::with_sockets), without any.
    pub async fn new() -> Self {
        Self::with_sockets(&[]).await
    }

    /// Whoever keeps house, through a proxy if an address is given.
    #[must_use]
    pub fn keeper(&self, proxy: Option<&str>) -> Maintenance {
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

    /// One run with time enough, in which nothing fails.
    pub async fn keep_house(&self, now: Timestamp) -> Report {
        let (done, result) = self.keeper(None).run(now, StopTime::within(Duration::from_secs(600)), "test").await;
        result.expect("the tables answer");
        assert_eq!((done.failures, done.incomplete), (0, false), "{done:?}");
        done
    }

    /// The tenants table.
    #[must_use]
    pub fn tenants(&self) -> TenantRepository {
        self.keeper(None).tenants
    }

    /// The chats table.
    #[must_use]
    pub fn chats(&self) -> ChatRepository {
        self.keeper(None).chats
    }

    /// The messages of the chats table.
    #[must_use]
    pub fn messages(&self) -> MessageRepository {
        MessageRepository::new(self.client.clone(), self.table("ChatsTable"))
    }

    /// The generations of the chats table.
    #[must_use]
    pub fn generations(&self) -> GenerationRepository {
        self.keeper(None).generations
    }

    /// The users of the chats table.
    #[must_use]
    pub fn users(&self) -> UserRepository {
        UserRepository::new(self.client.clone(), self.table("ChatsTable"))
    }

    /// The connections table.
    #[must_use]
    pub fn connections(&self) -> ConnectionRepository {
        self.keeper(None).sockets.connections
    }

    /// Makes a tenant.
    pub async fn tenant(&self) -> Resident {
        let key = ApiKey::new(&format!("key-{}", MessageId::generate())).hash();
        let new = NewTenant { name: "Resident", key: &key, limits: Limits::default(), defaults: ChatConfig::default() };
        let id =
            self.tenants().create(new, Timestamp::now()).await.expect("the table answers").expect("the key is new");
        Resident { id, key }
    }

    /// Makes a chat.
    pub async fn chat(&self, tenant: &Resident, user: &str, at: Timestamp) -> ChatId {
        let new = NewChat {
            user_id: user_id(user),
            title: None,
            metadata: Default::default(),
            config: ChatConfig::default(),
        };
        match self.chats().create(&tenant.id, new, None, at).await.expect("the table answers") {
            CreateResult::Created(chat) => chat.chat_id,
            other => panic!("not made: {other:?}"),
        }
    }

    /// Stores a message; its answer is being streamed from then on.
    pub async fn say(&self, tenant: &Resident, chat: &ChatId, at: Timestamp) -> Box<Exchange> {
        match self.try_to_say(tenant, chat, at).await {
            AppendResult::Stored(exchange) => exchange,
            other => panic!("not stored: {other:?}"),
        }
    }

    /// Tries to store a message.
    pub async fn try_to_say(&self, tenant: &Resident, chat: &ChatId, at: Timestamp) -> AppendResult {
        let new = NewMessage { content: "Hello", client_id: None, model: "test" };
        self.messages().append(&tenant.id, chat, ChatPosition::default(), new, at).await.expect("the table answers")
    }

    /// Ends an answer well.
    pub async fn answer(&self, tenant: &Resident, chat: &ChatId, exchange: &Exchange, at: Timestamp) {
        let lease = self.generations().lease(&tenant.id, chat, &exchange.generation);
        let outcome = Outcome {
            content: "Hello to you".to_owned(),
            status: Status::Complete,
            finish_reason: FinishReason::Stop,
            usage: Usage::default(),
            first_token_ms: None,
        };
        assert_eq!(lease.finish(&outcome, at).await.expect("the table answers"), FinishResult::Stored);
        lease.clean_up().await.expect("the table answers");
    }

    /// A message and the whole answer to it.
    pub async fn exchange(&self, tenant: &Resident, chat: &ChatId, at: Timestamp) {
        let exchange = self.say(tenant, chat, at).await;
        self.answer(tenant, chat, &exchange, at).await;
    }

    /// Notes an open socket with its lease.
    pub async fn socket(&self, tenant: &Resident, chat: &ChatId, id: &str, at: Timestamp) -> Connection {
        let grant = ConnectionGrant {
            tenant_id: tenant.id.clone(),
            key: tenant.key.clone(),
            user_id: user_id("u"),
            chat_id: chat.clone(),
        };
        let mut socket = Connection::open(ConnectionId::from_gateway(id), grant, at);
        socket.established = true;
        assert!(self.connections().slots().take(&socket, 50).await.expect("the table answers"));
        self.connections().put(&socket).await.expect("the table answers");
        socket
    }

    /// All keys in a table.
    pub async fn keys(&self, table: &str) -> BTreeSet<String> {
        let items = self.client.scan().table_name(self.table(table)).into_paginator().items().send();
        let items: Vec<_> = items.try_collect().await.expect("the table answers");
        let text =
            |value: Option<&AttributeValue>| value.and_then(|value| value.as_s().ok().cloned()).unwrap_or_default();
        items.iter().map(|item| format!("{} {}", text(item.get("pk")), text(item.get("sk")))).collect()
    }

    /// The keys of all that is on an agenda.
    pub async fn agenda(&self, table: &str) -> BTreeSet<String> {
        let items = self
            .client
            .scan()
            .table_name(self.table(table))
            .index_name("by_maintenance")
            .into_paginator()
            .items()
            .send();
        let items: Vec<_> = items.try_collect().await.expect("the table answers");
        items.iter().map(|item| item["pk"].as_s().expect("a text").clone()).collect()
    }

    /// Spoils an item: what is there cannot be read any more.
    pub async fn spoil(&self, table: &str, pk: &str, sk: &str, attribute: &str) {
        let update = self.client.update_item().table_name(self.table(table));
        let update = update.key("pk", AttributeValue::S(pk.to_owned())).key("sk", AttributeValue::S(sk.to_owned()));
        let update =
            update.update_expression("SET #attribute = :bad").expression_attribute_names("#attribute", attribute);
        update.expression_attribute_values(":bad", AttributeValue::Bool(true)).send().await.expect("the table answers");
    }

    fn table(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }
}

fn user_id(user: &str) -> UserId {
    UserId::parse(user).expect("a user")
}

async fn copy_table(client: &Client, from: &str, to: &str) {
    let described = client.describe_table().table_name(from).send().await.expect("the table is there");
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
        .expect("the table is made");
}
