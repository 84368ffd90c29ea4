//! Where a datagram comes from and goes to.

use std::fmt;
use std::net::SocketAddr;

/// The transport protocol of a [`FiveTuple`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP with RFC 4571 framing.
    Tcp,
}

/// One network path as seen from this side: local and remote address, and the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FiveTuple {
    /// The address on this side that the datagram arrived on or leaves from.
    pub local: SocketAddr,
    /// The address of the other side.
    pub remote: SocketAddr,
    /// The transport protocol.
    pub transport: Transport,
}

impl FiveTuple {
    /// A UDP path.
    #[must_use]
    pub const fn udp(local: SocketAddr, remote: SocketAddr) -> Self {
        Self { local, remote, transport: Transport::Udp }
    }

    /// The same path as the other side sees it.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self { local: self.remote, remote: self.local, transport: self.transport }
    }
}

impl fmt::Display for FiveTuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = match self.transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        };
        write!(f, "{transport} {} -> {}", self.local, self.remote)
    }
}

/// The ECN codepoint of a datagram (RFC 3168 §5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Ecn {
    /// Not ECN-capable transport.
    #[default]
    NotEct,
    /// ECN-capable transport, codepoint `01` (L4S, RFC 9331).
    Ect1,
    /// ECN-capable transport, codepoint `10`.
    Ect0,
    /// Congestion experienced.
    Ce,
}

/// A datagram, or a run of equal datagrams, to send. The bytes stand in the buffer that was passed to the
/// `poll_transmit` call that returned this; this is the metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where from and where to.
    pub path: FiveTuple,
    /// The ECN codepoint to set.
    pub ecn: Ecn,
    /// How many bytes were appended to the buffer.
    pub len: usize,
    /// When set, the bytes are several datagrams of this many bytes each, the last one possibly shorter
    /// (generic segmentation offload). `None`: one datagram.
    pub segment_size: Option<usize>,
}

impl Transmit {
    /// One datagram of `len` bytes on `path`, not ECN-capable.
    #[must_use]
    pub const fn datagram(path: FiveTuple, len: usize) -> Self {
        Self { path, ecn: Ecn::NotEct, len, segment_size: None }
    }
}
