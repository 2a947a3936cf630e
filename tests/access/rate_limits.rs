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
    let leases = stack.connections().leases(&tenant.id).await.expect("the table answers").len();
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
    assert!(stack.connections().leases(&tenant.id).await.expect("the table answers").is_empty());
}

mod black_box {
    use std::time::Duration;

    use futures_util::{StreamExt, future::join_all, stream};
    use reqwest::{Method, StatusCode};
    use serde_json::{Value, json};
    use shared::domain::limits::Limits;
    use tests::{Answer, Api, Socket, eventually};

    fn header(answer: &Answer, name: &str) -> String {
        answer.headers.get(name).map(|value| value.to_str().expect("text").to_owned()).unwrap_or_default()
    }

    #[tokio::test]
    async fn of_a_thousand_requests_at_once_a_hundred_come_through() {
        let tenant = Api::shared().tenant_with("rest limit", Limits::default()).await;
        let requests = stream::iter(0..1_000).map(|_| tenant.get("/api/v1/chats/user/u")).buffer_unordered(100);
        let answers: Vec<Answer> = requests.collect().await;
        let (through, limited): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == StatusCode::OK);
        println!("of 1000 requests at once {} came through", through.len());
        assert_eq!((through.len(), limited.len()), (100, 900));

        let mut remaining: Vec<u32> =
            through.iter().map(|answer| header(answer, "x-ratelimit-remaining").parse().expect("a number")).collect();
        remaining.sort_unstable();
        assert!(remaining.into_iter().eq(0..100), "each request is counted once");
        for answer in limited {
            assert_eq!((answer.status, answer.code()), (StatusCode::TOO_MANY_REQUESTS, "RATE_LIMIT_EXCEEDED"));
            let wait: u64 = header(answer, "retry-after").parse().expect("seconds");
            assert!((1..=60).contains(&wait));
            assert_eq!(header(answer, "x-ratelimit-remaining"), "0");
        }
    }

    #[tokio::test]
    async fn every_answer_to_a_known_tenant_says_how_much_is_left() {
        let tenant = Api::shared().tenant_with("headers", Limits { rest_per_minute: 7, ..Limits::default() }).await;
        let made = tenant.post("/api/v1/chats/", &json!({ "user_id": "u" })).await;
        let missing = tenant.get("/api/v1/chats/chat_x").await;
        let bad = tenant.post("/api/v1/chats/", &json!({})).await;
        for (answer, remaining) in [(&made, "6"), (&missing, "5"), (&bad, "4")] {
            assert_eq!(header(answer, "x-ratelimit-limit"), "7");
            assert_eq!(header(answer, "x-ratelimit-remaining"), remaining);
            assert_eq!(header(answer, "ratelimit-policy"), "\"rest\";q=7;w=60");
            assert!(header(answer, "ratelimit").starts_with(&format!("\"rest\";r={remaining};t=")));
            let reset: i64 = header(answer, "x-ratelimit-reset").parse().expect("epoch seconds");
            let ahead = reset - shared::domain::time::Timestamp::now().as_seconds();
            assert!((0..=61).contains(&ahead), "{ahead} s");
        }
        let stranger = tenant.with_key("nobody").get("/api/v1/chats/chat_x").await;
        assert_eq!(header(&stranger, "x-ratelimit-limit"), "", "a stranger has no window");
    }

    #[tokio::test]
    async fn a_raised_limit_is_felt_on_the_next_request() {
        let api = Api::shared();
        let tenant = api.tenant_with("raised", Limits { rest_per_minute: 1, ..Limits::default() }).await;
        let get = async || tenant.get("/api/v1/chats/user/u").await.status.as_u16();
        assert_eq!((get().await, get().await, get().await), (200, 429, 429));
        api.chat(&["tenant", "set-limits", &tenant.id, "--rest-per-minute", "2"]).await;
        assert_eq!((get().await, get().await), (200, 429));
    }

    #[tokio::test]
    async fn a_connection_may_say_ten_things_a_second() {
        let tenant = Api::shared().tenant("frames").await;
        let chat = tenant.chat("u").await;
        let mut socket = tenant.connect(&chat, "u").await;
        for _ in 0..11 {
            socket.send(&json!({ "type": "ping" })).await;
        }
        let mut answers = Vec::new();
        while answers.len() < 11 {
            let event = socket.next().await;
            if event["type"] == "pong" || event["type"] == "error" {
                answers.push(event);
            }
        }
        let refused: Vec<&Value> = answers.iter().filter(|answer| answer["type"] == "error").collect();
        assert_eq!(refused.len(), 1);
        assert_eq!(refused[0]["error"]["code"], "RATE_LIMIT_EXCEEDED");
        assert_eq!(refused[0]["error"]["details"]["retryable"], true);

        tokio::time::sleep(shared::domain::limits::FRAME_WINDOW).await;
        assert_eq!(socket.say("usable as ever").await.last().expect("an end")["finish_reason"], "stop");
    }

    #[tokio::test]
    async fn of_two_hundred_connects_at_once_fifty_come_through() {
        let tenant = Api::shared().tenant("connections").await;
        let chat = tenant.chat("u").await;
        let query = format!("api_key={}&user_id=u&chat_id={chat}", tenant.key);
        let attempts = join_all((0..200).map(|_| tenant.connect_with(&query, &[]))).await;
        let (open, refused): (Vec<_>, Vec<_>) = attempts.into_iter().partition(Result::is_ok);
        println!("of 200 connects at once {} came through", open.len());
        assert_eq!((open.len(), refused.len()), (50, 150));
        assert!(
            refused
                .into_iter()
                .all(|refusal| refusal.err() == Some(Api::shared().refusal(StatusCode::TOO_MANY_REQUESTS)))
        );

        // One that closes makes room for one.
        let mut open: Vec<Socket> = open.into_iter().map(|socket| socket.expect("it is open")).collect();
        open.pop().expect("fifty").close().await;
        let mut again = None;
        eventually("the room is taken", async || {
            again = tenant.connect_with(&query, &[]).await.ok();
            again.is_some()
        })
        .await;
        assert_eq!(
            tenant.connect_with(&query, &[]).await.err(),
            Some(Api::shared().refusal(StatusCode::TOO_MANY_REQUESTS))
        );
    }

    /// Before anyone is refused the tenant's sockets are looked at, once they are old enough (12 s): those that are gone make
    /// room, and this one is not.
    #[tokio::test]
    async fn a_socket_that_lives_keeps_its_place() {
        let tenant = Api::shared().tenant_with("full", Limits { connections: 1, ..Limits::default() }).await;
        let chat = tenant.chat("u").await;
        let query = format!("api_key={}&user_id=u&chat_id={chat}", tenant.key);
        let mut socket = tenant.connect(&chat, "u").await;
        tokio::time::sleep(Duration::from_secs(13)).await;
        let refused = tenant.connect_with(&query, &[]).await.err();
        assert_eq!(refused, Some(Api::shared().refusal(StatusCode::TOO_MANY_REQUESTS)));
        assert_eq!(socket.say("I am still here").await.last().expect("an end")["finish_reason"], "stop");
    }

    #[tokio::test]
    async fn tickets_have_a_window_of_their_own() {
        let limits = Limits { rest_per_minute: 2, tickets_per_minute: 3, ..Limits::default() };
        let tenant = Api::shared().tenant_with("ticket limit", limits).await;
        let chat = tenant.chat("u").await;
        let path = format!("/api/v1/chats/{chat}/tickets");
        let mut statuses = Vec::new();
        for _ in 0..4 {
            statuses.push(tenant.send(tenant.request(Method::POST, &path)).await.status.as_u16());
        }
        assert_eq!(statuses, [201, 201, 201, 429]);
        assert_eq!(
            tenant.get(&format!("/api/v1/chats/{chat}")).await.status,
            StatusCode::OK,
            "one REST request was left"
        );
    }
}
