//! The media of a connection: streams in and out, and the RTCP about them. It sees plain packets only; sealing and
//! opening is done around it.
//!
//! | module | what |
//! |---|---|
//! | `route` | which section and layer a packet belongs to |
//! | `inbound`, `outbound` | the state of one stream |
//! | `receive` | RTP in |
//! | `send` | RTP out, retransmissions, padding |
//! | `paced`, `release` | what waits for its time to leave, and what the way carries |
//! | `rtcp_in`, `rtcp_out` | reports and feedback |
//! | `intercept` | what passes the interceptors of the connection's user |
//! | `fec` | repair packets both ways |
//! | `egress` | sealing and the send queue |

mod egress;
mod fec;
mod inbound;
mod intercept;
mod outbound;
mod paced;
mod receive;
mod release;
mod route;
mod rtcp_in;
mod rtcp_out;
mod send;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rand_core::Rng as _;
use tombolo_interceptors::ccfb;
use tombolo_interceptors::fec::RedSender;
use tombolo_interceptors::feedback::Composer;
use tombolo_interceptors::registry::Registry;
use tombolo_interceptors::report::{Interval, IntervalConfig, Members};
use tombolo_interceptors::twcc::{Recorder, RecorderConfig, SendHistory};
use tombolo_net::{Bitrate, Epoch, Rng, Seed, SeqNo, Ssrc};
use tombolo_rtp::Rid;
use tombolo_rtp::ext::{ExtensionKind, ExtensionMap};

pub(crate) use egress::{Egress, Kind};
pub use outbound::OutgoingPacket;

use crate::config::Config;
use crate::error::UseError;
use crate::event::Event;
use crate::sdp::Direction;
use crate::stats::{DropReason, Drops, InboundStats, OutboundStats, Stats};
use crate::transceiver::{Encoding, Transceiver, TransceiverId};
use fec::Protection;
use inbound::Inbound;
use outbound::{Outbound, StreamClock};
use paced::Paced;
use route::{MAX_STREAMS, Router};

/// How long the binding of a stream stays after its goodbye, for packets that were under way.
const STRAGGLERS: Duration = Duration::from_secs(2);

/// How often a frame of sound is sent again at most.
const MAX_RED: usize = 4;

/// The media of one connection.
pub(crate) struct Media {
    epoch: Epoch,
    rng: Rng,
    mtu: usize,
    router: Router,
    /// The extensions that are read before the section is known: they have one id in the whole bundle.
    labels: ExtensionMap,
    inbound: Vec<Inbound>,
    outbound: Vec<Outbound>,
    clocks: Vec<StreamClock>,
    recorder: Recorder,
    /// The same for peers that want to be told by source and sequence number.
    ccfb_recorder: ccfb::Recorder,
    history: SendHistory,
    /// Where bandwidth is estimated; then packets wait here for their time to leave.
    paced: Option<Box<Paced>>,
    composer: Composer,
    interval: Interval,
    /// Who reports when nothing is sent.
    reporter: Ssrc,
    receiving: Vec<TransceiverId>,
    /// SSRCs to say goodbye for.
    leaving: Vec<Ssrc>,
    remote_estimate: Option<Bitrate>,
    rtt: Option<Duration>,
    payloads: BytesMut,
    /// What the user added.
    pub(crate) interceptors: Registry,
    /// A packet that is shown to them.
    shown: Vec<u8>,
    /// A packet that was recovered.
    recovered: Vec<u8>,
    scratch: Vec<u8>,
    feedback: Vec<u8>,
    pub(crate) drops: Drops,
}

