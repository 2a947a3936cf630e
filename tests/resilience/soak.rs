//! A soak: fifty sockets chat at their leisure for ten minutes, or `SOAK_MINUTES`; some lose their sockets, some change
//! their minds. The processes of the stack need no more memory and no more files at the end than when they were warm.
#![expect(clippy::print_stdout, reason = "the figures are printed")]

mod chatter;
mod vitals;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use shared::domain::limits::Limits;
use tests::{Options, Stack};
use tokio::{task::spawn_blocking, time::sleep};

use chatter::Chatter;
use vitals::{Table, processes};

/// How many sockets there are at a time.
const SOCKETS: u64 = 50;

/// How long it takes, in minutes, unless the environment says otherwise.
const MINUTES: f64 = 10.0;

/// The part of the time after which everything is warm: pools are filled, buffers have their size.
const WARM: f64 = 0.2;

fn duration() -> Duration {
    let minutes = match std::env::var("SOAK_MINUTES") {
        Ok(minutes) => minutes.parse().unwrap_or_else(|_| panic!("SOAK_MINUTES is a number, not {minutes:?}")),
        Err(_) => MINUTES,
    };
    Duration::from_secs_f64(minutes * 60.0)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes ten minutes; .ci/full runs it"]
async fn fifty_sockets_chat_for_ten_minutes_and_nothing_grows() {
    let stack = spawn_blocking(|| Stack::start(&Options::binaries())).await.expect("the stack starts");
    // Who connects again may be there before the old socket's end was heard of.
    let limits = Limits { rest_per_minute: 100_000, connections: 2 * SOCKETS as u32, ..Limits::default() };
    let tenant = stack.tenant_with("soak", limits).await;
    let over = Arc::new(AtomicBool::new(false));
    let chatters = (0..SOCKETS).map(|number| {
        let mut chatter = Chatter::new(tenant.clone(), number, over.clone());
        tokio::spawn(async move {
            Box::pin(chatter.chat()).await;
            chatter.counts
        })
    });
    let chatters = join_all(chatters);
    let looking = async {
        let lasts = duration();
        sleep(lasts.mul_f64(WARM)).await;
        let mut table = Table::begin(processes(&stack));
        let rest = lasts.mul_f64((1.0 - WARM) / 2.0);
        for _ in 0..2 {
            sleep(rest).await;
            table.look();
        }
        over.store(true, Ordering::Relaxed);
        table
    };
    let (counts, table) = tokio::join!(chatters, looking);
    let counts = counts.into_iter().map(|counts| counts.expect("it chats to the end"));
    println!("{}", counts.reduce(chatter::Counts::plus).expect("there were chatters"));
    println!("{table}");
    table.judge();
}
