//! Sending for WebRTC: runs of equal datagrams leave in one call.

use std::io;
use std::sync::atomic::Ordering;

use quinn::udp::{self, EcnCodepoint};
use tokio::io::Interest;
use tombolo_net::{Ecn, Transmit};

use super::{Port, Shared};

/// The most that one segmented send may carry: the IP length field less the headers.
const MAX_RUN_BYTES: usize = 65_000;

/// Datagrams that leave in one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    transmit: Transmit,
    start: usize,
    datagrams: usize,
}

impl Port {
    /// Sends what a round of `poll_transmit` calls appended: `transmits` in order, whose bytes stand one
    /// after the other in `bytes`. Neighbours of one path and size leave in one call (GSO).
    ///
    /// Never waits: when the kernel's buffer is full the datagram is dropped and counted, as any queue on
    /// the way would do.
    pub fn send_all(&self, transmits: &[Transmit], bytes: &[u8]) {
        let max_segments = self.shared.state.max_gso_segments().max(1);
        let mut pending: Option<Run> = None;
        let mut at = 0;
        for transmit in transmits {
            let run = Run { transmit: *transmit, start: at, datagrams: datagrams(transmit) };
            at += transmit.len;
            let joined = pending.as_mut().is_some_and(|previous| previous.join(&run, max_segments));
            if !joined && let Some(previous) = pending.replace(run) {
                self.send_run(&previous, bytes);
            }
        }
        if let Some(last) = pending {
            self.send_run(&last, bytes);
        }
    }

    fn send_run(&self, run: &Run, bytes: &[u8]) {
        let Some(contents) = bytes.get(run.start..run.start + run.transmit.len) else { return };
        let max_segments = self.shared.state.max_gso_segments().max(1);
        let counters = &self.shared.counters;
        match run.transmit.segment_size {
            // The kernel has no GSO, or has turned out not to: one by one.
            Some(size) if run.datagrams > max_segments => {
                for part in contents.chunks(size.saturating_mul(max_segments).max(1)) {
                    let count = part.len().div_ceil(size) as u64;
                    let sent = self.shared.send(&run.transmit, part, (part.len() > size).then_some(size));
                    counters.count(sent, count);
                }
            }
            size => {
                let sent = self.shared.send(&run.transmit, contents, size);
                counters.count(sent, run.datagrams as u64);
            }
        }
    }
}

impl Run {
    /// Takes `next` in, if it can leave in the same call.
    fn join(&mut self, next: &Self, max_segments: usize) -> bool {
        let size = self.transmit.segment_size.unwrap_or(self.transmit.len);
        let last_is_whole = self.transmit.len.is_multiple_of(size.max(1));
        let next_size = next.transmit.segment_size.unwrap_or(size);
        let fits = self.transmit.path == next.transmit.path
            && self.transmit.ecn == next.transmit.ecn
            && size > 0
            && last_is_whole
            && next_size == size
            && (next.datagrams > 1 || next.transmit.len <= size)
            && next.transmit.len > 0
            && self.datagrams + next.datagrams <= max_segments
            && self.transmit.len + next.transmit.len <= MAX_RUN_BYTES;
        if fits {
            self.transmit.len += next.transmit.len;
            self.transmit.segment_size = Some(size);
            self.datagrams += next.datagrams;
        }
        fits
    }
}

impl Shared {
    fn send(&self, transmit: &Transmit, contents: &[u8], segment_size: Option<usize>) -> io::Result<()> {
        let source = transmit.path.local.ip();
        let transmit = udp::Transmit {
            destination: self.destination(transmit.path.remote),
            ecn: codepoint(transmit.ecn),
            contents,
            segment_size,
            src_ip: (!source.is_unspecified()).then_some(source),
        };
        self.io.try_io(Interest::WRITABLE, || self.state.send((&self.io).into(), &transmit))
    }
}

impl super::Counters {
    fn count(&self, sent: io::Result<()>, datagrams: u64) {
        let counter = if sent.is_ok() { &self.sent } else { &self.send_blocked };
        counter.fetch_add(datagrams, Ordering::Relaxed);
    }
}

fn datagrams(transmit: &Transmit) -> usize {
    match transmit.segment_size {
        Some(size) if size > 0 => transmit.len.div_ceil(size),
        _ => 1,
    }
}

fn codepoint(ecn: Ecn) -> Option<EcnCodepoint> {
    match ecn {
        Ecn::NotEct => None,
        Ecn::Ect0 => Some(EcnCodepoint::Ect0),
        Ecn::Ect1 => Some(EcnCodepoint::Ect1),
        Ecn::Ce => Some(EcnCodepoint::Ce),
    }
}

#[cfg(test)]
mod tests {
    use tombolo_net::FiveTuple;

    use super::*;

    fn path(port: u16) -> FiveTuple {
        FiveTuple::udp(([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], port).into())
    }

    fn run(port: u16, len: usize) -> Run {
        Run { transmit: Transmit::datagram(path(port), len), start: 0, datagrams: 1 }
    }

    #[test]
    fn neighbours_of_one_size_join_and_a_shorter_one_ends_the_run() {
        let mut first = run(9, 1000);
        assert!(first.join(&run(9, 1000), 64));
        assert!(first.join(&run(9, 400), 64), "the last segment may be shorter");
        assert!(!first.join(&run(9, 1000), 64), "nothing follows a short segment");
        assert_eq!(first.transmit.len, 2400);
        assert_eq!(first.transmit.segment_size, Some(1000));
        assert_eq!(first.datagrams, 3);
    }

    #[test]
    fn other_paths_larger_datagrams_and_full_runs_do_not_join() {
        assert!(!run(9, 1000).join(&run(10, 1000), 64), "another remote address");
        assert!(!run(9, 1000).join(&run(9, 1001), 64), "larger than the segments before");
        assert!(!run(9, 1000).join(&run(9, 1000), 1), "no segmentation offload");
        let mut ecn = run(9, 1000);
        ecn.transmit.ecn = Ecn::Ect1;
        assert!(!ecn.join(&run(9, 1000), 64), "another ECN codepoint");
    }
}
