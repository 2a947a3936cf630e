//! The time from sending a message to its first token at the client, on the whole stack with the echo agent at full speed, one
//! message at a time. Prints figures and asserts nothing. Not a `cargo bench`, which would compile everything again.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::time::{Duration, Instant};

use chat_api_client::{Chat, Source};
use tests::Stack;

const WARM_UP: usize = 10;
const MESSAGES: usize = 100;

#[tokio::main]
async fn main() {
    let stack = Stack::shared();
    let tenant = stack.tenant("bench").await;
    let chat_id = tenant.chat("u").await;
    let chat = Chat::connect(Source::key(stack.websocket_url(), &tenant.key, "u", &chat_id));
    let mut times = Vec::new();
    for number in 0..WARM_UP + MESSAGES {
        let sent = Instant::now();
        let mut answer = chat.send("How long does it take?");
        answer.next().await.expect("a first token");
        if number >= WARM_UP {
            times.push(sent.elapsed());
        }
        answer.ended().await.expect("an end");
        // The client sends eight frames a second.
        tokio::time::sleep(Duration::from_millis(130)).await;
    }
    times.sort_unstable();
    let at = |share: f64| milliseconds(times[((times.len() - 1) as f64 * share) as usize]);
    println!(
        "first token after the send, {MESSAGES} messages: median {}, 90 % {}, longest {}",
        at(0.5),
        at(0.9),
        at(1.0)
    );
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
