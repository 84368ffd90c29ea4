//! The receiving half: one reader of the socket, which sorts.

use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use quinn::udp::{BATCH_SIZE, EcnCodepoint, RecvMeta};
use tokio::io::Interest;
use tombolo_net::Ecn;

use super::batch::{Batch, Entry};
use super::demux::{Class, classify};
use super::{Port, Shared};

/// How many buffers one call fills.
const BATCH: usize = if BATCH_SIZE < 8 { BATCH_SIZE } else { 8 };
/// One receive buffer: the most that GRO joins into one.
const BUFFER_BYTES: usize = 64 << 10;

/// The receiving half of the port. One task owns it and calls [`Receiver::recv`] in a loop: both WebRTC and
/// QUIC live on that loop.
#[derive(Debug)]
pub struct Receiver {
    shared: Arc<Shared>,
    batch: Batch,
}

impl Receiver {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let batch = Batch {
            bytes: vec![0; BUFFER_BYTES * BATCH].into_boxed_slice(),
            entries: Vec::with_capacity(BATCH * 2),
            arrival: Instant::now(),
        };
        Self { shared, batch }
    }

    /// The sending half.
    #[must_use]
    pub fn port(&self) -> Port {
        Port { shared: Arc::clone(&self.shared) }
    }

    /// Waits for datagrams. QUIC's go to their queue; WebRTC's are in the batch, which may be empty.
    ///
    /// Cancel safe: a dropped call loses nothing.
    ///
    /// # Errors
    /// When the socket itself is broken; what a remote host causes is not an error.
    pub async fn recv(&mut self) -> io::Result<&mut Batch> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await?;
        Ok(&mut self.batch)
    }

    /// What the last [`Receiver::poll_recv`] brought.
    pub fn batch(&mut self) -> &mut Batch {
        &mut self.batch
    }

    /// As [`Receiver::recv`]; the datagrams are then in [`Receiver::batch`].
    ///
    /// # Errors
    /// As [`Receiver::recv`].
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.batch.entries.clear();
        let mut metas = [RecvMeta::default(); BATCH];
        let count = ready!(self.poll_socket(cx, &mut metas))?;
        self.batch.arrival = Instant::now();
        for (index, meta) in metas.iter().take(count).enumerate() {
            self.sort(index * BUFFER_BYTES, meta);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_socket(&mut self, cx: &mut Context<'_>, metas: &mut [RecvMeta]) -> Poll<io::Result<usize>> {
        let mut chunks = self.batch.bytes.chunks_mut(BUFFER_BYTES);
        let mut slices: [IoSliceMut<'_>; BATCH] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        let Shared { io, state, .. } = &*self.shared;
        loop {
            ready!(io.poll_recv_ready(cx))?;
            let mut received = 0;
            let outcome = io.try_io(Interest::READABLE, || {
                received = state.recv(io.into(), &mut slices, metas)?;
                // Less than was asked for: the socket is empty, which tokio is told here and need not find out by
                // another call.
                if received < BATCH { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
            });
            match outcome {
                _ if received > 0 => return Poll::Ready(Ok(received)),
                Ok(()) => {}
                // An ICMP error that some remote host provoked says nothing about this socket.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock
                            | io::ErrorKind::Interrupted
                            | io::ErrorKind::ConnectionReset
                            | io::ErrorKind::ConnectionRefused
                            | io::ErrorKind::HostUnreachable
                            | io::ErrorKind::NetworkUnreachable
                    ) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Sorts the datagrams of one buffer, which begins at `start` and holds datagrams of one remote address.
    fn sort(&mut self, start: usize, meta: &RecvMeta) {
        let stride = meta.stride.max(1);
        let end = start + meta.len;
        let path = self.shared.path(meta.addr, meta.dst_ip);
        let mut quic: Range<usize> = start..start;
        let mut at = start;
        let mut unknown = u64::from(meta.len == 0);
        let mut webrtc = 0;
        while at < end {
            let range = at..(at + stride).min(end);
            at = range.end;
            match classify(&self.batch.bytes[range.clone()]) {
                // QUIC datagrams that stand side by side stay one run.
                Class::Quic if quic.end == range.start => quic.end = range.end,
                Class::Quic => {
                    self.pass_to_quic(quic, meta);
                    quic = range;
                }
                Class::WebRtc => {
                    webrtc += 1;
                    self.batch.entries.push(Entry { path, ecn: ecn(meta.ecn), range });
                }
                Class::Unknown => unknown += 1,
            }
        }
        self.pass_to_quic(quic, meta);
        self.shared.counters.webrtc.fetch_add(webrtc, Ordering::Relaxed);
        self.shared.counters.unknown.fetch_add(unknown, Ordering::Relaxed);
    }

    fn pass_to_quic(&self, range: Range<usize>, meta: &RecvMeta) {
        if range.is_empty() {
            return;
        }
        let datagrams = range.len().div_ceil(meta.stride.max(1)) as u64;
        let counters = &self.shared.counters;
        counters.quic.fetch_add(datagrams, Ordering::Relaxed);
        let meta = RecvMeta { len: range.len(), ..*meta };
        if !self.shared.quic.push(&self.batch.bytes[range], meta) {
            counters.quic_overflow.fetch_add(datagrams, Ordering::Relaxed);
        }
    }
}

fn ecn(codepoint: Option<EcnCodepoint>) -> Ecn {
    match codepoint {
        None => Ecn::NotEct,
        Some(EcnCodepoint::Ect0) => Ecn::Ect0,
        Some(EcnCodepoint::Ect1) => Ecn::Ect1,
        Some(EcnCodepoint::Ce) => Ecn::Ce,
    }
}
