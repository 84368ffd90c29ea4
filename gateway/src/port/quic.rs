//! The QUIC side of the port: quinn's view of the socket.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::io::Interest;

use super::Shared;

/// The most that waits for quinn, in bytes: about 20 ms at 1 Gb/s.
const MAX_QUEUED_BYTES: usize = 2 << 20;
/// How many emptied buffers are kept for the next datagrams.
const MAX_SPARE: usize = 64;
/// How many datagrams quinn may get in one buffer: sizes its receive buffer, and no more than that.
const RECEIVE_SEGMENTS: usize = 16;

/// QUIC datagrams between the socket's reader and quinn. Full, it drops what comes last, as a full socket
/// buffer does.
#[derive(Debug, Default)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    waker: AtomicWaker,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<Run>,
    bytes: usize,
    spare: Vec<Vec<u8>>,
}

/// Datagrams of one remote address and one size, the last one possibly shorter.
#[derive(Debug)]
struct Run {
    meta: RecvMeta,
    bytes: Vec<u8>,
    taken: usize,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code panics with the lock held halfway through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a run of datagrams; `false` when there is no room.
    pub(super) fn push(&self, bytes: &[u8], meta: RecvMeta) -> bool {
        {
            let mut inner = self.lock();
            if inner.bytes + bytes.len() > MAX_QUEUED_BYTES {
                return false;
            }
            let mut buffer = inner.spare.pop().unwrap_or_default();
            buffer.clear();
            buffer.extend_from_slice(bytes);
            inner.bytes += bytes.len();
            inner.waiting.push_back(Run { meta, bytes: buffer, taken: 0 });
        }
        self.waker.wake();
        true
    }

    fn pop_into(&self, slices: &mut [IoSliceMut<'_>], metas: &mut [RecvMeta]) -> usize {
        let mut inner = self.lock();
        let mut filled = 0;
        for (slice, meta) in slices.iter_mut().zip(metas) {
            let Some(run) = inner.waiting.front_mut() else { break };
            let before = run.taken;
            *meta = RecvMeta { len: run.fill(slice), ..run.meta };
            let consumed = run.taken - before;
            let emptied = run.taken >= run.bytes.len();
            filled += 1;
            inner.bytes -= consumed;
            if emptied
                && let Some(run) = inner.waiting.pop_front()
                && inner.spare.len() < MAX_SPARE
            {
                inner.spare.push(run.bytes);
            }
        }
        filled
    }
}

impl Run {
    /// Copies as many whole datagrams as fit; at least one, cut short if it must be. Returns how many bytes
    /// it copied.
    fn fill(&mut self, slice: &mut [u8]) -> usize {
        let stride = self.meta.stride.max(1);
        let rest = &self.bytes[self.taken..];
        let whole = if rest.len() <= slice.len() { rest.len() } else { slice.len() / stride * stride };
        let (copied, consumed) = if whole == 0 { (slice.len(), stride) } else { (whole, whole) };
        slice[..copied].copy_from_slice(&rest[..copied]);
        self.taken += consumed.min(rest.len());
        copied
    }
}

/// The port as quinn sees it.
pub(super) struct QuicSocket {
    shared: Arc<Shared>,
}

impl QuicSocket {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl fmt::Debug for QuicSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuicSocket").field("local", &self.shared.local).finish_non_exhaustive()
    }
}

impl AsyncUdpSocket for QuicSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(WritablePoller { shared: Arc::clone(&self.shared), waiting: None })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let Shared { io, state, .. } = &*self.shared;
        io.try_io(Interest::WRITABLE, || state.send(io.into(), transmit))
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        slices: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let queue = &self.shared.quic;
        let filled = queue.pop_into(slices, metas);
        if filled > 0 {
            return Poll::Ready(Ok(filled));
        }
        queue.waker.register(cx.waker());
        // Again: a datagram may have come between the look and the registration.
        match queue.pop_into(slices, metas) {
            0 => Poll::Pending,
            filled => Poll::Ready(Ok(filled)),
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.shared.local)
    }

    fn may_fragment(&self) -> bool {
        self.shared.state.may_fragment()
    }

    fn max_transmit_segments(&self) -> usize {
        self.shared.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        RECEIVE_SEGMENTS
    }
}

type Writable = Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>;

/// Waits until the socket takes more. One per connection, since each keeps its own waker.
struct WritablePoller {
    shared: Arc<Shared>,
    waiting: Option<Writable>,
}

impl fmt::Debug for WritablePoller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WritablePoller").finish_non_exhaustive()
    }
}

impl UdpPoller for WritablePoller {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        // Nearly always there is room, and nothing to wait for.
        if this.waiting.is_none() && this.shared.io.try_io(Interest::WRITABLE, || Ok(())).is_ok() {
            return Poll::Ready(Ok(()));
        }
        let waiting = this.waiting.get_or_insert_with(|| {
            let shared = Arc::clone(&this.shared);
            Box::pin(async move { shared.io.writable().await })
        });
        let result = waiting.as_mut().poll(cx);
        if result.is_ready() {
            this.waiting = None;
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(len: usize, stride: usize) -> RecvMeta {
        RecvMeta { len, stride, ..RecvMeta::default() }
    }

    fn pop(queue: &Queue, slices: usize, size: usize) -> Vec<(Vec<u8>, usize)> {
        let mut space = vec![0; slices * size];
        let mut slices: Vec<_> = space.chunks_mut(size).map(IoSliceMut::new).collect();
        let mut metas = vec![RecvMeta::default(); slices.len()];
        let filled = queue.pop_into(&mut slices, &mut metas);
        (0..filled).map(|i| (slices[i][..metas[i].len].to_vec(), metas[i].stride)).collect()
    }

    #[test]
    fn a_run_too_long_for_one_buffer_is_split_between_datagrams() {
        let queue = Queue::default();
        let bytes: Vec<u8> = (0..25).collect();
        assert!(queue.push(&bytes, meta(25, 10)));
        let got = pop(&queue, 4, 22);
        assert_eq!(got, [(bytes[..20].to_vec(), 10), (bytes[20..].to_vec(), 10)]);
        assert_eq!(queue.lock().bytes, 0);
    }

    #[test]
    fn a_datagram_larger_than_a_buffer_is_cut_and_the_next_one_is_whole() {
        let queue = Queue::default();
        assert!(queue.push(&[7; 40], meta(40, 40)));
        assert!(queue.push(&[8; 5], meta(5, 5)));
        let got = pop(&queue, 4, 30);
        assert_eq!(got, [(vec![7; 30], 40), (vec![8; 5], 5)]);
        assert_eq!(queue.lock().bytes, 0);
    }

    #[test]
    fn a_full_queue_refuses_and_takes_again_once_read() {
        let queue = Queue::default();
        let run = vec![0xc0; 60_000];
        let mut accepted = 0;
        while queue.push(&run, meta(run.len(), 1200)) {
            accepted += 1;
        }
        assert_eq!(accepted, MAX_QUEUED_BYTES / run.len());
        assert!(!pop(&queue, 1, 64 << 10).is_empty());
        assert!(queue.push(&run, meta(run.len(), 1200)));
    }
}
