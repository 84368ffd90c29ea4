//! A peer that says something wrong, played by changing plaintext messages on their way.

use std::time::Duration;

use tombolo_dtls::{AlertDescription, Config, FailReason, PeerError, ProtocolVersion};

use crate::peer::config;
use crate::wire::{Direct, Record, change_message, fragment};

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const CERTIFICATE: u8 = 11;
const SERVER_KEY_EXCHANGE: u8 = 12;
const CERTIFICATE_REQUEST: u8 = 13;
const SERVER_HELLO_DONE: u8 = 14;
const CERTIFICATE_VERIFY: u8 = 15;
const CLIENT_KEY_EXCHANGE: u8 = 16;

/// Datagrams so long that no message is cut.
fn uncut(seed: u64) -> Config {
    config(ProtocolVersion::Dtls12, seed).mtu(16384).build().expect("settings")
}

/// Changes one message; the side that receives it fails with `error`, and nobody gets any keys.
fn fails(msg_type: u8, from_client: bool, error: PeerError, change: impl Fn(Vec<u8>) -> Vec<u8>) {
    fails_at(!from_client, msg_type, from_client, error, change);
}

/// The same where the client, or the server, is the one that notices.
fn fails_at(
    client_notices: bool,
    msg_type: u8,
    from_client: bool,
    error: PeerError,
    change: impl Fn(Vec<u8>) -> Vec<u8>,
) {
    let mut direct = Direct::new(uncut(1), uncut(2));
    let mut changed = false;
    direct.run(|client, datagram| {
        if client != from_client {
            return datagram;
        }
        change_message(&datagram, msg_type, |body| {
            changed = true;
            change(body)
        })
    });
    assert!(changed, "no message {msg_type}");
    let name = format!("message {msg_type}, expecting {error:?}");
    // The alert is plaintext or not, according to where the handshake was; either way the other side ends soon.
    direct.wait(Duration::from_secs(2));
    let (victim, other) =
        if client_notices { (&direct.client, &direct.server) } else { (&direct.server, &direct.client) };
    assert_eq!(victim.failure(), Some(FailReason::Peer(error)), "{name}");
    let told = other.failure();
    assert_eq!(told, Some(FailReason::PeerAlert(error.alert())), "{name}");
    assert!(!victim.is_connected() && !other.is_connected(), "{name}");
    assert_eq!((victim.events.len(), other.events.len()), (1, 1), "{name}");
}

/// Replaces `from`, which is there once, by `to`.
fn replace(body: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let places: Vec<usize> =
        body.windows(from.len()).enumerate().filter(|(_, bytes)| *bytes == from).map(|(at, _)| at).collect();
    let [at] = places[..] else { panic!("{from:02x?} is there {} times", places.len()) };
    [&body[..at], to, &body[at + from.len()..]].concat()
}

/// DTLS-15: without the extended master secret there are no keys, whichever side leaves it out.
#[test]
fn the_extended_master_secret_is_required() {
    // The extension gets a code point that means nothing.
    let without = |body: Vec<u8>| replace(&body, &[0, 23, 0, 0], &[0xaa, 23, 0, 0]);
    fails(CLIENT_HELLO, true, PeerError::NoExtendedMasterSecret, without);
    // In a ServerHello an unknown extension is an error of its own, so the extension goes altogether.
    let cut = |body: Vec<u8>| {
        let mut body = replace(&body, &[0, 23, 0, 0], &[]);
        let extensions_at = 2 + 32 + 1 + 2 + 1;
        body[extensions_at + 1] -= 4;
        body
    };
    fails(SERVER_HELLO, false, PeerError::NoExtendedMasterSecret, cut);
}

#[test]
fn hellos_without_anything_in_common() {
    let dtls_1_0 = |mut body: Vec<u8>| {
        body[1] = 0xff;
        body
    };
    fails(CLIENT_HELLO, true, PeerError::Version, dtls_1_0);
    fails(SERVER_HELLO, false, PeerError::Version, dtls_1_0);
    let suites_at = 2 + 32 + 1 + 1 + 2;
    let other_suites = move |mut body: Vec<u8>| {
        body[suites_at..suites_at + 6].copy_from_slice(&[0, 0x2f, 0, 0x35, 0, 0x3c]);
        body
    };
    fails(CLIENT_HELLO, true, PeerError::CipherSuite, other_suites);
    let other_groups = |body: Vec<u8>| replace(&body, &[0, 29, 0, 23, 0, 24], &[0, 30, 0, 25, 0, 26]);
    fails(CLIENT_HELLO, true, PeerError::Group, other_groups);
    let other_schemes = |body: Vec<u8>| replace(&body, &[0, 4, 4, 3, 5, 3], &[0, 4, 2, 3, 2, 3]);
    fails(CLIENT_HELLO, true, PeerError::SignatureScheme, other_schemes);
    fails(CERTIFICATE_REQUEST, false, PeerError::SignatureScheme, other_schemes);
}

