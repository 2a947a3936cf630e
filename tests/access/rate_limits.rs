//! Rate limits, exact under concurrency.

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
