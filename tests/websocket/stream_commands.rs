//! `cancel`, `resume` and `regenerate`: what a client wants of an answer.

use serde_json::{Value, json};
use shared::{
    domain::{id::ChatId, time::Timestamp},
    storage::{AppendResult, ChatPosition, NewMessage},
};
use tests::{Stack, Tenant};

use self::black_box::Reader;

async fn stored(tenant: &Tenant, chat: &str) -> Value {
    tenant.get(&format!("/api/v1/chats/{chat}/messages")).await.body["messages"].clone()
}

#[tokio::test]
async fn the_answer_of_a_streamer_that_is_gone_ends_for_everyone_when_one_asks() {
    let stack = Stack::shared();
    for wish in ["resume", "cancel"] {
        let tenant = stack.tenant("gone streamer").await;
        let chat = tenant.chat("u").await;
        let id = ChatId::parse(&chat).expect("an id");
        let long_ago = Timestamp::from_millis(Timestamp::now().as_millis() - 30_000);
        let new = NewMessage { content: "Hello", client_id: None, model: "test" };
        let appended = stack.chats().append(&tenant.id, &id, ChatPosition::default(), new, long_ago).await;
        let AppendResult::Stored(exchange) = appended.expect("the table answers") else { panic!("not stored") };
        let lease = stack.chats().lease(&tenant.id, &id, &exchange.generation);
        assert!(lease.save("What came of it", long_ago).await.expect("the table answers"));

        let (mut one, mut other) = (tenant.connect(&chat, "u").await, tenant.connect(&chat, "u").await);
        let answer = json!(exchange.generation.message_id);
        let mut frame = json!({ "type": wish, "message_id": answer });
        let mut reader = Reader::new();
        if wish == "resume" {
            frame["offset"] = json!(5);
            "What ".clone_into(&mut reader.text);
        } else {
            "What came of it".clone_into(&mut reader.text);
        }
        one.send(&frame).await;
        let end = reader.read_to_end(&answer, &mut one).await;
        assert_eq!(reader.text, "What came of it");
        let (reason, status) = if wish == "resume" { ("error", "interrupted") } else { ("cancelled", "cancelled") };
        assert_eq!((&end["finish_reason"], &end["content"]), (&json!(reason), &json!(reader.text)));
        assert_eq!(other.next_of("message_stream_ended").await["finish_reason"], reason);
        assert_eq!(stored(&tenant, &chat).await[1]["status"], status);
        let line = stack.line_that("streamed", |line| line["tenant_id"] == tenant.id.as_str()).await;
        assert_eq!((&line["end"], &line["streams"]), (&json!("interrupted"), &json!(1)), "its process is gone: {line}");
    }
}

mod black_box {
    use std::time::Duration;

    use serde_json::{Value, json};
    use shared::domain::id::MessageId;
    use tests::{Api, Customer, Socket};

    const MANY_SCRIPTS: &str = "Grüße, naïve façade 東京都へようこそ ٱلسَّلَامُ 👩‍👩‍👧 🏳️‍🌈 e\u{301} \n\t\"quoted\" \\ end";

    fn model(pace: u32) -> Value {
        json!({ "user_id": "u", "config": { "model": format!("echo@{pace}") } })
    }

    async fn stored(tenant: &Customer, chat: &str) -> Value {
        tenant.get(&format!("/api/v1/chats/{chat}/messages")).await.body["messages"].clone()
    }

    /// A client that keeps what it was told of one answer.
    pub(crate) struct Reader {
        pub(crate) text: String,
        end: Option<Value>,
    }

    impl Reader {
        pub(crate) fn new() -> Self {
            Self { text: String::new(), end: None }
        }

        /// Takes an event; those of other answers, and all others, are passed over.
        fn take(&mut self, answer: &Value, event: &Value) {
            if event["message_id"] != *answer {
                return;
            }
            match event["type"].as_str() {
                Some("message_stream_token") => {
                    assert_eq!(event["offset"], self.text.len(), "nothing is missed, and nothing comes twice");
                    self.text.push_str(event["token"].as_str().expect("text"));
                    assert_eq!(event["next_offset"], self.text.len());
                }
                Some("message_stream_ended") => self.end = Some(event.clone()),
                _ => {}
            }
        }