#[test]
fn choices_that_were_not_offered() {
    let suite_at = 2 + 32 + 1;
    let suite = move |id: [u8; 2]| {
        move |mut body: Vec<u8>| {
            body[suite_at..suite_at + 2].copy_from_slice(&id);
            body
        }
    };
    fails(SERVER_HELLO, false, PeerError::IllegalParameter, suite([0, 0x2f]));
    // The deterministic provider verifies no RSA, so this suite was not offered.
    fails(SERVER_HELLO, false, PeerError::IllegalParameter, suite([0xc0, 0x2f]));
    let compression = |mut body: Vec<u8>| {
        body[2 + 32 + 1 + 2] = 1;
        body
    };
    fails(SERVER_HELLO, false, PeerError::IllegalParameter, compression);
    // Three suites are offered, then one compression method.
    let no_null_compression = |mut body: Vec<u8>| {
        assert_eq!(body[44..46], [1, 0]);
        body[45] = 1;
        body
    };
    fails(CLIENT_HELLO, true, PeerError::IllegalParameter, no_null_compression);
    let srtp = |profile: u8| {
        move |body: Vec<u8>| {
            replace(&body, &[0, 14, 0, 5, 0, 2, 0, 7, 0], &[0, 14, 0, 5, 0, 2, 0, profile, 0])
        }
    };
    // NULL, which is not offered (RFC 8827 §6.5), and one that nobody knows.
    fails(SERVER_HELLO, false, PeerError::IllegalParameter, srtp(5));
    fails(SERVER_HELLO, false, PeerError::IllegalParameter, srtp(99));
    let mki = |body: Vec<u8>| {
        let mut body = replace(&body, &[0, 14, 0, 5, 0, 2, 0, 7, 0], &[0, 14, 0, 6, 0, 2, 0, 7, 1, 9]);
        body[2 + 32 + 1 + 2 + 1 + 1] += 1;
        body
    };
    fails(SERVER_HELLO, false, PeerError::IllegalParameter, mki);
    let unknown_extension = |body: Vec<u8>| replace(&body, &[0, 11, 0, 2, 1, 0], &[0, 35, 0, 2, 1, 0]);
    fails(SERVER_HELLO, false, PeerError::UnsolicitedExtension, unknown_extension);
    let renegotiating = |body: Vec<u8>| {
        let mut body = replace(&body, &[0xff, 1, 0, 1, 0], &[0xff, 1, 0, 2, 1, 7]);
        let at = body.len() - 1;
        assert_eq!(body[at], 7);
        body[2 + 32 + 1 + 2 + 1 + 1] += 1;
        body
    };
    fails(SERVER_HELLO, false, PeerError::IllegalParameter, renegotiating);
}

#[test]
fn a_server_does_not_answer_use_srtp_that_was_not_offered() {
    let client = config(ProtocolVersion::Dtls12, 1).mtu(16384).srtp_profiles(vec![]).build().unwrap();
    let mut direct = Direct::new(client, uncut(2));
    direct.run(|from_client, datagram| {
        if from_client {
            return datagram;
        }
        change_message(&datagram, SERVER_HELLO, |body| {
            let mut body = [&body[..], &[0, 14, 0, 5, 0, 2, 0, 7, 0]].concat();
            body[2 + 32 + 1 + 2 + 1 + 1] += 9;
            body
        })
    });
    assert_eq!(direct.client.failure(), Some(PeerError::UnsolicitedExtension.into()));
}

/// DTLS-11: an empty list of certificates does not pass, on either side.
#[test]
fn certificates_that_do_not_pass() {
    for from_client in [true, false] {
        fails(CERTIFICATE, from_client, PeerError::NoCertificate, |_| vec![0, 0, 0]);
        // Any other bytes than those that were signalled.
        fails(CERTIFICATE, from_client, PeerError::FingerprintMismatch, |mut body| {
            let last = body.len() - 1;
            body[last] ^= 1;
            body
        });
        fails(CERTIFICATE, from_client, PeerError::FingerprintMismatch, |_| b"\0\0\x04\0\0\x01x".to_vec());
    }
}

