//! What is taken and what is not, where peers differ: found with BoringSSL's protocol tests (BoGo).

use tombolo_dtls::{Config, FailReason, PeerError, ProtocolVersion};

use crate::peer::config;
use crate::wire::{Direct, Record, change_message, fragment};

const V12: ProtocolVersion = ProtocolVersion::Dtls12;
const V13: ProtocolVersion = ProtocolVersion::Dtls13;

fn of(version: ProtocolVersion, seed: u64) -> Config {
    config(version, seed).build().expect("settings")
}

/// HelloVerifyRequest, whose cookie may be empty (RFC 6347 §4.2.1).
fn verify_request(message_seq: u16, cookie: &[u8]) -> Vec<u8> {
    let body = [&[0xfe, 0xfd, cookie.len() as u8], cookie].concat();
    fragment(3, message_seq, &body, 0, body.len()).encode()
}

#[test]
fn a_cookie_may_be_empty_and_is_asked_for_once() {
    for cookie in [&b""[..], b"cookie"] {
        let mut direct = Direct::new(of(V12, 1), of(V12, 2));
        let first = direct.poll_flight(true);
        direct.deliver(true, &verify_request(0, cookie));
        let second = direct.poll_flight(true);
        assert_eq!(second.len(), 1, "the hello again");
        assert_eq!(second[0].len(), first[0].len() + cookie.len());
        direct.deliver(true, &verify_request(1, cookie));
        let error = FailReason::Peer(PeerError::UnexpectedMessage);
        assert_eq!(direct.client.failure(), Some(error), "once is enough");
    }
}

/// Whoever asks for a cookie in this way does not speak 1.3.
#[test]
fn a_client_of_1_3_alone_has_no_version_in_common_with_one_that_asks_for_a_cookie_of_1_2() {
    let mut direct = Direct::new(of(V13, 1), of(V13, 2));
    direct.poll_flight(true);
    direct.deliver(true, &verify_request(0, b"cookie"));
    assert_eq!(direct.client.failure(), Some(FailReason::Peer(PeerError::Version)));
}

/// RFC 5246 §E.1: a client may be of a later version than any that is known, and of no earlier one than ours.
#[test]
fn later_versions_are_tolerated_and_earlier_ones_are_not() {
    for (version, answers) in
        [(0xfefd_u16, true), (0xfefc, true), (0xfe00, true), (0xbfff, true), (0xfeff, false)]
    {
        let mut direct = Direct::new(of(V12, 1), of(V12, 2));
        for datagram in direct.poll_flight(true) {
            let changed = change_message(&datagram, 1, |body| [&version.to_be_bytes(), &body[2..]].concat());
            direct.deliver(false, &changed);
        }
        let error = (!answers).then_some(FailReason::Peer(PeerError::Version));
        assert_eq!(direct.server.failure(), error, "{version:#x}");
    }
}

/// RFC 6066 §3: a server that has taken the name says so, with an empty extension of four bytes.
#[test]
fn the_name_of_the_server_is_acknowledged() {
    let hello_len = |client: Config| {
        let mut direct = Direct::new(client, of(V12, 2));
        for datagram in direct.poll_flight(true) {
            direct.deliver(false, &datagram);
        }
        let flight = direct.poll_flight(false);
        Record::split(&flight[0])[0].body.len()
    };
    let named = config(V12, 1).server_name("example.org").build().expect("settings");
    assert_eq!(hello_len(named), hello_len(of(V12, 1)) + 4);
}

/// 2¹⁴ bytes go into a record, where the path takes them, and no more (RFC 5246 §6.2.1).
#[test]
fn the_longest_records_arrive() {
    for version in [V12, V13] {
        let build = |seed| config(version, seed).mtu(20_000).build().expect("settings");
        let mut direct = Direct::new(build(1), build(2));
        direct.run(|_, datagram| datagram);
        assert_eq!(direct.client.connection.max_write_len(), 1 << 14);
        let data = vec![7; 1 << 14];
        direct.client.connection.write(direct.now, &data).expect("it fits");
        direct.run(|_, datagram| datagram);
        assert_eq!(direct.server.received(), [&data[..]]);
    }
}