        pub(crate) async fn read_to_end(&mut self, answer: &Value, socket: &mut Socket) -> Value {
            while self.end.is_none() {
                let event = socket.next().await;
                self.take(answer, &event);
            }
            self.end.clone().expect("an end")
        }
    }

    #[tokio::test]
    async fn a_socket_that_comes_later_joins_a_running_answer() {
        let tenant = Api::shared().tenant("joins").await;
        let chat = tenant.chat_with(&model(60)).await;
        let mut first = tenant.connect(&chat, "u").await;
        let content = format!("{MANY_SCRIPTS} ").repeat(12);
        first.send(&json!({ "content": content })).await;
        first.next_of("message_stream_token").await;
        let mut later = tenant.connect(&chat, "u").await;
        let established = later.next().await;
        let answer = established["active_streams"][0]["message_id"].clone();
        later.send(&json!({ "type": "resume", "message_id": answer, "offset": 0 })).await;
        let started = later.next_of("message_stream_started").await;
        assert_eq!((&started["message_id"], &started["model"]), (&answer, &json!("echo@60")));
        let mut reader = Reader::new();
        let end = reader.read_to_end(&answer, &mut later).await;
        assert_eq!(reader.text, format!("You said: {content}"));
        assert_eq!((&end["content"], &end["finish_reason"]), (&json!(reader.text), &json!("stop")));
    }

    #[tokio::test]
    async fn a_running_answer_can_be_read_as_far_as_it_is_saved() {
        let tenant = Api::shared().tenant("saved").await;
        let chat = tenant.chat_with(&model(20)).await;
        let mut socket = tenant.connect(&chat, "u").await;
        let content = format!("{MANY_SCRIPTS} ").repeat(40);
        socket.send(&json!({ "content": content })).await;
        let answer = socket.next_of("message_stream_started").await["message_id"].clone();
        let mut before = String::new();
        for _ in 0..2 {
            tests::eventually("more of it is saved", async || {
                let listed = stored(&tenant, &chat).await[1].clone();
                assert_eq!(listed["status"], "streaming");
                let saved = listed["content"].as_str().expect("text").to_owned();
                assert!(saved.starts_with(&before) && format!("You said: {content}").starts_with(&saved));
                std::mem::replace(&mut before, saved.clone()) != saved && !saved.is_empty()
            })
            .await;
        }
        socket.send(&json!({ "type": "cancel", "message_id": answer })).await;
        socket.next_of("message_stream_ended").await;
    }

    #[tokio::test]
    async fn an_answer_that_has_ended_is_told_again_from_any_offset() {
        let tenant = Api::shared().tenant("told again").await;
        let chat = tenant.chat("u").await;
        let mut socket = tenant.connect(&chat, "u").await;
        let end = socket.say(MANY_SCRIPTS).await.pop().expect("an end");
        let (answer, content) = (end["message_id"].clone(), end["content"].as_str().expect("text").to_owned());
        for offset in [0, 1, "You said: Gr".len(), "You said: Grü".len(), content.len()] {
            socket.send(&json!({ "type": "resume", "message_id": answer, "offset": offset })).await;
            let mut reader = Reader { text: content[..offset].to_owned(), end: None };
            let again = reader.read_to_end(&answer, &mut socket).await;
            assert_eq!(reader.text, content);
            assert_eq!((&again["content"], &again["usage"]), (&end["content"], &end["usage"]));
        }
        for bad in ["You said: Gr".len() + 1, content.len() + 1] {
            socket.send(&json!({ "type": "resume", "message_id": answer, "offset": bad })).await;
            let error = socket.next_of("error").await;
            let details = &error["error"]["details"];
            assert_eq!((&error["error"]["code"], &details["field"]), (&json!("INVALID_PARAMETER"), &json!("offset")));
            assert_eq!(error["message_id"], answer);
        }
    }

