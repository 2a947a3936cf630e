//! Limits, exact however many come at once.
#![expect(clippy::print_stdout, reason = "the counts are printed")]

use futures_util::future::join_all;
use reqwest::StatusCode;
use tests::{Options, Stack, eventually};

#[tokio::test]
async fn a_gateway_that_dies_with_all_sockets_open_locks_nobody_out() {
    let database = ["--no-reload", "--dynamodb-endpoint", Stack::shared().dynamodb_endpoint()].map(str::to_owned);
    let options = Options { arguments: database.to_vec(), ..Options::binaries() };
    let stack = Stack::start(&options);
    let tenant = stack.tenant("lost sockets").await;
    let chat = tenant.chat("u").await;
    let query = format!("api_key={}&user_id=u&chat_id={chat}", tenant.key);
    let open = join_all((0..50).map(|_| tenant.connect(&chat, "u"))).await;
    assert_eq!(tenant.connect_with(&query, &[]).await.err(), Some(StatusCode::TOO_MANY_REQUESTS));
    let pid = stack.pid().to_string();
    assert!(std::process::Command::new("kill").args(["-9", &pid]).status().expect("kill runs").success());
    drop((stack, open));

    let stack = Stack::start(&options);
    let tenant = stack.again(&tenant);
    // Sockets that are very young are not looked at, so this may take a moment.
    eventually("a socket opens again", async || tenant.connect_with(&query, &[]).await.is_ok()).await;
    let leases = stack.connections().slots().list(&tenant.id).await.expect("the table answers").len();
    println!("after 50 lost sockets and one that was opened, {leases} leases are taken");
    assert!(leases <= 2);
}

#[tokio::test]
async fn a_refused_connect_takes_no_lease() {
    let stack = Stack::shared();
    let tenant = stack.tenant("no lease").await;
    let chat = tenant.chat("u").await;
    let wrong_user = format!("api_key={}&user_id=someone&chat_id={chat}", tenant.key);
    assert_eq!(tenant.connect_with(&wrong_user, &[]).await.err(), Some(StatusCode::FORBIDDEN));
    assert!(stack.connections().slots().list(&tenant.id).await.expect("the table answers").is_empty());
}
