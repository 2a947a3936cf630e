//! A running stack.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, OnceLock, PoisonError, mpsc},
    time::Duration,
};

use aws_sdk_dynamodb::{
    config::{BehaviorVersion, Credentials, Region},
    types::AttributeValue,
};
use serde::Deserialize;
use serde_json::Value;
use shared::{
    domain::{
        api_key::ApiKey,
        budget::BudgetOverrides,
        chat::ChatConfig,
        connection::{Connection, ConnectionGrant},
        generation::Outcome,
        id::{ChatId, ConnectionId, UserId},
        limits::Limits,
        message::{FinishReason, Status, Usage},
        tenant::NewTenant,
        time::Timestamp,
    },
    storage::{
        AppendResult, BudgetRepository, ChatPosition, ChatRepository, ConnectionRepository, FinishResult,
        GenerationRepository, MessageRepository, TenantRepository, TicketRepository, UsageRepository, UserRepository,
    },
};

use crate::{Tenant, new_message, unreached_limits};

/// Enough to download the tools and build the functions.
const START_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// Enough to restart a function.
const EVENT_TIMEOUT: Duration = Duration::from_secs(60);

/// A running `chat dev`. It stops with this process, or when it is dropped.
#[derive(Debug)]
pub struct Stack {
    child: Mutex<Child>,
    events: Mutex<mpsc::Receiver<Value>>,
    ready: Ready,
}

/// How to start a stack.
#[derive(Clone, Debug)]
pub struct Options {
    /// The workspace.
    pub workspace: PathBuf,
    /// Where cargo builds.
    pub target: PathBuf,
    /// Further arguments of `chat dev`.
    pub arguments: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Ready {
    rest_url: String,
    websocket_url: String,
    dynamodb_endpoint: String,
    invoke_endpoint: String,
    logs: PathBuf,
    pid: u32,
    /// Known only if the stack runs the binaries itself.
    functions: Option<BTreeMap<String, u32>>,
}

impl Options {
    /// This workspace, running the function binaries behind cargo-lambda's Lambda APIs.
    #[must_use]
    pub fn binaries() -> Self {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in a workspace");
        let test = std::env::current_exe().expect("a test has a path");
        let target = test.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
        Self {
            workspace: workspace.to_owned(),
            target: target.expect("a test is below the target folder").to_owned(),
            arguments: vec!["--no-reload".to_owned(), "--in-memory".to_owned()],
        }
    }
}

impl Stack {
    /// Starts a stack without reload and with these arguments; without `--in-memory`.
    pub async fn start_with(arguments: &[&str]) -> Self {
        let arguments = [&["--no-reload"], arguments].concat().into_iter().map(str::to_owned).collect();
        let options = Options { arguments, ..Options::binaries() };
        tokio::task::spawn_blocking(move || Self::start(&options)).await.expect("the stack starts")
    }

