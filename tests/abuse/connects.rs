//! Attack: sockets that open and close in a loop, and handshakes without a key or with an unknown ticket.
#![expect(clippy::print_stdout, reason = "the figures are printed")]

use std::time::Duration;

use shared::domain::{tenant::NewLimits, ticket::TicketText};
use tokio::time::Instant;

use super::{
    attack_socket::AttackSocket,
    experiment::{Experiment, Length},
};

/// The attacker's limit, a thirtieth of production's.
const CONNECTS_PER_MINUTE: usize = 10;

/// Calls of DynamoDB for a socket: `$connect`, its greeting, `$disconnect`.
const CALLS_OF_A_SOCKET: f64 = 16.0;

/// The pause between two handshakes.
const PAUSE: Duration = Duration::from_millis(20);

/// What became of handshakes.
#[derive(Default)]
struct Handshakes {
    opened: usize,
    refused: usize,
}

async fn attack(length: Length) {
    let experiment = Experiment::new("connects", length).await;
    let chat = experiment.attacker.chat("u").await;
    let limits = NewLimits { connects_per_minute: Some(CONNECTS_PER_MINUTE as u32), ..NewLimits::default() };
    let set = experiment.stack.tenants().set_limits(&experiment.attacker.id, limits).await;
    assert!(set.expect("DynamoDB responds"), "the tenant exists");
    let seconds = experiment.seconds();
    let connect = async |experiment: &Experiment, end| {
        let own = format!("api_key={}&user_id=u&chat_id={chat}", experiment.attacker.key);
        let foreign = format!("user_id=u&chat_id={chat}");
        let key = connect_in_a_loop(experiment, end, || own.clone());
        let none = connect_in_a_loop(experiment, end, || foreign.clone());
        let ticket = connect_in_a_loop(experiment, end, || format!("ticket={}", TicketText::generate().reveal()));
        (tokio::join!(key, none, ticket), Vec::new())
    };
    let ((own, keyless, unknown), usage) = experiment.run(connect).await;
    assert_eq!((keyless.opened, unknown.opened), (0, 0));
    // A minute begins with its first connect.
    let minutes = (seconds / 60.0).floor() as usize + 1;
    println!("{} of {} sockets opened", own.opened, own.opened + own.refused);
    assert!(own.opened <= CONNECTS_PER_MINUTE * minutes, "{} sockets opened in {seconds} s", own.opened);
    let calls = |code: &str| {
        let refused = usage.invocations("ws-connect").filter(|connect| connect.code == code);
        refused.map(|connect| connect.calls).sum::<f64>()
    };
    assert!(calls("MISSING_API_KEY") == 0.0 && keyless.refused > 0);
    // A read, since the checksum of the ticket is right.
    assert!(calls("INVALID_TICKET") <= unknown.refused as f64, "{} calls", calls("INVALID_TICKET"));
    let refused_sockets = (own.refused + unknown.refused) as f64;
    assert!(usage.calls <= CALLS_OF_A_SOCKET * own.opened as f64 + refused_sockets * 3.0, "{} calls", usage.calls);
}

async fn connect_in_a_loop(experiment: &Experiment, end: Instant, query: impl Fn() -> String) -> Handshakes {
    let mut handshakes = Handshakes::default();
    while Instant::now() < end {
        match AttackSocket::connect(experiment.stack, &query(), true).await {
            Some(_) => handshakes.opened += 1,
            None => handshakes.refused += 1,
        }
        tokio::time::sleep(PAUSE).await;
    }
    handshakes
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_handshake_writes_nothing() {
    attack(Length::SHORT).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes a minute; .ci/full runs it"]
async fn handshakes_for_a_minute() {
    attack(Length::long()).await;
}