#[test]
fn signatures_that_do_not_verify() {
    let last_byte = |mut body: Vec<u8>| {
        let last = body.len() - 1;
        body[last] ^= 1;
        body
    };
    fails(SERVER_KEY_EXCHANGE, false, PeerError::BadSignature, last_byte);
    fails(CERTIFICATE_VERIFY, true, PeerError::BadSignature, last_byte);
    let share = |mut body: Vec<u8>| {
        body[10] ^= 1;
        body
    };
    fails(SERVER_KEY_EXCHANGE, false, PeerError::BadSignature, share);
    // Another share than the one that was signed over.
    fails(CLIENT_KEY_EXCHANGE, true, PeerError::BadSignature, share);
    let scheme = |mut body: Vec<u8>| {
        body[0] = 5;
        body
    };
    fails(CERTIFICATE_VERIFY, true, PeerError::IllegalParameter, scheme);
    let low_order = |mut body: Vec<u8>| {
        body[1..].fill(0);
        body
    };
    fails(CLIENT_KEY_EXCHANGE, true, PeerError::IllegalParameter, low_order);
    fails(CLIENT_KEY_EXCHANGE, true, PeerError::IllegalParameter, |_| vec![1, 4]);
    // The hello of the client is signed over, and so is the server's.
    let random = |mut body: Vec<u8>| {
        body[20] ^= 1;
        body
    };
    fails_at(true, CLIENT_HELLO, true, PeerError::BadSignature, random);
    fails(SERVER_HELLO, false, PeerError::BadSignature, random);
}

#[test]
fn messages_out_of_turn() {
    // The body of ServerHelloDone under the type of another message, or the other way round.
    let mut direct = Direct::new(uncut(1), uncut(2));
    direct.run(|from_client, datagram| {
        if from_client {
            return datagram;
        }
        let rename = |record: Record| match record.body[0] {
            // CertificateRequest is left out, and what follows moves up.
            CERTIFICATE_REQUEST => Vec::new(),
            SERVER_HELLO_DONE => fragment(SERVER_HELLO_DONE, 3, &[], 0, 0).encode(),
            _ => record.encode(),
        };
        Record::split(&datagram).into_iter().flat_map(rename).collect()
    });
    // The client goes on without a certificate, and the server that had asked for one does not.
    assert_eq!(direct.server.failure(), Some(PeerError::UnexpectedMessage.into()));

    let mut direct = Direct::new(uncut(1), uncut(2));
    let hello = direct.poll_flight(true).remove(0);
    let done = fragment(SERVER_HELLO_DONE, 0, &[], 0, 0).encode();
    direct.deliver(true, &done);
    assert_eq!(direct.client.failure(), Some(PeerError::UnexpectedMessage.into()));
    direct.deliver(false, &hello);
    assert_eq!(direct.server.failure(), None);
}

/// RFC 6347 §4.2.1: the client repeats its hello with the cookie; the hash starts with that one.
#[test]
fn a_client_answers_a_hello_verify_request() {
    let mut direct = Direct::new(uncut(1), uncut(2));
    let first = Record::split(&direct.poll_flight(true)[0]).remove(0);
    let request = [&[0xfe, 0xff, 20][..], &[7; 20]].concat();
    direct.deliver(true, &fragment(3, 0, &request, 0, request.len()).encode());
    let [datagram] = &direct.poll_flight(true)[..] else { panic!("one datagram") };
    let second = Record::split(datagram).remove(0);
    assert_eq!(second.body[4..6], [0, 1], "message_seq");
    assert_eq!(second.body[12..46], first.body[12..46], "the same version and random");
    assert_eq!(second.body[47], 20);
    assert_eq!(second.body[48..68], [7; 20]);
    assert_eq!(second.body[68..], first.body[48..], "and the same everything else");
    direct.deliver(true, &fragment(3, 1, &request, 0, request.len()).encode());
    assert_eq!(direct.client.failure(), Some(PeerError::UnexpectedMessage.into()), "once is enough");
    assert_eq!(PeerError::UnexpectedMessage.alert(), AlertDescription::UNEXPECTED_MESSAGE);
}
