//! `maintenance`: what was left half done is finished, and nothing else is touched.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use shared::{
    domain::{
        id::ChatId,
        message::Status,
        pagination::{Order, PageRequest},
        time::Timestamp,
    },
    maintenance::{Report, StopTime},
    storage::{RegenerateResult, TenantStatus},
};
use tests::{Household, Lambda, Proxy, Resident, Stack, eventually};
use tokio::sync::Notify;

use crate::resilience::between::{Between, Fate};

const MINUTE: Duration = Duration::from_secs(60);
const PAGE: PageRequest = PageRequest { offset: 0, limit: 200, order: Order::Asc };

fn enough() -> StopTime {
    StopTime::within(Duration::from_secs(600))
}

async fn statuses(house: &Household, tenant: &Resident, chat: &ChatId, now: Timestamp) -> Vec<(Status, String)> {
    let (messages, _) =
        house.chats().messages(&tenant.id, chat, PAGE, now).await.expect("the table answers").expect("a chat");
    messages.into_iter().map(|message| (message.status, message.content)).collect()
}

#[tokio::test]
async fn a_delete_that_was_cut_off_is_finished() {
    let house = Household::with_sockets(&["one"]).await;
    let (tenant, now) = (house.tenant().await, Timestamp::now());
    let (doomed, other) = (house.chat(&tenant, "u", now).await, house.chat(&tenant, "u", now).await);
    for _ in 0..20 {
        house.exchange(&tenant, &doomed, now).await;
    }
    house.socket(&tenant, &doomed, "one", now).await;
    assert!(house.chats().delete(&tenant.id, &doomed, now).await.expect("the table answers"));

    assert_eq!(house.keep_house(now.plus(9 * MINUTE)).await.chats_purged, 0, "whoever deletes it is just at it");
    let done = house.keep_house(now.plus(11 * MINUTE)).await;
    assert_eq!((done.chats_purged, done.chats_expired), (1, 0));
    let left = house.keys("ChatsTable").await;
    assert!(left.iter().all(|key| !key.contains(doomed.as_str())) && left.len() == 3, "{left:?}");
    assert_eq!(house.management.posts("one")[0].event["error"]["code"], "CHAT_NOT_FOUND");
    assert!(house.management.is_closed("one"));
    assert_eq!(statuses(&house, &tenant, &other, now).await, []);
    assert!(house.agenda("ChatsTable").await.is_empty());
}

#[tokio::test]
async fn an_answer_whose_streamer_died_is_ended_where_nobody_looks() {
    let house = Household::with_sockets(&["two"]).await;
    let (tenant, now) = (house.tenant().await, Timestamp::now());
    let chat = house.chat(&tenant, "u", now).await;
    let exchange = house.say(&tenant, &chat, now).await;
    let lease = house.chats().lease(&tenant.id, &chat, &exchange.generation);
    assert!(lease.save("As far as it came", now).await.expect("the table answers"));
    house.socket(&tenant, &chat, "two", Timestamp::now()).await;

    assert_eq!(house.keep_house(now.plus(14 * MINUTE)).await.answers_ended, 0);
    assert_eq!(house.keep_house(now.plus(16 * MINUTE)).await.answers_ended, 1);
    assert!(!lease.renew(now).await.expect("the table answers"), "it is over for good");
    let expected = [(Status::Complete, "Hello".to_owned()), (Status::Interrupted, "As far as it came".to_owned())];
    assert_eq!(statuses(&house, &tenant, &chat, now).await, expected);
    let told: Vec<_> = house.management.posts("two").into_iter().map(|post| post.event["type"].clone()).collect();
    assert_eq!(told, ["error", "message_stream_ended"]);
    assert!(house.agenda("ChatsTable").await.is_empty());
    assert!(house.chats().remains(&tenant.id, &chat).await.is_ok());
}

