//! Rate limits, exact under concurrency.

use std::time::Duration;

use serde_json::{Value, json};
use shared::{
    domain::{
        connection::Connection,
        id::ChatId,
        limits::{FRAME_WINDOW, FRAMES, REFUSED_FRAMES},
        time::Timestamp,
    },
    storage::{FrameAdmission, Refusal},
};
use tests::{LambdaRuntime, ManagementStub, SocketBehavior, Stack, Tenant, eventually, frame_event};

/// Stores an open connection of a new tenant.
async fn connection(name: &str) -> (Tenant, Connection) {
    let stack = Stack::shared();
    let tenant = stack.tenant(name).await;
    let id = format!("{}=", tenant.id);
    let connection = stack.open_connection(&tenant, &id, ChatId::generate()).await;
    (tenant, connection)
}

/// A ping that API Gateway received at this time.
fn ping(connection: &Connection, received_at: Timestamp) -> Value {
    frame_event(&connection.connection_id, received_at, &json!({ "type": "ping" }))
}

#[tokio::test(flavor = "multi_thread")]
async fn socket_that_floods_is_told_once_and_closed_at_the_hundredth_refused_frame() {
    let (_tenant, connection) = connection("flood").await;
    let id = connection.connection_id.as_str();
    let management = ManagementStub::start(&[(id.to_owned(), SocketBehavior::accepts_in(0))]).await;
    let endpoint = [("MANAGEMENT_ENDPOINT", management.url.as_str())];
    // Two processes share the socket's frames.
    let long = Duration::from_secs(900);
    let lambda = async || LambdaRuntime::start(Stack::shared(), "ws-message", long, &endpoint).await;
    let processes = [lambda().await, lambda().await];
    let now = Timestamp::now();
    for _ in 0..FRAMES {
        processes[0].send(ping(&connection, now));
    }
    processes[0].responses(FRAMES).await;
    for number in 0..99 {
        processes[number % 2].send(ping(&connection, now));
    }
    processes[0].responses(FRAMES + 50).await;
    processes[1].responses(49).await;
    let events = || -> Vec<Value> { management.posts(id).into_iter().map(|post| post.event).collect() };
    let count = |events: &[Value], code: &str| events.iter().filter(|event| event["error"]["code"] == code).count();
    let before = events();
    assert_eq!(before.iter().filter(|event| event["type"] == "pong").count(), FRAMES);
    assert_eq!((count(&before, "RATE_LIMIT_EXCEEDED"), before.len(), management.is_closed(id)), (1, FRAMES + 1, false));

    processes[0].send(ping(&connection, now));
    eventually("the socket is closed", async || management.is_closed(id)).await;
    let after = events();
    assert_eq!((count(&after, "CONNECTION_CLOSING"), after.len()), (1, before.len() + 1));
}

#[tokio::test]
async fn refused_frames_are_told_once_a_second() {
    let (_tenant, connection) = connection("told").await;
    let (connections, now) = (Stack::shared().connections(), Timestamp::now());
    let admit = async |millis| {
        let at = now.plus(Duration::from_millis(millis));
        match connections.admit_frame(&connection.connection_id, at).await.expect("DynamoDB responds") {
            FrameAdmission::RateLimited(_, refusal) => Some(refusal),
            FrameAdmission::Allowed(_) => None,
            FrameAdmission::Unknown => panic!("the connection is stored"),
        }
    };
    for second in 0..3 {
        let start = second * 1_000;
        for _ in 0..FRAMES {
            assert_eq!(admit(start).await, None);
        }
        assert_eq!(admit(start).await, Some(Refusal::Told), "second {second}");
        assert_eq!(admit(start + 999).await, Some(Refusal::Dropped), "second {second}");
    }
    // Another process has another clock.
    assert_eq!(admit(1_500).await, Some(Refusal::Dropped));
}

#[tokio::test]
async fn simultaneous_refusals_tell_one_and_count_all() {
    let (_tenant, connection) = connection("simultaneous").await;
    let (connections, now) = (Stack::shared().connections(), Timestamp::now());
    let admit = async |_| connections.admit_frame(&connection.connection_id, now).await.expect("DynamoDB responds");
    let frames = FRAMES + REFUSED_FRAMES as usize;
    let admissions = futures_util::future::join_all((0..frames).map(admit)).await;
    let count = |refusal| {
        let is_refusal =
            |admission: &&FrameAdmission| matches!(admission, FrameAdmission::RateLimited(_, is) if *is == refusal);
        admissions.iter().filter(is_refusal).count()
    };
    let counts = (count(Refusal::Told), count(Refusal::Dropped), count(Refusal::Closing));
    assert_eq!(counts, (1, REFUSED_FRAMES as usize - 2, 1));
}

