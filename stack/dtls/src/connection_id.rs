//! Connection ids (RFC 9146, RFC 9147 §9): what records carry so that they are known when an address changes.
//!
//! ```text
//! 1.2  [ 25 1 | version 2 | epoch 2 | sequence 6 | id | length 2 | [explicit nonce 8] sealed [ content | type 1 ] ]
//! 1.3  [ 0011SLEE 1 | id | sequence 1 or 2 | length 0 or 2 | sealed ]
//! ```
//!
//! Deviation: RFC 9147 §9 lets peers ask for further ids. None are given out here, and NewConnectionId is an unexpected
//! message: the id of the handshake is the one of the connection.

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
