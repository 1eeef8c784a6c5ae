//! What a connection does with the bytes it gets.

use super::*;

const LIMIT: u32 = 100_000;

async fn server_and_client() -> (Running, Client) {
    let holder = self_signed(&params("alice"));
    let server = Running::with_alice(&holder, Limits { max_frame_bytes: LIMIT, ..limits() }).await;
    let client = server.connect(&holder).await;
    (server, client)
}

/// A value such that the whole frame has `size` bytes.
fn value_of_frame(size: u32) -> Vec<u8> {
    (0..size - 8).map(|position| u8::try_from(position % 251).unwrap()).collect()
}

#[tokio::test]
async fn frames_of_every_size_up_to_the_limit_arrive_whole() {
    let (server, mut client) = server_and_client().await;
    // Around the sizes at which buffers grow, and the limit itself.
    for size in [8, 9, 4095, 4096, 4097, 16_383, 16_384, 16_385, 32_768, 65_537, LIMIT - 1, LIMIT] {
        let value = value_of_frame(size);
        assert_eq!(client.call(&value).await.unwrap(), value, "{size}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_frame_in_single_bytes_arrives_whole() {
    let (server, mut client) = server_and_client().await;
    for byte in frame(b"slowly") {
        client.send(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(client.receive().await.unwrap(), b"slowly");
    server.stop().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let (server, mut client) = server_and_client().await;
    let large = value_of_frame(20_000);
    let values: Vec<&[u8]> = vec![b"one", b"", b"three", &large, b"five", &large, b"seven"];
    let together: Vec<u8> = values.iter().flat_map(|value| frame(value)).collect();
    client.send(&together).await.unwrap();
    for value in values {
        assert_eq!(client.receive().await.unwrap(), value);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_frame_over_the_limit_is_answered_and_the_connection_closed() {
    let (server, mut client) = server_and_client().await;
    client.send(&frame(&value_of_frame(LIMIT + 1))).await.unwrap();
    assert_eq!(client.receive().await.unwrap(), format!("limit {LIMIT}").as_bytes());
    client.sees_the_end().await;
    server.stop().await;
}

#[tokio::test]
async fn four_gibibytes_are_refused_by_their_header() {
    let (server, mut client) = server_and_client().await;
    client.send(&[0x42, 0x00, 0x78, 0x01, 0xff, 0xff, 0xff, 0xff]).await.unwrap();
    assert_eq!(client.receive().await.unwrap(), format!("limit {LIMIT}").as_bytes());
    client.sees_the_end().await;
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_a_request_message_is_closed_without_an_answer() {
    for bytes in [
        b"GET / HTTP/1.1\r\n\r\n".as_slice(),
        // A response message, and a request message that is not a structure.
        &[0x42, 0x00, 0x7b, 0x01, 0, 0, 0, 0],
        &[0x42, 0x00, 0x78, 0x08, 0, 0, 0, 0],
    ] {
        let (server, mut client) = server_and_client().await;
        client.send(bytes).await.unwrap();
        client.sees_the_end().await;
        server.stop().await;
    }
}

#[tokio::test]
async fn a_reply_that_closes_is_sent_before_the_close() {
    let (server, mut client) = server_and_client().await;
    let mut together = frame(b"close");
    together.extend(frame(b"never answered"));
    client.send(&together).await.unwrap();
    assert_eq!(client.receive().await.unwrap(), b"close");
    client.sees_the_end().await;
    server.stop().await;
}

#[tokio::test]
async fn a_panic_ends_its_own_connection_only() {
    let holder = self_signed(&params("alice"));
    let server = Running::with_alice(&holder, limits()).await;
    let mut bystander = server.connect(&holder).await;
    // More often than there are threads, so that each has survived one.
    for _ in 0..4 {
        let mut client = server.connect(&holder).await;
        client.send(&frame(b"panic")).await.unwrap();
        client.sees_the_end().await;
    }
    assert_eq!(bystander.call(b"unharmed").await.unwrap(), b"unharmed");
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_cancel_its_request() {
    let (server, mut client) = server_and_client().await;
    client.send(&frame(b"wait")).await.unwrap();
    server.request_taken_up().await;
    drop(client);
    // `stop` returns only once the worker is done; it takes the release for that, so the request was still under way.
    server.release.send(()).unwrap();
    server.stop().await;
}
