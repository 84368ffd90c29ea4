//! What the HTTP side refuses, each with a status or a code and a reason that its sender can act on.

use std::net::SocketAddr;

use tokio_tungstenite::tungstenite::Message;
use tombolo_gateway::config::Options;

use super::support::{Answer, Signaling, gateway, gateway_with, request};

const OFFER: &str = include_str!("data/chromium-sendonly-av.sdp");
const SDP: (&str, &str) = ("content-type", "application/sdp");
const FRAGMENT: (&str, &str) = ("content-type", "application/trickle-ice-sdpfrag");

async fn post(server: SocketAddr, path: &str, sdp: &str) -> Answer {
    request(server, "POST", path, &[SDP], sdp.as_bytes()).await
}

fn assert_problem(answer: &Answer, status: u16, reason: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains(reason), "{detail:?} does not say {reason:?}");
}

#[tokio::test]
async fn whip_bodies_that_are_no_offer_are_refused_with_the_reason() {
    let server = gateway_with(Options { max_message_bytes: Some(20_000), ..Options::default() }).await;
    let at = server.local_addr();
    let json = request(at, "POST", "/whip/demo", &[("content-type", "application/json")], b"{}").await;
    assert_problem(&json, 415, "application/sdp");
    assert_problem(&request(at, "POST", "/whip/demo", &[], OFFER.as_bytes()).await, 415, "application/sdp");
    assert_problem(&request(at, "POST", "/whip/demo", &[SDP], &[b'a'; 20_001]).await, 413, "limit");
    assert_problem(&request(at, "POST", "/whip/demo", &[SDP], b"v=0\r\n\xff").await, 400, "UTF-8");
    assert_problem(&post(at, "/whip/de%20mo", OFFER).await, 400, "letters, digits");
    assert_problem(&post(at, "/whip/demo?name=a%2Fb", OFFER).await, 400, "name");

    let broken = OFFER.replace("a=mid:1", "a=mid:1\r\nnonsense");
    let answer = post(at, "/whip/demo", &broken).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    let line = broken.lines().position(|line| line == "nonsense").unwrap() + 1;
    assert_eq!(answer.json()["line"], line);

    let metrics = request(at, "GET", "/metrics", &[], b"").await.body;
    assert!(metrics.contains("tombolo_participants 0"), "{metrics}");
    server.stop().await;
}

/// WHIP-01, WHIP-06: directions, and more than one track of a kind, that WHIP and WHEP do not have.
#[tokio::test]
async fn an_offer_that_whip_or_whep_does_not_allow_is_unprocessable_and_leaves_nothing() {
    let server = gateway().await;
    let at = server.local_addr();
    let watching = OFFER.replace("a=sendonly", "a=recvonly");
    assert_problem(&post(at, "/whip/demo", &watching).await, 422, "send");
    assert_problem(&post(at, "/whep/demo", OFFER).await, 422, "receive");
    assert_problem(&post(at, "/whep/demo?publisher=nobody", &watching).await, 404, "nobody");
    let camera = OFFER.split_at(OFFER.find("m=video").unwrap()).1.replace("a=mid:1", "a=mid:2");
    let cameras = OFFER.replace("BUNDLE 0 1", "BUNDLE 0 1 2") + &camera;
    assert_problem(&post(at, "/whip/demo", &cameras).await, 422, "at most one");
    let metrics = request(at, "GET", "/metrics", &[], b"").await.body;
    assert!(metrics.contains("tombolo_webrtc_legs 0"), "{metrics}");
    server.stop().await;
}

/// WHIP-01 the answer, WHIP-02 the end, WHIP-03 what a PATCH must bring, WHIP-04 trickled candidates.
#[tokio::test]
async fn a_whip_session_follows_rfc_9725() {
    let server = gateway().await;
    let at = server.local_addr();
    let answer = post(at, "/whip/demo?name=encoder", OFFER).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/sdp"));
    assert!(answer.body.contains("a=recvonly") && answer.body.contains("a=candidate:"), "{}", answer.body);
    let (session, etag) =
        (answer.header("location").unwrap().to_owned(), answer.header("etag").unwrap().to_owned());

    assert_problem(&post(at, "/whip/demo?name=encoder", OFFER).await, 409, "taken");

    let ufrag = OFFER.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).unwrap();
    let trickle = format!(
        "a=ice-ufrag:{ufrag}\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n\
         a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\na=candidate:2 1 sctp 1 192.0.2.1 9 typ host\r\n\
         a=candidate:3 1 udp 1 no.such.host.invalid 9 typ host\r\n"
    );
    let patch = async |headers: &[(&str, &str)], body: &str| {
        request(at, "PATCH", &session, headers, body.as_bytes()).await
    };
    let tagged = ("if-match", etag.as_str());
    assert_problem(&patch(&[SDP, tagged], &trickle).await, 415, "trickle-ice-sdpfrag");
    assert_problem(&patch(&[FRAGMENT], &trickle).await, 428, "ETag");
    assert_problem(&patch(&[FRAGMENT, ("if-match", "\"old\"")], &trickle).await, 412, "ETag");
    assert_problem(&patch(&[FRAGMENT, tagged], "nonsense").await, 400, "line 1");
    let restart = "a=ice-ufrag:other\r\na=ice-pwd:otherotherotherotherother\r\n";
    assert_problem(&patch(&[FRAGMENT, ("if-match", "*")], restart).await, 422, "restart");
    assert_problem(&patch(&[FRAGMENT, tagged], restart).await, 409, "generation");
    let trickled = patch(&[FRAGMENT, tagged], &trickle).await;
    assert_eq!((trickled.status, trickled.body.as_str()), (204, ""), "{trickled:?}");
    assert_eq!(trickled.header("etag"), None);

    assert_problem(&request(at, "DELETE", "/whip/demo/unknown", &[], b"").await, 404, "no such session");
    assert_eq!(request(at, "GET", &session, &[], b"").await.status, 405);
    assert_eq!(request(at, "DELETE", &session, &[], b"").await.status, 200);
    assert_problem(&request(at, "DELETE", &session, &[], b"").await, 404, "no such session");
    assert_problem(&patch(&[FRAGMENT, tagged], &trickle).await, 404, "no such session");
    assert_eq!(post(at, "/whip/demo?name=encoder", OFFER).await.status, 201);
    server.stop().await;
}

