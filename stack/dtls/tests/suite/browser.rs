//! The hello of a browser: DTLS 1.3 and 1.2 offered together, a post-quantum key share first, two datagrams.

use std::sync::Arc;

use tombolo_dtls::{ProtocolVersion, Role};

use crate::peer::{Peer, config, path};
use crate::wire::{Record, fragment};
use tombolo_netsim::Machine;

fn vec16(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u16).to_be_bytes()[..], body].concat()
}

fn extension(code: u16, body: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes()[..], &vec16(body)].concat()
}

/// What Chromium and Firefox send, in form and length: about 1,400 bytes.
fn client_hello(versions: &[u8]) -> Vec<u8> {
    let ml_kem_share = [&[0x11, 0xec][..], &vec16(&[0x5a; 1216])].concat();
    let x25519_share = [&[0, 29][..], &vec16(&[9; 32])].concat();
    let extensions = [
        extension(0x0a0a, &[]), // GREASE, RFC 8701
        extension(23, &[]),
        extension(0xff01, &[0]),
        extension(10, &vec16(&[0x0a, 0x0a, 0x11, 0xec, 0, 29, 0, 23, 0, 24])),
        extension(11, &[1, 0]),
        extension(35, &[]),
        extension(13, &vec16(&[4, 3, 8, 4, 4, 1, 5, 3, 8, 5, 5, 1, 8, 6, 6, 1])),
        extension(14, &[&vec16(&[0, 7, 0, 8, 0, 1])[..], &[0]].concat()),
        extension(51, &vec16(&[ml_kem_share, x25519_share].concat())),
        extension(45, &[1, 1]),
        extension(43, &[&[versions.len() as u8][..], versions].concat()),
        extension(0x2a2a, &[0]),
    ];
    let suites = [0x0a, 0x0a, 0x13, 1, 0x13, 2, 0x13, 3, 0xc0, 0x2b, 0xc0, 0x2f, 0xcc, 0xa9, 0xc0, 0x0a];
    let parts: [&[u8]; 6] =
        [&[0xfe, 0xfd], &[0x42; 32], &[0, 0], &vec16(&suites), &[1, 0], &vec16(&extensions.concat())];
    parts.concat()
}

fn server() -> Peer {
    Peer::new(config(ProtocolVersion::Dtls12, 1).build().expect("defaults"), Role::Server, 1)
}

fn answer(server: &mut Peer, datagrams: &[Vec<u8>]) -> Vec<Record> {
    let now = tombolo_netsim::start();
    for datagram in datagrams {
        server.handle_datagram(now, path(Role::Server), &mut datagram.clone());
    }
    let mut out = Vec::new();
    let mut records = Vec::new();
    while server.poll_transmit(now, &mut out).is_some() {
        records.extend(Record::split(&out));
        out.clear();
    }
    records
}

/// The hello comes in two datagrams, in either order and with a repetition; the answer is DTLS 1.2.
#[test]
fn a_hello_in_two_datagrams_is_answered_with_1_2() {
    let hello = client_hello(&[0xfe, 0xfc, 0xfe, 0xfd]);
    assert!((1380..1450).contains(&hello.len()), "{} bytes", hello.len());
    for cut in [1, 538, 1150, hello.len() - 1] {
        let first = fragment(1, 0, &hello, 0, cut).encode();
        let second = fragment(1, 0, &hello, cut, hello.len()).encode();
        let orders = [
            vec![first.clone(), second.clone()],
            vec![second.clone(), first.clone()],
            vec![second.clone(), second, first],
        ];
        for order in orders {
            let records = answer(&mut server(), &order);
            let server_hello = &records[0].body;
            assert_eq!(server_hello[0], 2);
            let body = &server_hello[12..];
            assert_eq!(body[..2], [0xfe, 0xfd], "the version");
            assert_ne!(&body[26..33], b"DOWNGRD", "no mark of a downgrade: 1.2 is the highest version here");
            assert_eq!(body[34], 0, "no session");
            assert_eq!(body[35..38], [0xc0, 0x2b, 0], "suite and compression");
            let mut extensions = &body[40..];
            let mut codes = Vec::new();
            while let [a, b, c, d, rest @ ..] = extensions {
                codes.push(u16::from_be_bytes([*a, *b]));
                extensions = &rest[usize::from(u16::from_be_bytes([*c, *d]))..];
            }
            codes.sort_unstable();
            assert_eq!(codes, [11, 14, 23, 0xff01], "neither supported_versions nor key_share");
            let key_exchange = records.iter().find(|record| record.body[0] == 12).unwrap();
            assert_eq!(key_exchange.body[12..15], [3, 0, 29], "X25519");
            assert!(records.iter().any(|record| record.body[0] == 13), "a certificate is asked for");
            assert!(records.iter().any(|record| record.body[0] == 14));
        }
    }
}

/// A hello that offers 1.3 only is told so.
#[test]
fn a_hello_without_1_2_is_refused() {
    let hello = client_hello(&[0xfe, 0xfc]);
    let datagram = fragment(1, 0, &hello, 0, hello.len()).encode();
    let mut server = server();
    let records = answer(&mut server, &[datagram]);
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].content_type, &records[0].body[..]), (21, &[2, 70][..]));
    assert!(server.failure().is_some());
}

/// A seeded server answers the same hello with the same bytes, and another seed with others.
#[test]
fn the_answer_follows_the_seed() {
    let config = Arc::new(config(ProtocolVersion::Dtls12, 1).build().unwrap());
    let hello = client_hello(&[0xfe, 0xfc, 0xfe, 0xfd]);
    let datagram = fragment(1, 0, &hello, 0, hello.len()).encode();
    let run = |seed| {
        let mut peer = Peer::new((*config).clone(), Role::Server, seed);
        answer(&mut peer, std::slice::from_ref(&datagram))
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