    /// The stack that all tests of this process share. The first test starts it; each test creates its own tenants.
    pub fn shared() -> &'static Self {
        // If it fails to start, all tests fail at once.
        static SHARED: OnceLock<Option<Stack>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| std::panic::catch_unwind(|| Self::start(&Options::binaries())).ok());
        shared.as_ref().expect("the stack did not start; the first failed test says why")
    }

    /// Starts a stack and waits until it is ready.
    #[must_use]
    pub fn start(options: &Options) -> Self {
        // The output for people goes to a file, to read when something fails.
        let logs = Options::binaries().target.join("tests");
        std::fs::create_dir_all(&logs).expect("a folder can be created");
        let log = logs.join(format!("stack-{}.log", shared::domain::id::MessageId::generate()));
        let log_file = std::fs::File::create(&log).expect("a file can be created");
        let mut child = Command::new(env!("CARGO"))
            .args(["run", "--quiet", "--bin", "chat", "--", "dev"])
            .args(["--port", "0", "--dynamodb-port", "0", "--json", "--stop-on-stdin-eof"])
            .args(&options.arguments)
            .current_dir(&options.workspace)
            .env("CARGO_TARGET_DIR", &options.target)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .spawn()
            .expect("the command line runs");
        let events = read_events(BufReader::new(child.stdout.take().expect("stdout is piped")));
        let ready = wait_for(&events, "ready", START_TIMEOUT, |_| true)
            .unwrap_or_else(|| panic!("the stack did not start: see {}", log.display()));
        let ready = serde_json::from_value(ready).expect("the ready line has the addresses");
        Self { child: Mutex::new(child), events: Mutex::new(events), ready }
    }

    /// The address of the REST API, without a slash at its end.
    #[must_use]
    pub fn rest_url(&self) -> &str {
        &self.ready.rest_url
    }

    /// The address of the WebSocket API, without a query.
    #[must_use]
    pub fn websocket_url(&self) -> &str {
        &self.ready.websocket_url
    }

    /// The folder of the logs.
    pub(crate) fn logs(&self) -> &Path {
        &self.ready.logs
    }

    /// The address of DynamoDB.
    #[must_use]
    pub fn dynamodb_endpoint(&self) -> &str {
        &self.ready.dynamodb_endpoint
    }

    /// Invokes a function, which must not fail; returns its response.
    pub async fn invoke(&self, function: &str, event: &Value) -> Value {
        let url = format!("{}/2015-03-31/functions/{function}/invocations", self.ready.invoke_endpoint);
        let response = reqwest::Client::new().post(url).json(event).send().await.expect("the emulator responds");
        assert!(response.status().is_success(), "{}", response.text().await.unwrap_or_default());
        response.json().await.expect("JSON")
    }

    /// Makes a tenant's connections due for the next run of maintenance.
    pub async fn make_due(&self, tenant: &Tenant) {
        let update = self.dynamodb().update_item().table_name("ConnectionsTable");
        let update = update.key("pk", AttributeValue::S(tenant.id.to_string()));
        let update = update.key("sk", AttributeValue::S("~slots".to_owned()));
        let update = update
            .update_expression("SET maintenance_at = :now")
            .condition_expression("attribute_exists(maintenance_at)");
        let update = update.expression_attribute_values(":now", AttributeValue::S(Timestamp::now().to_string()));
        // Without connections there is no entry to change.
        let _ = update.send().await;
    }

    /// Makes a chat due for the next run of maintenance.
    pub async fn make_chat_due(&self, tenant: &Tenant, chat: &str) {
        let update = self.dynamodb().update_item().table_name("ChatsTable");
        let update = update.key("pk", AttributeValue::S(format!("{}#{chat}", tenant.id)));
        let update = update.key("sk", AttributeValue::S("~state".to_owned()));
        let update = update
            .update_expression("SET maintenance_at = :now")
            .condition_expression("attribute_exists(maintenance_at)");
        let update = update.expression_attribute_values(":now", AttributeValue::S(Timestamp::now().to_string()));
        // A chat without work is not queued.
        let _ = update.send().await;
    }

    /// The process ids of the stack and its functions.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        let functions = self.ready.functions.iter().flat_map(BTreeMap::values);
        functions.chain([&self.ready.pid]).copied().collect()
    }

    /// The process id of the stack.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.ready.pid
    }

    /// The process id of a function.
    #[must_use]
    pub fn function_pid(&self, function: &str) -> u32 {
        self.ready.functions.as_ref().expect("this stack runs the binaries")[function]
    }

    /// The log lines so far of all processes of a function.
    #[must_use]
    pub fn log_of(&self, function: &str) -> Vec<Value> {
        self.process_logs(function).into_iter().flatten().collect()
    }

    /// The log lines so far of each process of a function.
    #[must_use]
    pub fn process_logs(&self, function: &str) -> Vec<Vec<Value>> {
        let path = |number: u8| match number {
            1 => self.ready.logs.join(format!("{function}.log")),
            _ => self.ready.logs.join(format!("{function}-{number}.log")),
        };
        let logs: Vec<String> = (1..).map_while(|number| std::fs::read_to_string(path(number)).ok()).collect();
        assert!(!logs.is_empty(), "{function} has a log");
        let parse = |log: &String| log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        logs.iter().map(parse).collect()
    }

    /// The names of the functions.
    #[must_use]
    pub fn functions(&self) -> Vec<&str> {
        self.ready.functions.iter().flat_map(BTreeMap::keys).map(String::as_str).collect()
    }

    /// Waits until the stack has restarted this function; returns the new process id.
    pub fn wait_for_restart(&self, function: &str) -> u32 {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let restarted = wait_for(&events, "function_restarted", EVENT_TIMEOUT, |event| event["function"] == function);
        let restarted = restarted.unwrap_or_else(|| panic!("{function} was not restarted"));
        restarted["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("a process has an id")
    }

    /// Creates a tenant with its own key and limits that no unrelated test reaches.
    pub async fn tenant(&self, name: &str) -> Tenant {
        let tenant = self.tenant_with(name, unreached_limits()).await;
        let limits = BudgetOverrides { messages_per_minute: Some(100_000), ..BudgetOverrides::default() };
        self.budgets().set_limits(&tenant.id, limits).await.expect("DynamoDB responds");
        tenant
    }

    /// Creates a tenant with its own key.
    pub async fn tenant_with(&self, name: &str, limits: Limits) -> Tenant {
        let key = format!("key-{}", shared::domain::id::MessageId::generate());
        let hash = ApiKey::new(&key).hash();
        let new = NewTenant { name, key: &hash, limits, defaults: ChatConfig::default() };
        let created = self.tenants().create(new, Timestamp::now()).await.expect("DynamoDB responds");
        let id = created.expect("the key is new");
        Tenant::new(self.rest_url(), self.websocket_url(), id, key)
    }

    /// The tenant of a stored key.
    pub async fn tenant_of(&self, key: &str) -> Tenant {
        let owner = self.tenants().owner_of(&ApiKey::new(key).hash()).await.expect("DynamoDB responds");
        Tenant::new(self.rest_url(), self.websocket_url(), owner.expect("the key belongs to a tenant"), key.to_owned())
    }

    /// A tenant that another stack created in the same tables.
    #[must_use]
    pub fn again(&self, tenant: &Tenant) -> Tenant {
        Tenant::new(self.rest_url(), self.websocket_url(), tenant.id.clone(), tenant.key.clone())
    }

    /// A DynamoDB client.
    #[must_use]
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        self.dynamodb_at(&self.ready.dynamodb_endpoint)
    }

    /// A DynamoDB client behind a proxy.
    #[must_use]
    pub fn dynamodb_at(&self, url: &str) -> aws_sdk_dynamodb::Client {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("local", "local", None, None, "test"))
            .endpoint_url(url)
            .build();
        aws_sdk_dynamodb::Client::from_conf(config)
    }

    /// The repository of tenants.
    #[must_use]
    pub fn tenants(&self) -> TenantRepository {
        TenantRepository::new(self.dynamodb(), "TenantsTable".to_owned())
    }

    /// The repository of usage.
    #[must_use]
    pub fn usage(&self) -> UsageRepository {
        UsageRepository::new(self.dynamodb(), "ChatsTable".to_owned())
    }

    /// The repository of budgets.
    #[must_use]
    pub fn budgets(&self) -> BudgetRepository {
        BudgetRepository::new(self.dynamodb(), "ChatsTable".to_owned())
    }

    /// The repository of chats.
    #[must_use]
    pub fn chats(&self) -> ChatRepository {
        ChatRepository::new(self.dynamodb(), "ChatsTable".to_owned())
    }

    /// The repository of messages.
    #[must_use]
    pub fn messages(&self) -> MessageRepository {
        MessageRepository::new(self.dynamodb(), "ChatsTable".to_owned())
    }

    /// The repository of generations.
    #[must_use]
    pub fn generations(&self) -> GenerationRepository {
        GenerationRepository::new(self.dynamodb(), "ChatsTable".to_owned())
    }

    /// The repository of users.
    #[must_use]
    pub fn users(&self) -> UserRepository {
        UserRepository::new(self.dynamodb(), "ChatsTable".to_owned())
    }

    /// The repository of tickets.
    #[must_use]
    pub fn tickets(&self) -> TicketRepository {
        TicketRepository::new(self.dynamodb(), "ConnectionsTable".to_owned())
    }

    /// Stores a user message and its complete answer, without a socket.
    pub async fn exchange(&self, tenant: &Tenant, chat: &ChatId, content: &str) {
        let new = new_message(content);
        let now = Timestamp::now();
        let appended = self.messages().append(&tenant.id, chat, ChatPosition::default(), new, now).await;
        let AppendResult::Stored(exchange) = appended.expect("DynamoDB responds") else { panic!("not stored") };
        let lease = self.generations().lease(&tenant.id, chat, &exchange.generation);
        let outcome = Outcome {
            content: format!("You said: {content}"),
            status: Status::Complete,
            finish_reason: FinishReason::Stop,
            usage: Usage::default(),
            first_token_ms: None,
        };
        assert_eq!(lease.finish(&outcome, now).await.expect("DynamoDB responds"), FinishResult::Stored);
        let removed = lease.remove_record(outcome.usage, now).await.expect("DynamoDB responds");
        lease.count_usage(&removed.expect("the generation runs")).await.expect("DynamoDB responds");
    }

    /// Stores an open connection of a tenant's user `u`, without a socket.
    pub async fn open_connection(&self, tenant: &Tenant, id: &str, chat_id: ChatId) -> Connection {
        let grant = ConnectionGrant {
            tenant_id: tenant.id.clone(),
            key: ApiKey::new(&tenant.key).hash(),
            user_id: UserId::parse("u").expect("a user"),
            chat_id,
        };
        let connection = Connection::open(ConnectionId::from_gateway(id), grant, Timestamp::now());
        self.connections().put(&connection).await.expect("DynamoDB responds");
        self.connections().mark_established(&connection).await.expect("DynamoDB responds");
        connection
    }

    /// The repository of connections.
    #[must_use]
    pub fn connections(&self) -> ConnectionRepository {
        ConnectionRepository::new(self.dynamodb(), "ConnectionsTable".to_owned())
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(child.stdin.take());
        child.wait().expect("a child can be waited for");
    }
}

/// Reads the stack's JSON lines in the background, so that it never blocks on a full pipe.
fn read_events(lines: impl BufRead + Send + 'static) -> mpsc::Receiver<Value> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in lines.lines().map_while(Result::ok) {
            let Ok(event) = serde_json::from_str(&line) else { continue };
            if sender.send(event).is_err() {
                break;
            }
        }
    });
    receiver
}

/// The next matching event of a name; `None` if the stack ends or the time is over.
fn wait_for(
    events: &mpsc::Receiver<Value>,
    name: &str,
    timeout: Duration,
    matches: impl Fn(&Value) -> bool,
) -> Option<Value> {
    loop {
        let event = events.recv_timeout(timeout).ok()?;
        if event["event"] == name && matches(&event) {
            return Some(event);
        }
    }
}
