//! Storms: a third of all calls on DynamoDB and on `@connections` goes wrong while clients do all that clients do. Whatever
//! they were told is true afterwards, and nothing stays locked.
#![expect(clippy::print_stdout, reason = "the counts are printed")]

mod aftermath;
mod client;
mod ledger;

use futures_util::future::join_all;
use shared::domain::limits::Limits;
use tests::{Exposed, Storm, Weather, seeds};

use aftermath::Aftermath;
use client::Client;
use ledger::Ledger;

/// How many clients are out at once.
const CLIENTS: u8 = 5;

/// How many sockets their tenant may have open: more than they need, few enough for lost leases to be missed.
const SOCKETS: u32 = 16;

/// One storm over clients that have so many chats each.
async fn storm(exposed: &Exposed, seed: u64, chats: usize) {
    let limits = Limits { rest_per_minute: 100_000, connections: SOCKETS, ..Limits::default() };
    let tenant = exposed.stack.tenant_with("storm", limits).await;
    exposed.tables.turn(Weather::Storm(Storm::new(seed)));
    exposed.sockets.turn(Weather::Storm(Storm::new(seed)));
    let ledgers = join_all((0..CLIENTS).map(async |number| {
        let mut client = Client::new(tenant.clone(), seed, number);
        for _ in 0..chats {
            Box::pin(client.live_through_a_chat()).await;
        }
        client.ledger
    }))
    .await;
    exposed.calm();
    let ledger = ledgers.into_iter().reduce(Ledger::join).expect("there were clients");
    println!("storm {seed}: {}", ledger.counts);
    Box::pin(Aftermath { stack: &exposed.stack, tenant: &tenant, ledger: &ledger }.inspect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_are_told_in_a_storm_is_true_afterwards() {
    let exposed = Exposed::start(CLIENTS).await;
    for seed in seeds(&[1]) {
        storm(&exposed, seed, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes some minutes; .ci/full runs it"]
async fn what_clients_are_told_in_many_storms_is_true_afterwards() {
    let exposed = Exposed::start(CLIENTS).await;
    for seed in seeds(&[2, 3, 4, 5]) {
        storm(&exposed, seed, 4).await;
    }
}
