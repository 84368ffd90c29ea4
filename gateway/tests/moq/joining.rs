//! Who gets in, who does not, and what they are told.

use std::time::{Duration, Instant, SystemTime};

use moq_net::origin;
use tokio::net::UdpSocket;
use web_transport_quinn::proto::ConnectRequest;
use web_transport_quinn::{ClientError, ConnectError, Session, proto};

use crate::client::{Client, Over, first_frame, quic, track};
use crate::{Gateway, soon};

async fn status(gateway: &Gateway, path: &str, protocol: &str) -> u16 {
    let (_endpoint, connection) = quic(gateway, web_transport_quinn::ALPN).await;
    let url: url::Url = format!("https://localhost{path}").parse().expect("a URL");
    let request = ConnectRequest::new(url).with_protocol(protocol);
    match soon("CONNECT", Session::connect(connection, request)).await {
        Ok(_) => 200,
        Err(ClientError::HttpError(ConnectError::ProtoError(proto::ConnectError::WrongStatus(Some(
            status,
        ))))) => status.as_u16(),
        Err(other) => panic!("no status: {other}"),
    }
}

#[tokio::test]
async fn wrong_paths_and_names_are_refused_with_a_status() {
    let gateway = Gateway::start();
    assert_eq!(status(&gateway, "/", "moq-lite-04").await, 404);
    assert_eq!(status(&gateway, "/a/b", "moq-lite-04").await, 404);
    assert_eq!(status(&gateway, "/.gateway", "moq-lite-04").await, 400);
    assert_eq!(status(&gateway, "/demo?name=a%20b", "moq-lite-04").await, 400);
    assert_eq!(status(&gateway, "/demo", "chat").await, 400, "no common protocol");
    soon("counted", async {
        while gateway.server.stats().refused < 5 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(gateway.server.stats().accepted, 0);
}

#[tokio::test]
async fn a_taken_name_is_told_by_the_reason_of_the_close_which_a_page_can_read() {
    let gateway = Gateway::start();
    let _alice = Client::connect(&gateway, Over::WebTransport("moq-lite-04"), "/demo?name=alice").await;
    let (_endpoint, connection) = quic(&gateway, web_transport_quinn::ALPN).await;
    let url: url::Url = "https://localhost/demo?name=alice".parse().expect("a URL");
    let request = ConnectRequest::new(url).with_protocol("moq-lite-04");
    let session = soon("CONNECT", Session::connect(connection, request)).await.expect("accepted");
    let closed = soon("close", session.closed()).await.to_string();
    assert!(closed.contains("409") && closed.contains("name-taken"), "{closed}");
}

#[tokio::test]
async fn over_raw_quic_the_close_says_why() {
    let gateway = Gateway::start();
    let _alice = Client::connect(&gateway, Over::RawQuic("moq-lite-05"), "/demo?name=alice").await;
    soon("alice is in", async {
        while gateway.server.stats().accepted < 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let refused = [("/", 404, "path"), ("/demo?name=.a", 400, "dot"), ("/demo?name=alice", 409, "taken")];
    for (path, code, word) in refused {
        let (_endpoint, connection) = quic(&gateway, "moq-lite-05").await;
        let (origin, driver) = origin::Producer::new(origin::Config::new(moq_net::Hop::random()));
        tokio::spawn(moq_net::time::run(driver));
        let client = moq_net::Client::new().with_path(path).with_subscriber(origin);
        let connected = client.connect(Instant::now(), Session::raw(connection.clone()));
        // It is refused once the gateway has read the path, which the client need not wait for.
        let (_session, driver) = soon("SETUP", connected).await.expect("sent");
        let closed = soon("close", async {
            tokio::select! {
                biased;
                closed = connection.closed() => closed.to_string(),
                error = moq_net::time::run(driver) => error.to_string(),
            }
        })
        .await;
        assert!(closed.contains(&format!("(code {code})")) && closed.contains(word), "{path}: {closed}");
    }
}

#[tokio::test]
async fn the_roster_names_everybody_else_and_follows_who_comes_and_goes() {
    let gateway = Gateway::start();
    let alice = Client::connect(&gateway, Over::WebTransport("moq-lite-05"), "/demo?name=alice").await;
    let control = alice.broadcast(".gateway").await;
    let mut roster = track(&control, "roster.json").await;
    assert_eq!(&first_frame(&mut roster).await.1[..], b"[]");
    let bob = Client::connect(&gateway, Over::RawQuic("moq-lite-06"), "/demo?name=bob").await;
    let (_, json) = first_frame(&mut roster).await;
    let told: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!(told[0]["name"], "bob");
    assert_eq!(told[0]["transport"], "webtransport");
    assert_eq!(told[0]["tracks"], serde_json::json!([]));
    drop(bob);
    assert_eq!(&first_frame(&mut roster).await.1[..], b"[]");
}

#[tokio::test]
async fn the_certificate_is_the_one_whose_hash_is_served_and_a_rotation_breaks_nothing() {
    let gateway = Gateway::start();
    // The test client trusts the served hashes only.
    let alice = Client::connect(&gateway, Over::WebTransport("moq-lite-04"), "/demo?name=alice").await;
    let certificates = gateway.server.certificates();
    let [_, next] = certificates.hashes()[..] else { panic!("two hashes") };
    certificates.rotate(certificates.rotate_at().expect("rotating")).expect("made");
    assert_eq!(certificates.hashes()[0], next);
    let bob = Client::connect(&gateway, Over::WebTransport("moq-lite-04"), "/demo?name=bob").await;
    let control = alice.broadcast(".gateway").await;
    let mut roster = track(&control, "roster.json").await;
    let (_, json) = first_frame(&mut roster).await;
    assert!(String::from_utf8_lossy(&json).contains("bob"), "the old connection still works");
    drop(bob);
}

/// QUIC and STUN on one socket at once: both are served, and junk harms neither.
#[tokio::test]
async fn a_session_stands_while_stun_and_junk_come_to_the_same_port() {
    let gateway = Gateway::start();
    let before = SystemTime::now();
    let address = gateway.address;
    let flood = tokio::spawn(async move {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
        for n in 0..20_000_u32 {
            let first = if n.is_multiple_of(2) { 0 } else { (n / 2) as u8 };
            let _ = socket.send_to(&[first; 60], address).await;
            if n.is_multiple_of(50) {
                tokio::task::yield_now().await;
            }
        }
    });
    let alice = Client::connect(&gateway, Over::WebTransport("moq-lite-05"), "/demo?name=alice").await;
    let bob = Client::connect(&gateway, Over::RawQuic("moq-lite-05"), "/demo?name=bob").await;
    let mut roster = track(&alice.broadcast(".gateway").await, "roster.json").await;
    while !String::from_utf8_lossy(&first_frame(&mut roster).await.1).contains("bob") {}
    flood.await.expect("sent");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let stats = gateway.port.stats();
    assert!(stats.webrtc_received > 5000 && stats.dropped_unknown > 100, "{stats:?}");
    assert!(stats.quic_received > 100, "{stats:?}");
    assert!(before.elapsed().expect("time goes on") < Duration::from_secs(15));
    drop(bob);
}

#[tokio::test]
async fn nothing_is_left_of_clients_that_have_gone() {
    let gateway = Gateway::start();
    for round in 0..40 {
        let over =
            if round % 2 == 0 { Over::WebTransport("moq-lite-04") } else { Over::RawQuic("moq-lite-05") };
        let _client = Client::connect(&gateway, over, &format!("/channel-{round}")).await;
    }
    soon("everybody has left", async {
        loop {
            let stats = gateway.hub.stats().await.expect("running").core;
            if stats.participants == 0 && stats.channels == 0 && gateway.server.stats().open == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    // On raw QUIC a client may be gone before it was heard.
    assert!(gateway.server.stats().accepted >= 20);
}