#[tokio::test]
async fn a_running_answer_is_left_alone_and_looked_at_again() {
    let house = Household::new().await;
    let (tenant, now) = (house.tenant().await, Timestamp::now());
    let chat = house.chat(&tenant, "u", now).await;
    let exchange = house.say(&tenant, &chat, now).await;
    let lease = house.chats().lease(&tenant.id, &chat, &exchange.generation);
    assert!(lease.renew(now.plus(16 * MINUTE)).await.expect("the table answers"));

    let done = house.keep_house(now.plus(16 * MINUTE)).await;
    assert_eq!((done.looked_at, done.answers_ended), (1, 0));
    assert!(lease.renew(now.plus(16 * MINUTE)).await.expect("the table answers"), "it is its streamer's still");
    assert_eq!(house.keep_house(now.plus(30 * MINUTE)).await.looked_at, 0);
    assert_eq!(house.keep_house(now.plus(32 * MINUTE)).await.answers_ended, 1);
}

#[tokio::test]
async fn a_chat_is_looked_at_once_however_many_messages_came() {
    let house = Household::new().await;
    let (tenant, now) = (house.tenant().await, Timestamp::now());
    let chat = house.chat(&tenant, "u", now).await;
    assert!(house.agenda("ChatsTable").await.is_empty(), "a chat without messages costs nothing");
    for minute in 0..5 {
        house.exchange(&tenant, &chat, now.plus(minute * MINUTE)).await;
    }
    assert_eq!(house.keep_house(now.plus(16 * MINUTE)).await, Report { looked_at: 1, ..Report::default() });
    assert_eq!(house.keep_house(now.plus(60 * MINUTE)).await, Report::default());
    house.say(&tenant, &chat, now.plus(60 * MINUTE)).await;
    assert_eq!(house.keep_house(now.plus(80 * MINUTE)).await.answers_ended, 1);
}

#[tokio::test]
async fn an_answer_that_was_being_made_anew_is_ended_too() {
    let house = Household::new().await;
    let (tenant, now) = (house.tenant().await, Timestamp::now());
    let chat = house.chat(&tenant, "u", now).await;
    house.exchange(&tenant, &chat, now).await;
    house.keep_house(now.plus(16 * MINUTE)).await;
    assert!(house.agenda("ChatsTable").await.is_empty());
    let (messages, _) =
        house.chats().messages(&tenant.id, &chat, PAGE, now).await.expect("the table answers").expect("a chat");
    let begun = house.chats().regenerate(&tenant.id, &chat, &messages[1], "test", now).await;
    assert!(matches!(begun.expect("the table answers"), RegenerateResult::Draft(_)));
    assert_eq!(house.keep_house(now.plus(16 * MINUTE)).await.answers_ended, 1);
    let expected = [(Status::Complete, "Hello".to_owned()), (Status::Complete, "Hello to you".to_owned())];
    assert_eq!(statuses(&house, &tenant, &chat, now).await, expected, "the old one stays");
}

/// The message comes between the look at the chat and the write that takes it off the agenda.
#[tokio::test]
async fn a_message_that_comes_meanwhile_keeps_its_chat_on_the_agenda() {
    let house = Arc::new(Household::new().await);
    let (tenant, now) = (house.tenant().await, Timestamp::now());
    let chat = house.chat(&tenant, "u", now).await;
    house.exchange(&tenant, &chat, now).await;
    let said = Arc::new(AtomicUsize::new(0));
    let proxy = Between::start(Stack::shared().dynamodb_endpoint(), {
        let (house, tenant, chat, said) = (house.clone(), tenant.clone(), chat.clone(), said.clone());
        move |operation| {
            let (house, tenant, chat, said) = (house.clone(), tenant.clone(), chat.clone(), said.clone());
            async move {
                if operation == "UpdateItem" && said.fetch_add(1, Ordering::SeqCst) == 0 {
                    house.say(&tenant, &chat, now.plus(16 * MINUTE)).await;
                }
                Fate::Arrives
            }
        }
    })
    .await;
    let (_, result) = house.keeper(Some(&proxy.url)).run(now.plus(16 * MINUTE), enough(), "test").await;
    result.expect("the tables answer");
    assert!(said.load(Ordering::SeqCst) > 0);
    assert_eq!(house.agenda("ChatsTable").await.len(), 1);
    assert_eq!(house.keep_house(now.plus(40 * MINUTE)).await.answers_ended, 1);
}

