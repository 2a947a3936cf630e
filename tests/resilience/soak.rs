//! Soak: fifty load clients for ten minutes, or `SOAK_MINUTES`; some cancel, drop their sockets or regenerate. From warm-up
//! to the end, memory and open files of the stack's processes must not grow.
#![expect(clippy::print_stdout, reason = "the figures are printed")]

mod load_client;
mod process_metrics;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use shared::domain::limits::Limits;
use tests::{Options, Stack, unreached_limits};
use tokio::{task::spawn_blocking, time::sleep};

use load_client::{Counts, LoadClient};
use process_metrics::{Table, processes};

/// Simultaneous clients, each with a socket.
const CLIENTS: u64 = 50;

/// The default duration.
const MINUTES: f64 = 10.0;

/// The fraction of the time after which pools and buffers have their size.
const WARM_UP: f64 = 0.2;

fn duration() -> Duration {
    let minutes = match std::env::var("SOAK_MINUTES") {
        Ok(minutes) => minutes.parse().unwrap_or_else(|_| panic!("SOAK_MINUTES must be a number, not {minutes:?}")),
        Err(_) => MINUTES,
    };
    Duration::from_secs_f64(minutes * 60.0)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes ten minutes; .ci/full runs it"]
async fn memory_and_open_files_stay_constant_under_load() {
    let stack = spawn_blocking(|| Stack::start(&Options::binaries())).await.expect("the stack starts");
    // A client may reconnect before `$disconnect` of its old socket.
    let limits = Limits { connections: 2 * CLIENTS as u32, ..unreached_limits() };
    let tenant = stack.tenant_with("soak", limits).await;
    let over = Arc::new(AtomicBool::new(false));
    let clients = (0..CLIENTS).map(|number| {
        let mut client = LoadClient::new(&stack, &tenant, number, over.clone());
        tokio::spawn(async move {
            Box::pin(client.run()).await.expect("every call succeeds");
            client.counts
        })
    });
    let clients = join_all(clients);
    let measuring = async {
        let duration = duration();
        sleep(duration.mul_f64(WARM_UP)).await;
        let mut table = Table::start(processes(&stack));
        let interval = duration.mul_f64((1.0 - WARM_UP) / 2.0);
        for _ in 0..2 {
            sleep(interval).await;
            table.measure();
        }
        over.store(true, Ordering::Relaxed);
        table
    };
    let (counts, table) = tokio::join!(clients, measuring);
    let counts = counts.into_iter().map(|counts| counts.expect("the client ends"));
    println!("{}", counts.reduce(Counts::plus).expect("there are clients"));
    println!("{table}");
    table.assert_constant();
}