impl Media {
    pub(crate) fn new(config: &Arc<Config>, mut rng: Rng, epoch: Epoch, now: Instant, cname: &str) -> Self {
        let interval_rng = Seed::fork(&mut rng).rng();
        let first_seq = SeqNo(rng.next_u32() as u16);
        let reporter = Ssrc(rng.next_u32());
        let max_len = config.mtu.saturating_sub(120);
        let recorder = RecorderConfig::default().max_len_bytes(max_len);
        let ccfb_recorder = ccfb::RecorderConfig::default().max_len_bytes(max_len);
        Self {
            epoch,
            rng,
            mtu: config.mtu,
            router: Router::default(),
            labels: ExtensionMap::default(),
            inbound: Vec::new(),
            outbound: Vec::new(),
            clocks: Vec::new(),
            recorder: Recorder::new(recorder),
            ccfb_recorder: ccfb::Recorder::new(ccfb_recorder),
            history: SendHistory::new(first_seq),
            paced: config.bandwidth.as_ref().map(|estimation| Box::new(Paced::new(estimation))),
            composer: Composer::new(cname, false),
            interval: Interval::new(
                IntervalConfig::default(),
                interval_rng,
                now,
                Members { total: 1, senders: 0, we_sent: false },
            ),
            reporter,
            receiving: Vec::new(),
            leaving: Vec::new(),
            remote_estimate: None,
            rtt: None,
            payloads: BytesMut::new(),
            interceptors: Registry::new(),
            shown: Vec::new(),
            recovered: Vec::new(),
            scratch: Vec::new(),
            feedback: Vec::new(),
            drops: Drops::default(),
        }
    }

    /// Takes over what was negotiated.
    pub(crate) fn configure(&mut self, transceivers: &[Transceiver], events: &mut VecDeque<Event>) {
        self.labels = ExtensionMap::default();
        let mut reduced_size = false;
        for transceiver in transceivers.iter().filter(|transceiver| !transceiver.stopped) {
            let Some(media) = &transceiver.negotiated else { continue };
            reduced_size = media.reduced_size;
            let shared = [
                ExtensionKind::Mid,
                ExtensionKind::Rid,
                ExtensionKind::RepairedRid,
                ExtensionKind::TransportSeq,
                ExtensionKind::AbsSendTime,
            ];
            for kind in shared {
                if let Some(id) = media.extensions.id(kind) {
                    // Of ids that differ between sections the first counts; negotiation has checked the labels.
                    let _ = self.labels.insert(id, kind);
                }
            }
        }
        self.composer.set_reduced_size(reduced_size);
        for transceiver in transceivers {
            self.configure_sending(transceiver);
            self.configure_receiving(transceiver, events);
        }
        let gone = |id: TransceiverId| !transceivers.iter().any(|transceiver| transceiver.id == id);
        self.receiving.retain(|&id| !gone(id));
        self.outbound.retain(|stream| !gone(stream.transceiver));
        if let Some(paced) = &mut self.paced {
            let sends = |one: &&Transceiver| !one.stopped && one.current.is_some_and(Direction::sends);
            paced.configure(transceivers.iter().filter(sends));
        }
    }

    fn configure_sending(&mut self, transceiver: &Transceiver) {
        let sends = !transceiver.stopped && transceiver.current.is_some_and(Direction::sends);
        for encoding in &transceiver.encodings {
            let known = self.outbound.iter().position(|stream| stream.ssrc == encoding.ssrc);
            match (known, sends) {
                (None, true) => {
                    let rtx_seq = SeqNo(self.rng.next_u32() as u16);
                    let stream = Outbound::new(transceiver.id, transceiver.kind, encoding, rtx_seq);
                    self.outbound.push(stream);
                }
                (Some(index), false) if transceiver.stopped => {
                    let stream = self.outbound.remove(index);
                    if stream.last_sent.is_some() {
                        self.leaving.extend(stream.ssrcs());
                    }
                }
                _ => {}
            }
            self.configure_protection(transceiver, encoding);
            self.configure_redundancy(transceiver, encoding);
        }
    }