    #[tokio::test]
    async fn cancel_ends_an_answer_on_all_sockets_and_keeps_what_came() {
        let tenant = Api::shared().tenant("cancels").await;
        let chat = tenant.chat_with(&model(20)).await;
        let (mut one, mut other) = (tenant.connect(&chat, "u").await, tenant.connect(&chat, "u").await);
        let content = "word ".repeat(2_000);
        one.send(&json!({ "content": content })).await;
        let answer = other.next_of("message_stream_token").await["message_id"].clone();
        let mut late = tenant.connect(&chat, "u").await;
        // From a socket that does not hear the answer, even.
        late.send(&json!({ "type": "cancel", "message_id": answer })).await;
        let mut reader = Reader::new();
        let end = reader.read_to_end(&answer, &mut one).await;
        assert_eq!((&end["finish_reason"], &end["content"]), (&json!("cancelled"), &json!(reader.text)));
        assert!(reader.text.len() < content.len() && format!("You said: {content}").starts_with(&reader.text));
        for socket in [&mut other, &mut late] {
            assert_eq!(socket.next_of("message_stream_ended").await["content"], end["content"]);
        }
        let stored = stored(&tenant, &chat).await[1].clone();
        assert_eq!((&stored["status"], &stored["finish_reason"]), (&json!("cancelled"), &json!("cancelled")));
        assert_eq!(stored["content"], end["content"]);

        // Once more does no harm, and the chat goes on.
        one.send(&json!({ "type": "cancel", "message_id": answer })).await;
        assert_eq!(one.next_of("message_stream_ended").await["finish_reason"], "cancelled");
        one.send(&json!({ "content": "x" })).await;
        assert_eq!(one.next_of("message_stream_ended").await["content"], "You said: x");
    }

    #[tokio::test]
    async fn a_regenerated_answer_takes_the_place_of_the_old_one() {
        let tenant = Api::shared().tenant("regenerates").await;
        let chat = tenant.chat("u").await;
        let mut socket = tenant.connect(&chat, "u").await;
        let first = socket.say("one").await.pop().expect("an end");
        let old = socket.say("two").await.pop().expect("an end");
        socket.send(&json!({ "type": "regenerate", "message_id": old["message_id"] })).await;
        let started = socket.next_of("message_stream_started").await;
        assert_eq!((&started["replaces"], &started["seq"]), (&old["message_id"], &json!(3)));
        assert_ne!(started["message_id"], old["message_id"]);
        let mut reader = Reader::new();
        let end = reader.read_to_end(&started["message_id"], &mut socket).await;
        assert_eq!((&end["content"], &reader.text), (&json!("You said: two"), &"You said: two".to_owned()));

        let messages = stored(&tenant, &chat).await;
        assert_eq!(messages.as_array().expect("messages").len(), 4);
        assert_eq!((&messages[3]["message_id"], &messages[3]["seq"]), (&started["message_id"], &json!(3)));
        assert_eq!(messages[3]["in_reply_to"], messages[2]["message_id"]);
        for (id, code) in [(&old["message_id"], "MESSAGE_NOT_FOUND"), (&first["message_id"], "INVALID_PARAMETER")] {
            socket.send(&json!({ "type": "regenerate", "message_id": id })).await;
            assert_eq!(socket.next_of("error").await["error"]["code"], code);
        }
    }

    #[tokio::test]
    async fn an_old_answer_stays_until_the_new_one_has_ended_well() {
        let tenant = Api::shared().tenant("stays").await;
        let chat = tenant.chat_with(&model(0)).await;
        let mut socket = tenant.connect(&chat, "u").await;
        let old = socket.say(&"word ".repeat(300)).await.pop().expect("an end");
        tenant
            .send(tenant.request(reqwest::Method::PATCH, &format!("/api/v1/chats/{chat}")).json(&model_change(20)))
            .await;
        let regenerate = json!({ "type": "regenerate", "message_id": old["message_id"] });
        socket.send(&regenerate).await;
        let draft = socket.next_of("message_stream_token").await["message_id"].clone();
        assert_eq!(stored(&tenant, &chat).await[1]["message_id"], old["message_id"]);
        socket.send(&regenerate).await;
        assert_eq!(socket.next_of("error").await["error"]["code"], "GENERATION_IN_PROGRESS");
        socket.send(&json!({ "type": "cancel", "message_id": draft })).await;
        let end = socket.next_of("message_stream_ended").await;
        assert_eq!((&end["message_id"], &end["finish_reason"]), (&draft, &json!("cancelled")));
        let kept = stored(&tenant, &chat).await[1].clone();
        assert_eq!((&kept["message_id"], &kept["content"]), (&old["message_id"], &old["content"]));
        // Whoever lost its socket before can still ask how the draft ended.
        let mut later = tenant.connect(&chat, "u").await;
        later.send(&json!({ "type": "resume", "message_id": draft, "offset": 0 })).await;
        assert_eq!(later.next_of("message_stream_ended").await["finish_reason"], "cancelled");
    }

