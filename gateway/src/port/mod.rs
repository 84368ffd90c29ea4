//! The one UDP port: WebRTC and QUIC on one socket, told apart by the first byte (RFC 9443).
//!
//! ```text
//!            ┌───────────┐  STUN, DTLS, RTP, RTCP   ┌───────┐
//!  socket ──►│ Receiver  ├─────────────────────────►│ Batch │──► the media task, decrypted in place
//!            │ (one task)├──────► bounded queue ───►┌────────────┐
//!            └───────────┘  QUIC                    │ QuicSocket │──► quinn's endpoint
//!                                                   └────────────┘
//!  socket ◄── Port::send_all (runs joined, GSO)     socket ◄── QuicSocket::try_send
//! ```
//!
//! One task owns the [`Receiver`] and drives both sides: WebRTC does not wait for quinn to ask for packets,
//! and quinn sees only what is QUIC. What fits nobody is dropped and counted. Both sides send straight to
//! the socket.

mod batch;
mod demux;
mod quic;
mod receiver;
mod send;

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quinn::AsyncUdpSocket;
use quinn::udp::UdpSocketState;
use socket2::{Domain, Protocol, Socket, Type};
use tombolo_net::FiveTuple;

pub use batch::Batch;
pub use demux::{Class, classify};
pub use receiver::Receiver;

/// How much the kernel is asked to hold in each direction, in bytes; it may grant less.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// The sending half of the port, cheap to clone.
#[derive(Clone, Debug)]
pub struct Port {
    shared: Arc<Shared>,
}

/// What all the halves share.
#[derive(Debug)]
struct Shared {
    io: tokio::net::UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
    quic: quic::Queue,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    webrtc: AtomicU64,
    quic: AtomicU64,
    unknown: AtomicU64,
    quic_overflow: AtomicU64,
    sent: AtomicU64,
    send_blocked: AtomicU64,
}

/// What has passed the port, in datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Received for WebRTC.
    pub webrtc_received: u64,
    /// Received for QUIC, dropped ones included.
    pub quic_received: u64,
    /// Dropped because the first byte names no protocol of this port, or because there was none.
    pub dropped_unknown: u64,
    /// Dropped because QUIC did not take them in time.
    pub dropped_quic_overflow: u64,
    /// Sent for WebRTC, those dropped not included.
    pub webrtc_sent: u64,
    /// WebRTC datagrams dropped because the kernel's send buffer was full.
    pub dropped_send_blocked: u64,
}

impl Port {
    /// Binds the port. `[::]:port` serves IPv4 as well.
    ///
    /// Must be called in a tokio runtime.
    ///
    /// # Errors
    /// What the operating system says about the address.
    pub fn bind(address: SocketAddr) -> io::Result<(Self, Receiver)> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(address.ip() != IpAddr::V6(Ipv6Addr::UNSPECIFIED))?;
        }
        socket.set_nonblocking(true)?;
        // The kernel clamps these to its own limit; a smaller buffer costs packets in bursts, not service.
        if let Err(error) = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES) {
            tracing::debug!(%error, "the receive buffer keeps its default size");
        }
        if let Err(error) = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES) {
            tracing::debug!(%error, "the send buffer keeps its default size");
        }
        socket.bind(&address.into())?;
        let io = tokio::net::UdpSocket::from_std(socket.into())?;
        let state = UdpSocketState::new((&io).into())?;
        let local = io.local_addr()?;
        let shared = Arc::new(Shared {
            io,
            state,
            local,
            quic: quic::Queue::default(),
            counters: Counters::default(),
        });
        Ok((Self { shared: Arc::clone(&shared) }, Receiver::new(shared)))
    }

    /// The address that the port is bound to.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.local
    }

    /// The QUIC side, for `quinn::Endpoint::new_with_abstract_socket`.
    ///
    /// Call it once: datagrams go to one reader.
    #[must_use]
    pub fn quic_socket(&self) -> Arc<dyn AsyncUdpSocket> {
        Arc::new(quic::QuicSocket::new(Arc::clone(&self.shared)))
    }

    /// What has passed so far.
    #[must_use]
    pub fn stats(&self) -> PortStats {
        let counters = &self.shared.counters;
        PortStats {
            webrtc_received: counters.webrtc.load(Ordering::Relaxed),
            quic_received: counters.quic.load(Ordering::Relaxed),
            dropped_unknown: counters.unknown.load(Ordering::Relaxed),
            dropped_quic_overflow: counters.quic_overflow.load(Ordering::Relaxed),
            webrtc_sent: counters.sent.load(Ordering::Relaxed),
            dropped_send_blocked: counters.send_blocked.load(Ordering::Relaxed),
        }
    }
}

impl Shared {
    /// The path of a datagram, with IPv4-mapped addresses as IPv4: what candidates and other paths are
    /// compared with.
    fn path(&self, remote: SocketAddr, local_ip: Option<IpAddr>) -> FiveTuple {
        let local_ip = local_ip.unwrap_or_else(|| self.local.ip()).to_canonical();
        FiveTuple::udp(
            SocketAddr::new(local_ip, self.local.port()),
            SocketAddr::new(remote.ip().to_canonical(), remote.port()),
        )
    }

    /// The destination as this socket's address family wants it.
    fn destination(&self, remote: SocketAddr) -> SocketAddr {
        match (self.local, remote.ip()) {
            (SocketAddr::V6(_), IpAddr::V4(ip)) => SocketAddr::new(ip.to_ipv6_mapped().into(), remote.port()),
            _ => remote,
        }
    }
}

#[cfg(test)]
mod tests;