    fn configure_redundancy(&mut self, transceiver: &Transceiver, encoding: &Encoding) {
        let red = transceiver.negotiated.as_ref().and_then(|media| media.red);
        let stream = self.outbound.iter_mut().find(|stream| stream.ssrc == encoding.ssrc);
        if let Some(stream) = stream {
            stream.red = red.map(|red| {
                let mut sender =
                    stream.red.take().unwrap_or_else(|| Box::new(RedSender::new(red.frames, MAX_RED)));
                sender.on_loss(0.0);
                sender
            });
        }
    }

    /// Streams with a rid are not protected: nothing tells the peer which stream repairs which.
    fn configure_protection(&mut self, transceiver: &Transceiver, encoding: &Encoding) {
        let media = transceiver.negotiated.as_ref().filter(|_| encoding.rid.is_none());
        let flexfec = media.and_then(|media| Some((media, media.flexfec?)));
        let first_seq = self.random_seq();
        let stream = self.outbound.iter_mut().find(|stream| stream.ssrc == encoding.ssrc);
        let Some(stream) = stream else { return };
        match (flexfec, &stream.protection) {
            (Some((_, payload_type)), Some(known)) if known.payload_type() == payload_type => {}
            (Some((media, payload_type)), _) => {
                let protection =
                    Protection::new(stream.ssrc, encoding.fec_ssrc, first_seq, payload_type, media);
                stream.protection = Some(Box::new(protection));
            }
            (None, _) => stream.protection = None,
        }
    }

    fn configure_receiving(&mut self, transceiver: &Transceiver, events: &mut VecDeque<Event>) {
        let receives = !transceiver.stopped && transceiver.current.is_some_and(Direction::receives);
        let known = self.receiving.iter().position(|&id| id == transceiver.id);
        match (known, receives) {
            (None, true) => {
                self.receiving.push(transceiver.id);
                let media = transceiver.negotiated.clone().unwrap_or_default();
                events.push_back(Event::Track {
                    transceiver: transceiver.id,
                    mid: transceiver.mid,
                    kind: transceiver.kind,
                    rids: media.receive_rids,
                    streams: media.remote_streams,
                });
            }
            (Some(index), false) => {
                self.receiving.remove(index);
                self.inbound.retain(|stream| stream.transceiver != transceiver.id);
                self.router.retain(|binding| binding.transceiver != transceiver.id);
                events.push_back(Event::TrackEnded { transceiver: transceiver.id });
            }
            _ => {}
        }
    }

    /// Other keys count from now on: datagrams that are kept sealed would be opened by nobody.
    pub(crate) fn forget_sealed(&mut self) {
        self.outbound.iter_mut().for_each(Outbound::forget_sealed);
    }

    /// Asks the peer for a keyframe of what it sends; merged, paced and repeated until one comes.
    pub(crate) fn request_keyframe(
        &mut self,
        now: Instant,
        transceiver: &Transceiver,
        rid: Option<Rid>,
    ) -> Result<(), UseError> {
        if !transceiver.current.is_some_and(Direction::receives) {
            return Err(UseError::Direction);
        }
        let layer = |stream: &&mut Inbound| rid.is_none() || stream.rid == rid;
        let streams = self.inbound.iter_mut().filter(|stream| stream.transceiver == transceiver.id);
        for stream in streams.filter(layer) {
            stream.keyframe.request(now);
        }
        Ok(())
    }

    /// Whether a stream has begun that no report told of.
    pub(crate) fn has_unreported(&self) -> bool {
        self.outbound.iter().any(|stream| stream.sent_since_report && !stream.reported)
    }

    /// A transceiver's track left the media stream `old`: its reports speak of another clock from its next packet on.
    pub(crate) fn set_stream_id(&mut self, old: &str, id: TransceiverId, transceivers: &[Transceiver]) {
        for stream in self.outbound.iter_mut().filter(|stream| stream.transceiver == id) {
            stream.reports.clear_source();
            stream.reported = false;
        }
        // A clock is kept as long as a track of its participant is there.
        if !transceivers.iter().any(|transceiver| transceiver.stream_id == old) {
            self.clocks.retain(|clock| clock.stream_id != old);
        }
    }