    fn model_change(pace: u32) -> Value {
        json!({ "config": { "model": format!("echo@{pace}") } })
    }

    #[tokio::test]
    async fn other_chats_answers_are_as_if_they_had_never_been() {
        let api = Api::shared();
        let (tenant, stranger) = (api.tenant("wishes").await, api.tenant("stranger").await);
        let (chat, other_chat, foreign) = (tenant.chat("u").await, tenant.chat("u").await, stranger.chat("u").await);
        let mut socket = tenant.connect(&chat, "u").await;
        let said = socket.say("Hello").await;
        let elsewhere = tenant.connect(&other_chat, "u").await.say("Hello").await.pop().expect("an end");
        let foreign = stranger.connect(&foreign, "u").await.say("Hello").await.pop().expect("an end");
        let ids = [
            json!(MessageId::at(1)),
            json!("msg_nonsense"),
            elsewhere["message_id"].clone(),
            foreign["message_id"].clone(),
            said[0]["message_id"].clone(),
        ];
        for kind in ["cancel", "resume", "regenerate"] {
            let mut errors = Vec::new();
            for id in &ids {
                let mut frame = json!({ "type": kind, "message_id": id });
                if kind == "resume" {
                    frame["offset"] = json!(0);
                }
                socket.send(&frame).await;
                let mut error = socket.next_of("error").await;
                assert_eq!(error["error"]["details"]["message_id"], *id);
                for own in ["request_id", "timestamp"] {
                    error[own].take();
                }
                error["error"]["details"]["message_id"].take();
                errors.push(error);
                // Ten a second.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            assert!(errors.iter().all(|error| *error == errors[0]), "{kind}: {errors:#?}");
            assert_eq!(errors[0]["error"]["code"], "MESSAGE_NOT_FOUND");
        }
    }

    /// A client that loses its socket again and again, wherever it happens to be, and resumes each time.
    async fn lossy(api: &Api, number: u32) -> usize {
        let tenant = api.tenant("lossy").await;
        let chat = tenant.chat_with(&model(60)).await;
        let mut socket = tenant.connect(&chat, "u").await;
        let content = format!("{MANY_SCRIPTS} ").repeat(80);
        socket.send(&json!({ "content": content })).await;
        let answer = socket.next_of("message_stream_started").await["message_id"].clone();
        let mut reader = Reader::new();
        let (mut cuts, mut luck) = (0, number);
        loop {
            // A few frames, more or fewer each time, and sometimes none.
            luck = luck.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            for _ in 0..(luck >> 16) % 12 {
                let event = socket.next().await;
                reader.take(&answer, &event);
                if reader.end.is_some() {
                    break;
                }
            }
            if let Some(end) = &reader.end {
                assert_eq!(reader.text, format!("You said: {content}"));
                assert_eq!(end["content"], json!(reader.text));
                return cuts;
            }
            drop(socket);
            cuts += 1;
            socket = tenant.connect(&chat, "u").await;
            socket.send(&json!({ "type": "resume", "message_id": answer, "offset": reader.text.len() })).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    #[expect(clippy::print_stdout, reason = "the count is printed")]
    async fn a_client_that_drops_its_socket_anywhere_and_resumes_has_the_exact_answer() {
        let api = Api::shared();
        let cuts = futures_util::future::join_all((0..24).map(|number| lossy(api, number))).await;
        let cuts: usize = cuts.into_iter().sum();
        println!("24 answers were cut at {cuts} points and came whole");
        assert!(cuts > 24, "so few were hardly anywhere: {cuts}");
    }
}
