//! Random faults: 30 % of all calls to DynamoDB and `@connections` fail while clients use every operation. Afterwards
//! everything that a response or an event said is stored, and nothing stays locked.
#![expect(clippy::print_stdout, reason = "the counts are printed")]

mod client;
mod record;
mod verify;

use futures_util::future::join_all;
use shared::domain::limits::Limits;
use tests::{FaultProfile, FaultyStack, RandomFaults, seeds, unreached_limits};

use client::Client;
use record::Record;
use verify::Verification;

/// Simultaneous clients.
const CLIENTS: u8 = 5;

/// The connection slots of their tenant: more than they need, few enough to notice lost slots.
const SLOTS: u32 = 16;

/// Runs the clients with the faults of a seed, each through this many chats; then verifies.
async fn run(faulty: &FaultyStack, seed: u64, chats: usize) {
    let limits = Limits { connections: SLOTS, ..unreached_limits() };
    let tenant = faulty.stack.tenant_with("random faults", limits).await;
    faulty.tables.set_profile(FaultProfile::Random(RandomFaults::new(seed)));
    faulty.connections.set_profile(FaultProfile::Random(RandomFaults::new(seed)));
    let records = join_all((0..CLIENTS).map(async |number| {
        let mut client = Client::new(tenant.clone(), seed, number);
        for _ in 0..chats {
            Box::pin(client.use_a_chat()).await;
        }
        client.record
    }))
    .await;
    faulty.heal();
    let record = records.into_iter().reduce(Record::join).expect("there are clients");
    println!("seed {seed}: {}", record.counts);
    Box::pin(Verification { stack: &faulty.stack, tenant: &tenant, record: &record }.run()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn state_matches_responses_after_random_faults() {
    let faulty = FaultyStack::start(CLIENTS).await;
    for seed in seeds(&[1]) {
        run(&faulty, seed, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes some minutes; .ci/full runs it"]
async fn state_matches_responses_after_random_faults_of_many_seeds() {
    let faulty = FaultyStack::start(CLIENTS).await;
    for seed in seeds(&[2, 3, 4, 5]) {
        run(&faulty, seed, 4).await;
    }
}
