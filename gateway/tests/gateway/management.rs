use aws_sdk_apigatewaymanagement::{
    error::SdkError, operation::post_to_connection::PostToConnectionError, primitives::Blob,
};

use crate::harness::{Stack, close_code, http, text};

async fn post(stack: &Stack, id: &str, data: impl Into<Vec<u8>>) -> Result<(), PostToConnectionError> {
    let sent = stack.management().post_to_connection().connection_id(id).data(Blob::new(data)).send().await;
    sent.map(drop).map_err(SdkError::into_service_error)
}

#[tokio::test]
async fn connection_is_gone_until_connect_returns() {
    let mut stack = Stack::start().await;
    let handshake = stack.handshake("");
    let connect = stack.lambda.expect("connect").await;
    let id = connect.context("connectionId").as_str().unwrap().to_owned();
    assert!(post(&stack, &id, "x").await.unwrap_err().is_gone_exception());
    let error = stack.management().get_connection().connection_id(&id).send().await.unwrap_err();
    assert!(error.into_service_error().is_gone_exception());
    let error = stack.management().delete_connection().connection_id(&id).send().await.unwrap_err();
    assert!(error.into_service_error().is_gone_exception());
    connect.succeed();
    let (mut client, _) = handshake.await.unwrap().unwrap();
    stack.round_trip(&mut client).await;
    post(&stack, &id, "x").await.unwrap();
    assert_eq!(text(&mut client).await, "x");
}

#[tokio::test]
async fn posts_arrive_in_order() {
    let mut stack = Stack::start().await;
    let (mut client, id) = stack.connect().await;
    for number in 0..50 {
        post(&stack, &id, number.to_string()).await.unwrap();
    }
    for number in 0..50 {
        assert_eq!(text(&mut client).await, number.to_string());
    }
}

#[tokio::test]
async fn get_describes_client_and_times() {
    let mut stack = Stack::start().await;
    let (_client, id) = stack.connect().await;
    let connection = stack.management().get_connection().connection_id(&id).send().await.unwrap();
    let (connected, active) = (connection.connected_at().unwrap(), connection.last_active_at().unwrap());
    assert!(connected <= active);
    assert_eq!(connection.identity().unwrap().source_ip(), Some("127.0.0.1"));
}

#[tokio::test]
async fn delete_closes_after_queued_posts() {
    let mut stack = Stack::start().await;
    let (mut client, id) = stack.connect().await;
    post(&stack, &id, "last").await.unwrap();
    stack.management().delete_connection().connection_id(&id).send().await.unwrap();
    assert!(post(&stack, &id, "x").await.unwrap_err().is_gone_exception());
    assert_eq!(text(&mut client).await, "last");
    assert_eq!(close_code(&mut client).await, 1000);
    let disconnect = stack.lambda.expect("disconnect").await;
    assert_eq!(*disconnect.context("disconnectStatusCode"), 1000);
    disconnect.succeed();
}

#[tokio::test]
async fn payload_above_128_kib_is_too_large() {
    let mut stack = Stack::start().await;
    let (mut client, id) = stack.connect().await;
    let limit = 128 * 1024;
    assert!(post(&stack, &id, vec![b'x'; limit + 1]).await.unwrap_err().is_payload_too_large_exception());
    post(&stack, &id, vec![b'x'; limit]).await.unwrap();
    assert_eq!(text(&mut client).await.len(), limit);
}

#[tokio::test]
async fn full_queue_is_limit_exceeded_and_connection_can_be_deleted() {
    let mut stack = Stack::with_options(|options| options.outgoing_frames = 1).await;
    let (_unread, id) = stack.connect().await;
    let refusal = loop {
        if let Err(error) = post(&stack, &id, vec![b'x'; 128 * 1024]).await {
            break error;
        }
    };
    assert!(refusal.is_limit_exceeded_exception());
    stack.management().delete_connection().connection_id(&id).send().await.unwrap();
    stack.lambda.expect("disconnect").await.succeed();
}

#[tokio::test]
async fn other_methods_are_forbidden() {
    let mut stack = Stack::start().await;
    let (_client, id) = stack.connect().await;
    let response = stack.send(http().put(stack.url(&format!("/@connections/{id}")))).await.unwrap();
    assert_eq!(response.status(), 403);
    assert_eq!(response.headers()["x-amzn-errortype"], "ForbiddenException");
}

#[tokio::test]
async fn connection_id_is_decoded_once() {
    let mut stack = Stack::start().await;
    let (_client, id) = stack.connect().await;
    for (encoded, status) in [(id.replace('=', "%3D"), 200), (id.clone(), 200), (id.replace('=', "%253D"), 410)] {
        let response = stack.get(&format!("/@connections/{encoded}")).await.unwrap();
        assert_eq!(response.status(), status, "{encoded}");
    }
}
