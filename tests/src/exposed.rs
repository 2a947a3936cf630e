//! A stack that is exposed to the weather.

use tokio::task::spawn_blocking;

use crate::{Options, Proxy, Stack, Weather};

/// A stack with a proxy in front of its DynamoDB, which is that of the [shared](Stack::shared) one, and a proxy in front
/// of its sockets.
#[derive(Debug)]
pub struct Exposed {
    /// The stack itself.
    pub stack: Stack,
    /// What passes to and from DynamoDB.
    pub tables: Proxy,
    /// What is posted to sockets.
    pub sockets: Proxy,
}

impl Exposed {
    /// Starts it on a calm day, with so many processes a function: whoever waits for one to be free would use up the time
    /// that the gateway gives to a function.
    pub async fn start(processes: u8) -> Self {
        let shared = spawn_blocking(Stack::shared).await.expect("the shared stack starts");
        let tables = Proxy::without_delay(shared.dynamodb_endpoint()).await;
        let sockets = Proxy::of_sockets().await;
        let processes = processes.to_string();
        let arguments = [
            ["--processes", &processes],
            ["--dynamodb-endpoint", &tables.url],
            ["--management-endpoint", &sockets.url],
        ];
        let arguments = ["--no-reload"].into_iter().chain(arguments.into_iter().flatten());
        let options = Options { arguments: arguments.map(str::to_owned).collect(), ..Options::binaries() };
        let stack = spawn_blocking(move || Stack::start(&options)).await.expect("the stack starts");
        sockets.lead_to(stack.rest_url());
        Self { stack, tables, sockets }
    }

    /// Lets the weather clear up.
    pub fn calm(&self) {
        self.tables.turn(Weather::Calm);
        self.sockets.turn(Weather::Calm);
    }
}
