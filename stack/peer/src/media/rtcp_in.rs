//! RTCP in: reports, feedback, goodbyes. Only messages about streams of this connection have an effect.

use std::collections::VecDeque;
use std::time::Instant;

use tombolo_net::{SeqNo, Ssrc};
use tombolo_rtp::rtcp::{
    Compound, Nack, Packet, ReportBlocks, Sdes, SdesItem, SenderReport, TransportFeedback,
};
use tombolo_srtp::OutboundContext;

use super::{DropReason, Egress, Media};
use crate::event::{Event, ReceivedSenderReport};
use crate::transceiver::Transceiver;

/// The most packets that one datagram of NACKs can ask for again.
const MAX_RESENDS: usize = 256;

impl Media {
    /// Takes one opened RTCP datagram. What it asks to be sent again is queued at once.
    pub(crate) fn receive_rtcp(
        &mut self,
        now: Instant,
        datagram: &[u8],
        transceivers: &[Transceiver],
        outlet: Option<(&mut OutboundContext, &mut Egress)>,
        events: &mut VecDeque<Event>,
    ) {
        self.interval.on_rtcp(datagram.len() + 28);
        self.interceptors.on_rtcp_received(now, datagram);
        let mut lost: Vec<(usize, SeqNo)> = Vec::new();
        for packet in Compound::new(datagram) {
            let Ok(packet) = packet else {
                self.drops.add(DropReason::Malformed);
                continue;
            };
            match packet {
                Packet::SenderReport(report) => self.on_sender_report(now, &report, events),
                Packet::ReceiverReport(report) => self.on_blocks(now, report.reports),
                Packet::Sdes(sdes) => self.on_sdes(&sdes, transceivers),
                Packet::Bye(bye) => bye.ssrcs().for_each(|ssrc| self.on_bye(now, ssrc, events)),
                Packet::Nack(nack) => self.on_nack(&nack, &mut lost),
                Packet::Pli(pli) => {
                    self.on_keyframe_request(pli.media, events, |handler| handler.on_pli(now))
                }
                Packet::Fir(fir) => {
                    for entry in fir.entries() {
                        self.on_keyframe_request(entry.ssrc, events, |handler| {
                            handler.on_fir(now, fir.sender, entry.seq)
                        });
                    }
                }
                Packet::Remb(remb) => {
                    self.remote_estimate = Some(remb.bitrate);
                    if let Some(paced) = &mut self.paced {
                        paced.on_remb(remb.bitrate);
                    }
                }
                Packet::CongestionFeedback(feedback) => {
                    if let Some(paced) = &mut self.paced {
                        paced.on_congestion_feedback(now, &feedback);
                    }
                }
                Packet::TransportFeedback(feedback) => self.on_transport_feedback(now, &feedback),
                _ => {}
            }
        }
        let Some((srtp, egress)) = outlet else { return };
        for (index, seq) in lost {
            let id = self.outbound[index].transceiver;
            if let Some(transceiver) = transceivers.iter().find(|transceiver| transceiver.id == id) {
                self.resend(now, index, seq, transceiver, srtp, egress);
            }
        }
    }

    fn on_transport_feedback(&mut self, now: Instant, feedback: &TransportFeedback<'_>) {
        let history = &mut self.history;
        match &mut self.paced {
            Some(paced) => paced.on_transport_feedback(now, |results| {
                history.on_feedback(feedback, |result| results.push(result));
            }),
            None => {
                history.on_feedback(feedback, |_| {});
            }
        }
        // Reports on sound come seldom: every five seconds from Chromium.
        let loss = self.history.loss_fraction() as f32;
        for stream in &mut self.outbound {
            let told = f32::from(stream.stats.remote_fraction_lost) / 256.0;
            if let Some(red) = &mut stream.red {
                red.on_loss(loss.max(told));
            }
        }
    }

    fn on_sender_report(&mut self, now: Instant, report: &SenderReport<'_>, events: &mut VecDeque<Event>) {
        let info = report.info;
        if let Some(stream) = self.inbound.iter_mut().find(|stream| stream.ssrc == info.ssrc) {
            stream.reports.on_sender_report(now, info.ntp);
            stream.remote.on_report(now, &info);
            events.push_back(Event::SenderReport(ReceivedSenderReport {
                transceiver: stream.transceiver,
                rid: stream.rid,
                ssrc: info.ssrc,
                ntp: info.ntp,
                timestamp: info.rtp_time,
                arrival: now,
            }));
        }
        self.on_blocks(now, report.reports);
    }

    fn on_blocks(&mut self, now: Instant, blocks: ReportBlocks<'_>) {
        let wall = self.epoch.ntp_at(now);
        let mut rtt = None;
        for block in blocks {
            let Some(stream) = self.outbound.iter_mut().find(|stream| stream.ssrc == block.ssrc) else {
                continue;
            };
            let sample = stream.round_trip.on_report(wall, &block);
            stream.stats.on_report(&block, stream.clock_rate, sample);
            stream.known_to_peer = true;
            // A peer's reports may count what retransmissions brought; its transport-wide feedback does not.
            let told = f64::from(block.fraction_lost) / 256.0;
            stream.on_loss(told.max(self.history.loss_fraction()) as f32);
            rtt = rtt.or(stream.round_trip.smoothed().filter(|_| sample.is_some()));
        }
        if let Some(rtt) = rtt {
            self.set_rtt(rtt);
        }
    }

    /// RTCP-01: the MID item binds an SSRC before its first packet.
    fn on_sdes(&mut self, sdes: &Sdes<'_>, transceivers: &[Transceiver]) {
        for chunk in sdes.chunks() {
            for item in chunk.items() {
                if let SdesItem::Mid(mid) = item {
                    self.router.bind_by_sdes(chunk.ssrc, mid, transceivers);
                }
            }
        }
    }

    /// RTP-05: the end is told, and the binding stays a while for what was under way.
    fn on_bye(&mut self, now: Instant, ssrc: Ssrc, events: &mut VecDeque<Event>) {
        let Some(stream) =
            self.inbound.iter_mut().find(|stream| stream.ssrc == ssrc && stream.ended.is_none())
        else {
            return;
        };
        stream.ended = Some(now);
        events.push_back(Event::StreamEnded { transceiver: stream.transceiver, rid: stream.rid, ssrc });
    }

    /// RTX-03: a NACK for an RTX stream finds none here and is ignored.
    fn on_nack(&mut self, nack: &Nack<'_>, lost: &mut Vec<(usize, SeqNo)>) {
        let Some(index) = self.outbound.iter().position(|stream| stream.ssrc == nack.media) else { return };
        self.outbound[index].stats.nack_count += 1;
        let room = MAX_RESENDS.saturating_sub(lost.len());
        lost.extend(nack.lost().take(room).map(|seq| (index, seq)));
    }

    fn on_keyframe_request(
        &mut self,
        media: Ssrc,
        events: &mut VecDeque<Event>,
        is_new: impl FnOnce(&mut tombolo_interceptors::keyframe::Handler) -> bool,
    ) {
        let Some(stream) = self.outbound.iter_mut().find(|stream| stream.ssrc == media) else { return };
        let asked = is_new(&mut stream.handler);
        (stream.stats.pli_count, stream.stats.fir_count) = (stream.handler.plis(), stream.handler.firs());
        if asked {
            events.push_back(Event::KeyframeRequested { transceiver: stream.transceiver, rid: stream.rid });
        }
    }
}
