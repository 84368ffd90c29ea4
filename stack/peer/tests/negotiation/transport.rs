//! Addresses and roles: what descriptions say of them, and that connections do so.

use std::time::Instant;

use tombolo::ice::Candidate;
use tombolo::net::{FiveTuple, Transmit};
use tombolo::sdp::{Direction, SessionDescription};
use tombolo::{ConnectionState, DtlsRolePreference, MediaKind, PeerConnection, TransceiverInit};
use tombolo_netsim::{Machine, Pair, Side};

use crate::text::*;

/// ICE-12: the default destinations of trickling offers, and names, are no mismatch.
#[test]
fn placeholder_addresses_are_no_mismatch() {
    for (port, address) in
        [(9, "IN IP4 0.0.0.0"), (9, "IN IP6 ::"), (9, "IN IP4 host.example"), (5000, "IN IP4 0.0.0.0")]
    {
        let text = with(&offer(), "c=IN IP4 0.0.0.0", &format!("c={address}"))
            .replace(" 9 UDP", &format!(" {port} UDP"));
        let answer = answer(&text);
        assert!(answer.sdp().media.iter().all(|media| !media.is_rejected()), "{address}");
        assert!(!answer.to_string().contains("ice-mismatch"));
    }
}

/// ICE-05: our answers carry the candidates that are known, and say so when there will be no more.
#[test]
fn answers_carry_the_candidates() {
    let mut connection = connection_with(1, |config| config.ice_lite(true));
    connection.add_local_candidate(now(), "192.0.2.7:4433".parse().unwrap()).unwrap();
    give(&mut connection, &offer()).unwrap();
    let answer: SessionDescription = settle(&mut connection);
    let tag = &answer.sdp().media[0];
    assert!(tag.candidates.len() == 1 && tag.candidates[0].value.contains("192.0.2.7 4433 typ host"));
    assert!(tag.end_of_candidates);
    assert!(answer.sdp().ice_lite.is_some());
    assert_eq!(
        (tag.connection.as_deref(), tag.port),
        (Some("192.0.2.7"), 4433),
        "the default destination is one of them"
    );
}

/// A connection as netsim drives it.
struct Driven(PeerConnection);

impl Machine for Driven {
    fn handle_datagram(&mut self, now: Instant, path: FiveTuple, data: &mut [u8]) {
        self.0.handle_datagram(now, path, data);
        while self.0.poll_event().is_some() {}
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.0.handle_timeout(now);
        while self.0.poll_event().is_some() {}
    }

    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        self.0.poll_transmit(now, out)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.0.poll_timeout()
    }
}

/// When, in a negotiation, something is told.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    Before,
    After,
}

/// Offers from one connection to another, with addresses gathered and candidates told before or after the
/// descriptions, and lets them connect.
fn connect(gathered: When, told: When, role: DtlsRolePreference) -> Pair<Driven, Driven> {
    let mut offerer = connection();
    let mut answerer = connection_with(2, |config| config.dtls_role(role));
    offerer.add_transceiver(MediaKind::Audio, Direction::SendRecv, &TransceiverInit::default());
    let addresses = ["192.0.2.1:1111", "192.0.2.2:2222"].map(|address| address.parse().expect("an address"));
    let gather = |offerer: &mut PeerConnection, answerer: &mut PeerConnection| {
        offerer.add_local_candidate(now(), addresses[0]).expect("a usable address");
        answerer.add_local_candidate(now(), addresses[1]).expect("a usable address");
    };
    let tell = |offerer: &mut PeerConnection, answerer: &mut PeerConnection| {
        for (to, from) in [(offerer, addresses[1]), (answerer, addresses[0])] {
            to.add_remote_candidate(now(), Some("0"), &Candidate::host(from).to_string())
                .expect("a candidate");
            to.add_remote_candidate(now(), Some("0"), "").expect("the end");
        }
    };
    if gathered == When::Before {
        gather(&mut offerer, &mut answerer);
    }
    if told == When::Before {
        tell(&mut offerer, &mut answerer);
    }
    let bare = |text: &str| {
        let lines = text.lines().filter(|line| !line.contains("candidate"));
        lines.map(|line| format!("{line}\r\n")).collect::<String>()
    };
    let offer = start(&mut offerer).to_string();
    give(&mut answerer, &bare(&offer)).expect("our own offer");
    let answer = settle(&mut answerer).to_string();
    give_answer(&mut offerer, &bare(&answer)).expect("our own answer");
    if gathered == When::After {
        gather(&mut offerer, &mut answerer);
    }
    if told == When::After {
        tell(&mut offerer, &mut answerer);
    }
    let mut pair = Pair::new(Driven(offerer), Driven(answerer), 3);
    let connected = |side: &Driven| side.0.state() == ConnectionState::Connected;
    assert!(pair.run_until(|a, b| connected(a) && connected(b)), "gathered {gathered:?}, told {told:?}");
    pair
}

/// ICE-03: the same pair comes of candidates that are gathered and told before the descriptions or after them.
#[test]
fn candidates_may_come_before_or_after_the_descriptions() {
    let paths = |gathered, told| {
        let pair = connect(gathered, told, DtlsRolePreference::Active);
        [pair.a.0.stats().path, pair.b.0.stats().path]
    };
    let expected = paths(When::Before, When::After);
    assert!(expected.iter().all(Option::is_some));
    for (gathered, told) in
        [(When::Before, When::Before), (When::After, When::Before), (When::After, When::After)]
    {
        assert_eq!(paths(gathered, told), expected, "gathered {gathered:?}, told {told:?}");
    }
}

/// DTLS-05: the side that the answer makes active sends the first hello, and the other waits for it.
#[test]
fn the_answer_decides_who_says_hello() {
    for (role, hears_first) in [(DtlsRolePreference::Active, Side::A), (DtlsRolePreference::Passive, Side::B)]
    {
        let pair = connect(When::Before, When::After, role);
        let is_dtls = |data: &[u8]| matches!(data.first(), Some(20..=63));
        let first = pair.records().iter().find(|record| is_dtls(&record.data)).expect("a handshake");
        assert_eq!(first.to, hears_first, "{role:?}");
        // [record header 13 | handshake type]: 22 is handshake, 1 a client's hello.
        assert_eq!((first.data[0], first.data[13]), (22, 1));
        let hellos = pair.records().iter().filter(|record| record.data[0] == 22 && record.data[13] == 1);
        assert!(hellos.into_iter().all(|record| record.to == hears_first));
    }
}
