//! Counters of a [`crate::Connection`].

/// Why a record, or a part of one, was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// It is not a record or not a handshake message, or a length in it is wrong.
    Malformed,
    /// Its content type, version or epoch is not one of ours.
    Unknown,
    /// It is neither encrypted nor a part of a handshake that goes on.
    Unprotected,
    /// Its tag does not fit.
    Unauthentic,
    /// Its sequence number was seen before, or is older than the replay window.
    Replayed,
    /// It is a handshake message out of place: repeated, contradicting, or in the wrong epoch.
    OutOfPlace,
    /// A bound on what is kept was reached.
    BufferFull,
    /// The connection is over.
    Closed,
}

impl DropReason {
    /// All reasons, in the order of the counters.
    pub const ALL: [Self; 8] = [
        Self::Malformed,
        Self::Unknown,
        Self::Unprotected,
        Self::Unauthentic,
        Self::Replayed,
        Self::OutOfPlace,
        Self::BufferFull,
        Self::Closed,
    ];
}

/// Counters since the connection was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Datagrams given to `handle_datagram`.
    pub datagrams_received: u64,
    /// Datagrams given out by `poll_transmit`.
    pub datagrams_sent: u64,
    /// Flights that were sent again, by timeout or because the peer repeated itself.
    pub retransmissions: u64,
    drops: [u64; DropReason::ALL.len()],
}

impl Stats {
    /// How often something was dropped for this reason.
    #[must_use]
    pub const fn dropped(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }

    pub(crate) const fn count_drop(&mut self, reason: DropReason) {
        self.drops[reason as usize] += 1;
    }
}
