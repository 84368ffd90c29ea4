//! Connection ids (RFC 9146, RFC 9147 §9): what records carry so that they are known when an address changes.
//!
//! ```text
//! 1.2  [ 25 1 | version 2 | epoch 2 | sequence 6 | id | length 2 | [explicit nonce 8] sealed [ content | type 1 ] ]
//! 1.3  [ 0011SLEE 1 | id | sequence 1 or 2 | length 0 or 2 | sealed ]
//! ```
//!
//! In 1.3 the peer may change its id with NewConnectionId, and we write the new one at once. Spare ids are not kept: which id
//! stands in our records does not hide a change of our address where the rest of the 5-tuple tells it.
//!
//! Deviation: RFC 9147 §9 has RequestConnectionId answered with new ids. Here it is acknowledged, and none are given out: the
//! id of the handshake is the one of the connection.

use rand_core::Rng as _;
use tombolo_net::{FiveTuple, Rng};

use crate::config::Config;
use crate::error::PeerError;
use crate::event::Event;
use crate::record::{HEADER_LEN, Header};

/// The longest id of ours, in bytes: as in QUIC.
pub(crate) const MAX_OWN_ID_LEN: usize = 20;
/// The longest id of a peer that is written, so that something else fits the shortest datagram.
pub(crate) const MAX_PEER_ID_LEN: usize = 64;

/// The ids of both directions. Without one, records are as ever.
#[derive(Debug, Default)]
pub(crate) struct ConnectionIds {
    /// What stands in records to us; may be empty.
    pub(crate) ours: Vec<u8>,
    /// What stands in records to the peer; may be empty.
    pub(crate) theirs: Vec<u8>,
}

impl ConnectionIds {
    /// Draws ours, if there are to be ids.
    pub(crate) fn draw(config: &Config, rng: &mut Rng) -> Option<Vec<u8>> {
        let mut id = vec![0; config.connection_id_len?];
        rng.fill_bytes(&mut id);
        Some(id)
    }

    /// What the hellos agreed on: ids are used if both name one.
    pub(crate) fn agree(ours: Option<&Vec<u8>>, theirs: Option<&Vec<u8>>) -> Result<Self, PeerError> {
        match (ours, theirs) {
            (Some(ours), Some(theirs)) if theirs.len() <= MAX_PEER_ID_LEN => {
                Ok(Self { ours: ours.clone(), theirs: theirs.clone() })
            }
            (Some(_), Some(_)) => Err(PeerError::IllegalParameter),
            (None, Some(_)) => Err(PeerError::UnsolicitedExtension),
            (_, None) => Ok(Self::default()),
        }
    }
}

impl ConnectionIds {
    /// Takes further ids of the peer (RFC 9147 §9). One of those that are for immediate use replaces the one before.
    pub(crate) fn take_new(&mut self, ids: &[&[u8]], immediate: bool) -> Result<(), PeerError> {
        if immediate {
            let usable = ids.iter().find(|id| (1..=MAX_PEER_ID_LEN).contains(&id.len()));
            self.theirs = usable.ok_or(PeerError::IllegalParameter)?.to_vec();
        }
        Ok(())
    }
}

/// Where the peer seems to be (RFC 9146 §6).
#[derive(Debug, Default)]
pub(crate) struct Whereabouts {
    /// The path that was told of last.
    told: Option<FiveTuple>,
}

impl Whereabouts {
    /// Takes the path that the newest record came on, and the one that is in use. Tells of a new one once.
    pub(crate) fn notice(
        &mut self,
        ids: &ConnectionIds,
        arrival: Option<FiveTuple>,
        in_use: Option<FiveTuple>,
    ) -> Option<Event> {
        let path = arrival.filter(|_| !ids.ours.is_empty())?;
        if Some(path) == in_use || Some(path) == self.told {
            return None;
        }
        self.told = Some(path);
        Some(Event::Moved { path })
    }
}

/// The associated data of a record of 1.2 with an id (RFC 9146 §5.3), and how long it is.
pub(crate) fn associated_data(header: Header, id: &[u8], len: usize) -> ([u8; MAX_AAD_LEN], usize) {
    let plain = header.encode(len);
    let mut bytes = [0xff; MAX_AAD_LEN];
    bytes[8] = header.content_type.0;
    bytes[9] = id.len() as u8;
    let id_at = 10 + HEADER_LEN - 2;
    bytes[10..id_at].copy_from_slice(&plain[..HEADER_LEN - 2]);
    bytes[id_at..id_at + id.len()].copy_from_slice(id);
    let end = id_at + id.len() + 2;
    bytes[end - 2..end].copy_from_slice(&plain[HEADER_LEN - 2..]);
    (bytes, end)
}