#[tokio::test]
async fn silent_sockets_of_a_shut_gate_are_closed_and_no_others() {
    let house = Household::with_sockets(&["silent", "living", "opening"]).await;
    let (tenant, other, now) = (house.tenant().await, house.tenant().await, Timestamp::now());
    let (chat, others) = (house.chat(&tenant, "u", now).await, house.chat(&other, "u", now).await);
    house.socket(&tenant, &chat, "silent", now).await;
    house.socket(&other, &others, "living", now).await;
    let suspended = house.tenants().set_status(&tenant.id, TenantStatus::Suspended).await;
    assert!(suspended.expect("the table answers"));
    house.socket(&tenant, &chat, "opening", now.plus(5 * MINUTE)).await;

    assert_eq!(house.keep_house(now.plus(3 * MINUTE)).await, Report::default(), "not due yet");
    let done = house.keep_house(now.plus(5 * MINUTE)).await;
    assert_eq!((done.looked_at, done.sockets_closed, done.leases_freed), (2, 1, 1));
    assert_eq!(house.management.posts("silent")[0].event["error"]["code"], "CONNECTION_CLOSING");
    let closed = ["silent", "living", "opening"].map(|id| house.management.is_closed(id));
    assert_eq!(closed, [true, false, false], "one that opens looks after itself");
    assert_eq!(house.connections().leases(&tenant.id).await.expect("the table answers").len(), 1);
    assert_eq!(house.keep_house(now.plus(15 * MINUTE)).await.sockets_closed, 1);
    assert_eq!(house.connections().leases(&other.id).await.expect("the table answers").len(), 1);
    // Nobody is left of the one, and of the other there is someone still.
    house.keep_house(now.plus(30 * MINUTE)).await;
    assert_eq!(house.agenda("ConnectionsTable").await, BTreeSet::from([other.id.to_string()]));
}

#[tokio::test]
async fn sockets_of_a_key_that_expired_are_closed() {
    let house = Household::with_sockets(&["expired"]).await;
    let (tenant, now) = (house.tenant().await, Timestamp::now());
    let chat = house.chat(&tenant, "u", now).await;
    house.socket(&tenant, &chat, "expired", now).await;
    let expiry = house.tenants().set_key_expiry(&tenant.id, &tenant.key, now.plus(10 * MINUTE)).await;
    assert!(expiry.expect("the table answers"));
    assert_eq!(house.keep_house(now.plus(9 * MINUTE)).await.sockets_closed, 0);
    assert_eq!(house.keep_house(now.plus(14 * MINUTE)).await.sockets_closed, 1);
    assert!(house.management.is_closed("expired"));
}

#[tokio::test]
async fn leases_of_sockets_that_are_gone_are_given_back() {
    let house = Household::with_sockets(&["long", "short"]).await;
    let (tenant, now) = (house.tenant().await, Timestamp::now());
    let chat = house.chat(&tenant, "u", now).await;
    let lost = house.socket(&tenant, &chat, "lost", now).await;
    house.connections().remove(&lost).await.expect("the table answers");
    house.socket(&tenant, &chat, "long", now).await;
    house.socket(&tenant, &chat, "short", now.plus(60 * MINUTE)).await;

    let done = house.keep_house(now.plus(5 * MINUTE)).await;
    assert_eq!((done.leases_freed, done.sockets_closed), (1, 0), "what is noted may live");
    let done = house.keep_house(now.plus(121 * MINUTE)).await;
    assert_eq!((done.leases_freed, done.sockets_closed), (1, 0), "API Gateway ends every socket after two hours");
    let left = house.connections().of_tenant(&tenant.id).await.expect("the table answers");
    assert_eq!(left.iter().map(|socket| socket.connection_id.as_str()).collect::<Vec<_>>(), ["short"]);
    house.keep_house(now.plus(200 * MINUTE)).await;
    assert!(house.agenda("ConnectionsTable").await.is_empty());
}

#[tokio::test]
async fn what_cannot_be_read_is_put_off_and_holds_up_nothing() {
    let house = Household::new().await;
    let (tenant, now) = (house.tenant().await, Timestamp::now());
    let chats = [house.chat(&tenant, "u", now).await, house.chat(&tenant, "u", now).await];
    for chat in &chats {
        house.say(&tenant, chat, now).await;
    }
    house.spoil("ChatsTable", &format!("{}#{}", tenant.id, chats[0]), "~state", "message_count").await;
    let run = async |at| house.keeper(None).run(at, enough(), "test").await.0;
    let due = now.plus(15 * MINUTE);
    let done = run(due).await;
    assert_eq!((done.looked_at, done.failures, done.answers_ended), (2, 1, 1));
    // It is tried again a quarter of an hour after it failed.
    assert_eq!(run(due).await, Report::default());
    assert_eq!(run(Timestamp::now().plus(16 * MINUTE)).await.failures, 1);
}

