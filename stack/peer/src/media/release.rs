//! What the pacer lets go: media, retransmissions, and padding for probes.

use std::collections::VecDeque;
use std::time::Instant;

use tombolo_interceptors::pacer::Release;
use tombolo_net::Bitrate;
use tombolo_srtp::OutboundContext;

use super::outbound::Kept;
use super::paced::{Occasion, Waiting};
use super::send::{OVERHEAD, Outlet};
use super::{DropReason, Egress, Media};
use crate::event::Event;
use crate::sdp::Direction;
use crate::transceiver::Transceiver;

/// Of so many of the newest packets one is repeated as padding.
const REPEATABLE: usize = 16;
/// The most bytes of padding in one packet (RFC 3550 §5.1: one byte tells their number).
const MAX_EMPTY: usize = 255;

impl Media {
    /// Sends what is due, and tells what the way carries.
    pub(crate) fn release(
        &mut self,
        now: Instant,
        transceivers: &[Transceiver],
        srtp: &mut OutboundContext,
        egress: &mut Egress,
        events: &mut VecDeque<Event>,
    ) {
        while let Some(released) = self.paced.as_mut().and_then(|paced| paced.poll(now)) {
            let occasion = Occasion { probe: released.probe, is_padding: false };
            match released.what {
                Release::Packet { packet, .. } => {
                    if !self.send_waiting(now, packet, transceivers, occasion, (srtp, egress)) {
                        self.drops.add(DropReason::Unsendable);
                    }
                }
                Release::Padding { size_bytes } => {
                    let occasion = Occasion { is_padding: true, ..occasion };
                    self.send_padding(now, size_bytes as usize, transceivers, occasion, (srtp, egress));
                }
            }
        }
        if let Some(event) = self.paced.as_mut().and_then(|paced| paced.poll_event(now)) {
            events.push_back(event);
        }
    }

    /// Drops what waits: there is no path, and without the peer's consent nothing goes out later either (RFC 7675 §5.1).
    pub(crate) fn drop_waiting(&mut self) {
        if let Some(paced) = &mut self.paced {
            paced.clear();
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.interceptors.handle_timeout(now);
        if let Some(paced) = &mut self.paced {
            paced.handle_timeout(now);
        }
    }

    pub(crate) fn set_wanted_bitrate(&mut self, now: Instant, wanted: Option<Bitrate>) {
        if let Some(paced) = &mut self.paced {
            paced.set_wanted(now, wanted);
        }
    }

    /// Sends what has waited; `false` when its stream is gone or goes by another SSRC now.
    fn send_waiting(
        &mut self,
        now: Instant,
        waiting: Waiting,
        transceivers: &[Transceiver],
        occasion: Occasion,
        outlet: Outlet<'_>,
    ) -> bool {
        let ssrc = match &waiting {
            Waiting::Media { ssrc, .. } => *ssrc,
            Waiting::Again(kept) => kept.header.ssrc,
        };
        let Some(index) = self.outbound.iter().position(|stream| stream.ssrc == ssrc) else { return false };
        let id = self.outbound[index].transceiver;
        let transceiver = transceivers.iter().find(|transceiver| transceiver.id == id).filter(sends);
        let Some(transceiver) = transceiver else { return false };
        match waiting {
            Waiting::Media { packet, .. } => {
                self.send_now(now, transceiver, packet, occasion, outlet).is_ok()
            }
            Waiting::Again(kept) => {
                self.send_again(now, index, &kept, transceiver, occasion, outlet);
                true
            }
        }
    }

    /// Sends about `size_bytes` that nobody waits for: one of the last packets once more, where they are large enough, else padding.
    /// Both go through RTX; to a peer without it there is none.
    fn send_padding(
        &mut self,
        now: Instant,
        size_bytes: usize,
        transceivers: &[Transceiver],
        occasion: Occasion,
        (srtp, egress): Outlet<'_>,
    ) {
        let Some((index, kept, transceiver)) = self.repeatable(now, size_bytes, transceivers) else { return };
        if kept.payload.len() + OVERHEAD >= size_bytes / 2 {
            return self.send_again(now, index, &kept, transceiver, occasion, (srtp, egress));
        }
        let mut left = size_bytes;
        while left > 0 {
            let len = left.saturating_sub(OVERHEAD).clamp(1, MAX_EMPTY);
            self.send_empty(now, index, (&kept, len as u8), transceiver, occasion, (srtp, egress));
            left = left.saturating_sub(len + OVERHEAD);
        }
    }

    /// The packet nearest to `size_bytes` among the newest ones of the stream that sent last, of those with RTX.
    fn repeatable<'t>(
        &self,
        now: Instant,
        size_bytes: usize,
        transceivers: &'t [Transceiver],
    ) -> Option<(usize, Kept, &'t Transceiver)> {
        let streams = self.outbound.iter().enumerate().filter_map(|(index, stream)| {
            let id = stream.transceiver;
            let transceiver = transceivers.iter().find(|one| one.id == id).filter(sends)?;
            let newest = stream.cache.as_ref()?.newest(now);
            let media = transceiver.negotiated.as_ref()?;
            let has_rtx = |kept: &&Kept| {
                let payload_type = kept.header.payload_type;
                let mut codecs = media.codecs.iter();
                codecs.any(|codec| codec.payload_type == payload_type && codec.rtx_payload_type.is_some())
            };
            let distance = |kept: &&Kept| (kept.payload.len() + OVERHEAD).abs_diff(size_bytes);
            let kept = newest.take(REPEATABLE).filter(has_rtx).min_by_key(distance)?;
            Some((stream.last_sent, index, kept, transceiver))
        });
        let (_, index, kept, transceiver) = streams.max_by_key(|&(sent, ..)| sent)?;
        Some((index, kept.clone(), transceiver))
    }
}

fn sends(transceiver: &&Transceiver) -> bool {
    !transceiver.stopped && transceiver.current.is_some_and(Direction::sends)
}