/// Eight bytes that stand for no number, type, length of the id, and the header with the id.
const MAX_AAD_LEN: usize = 10 + HEADER_LEN + MAX_PEER_ID_LEN;

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::time::Instant;

    use tombolo_crypto::HashAlgorithm;
    use tombolo_net::Seed;

    use super::*;
    use crate::certificate::tests::certificate;
    use crate::connection::{Connection, Role};
    use crate::error::FailReason;
    use crate::fragment::HandshakeType;
    use crate::version::ProtocolVersion::Dtls13;

    fn path() -> FiveTuple {
        let address: SocketAddr = ([192, 0, 2, 1], 1).into();
        FiveTuple::udp(address, address)
    }

    fn carry(from: &mut Connection, to: &mut Connection, now: Instant) {
        let mut datagram = Vec::new();
        while from.poll_transmit(now, &mut datagram).is_some() {
            to.handle_datagram(now, path(), &mut datagram);
            datagram.clear();
        }
    }

    /// Client and server of 1.3 whose records to them have ids of these lengths.
    fn connected(now: Instant, id_lens: [Option<usize>; 2]) -> [Connection; 2] {
        let peer = |role, own, other, id_len: Option<usize>| {
            let mut builder = Config::builder(certificate(own)).versions(Dtls13, Dtls13);
            if let Some(len) = id_len {
                builder = builder.connection_id_len(len);
            }
            let config = Arc::new(builder.build().unwrap());
            let mut connection = Connection::new(config, role, &Seed::from_number(own), now);
            connection.set_path(path());
            let fingerprint = certificate(other).fingerprint(HashAlgorithm::Sha256).unwrap();
            connection.set_remote_fingerprints(now, vec![fingerprint]);
            connection
        };
        let mut peers = [peer(Role::Client, 1, 2, id_lens[0]), peer(Role::Server, 2, 1, id_lens[1])];
        let [client, server] = &mut peers;
        for _ in 0..3 {
            carry(client, server, now);
            carry(server, client, now);
        }
        for peer in &mut peers {
            assert!(matches!(peer.poll_event(), Some(Event::Connected { .. })));
        }
        peers
    }

    /// Sends a message that no connection would send of itself, and has it answered.
    fn tell(from: &mut Connection, to: &mut Connection, now: Instant, msg_type: HandshakeType, body: &[u8]) {
        from.flight.prepare();
        from.flight.push(from.records.write_epoch(), msg_type, body.to_vec(), |_| {});
        from.flight.launch(true);
        carry(from, to, now);
    }

    /// A new id is written at once, and a spare one is not; both are acknowledged.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "a starting point for a clock that stands still")]
    fn the_peer_may_change_its_id() {
        let now = Instant::now();
        let [mut client, mut server] = connected(now, [Some(4), Some(4)]);
        let spare = b"\0\x05\x04abcd\x01";
        tell(&mut server, &mut client, now, HandshakeType::NEW_CONNECTION_ID, spare);
        assert_eq!(client.records.ids().theirs, server.records.ids().ours);
        carry(&mut client, &mut server, now);
        assert_eq!(server.flight.deadline(), None, "acknowledged");
        server
            .records
            .use_ids(ConnectionIds { ours: b"new".to_vec(), theirs: server.records.ids().theirs.clone() });
        tell(&mut server, &mut client, now, HandshakeType::NEW_CONNECTION_ID, b"\0\x04\x03new\x00");
        client.write(now, b"text").unwrap();
        carry(&mut client, &mut server, now);
        assert_eq!(server.flight.deadline(), None, "acknowledged with the new id");
        assert_eq!(server.poll_event(), Some(Event::ApplicationData(b"text".to_vec())));
        tell(&mut server, &mut client, now, HandshakeType::REQUEST_CONNECTION_ID, &[1]);
        carry(&mut client, &mut server, now);
        assert_eq!((client.poll_event(), server.flight.deadline()), (None, None));
    }

    /// RFC 9147 §9: without an id of its own nobody gives a new one; without one in its records nobody asks for more.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "a starting point for a clock that stands still")]
    fn ids_are_not_changed_where_there_are_none() {
        let now = Instant::now();
        let new: (HandshakeType, &[u8]) = (HandshakeType::NEW_CONNECTION_ID, b"\0\x04\x03new\x00");
        let request: (HandshakeType, &[u8]) = (HandshakeType::REQUEST_CONNECTION_ID, &[1]);
        let illegal: (HandshakeType, &[u8]) = (HandshakeType::NEW_CONNECTION_ID, b"\0\x01\0\x00");
        let unexpected = PeerError::UnexpectedMessage;
        for (id_lens, (msg_type, body), error) in [
            ([None, None], new, unexpected),
            ([None, None], request, unexpected),
            ([Some(4), Some(0)], new, unexpected),
            ([Some(0), Some(4)], request, unexpected),
            ([Some(4), Some(4)], illegal, PeerError::IllegalParameter),
        ] {
            let [mut client, mut server] = connected(now, id_lens);
            tell(&mut server, &mut client, now, msg_type, body);
            let failed = Event::Failed(FailReason::Peer(error));
            assert_eq!(client.poll_event(), Some(failed), "{id_lens:?} {msg_type:?}");
        }
    }
}