#[tokio::test]
async fn a_long_chat_is_purged_in_several_runs() {
    let house = Household::new().await;
    let (tenant, now) = (house.tenant().await, Timestamp::now());
    let chat = house.chat(&tenant, "u", now).await;
    for _ in 0..200 {
        house.exchange(&tenant, &chat, now).await;
    }
    assert!(house.chats().delete(&tenant.id, &chat, now).await.expect("the table answers"));
    // Sixteen steps of two calls each, and each call takes a tenth of a second.
    let slow = Proxy::start(Stack::shared().dynamodb_endpoint()).await;
    let keeper = house.keeper(Some(&slow.url));
    let mut runs = 0;
    loop {
        runs += 1;
        let (done, result) =
            keeper.run(now.plus(11 * MINUTE), StopTime::within(Duration::from_millis(1_500)), "test").await;
        result.expect("the tables answer");
        assert_eq!(done.cut_short, done.chats_purged == 0, "{done:?}");
        if done.chats_purged == 1 {
            break;
        }
        assert!(runs < 50 && house.agenda("ChatsTable").await.len() == 1);
    }
    assert!(runs > 1);
    assert!(house.keys("ChatsTable").await.iter().all(|key| !key.contains(chat.as_str())));
}

/// One of all that maintenance does.
async fn untidy(house: &Household, now: Timestamp) -> (Resident, [ChatId; 3]) {
    let tenant = house.tenant().await;
    let old = now.minus(3 * 24 * 60 * MINUTE);
    let chats =
        [house.chat(&tenant, "u", now).await, house.chat(&tenant, "u", now).await, house.chat(&tenant, "u", old).await];
    house.exchange(&tenant, &chats[0], now).await;
    assert!(house.chats().delete(&tenant.id, &chats[0], now).await.expect("the table answers"));
    let exchange = house.say(&tenant, &chats[1], now).await;
    let lease = house.chats().lease(&tenant.id, &chats[1], &exchange.generation);
    assert!(lease.save("So far", now).await.expect("the table answers"));
    house.exchange(&tenant, &chats[2], old).await;
    let lost = house.socket(&tenant, &chats[1], &format!("{}-lost", tenant.id), now).await;
    house.connections().remove(&lost).await.expect("the table answers");
    assert!(house.tenants().set_retention(&tenant.id, Some(2), now).await.expect("the table answers"));
    (tenant, chats)
}

async fn is_tidy(house: &Household, tenant: &Resident, chats: &[ChatId; 3], now: Timestamp) {
    let keys = house.keys("ChatsTable").await;
    for gone in [&chats[0], &chats[2]] {
        assert!(keys.iter().all(|key| !key.contains(gone.as_str())), "{keys:?}");
    }
    let expected = [(Status::Complete, "Hello".to_owned()), (Status::Interrupted, "So far".to_owned())];
    assert_eq!(statuses(house, tenant, &chats[1], now).await, expected);
    let user = shared::domain::id::UserId::parse("u").expect("a user");
    assert_eq!(house.chats().chat_count(&tenant.id, &user).await.expect("the table answers"), 1);
    assert!(house.connections().leases(&tenant.id).await.expect("the table answers").is_empty());
    assert!(!house.agenda("ChatsTable").await.iter().any(|key| key.contains(tenant.id.as_str())));
}

#[tokio::test]
async fn a_run_that_dies_between_any_two_calls_is_made_good_by_the_next() {
    let house = Household::new().await;
    let now = Timestamp::now();
    let later = now.plus(16 * MINUTE);
    let mut survived = 0;
    loop {
        let (tenant, chats) = untidy(&house, now).await;
        let (calls, dead) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let proxy = Between::start(Stack::shared().dynamodb_endpoint(), {
            let (calls, dead) = (calls.clone(), dead.clone());
            move |_| {
                let is_last = calls.fetch_add(1, Ordering::SeqCst) >= survived;
                if is_last {
                    dead.notify_one();
                }
                async move { if is_last { Fate::Refused } else { Fate::Arrives } }
            }
        })
        .await;
        let keeper = house.keeper(Some(&proxy.url));
        let ended = tokio::select! {
            () = dead.notified() => false,
            (_, result) = keeper.run(later, enough(), "test") => result.is_ok(),
        };
        house.keep_house(later.plus(11 * MINUTE)).await;
        is_tidy(&house, &tenant, &chats, now).await;
        if ended {
            break;
        }
        survived += 1;
    }
    assert!(survived > 24 + 15, "{survived} calls");
}

