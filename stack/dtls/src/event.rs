//! What a [`crate::Connection`] tells.

use tombolo_net::FiveTuple;

use crate::error::FailReason;
use crate::srtp::SrtpKeys;

/// Something that has happened. The end comes once, as [`Event::Failed`] or [`Event::Closed`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The handshake is complete and the peer's certificate matches a signalled fingerprint.
    Connected {
        /// The keys for SRTP, when a profile was negotiated.
        srtp: Option<SrtpKeys>,
    },
    /// The contents of one record. Only after [`Event::Connected`].
    ApplicationData(Vec<u8>),
    /// The newest record came on another path than the one that is in use. Told with connection ids alone, once for each change.
    /// Whoever trusts the new address calls [`crate::Connection::set_path`]; that nobody has replayed the record from there,
    /// another way must show (RFC 9146 §6).
    Moved {
        /// Where it came from.
        path: FiveTuple,
    },
    /// The connection is over, and not as it should be.
    Failed(FailReason),
    /// One of the sides has closed the connection.
    Closed,
}