    pub(crate) fn set_rtt(&mut self, rtt: Duration) {
        if self.rtt.replace(rtt) == Some(rtt) {
            return;
        }
        for stream in &mut self.inbound {
            stream.set_rtt(rtt);
        }
        for stream in &mut self.outbound {
            stream.responder.set_rtt(rtt);
            stream.handler.set_rtt(rtt);
        }
    }

    fn members(&self) -> Members {
        let sending = self.outbound.iter().filter(|stream| stream.sent_since_report).count();
        let total = self.inbound.len() + self.outbound.len() + 1;
        Members { total: total as u32, senders: (self.inbound.len() + sending) as u32, we_sent: sending > 0 }
    }

    /// Drops streams whose goodbye is long past.
    fn forget_ended(&mut self, now: Instant) {
        let router = &mut self.router;
        self.inbound.retain(|stream| {
            let over = stream.ended.is_some_and(|ended| now.saturating_duration_since(ended) >= STRAGGLERS);
            if over {
                router.remove(stream.ssrc);
            }
            !over
        });
    }

    /// A source whose packets nobody takes any more, each once.
    pub(crate) fn poll_gone(&mut self) -> Option<Ssrc> {
        self.router.poll_gone()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let streams = self.inbound.iter().filter_map(Inbound::poll_timeout);
        let ended = self.inbound.iter().filter_map(|stream| Some(stream.ended? + STRAGGLERS));
        let others = [
            self.recorder.poll_timeout(),
            self.ccfb_recorder.poll_timeout(),
            self.interval.poll_timeout(),
            self.interceptors.poll_timeout(),
            self.paced.as_ref().and_then(|paced| paced.poll_timeout()),
        ];
        streams.chain(ended).chain(others.into_iter().flatten()).min()
    }

    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.outbound.iter().find_map(|stream| stream.round_trip.smoothed())
    }

    pub(crate) fn add_stats(&self, stats: &mut Stats) {
        stats.drops = self.drops;
        stats.send_loss = self.history.loss_fraction();
        stats.delivered = self.history.delivered();
        stats.remote_estimate = self.remote_estimate;
        if let Some(paced) = &self.paced {
            stats.available_outgoing_bitrate = paced.estimate();
            stats.target_bitrate = paced.target();
            stats.pacer_bytes = paced.waiting_bytes();
        }
        stats.inbound.extend(self.inbound.iter().map(|stream| InboundStats {
            transceiver: stream.transceiver,
            rid: stream.rid,
            ssrc: stream.ssrc,
            counters: tombolo_interceptors::stats::Inbound {
                packets_lost: stream.reports.cumulative_lost(),
                jitter: stream.reports.jitter(),
                fec_packets_received: stream.stats.fec_packets_received
                    + stream.recovery.as_ref().map_or(0, |recovery| recovery.packets),
                fec_bytes_received: stream.stats.fec_bytes_received
                    + stream.recovery.as_ref().map_or(0, |recovery| recovery.bytes),
                fec_packets_discarded: stream.stats.fec_packets_discarded
                    + stream.recovery.as_ref().map_or(0, |recovery| recovery.discarded()),
                ..stream.stats
            },
            remote: stream.remote,
        }));
        stats.outbound.extend(self.outbound.iter().map(|stream| OutboundStats {
            transceiver: stream.transceiver,
            rid: stream.rid,
            ssrc: stream.ssrc,
            counters: stream.stats,
        }));
    }
}

impl Media {
    fn random_ssrc(&mut self) -> Ssrc {
        Ssrc(self.rng.next_u32())
    }

    fn random_seq(&mut self) -> SeqNo {
        SeqNo(self.rng.next_u32() as u16)
    }
}

#[cfg(test)]
mod tests;