#[tokio::test]
async fn a_page_of_any_origin_may_use_whip() {
    let server = gateway().await;
    let asked = [
        ("origin", "https://studio.example"),
        ("access-control-request-method", "PATCH"),
        ("access-control-request-headers", "if-match,content-type,authorization"),
    ];
    let answer = request(server.local_addr(), "OPTIONS", "/whip/demo", &asked, b"").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert!(answer.header("access-control-allow-methods").unwrap().contains("PATCH"));
    assert!(answer.header("access-control-allow-headers").unwrap().contains("if-match"));
    server.stop().await;
}

#[tokio::test]
async fn signaling_tells_what_is_wrong_with_a_message() {
    let server = gateway().await;
    let at = server.local_addr();
    let refused = async |first: Message| {
        let mut signaling = Signaling::connect(at).await;
        signaling.send(first).await;
        let error = signaling.hear().await;
        assert_eq!((&error["type"], &error["fatal"]), (&"error".into(), &true.into()), "{error}");
        assert!(signaling.hear().await.is_null());
        error["code"].as_str().unwrap().to_owned()
    };
    assert_eq!(refused(Message::text("hello")).await, "bad-message");
    assert_eq!(refused(Message::binary(vec![1, 2, 3])).await, "bad-message");
    assert_eq!(refused(Message::text(r#"{"type":"dance"}"#)).await, "bad-message");
    assert_eq!(refused(Message::text(r#"{"type":"leave"}"#)).await, "not-joined");
    assert_eq!(refused(Message::text(r#"{"type":"join","version":9,"channel":"demo"}"#)).await, "version");
    assert_eq!(refused(Message::text(r#"{"type":"join","version":1,"channel":"a b"}"#)).await, "bad-message");

    let mut alice = Signaling::join(at, "demo", "alice").await;
    assert_eq!(
        refused(Message::text(r#"{"type":"join","version":1,"channel":"demo","name":"alice"}"#)).await,
        "name-taken"
    );
    // The session goes on after each of these.
    for (message, code) in [
        (Message::binary(vec![0]), "bad-message"),
        (Message::text("{}"), "bad-message"),
        (Message::text(r#"{"type":"join","version":1,"channel":"demo"}"#), "not-joined"),
        (Message::text(r#"{"type":"offer","id":3,"sdp":"v=1"}"#), "bad-sdp"),
        (Message::text(r#"{"type":"candidate","candidate":"candidate:nonsense"}"#), "bad-candidate"),
        (Message::text(r#"{"type":"receive","mid":"9","track":"1"}"#), "not-found"),
    ] {
        alice.send(message.clone()).await;
        let error = alice.hear().await;
        assert_eq!((&error["code"], &error["fatal"]), (&code.into(), &false.into()), "{message:?}: {error}");
    }
    alice.say(r#"{"type":"ping","t":5}"#).await;
    assert_eq!(alice.hear().await["t"], 5);
    server.stop().await;
}

#[tokio::test]
async fn a_message_over_the_limit_ends_only_its_own_connection() {
    let server = gateway_with(Options { max_message_bytes: Some(1000), ..Options::default() }).await;
    let at = server.local_addr();
    let mut alice = Signaling::join(at, "demo", "alice").await;
    let mut bob = Signaling::join(at, "demo", "bob").await;
    assert_eq!(alice.hear().await["event"], "joined");
    bob.say(&format!(r#"{{"type":"ping","t":1,"more":"{}"}}"#, "x".repeat(1000))).await;
    let error = bob.hear().await;
    assert!(error.is_null() || error["message"].as_str().unwrap().contains("too long"), "{error}");
    let left = alice.hear().await;
    assert_eq!((&left["event"], &left["participant"]["name"]), (&"left".into(), &"bob".into()), "{left}");
    server.stop().await;
}

#[tokio::test]
async fn unknown_addresses_are_told_as_such() {
    let server = gateway().await;
    let at = server.local_addr();
    assert_problem(&request(at, "GET", "/nothing/here", &[], b"").await, 404, "nothing at this address");
    assert_problem(&request(at, "GET", "/c/bad%20name", &[], b"").await, 404, "no such channel");
    assert_problem(&request(at, "GET", "/none.js", &[], b"").await, 404, "nothing at this address");
    assert_eq!(request(at, "GET", "/healthz", &[], b"").await.body, "ok\n");
    server.stop().await;
}