#[tokio::test]
async fn two_runs_at_once_do_it_once() {
    let house = Household::new().await;
    let now = Timestamp::now();
    let mut homes = Vec::new();
    for _ in 0..5 {
        homes.push(untidy(&house, now).await);
    }
    let keeper = house.keeper(None);
    let later = now.plus(16 * MINUTE);
    let run = || Box::pin(keeper.run(later, enough(), "test"));
    let ((one, first), (two, second)) = tokio::join!(run(), run());
    first.and(second).expect("the tables answer");
    assert_eq!((one.failures, two.failures), (0, 0));
    assert_eq!(one.answers_ended + two.answers_ended, 5, "each is told of once");
    assert_eq!(one.chats_expired + two.chats_expired, 5);
    house.keep_house(later.plus(11 * MINUTE)).await;
    for (tenant, chats) in &homes {
        is_tidy(&house, tenant, chats, now).await;
    }
}

#[tokio::test]
async fn a_run_reads_what_is_due_and_never_a_whole_table() {
    let house = Household::new().await;
    let now = Timestamp::now();
    for _ in 0..3 {
        let tenant = house.tenant().await;
        for _ in 0..20 {
            house.chat(&tenant, "u", now).await;
        }
    }
    let proxy = Proxy::without_delay(Stack::shared().dynamodb_endpoint()).await;
    let keeper = house.keeper(Some(&proxy.url));
    let calls = || proxy.take_all();
    keeper.run(now.plus(16 * MINUTE), enough(), "test").await.1.expect("the tables answer");
    assert_eq!(calls(), vec!["Query".to_owned(); 24], "eight parts of three indexes");

    untidy(&house, now).await;
    keeper.run(now.plus(16 * MINUTE), enough(), "test").await.1.expect("the tables answer");
    let calls = calls();
    assert!(!calls.iter().any(|operation| operation == "Scan"), "{calls:?}");
    assert!(calls.len() < 24 + 40, "{}: {calls:?}", calls.len());
}

#[tokio::test]
async fn the_function_fails_when_it_cannot_see_what_is_due() {
    let stack = Stack::shared();
    let event = serde_json::json!({ "detail-type": "Scheduled Event" });
    let deadline = Duration::from_secs(240);
    let healthy = Lambda::start(stack, "maintenance", deadline, &[]).await;
    healthy.send(event.clone());
    assert_eq!(healthy.answers(1).await, [serde_json::Value::Null]);

    let nowhere = [("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:1")];
    let blind = Lambda::start(stack, "maintenance", deadline, &nowhere).await;
    blind.send(event);
    assert_eq!(blind.answers(1).await[0]["errorMessage"], "UNAVAILABLE");
}

/// The function itself, with the real gateway and a real socket.
#[tokio::test]
async fn the_function_closes_a_silent_socket_of_a_suspended_tenant() {
    let stack = Stack::shared();
    let tenant = stack.tenant("silent").await;
    let chat = tenant.chat("u").await;
    let mut socket = tenant.connect(&chat, "u").await;
    let suspended = stack.tenants().set_status(&tenant.id, TenantStatus::Suspended).await;
    assert!(suspended.expect("the table answers"));
    // As soon as the socket is old enough.
    let sweeping = eventually("the tenant's lease is given back", async || {
        stack.make_due(&tenant).await;
        stack.invoke("maintenance", &serde_json::json!({ "detail-type": "Scheduled Event" })).await;
        stack.connections().leases(&tenant.id).await.expect("the table answers").is_empty()
    });
    let (goodbye, ()) = tokio::join!(socket.next_of("error"), sweeping);
    assert_eq!(goodbye["error"]["code"], "CONNECTION_CLOSING");
    socket.closed().await;
}
