//! Connection ids (RFC 9146, RFC 9147 §9): a peer is known by its id when its address changes.

use std::net::SocketAddr;
use std::time::Duration;

use tombolo_dtls::{DropReason, Event, ProtocolVersion, Role};
use tombolo_net::FiveTuple;
use tombolo_netsim::{Link, Machine, Pair, Side};

use crate::peer::{Peer, config, connect, for_both_versions, pair_of, path, talk};

/// Ids of these lengths; `None`: the side does not want any.
fn pair(
    version: ProtocolVersion,
    client: Option<usize>,
    server: Option<usize>,
    mtu: usize,
) -> Pair<Peer, Peer> {
    let build = |seed, len: Option<usize>| {
        let builder = config(version, seed).mtu(mtu);
        let builder = match len {
            Some(len) => builder.connection_id_len(len),
            None => builder,
        };
        builder.build().expect("settings")
    };
    pair_of(build(1, client), build(2, server), 1)
}

/// Every agreement that there is: both, one direction alone, nobody, and with somebody who knows nothing of it.
fn ids_are_agreed_on(version: ProtocolVersion) {
    for client in [None, Some(0), Some(1), Some(8), Some(20)] {
        for server in [None, Some(0), Some(5), Some(20)] {
            for mtu in [256, 1200] {
                let mut pair = pair(version, client, server, mtu);
                connect(&mut pair);
                talk(&mut pair);
                let agreed = client.is_some() && server.is_some();
                let len = |peer: &Peer| peer.connection.connection_id().map_or(0, <[u8]>::len);
                let expected = |len: Option<usize>| if agreed { len.unwrap_or(0) } else { 0 };
                assert_eq!((len(&pair.a), len(&pair.b)), (expected(client), expected(server)));
                // The longest text fits, and every datagram to a side with an id carries it.
                let now = pair.now();
                pair.clear_records();
                let longest = vec![7; pair.a.connection.max_write_len()];
                pair.a.connection.write(now, &longest).expect("it fits");
                pair.run_for(Duration::from_millis(50));
                assert_eq!(pair.b.received().last().map(|text| text.len()), Some(longest.len()));
                let sent = &pair.records()[0].data;
                assert!(sent.len() <= mtu);
                if let Some(id) = pair.b.connection.connection_id() {
                    assert!(sent.windows(id.len()).any(|bytes| bytes == id));
                }
            }
        }
    }
}

/// Loss, repetition and disorder change nothing.
fn ids_and_a_bad_network(version: ProtocolVersion) {
    for seed in 0..20 {
        let build = |own| config(version, own).mtu(300).connection_id_len(8).build().expect("settings");
        let mut pair = pair_of(build(1), build(2), seed);
        pair.set_links(&Link::default().loss(0.2).duplicate(0.3).reorder(0.3, Duration::from_millis(7)));
        connect(&mut pair);
        pair.set_links(&Link::default());
        talk(&mut pair);
    }
}

/// A record from another address is told of once, and only when it is new and authentic.
fn an_address_that_changes_is_told(version: ProtocolVersion) {
    for len in [Some(8), None] {
        let mut pair = pair(version, len, len, 1200);
        connect(&mut pair);
        talk(&mut pair);
        let moved = FiveTuple::udp(path(Role::Server).local, SocketAddr::from(([198, 51, 100, 7], 5)));
        let before = pair.b.events.len();
        let old = pair.records().iter().rfind(|record| record.to == Side::B).expect("sent").data.clone();
        let now = pair.now();
        let mut say = |text: &[u8]| {
            let mut datagram = Vec::new();
            pair.a.connection.write(now, text).expect("write");
            assert!(pair.a.connection.poll_transmit(now, &mut datagram).is_some());
            datagram
        };
        let (early, mut late) = (say(b"early"), say(b"late"));
        let mut broken = late.clone();
        *broken.last_mut().expect("bytes") ^= 1;
        for datagram in [&old, &broken] {
            pair.b.handle_datagram(now, moved, &mut datagram.clone());
        }
        assert_eq!(pair.b.events.len(), before, "neither old nor broken records tell anything");
        pair.b.handle_datagram(now, moved, &mut late);
        pair.b.handle_datagram(now, moved, &mut early.clone());
        let told: Vec<&Event> =
            pair.b.events[before..].iter().filter(|event| matches!(event, Event::Moved { .. })).collect();
        let expected = Event::Moved { path: moved };
        assert_eq!(told, if len.is_some() { vec![&expected] } else { vec![] });
        assert_eq!(pair.b.received()[1..], [&b"late"[..], b"early"]);
    }
}

/// Records without the id, or with another one, are dropped where there is to be one.
fn records_with_another_id_are_dropped(version: ProtocolVersion) {
    let mut pair = pair(version, Some(8), Some(8), 1200);
    connect(&mut pair);
    let now = pair.now();
    pair.a.connection.write(now, b"text").expect("write");
    let mut datagram = Vec::new();
    assert!(pair.a.connection.poll_transmit(now, &mut datagram).is_some());
    let id = pair.b.connection.connection_id().expect("agreed on").to_vec();
    let at = datagram.windows(8).position(|bytes| bytes == id).expect("the id");
    let mut other = datagram.clone();
    other[at] ^= 1;
    let without = [&datagram[..at], &datagram[at + 8..]].concat();
    for mut wrong in [other, without] {
        pair.b.handle_datagram(now, path(Role::Server), &mut wrong);
        assert!(pair.b.received().is_empty());
    }
    let stats = *pair.b.connection.stats();
    assert!(stats.dropped(DropReason::Unknown) + stats.dropped(DropReason::Malformed) >= 2);
    pair.b.handle_datagram(now, path(Role::Server), &mut datagram);
    assert_eq!(pair.b.received(), [b"text"]);
}

for_both_versions!(
    ids_are_agreed_on,
    ids_and_a_bad_network,
    an_address_that_changes_is_told,
    records_with_another_id_are_dropped,
);