#[tokio::test]
async fn refused_frame_of_a_removed_connection_stores_nothing() {
    let (_tenant, connection) = connection("removed").await;
    let (connections, now) = (Stack::shared().connections(), Timestamp::now());
    connections.end(&connection).await.expect("DynamoDB responds");
    let later = now.plus(FRAME_WINDOW);
    let admission = connections.admit_frame(&connection.connection_id, later).await.expect("DynamoDB responds");
    assert!(matches!(admission, FrameAdmission::Unknown));
    assert!(connections.delete_by_id(&connection.connection_id).await.expect("DynamoDB responds").is_none());
}

mod black_box {
    use futures_util::{StreamExt, stream};
    use reqwest::{Method, StatusCode};
    use serde_json::{Value, json};
    use shared::domain::{
        limits::{FRAME_WINDOW, Limits},
        time::Timestamp,
    };
    use tests::{Api, Response};

    fn header(response: &Response, name: &str) -> String {
        response.headers.get(name).map(|value| value.to_str().expect("text").to_owned()).unwrap_or_default()
    }

    #[tokio::test]
    async fn hundred_of_a_thousand_simultaneous_requests_are_admitted() {
        let tenant = Api::shared().tenant_with("rest limit", Limits::default()).await;
        let requests = stream::iter(0..1_000).map(|_| tenant.get("/api/v1/chats/user/u")).buffer_unordered(100);
        let responses: Vec<Response> = requests.collect().await;
        let (admitted, limited): (Vec<_>, Vec<_>) =
            responses.iter().partition(|response| response.status == StatusCode::OK);
        assert_eq!((admitted.len(), limited.len()), (100, 900));

        let mut remaining: Vec<u32> = admitted
            .iter()
            .map(|response| header(response, "x-ratelimit-remaining").parse().expect("a number"))
            .collect();
        remaining.sort_unstable();
        assert!(remaining.into_iter().eq(0..100), "each request is counted once");
        for response in limited {
            assert_eq!((response.status, response.code()), (StatusCode::TOO_MANY_REQUESTS, "RATE_LIMIT_EXCEEDED"));
            let wait: u64 = header(response, "retry-after").parse().expect("seconds");
            assert!((1..=60).contains(&wait));
            assert_eq!(header(response, "x-ratelimit-remaining"), "0");
        }
    }

    #[tokio::test]
    async fn authenticated_responses_have_rate_limit_headers() {
        let tenant = Api::shared().tenant_with("headers", Limits { rest_per_minute: 7, ..Limits::default() }).await;
        let created = tenant.post("/api/v1/chats/", &json!({ "user_id": "u" })).await;
        let missing = tenant.get("/api/v1/chats/chat_x").await;
        let invalid = tenant.post("/api/v1/chats/", &json!({})).await;
        for (response, remaining) in [(&created, "6"), (&missing, "5"), (&invalid, "4")] {
            assert_eq!(header(response, "x-ratelimit-limit"), "7");
            assert_eq!(header(response, "x-ratelimit-remaining"), remaining);
            assert_eq!(header(response, "ratelimit-policy"), "\"rest\";q=7;w=60");
            assert!(header(response, "ratelimit").starts_with(&format!("\"rest\";r={remaining};t=")));
            let reset: i64 = header(response, "x-ratelimit-reset").parse().expect("epoch seconds");
            let seconds = reset - Timestamp::now().as_seconds();
            assert!((0..=61).contains(&seconds), "{seconds} s");
        }
        let unknown = tenant.with_key("unknown").get("/api/v1/chats/chat_x").await;
        assert_eq!(header(&unknown, "x-ratelimit-limit"), "", "an unknown key has no window");
    }

    #[tokio::test]
    async fn raised_limit_applies_to_the_next_request() {
        let api = Api::shared();
        let tenant = api.tenant_with("raised", Limits { rest_per_minute: 1, ..Limits::default() }).await;
        let get = async || tenant.get("/api/v1/chats/user/u").await.status.as_u16();
        assert_eq!((get().await, get().await, get().await), (200, 429, 429));
        api.chat(&["tenant", "set-limits", &tenant.id, "--rest-per-minute", "2"]).await;
        assert_eq!((get().await, get().await), (200, 429));
    }

    #[tokio::test]
    async fn eleventh_frame_in_a_second_is_refused() {
        let tenant = Api::shared().tenant("frames").await;
        let chat = tenant.chat("u").await;
        let mut socket = tenant.connect(&chat, "u").await;
        for _ in 0..11 {
            socket.send(&json!({ "type": "ping" })).await;
        }
        let mut events = Vec::new();
        while events.len() < 11 {
            let event = socket.next().await;
            if event["type"] == "pong" || event["type"] == "error" {
                events.push(event);
            }
        }
        let refused: Vec<&Value> = events.iter().filter(|event| event["type"] == "error").collect();
        assert_eq!(refused.len(), 1);
        assert_eq!(refused[0]["error"]["code"], "RATE_LIMIT_EXCEEDED");
        assert_eq!(refused[0]["error"]["details"]["retryable"], true);

        tokio::time::sleep(FRAME_WINDOW).await;
        assert_eq!(socket.say("still open").await.last().expect("an end")["finish_reason"], "stop");
    }

    #[tokio::test]
    async fn tickets_have_their_own_window() {
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
