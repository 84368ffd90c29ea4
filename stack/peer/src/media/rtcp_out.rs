//! RTCP out: regular reports on their timer, feedback when it is due.

use std::time::{Duration, Instant};

use tombolo_interceptors::feedback::{Report, Source};
use tombolo_net::Ssrc;
use tombolo_rtp::rtcp::{ReportBlock, write_bye};
use tombolo_srtp::OutboundContext;

use super::outbound::Outbound;
use super::{Egress, Kind, Media};
use crate::transceiver::Transceiver;

/// A stream that sent nothing for this long is no sender: it reports no more (RFC 3550 §6.4).
const SILENT: Duration = Duration::from_secs(15);

impl Media {
    /// Queues what is due.
    pub(crate) fn write_due(
        &mut self,
        now: Instant,
        transceivers: &[Transceiver],
        srtp: &mut OutboundContext,
        egress: &mut Egress,
    ) {
        self.forget_ended(now);
        self.write_goodbyes(now, srtp, egress);
        // A receiver needs the first report at once to play sound and picture in step.
        if self.interval.is_due(now) || self.has_unreported() {
            self.write_reports(now, transceivers, srtp, egress);
        }
        self.write_feedback(now, srtp, egress);
    }

    fn write_reports(
        &mut self,
        now: Instant,
        transceivers: &[Transceiver],
        srtp: &mut OutboundContext,
        egress: &mut Egress,
    ) {
        let members = self.members();
        let wall = self.epoch.ntp_at(now);
        let mut sources: Vec<Source> = Vec::new();
        for stream in &mut self.outbound {
            let speaks = stream.last_sent.is_some_and(|sent| now.saturating_duration_since(sent) < SILENT);
            let Some(info) = stream.reports.sender_info(now, wall).filter(|_| speaks) else { continue };
            let transceiver = transceivers.iter().find(|one| one.id == stream.transceiver);
            sources.push(Source { info, mid: transceiver.and_then(|transceiver| transceiver.mid) });
            (stream.reported, stream.sent_since_report) = (true, false);
        }
        let live = self.inbound.iter_mut().filter(|stream| stream.ended.is_none());
        let blocks: Vec<ReportBlock> = live.filter_map(|stream| stream.reports.report_block(now)).collect();
        self.interval.schedule(now, members);
        if sources.is_empty() && blocks.is_empty() {
            return;
        }
        let mut report =
            Report { reporter: self.reporter, reporter_mid: None, sources: &sources, blocks: &blocks };
        let mut more = true;
        while more {
            self.scratch.clear();
            more = self.composer.write_report(&mut self.scratch, self.mtu - 40, &mut report);
            self.interval.on_rtcp(self.scratch.len() + 28);
            self.push_rtcp(now, srtp, egress);
        }
    }

    fn write_feedback(&mut self, now: Instant, srtp: &mut OutboundContext, egress: &mut Egress) {
        let reporter =
            self.outbound.iter().find(|stream| stream.reported).map_or(self.reporter, |one| one.ssrc);
        let media = self.inbound.first().map_or(Ssrc(0), |stream| stream.ssrc);
        loop {
            self.feedback.clear();
            if !self.recorder.write_feedback(now, reporter, media, &mut self.feedback) {
                break;
            }
            self.push_feedback(now, reporter, srtp, egress);
        }
        let wall = self.epoch.ntp_at(now);
        loop {
            self.feedback.clear();
            if !self.ccfb_recorder.write_feedback(now, wall, reporter, &mut self.feedback) {
                break;
            }
            self.push_feedback(now, reporter, srtp, egress);
        }
        for index in 0..self.interceptors.len() {
            self.feedback.clear();
            if self.interceptors.write_feedback(index, now, reporter, &mut self.feedback) {
                self.push_feedback(now, reporter, srtp, egress);
            }
        }
        for index in 0..self.inbound.len() {
            loop {
                self.feedback.clear();
                let stream = &mut self.inbound[index];
                if stream.nack_allowed && stream.ended.is_none() {
                    let named = stream.nack.write_feedback(now, reporter, stream.ssrc, &mut self.feedback);
                    stream.stats.nack_count += u64::from(named > 0);
                } else {
                    // RTCP-03: nothing is asked for, but what is missing is given up in time.
                    stream.nack.take_due(now, &mut []);
                }
                if stream.keyframe.write_request(now, reporter, stream.ssrc, &mut self.feedback) {
                    stream.stats.pli_count = stream.keyframe.sent();
                }
                if self.feedback.is_empty() {
                    break;
                }
                self.push_feedback(now, reporter, srtp, egress);
            }
        }
    }

    fn push_feedback(
        &mut self,
        now: Instant,
        reporter: Ssrc,
        srtp: &mut OutboundContext,
        egress: &mut Egress,
    ) {
        self.scratch.clear();
        self.composer.begin_feedback(&mut self.scratch, reporter, None);
        self.scratch.extend_from_slice(&self.feedback);
        self.push_rtcp(now, srtp, egress);
    }

    /// Queues the datagram in `scratch`. What finds no room is lost as if the network had dropped it: reports come again, and
    /// feedback is asked for again.
    fn push_rtcp(&mut self, now: Instant, srtp: &mut OutboundContext, egress: &mut Egress) {
        self.interceptors.on_rtcp_sent(now, &self.scratch);
        let _ = egress.push(srtp, Kind::Rtcp, |out| out.extend_from_slice(&self.scratch));
    }

    /// Says goodbye for streams that will not be sent any more.
    fn write_goodbyes(&mut self, now: Instant, srtp: &mut OutboundContext, egress: &mut Egress) {
        if self.leaving.is_empty() {
            return;
        }
        let leaving = std::mem::take(&mut self.leaving);
        for sources in leaving.chunks(31) {
            self.scratch.clear();
            let nothing = &mut Report { reporter: sources[0], reporter_mid: None, sources: &[], blocks: &[] };
            self.composer.write_report(&mut self.scratch, self.mtu - 40, nothing);
            write_bye(&mut self.scratch, sources, &[]);
            self.push_rtcp(now, srtp, egress);
        }
    }

    /// Says goodbye for everything that was sent.
    pub(crate) fn close(&mut self, now: Instant, srtp: &mut OutboundContext, egress: &mut Egress) {
        let sent = self.outbound.iter().filter(|stream| stream.last_sent.is_some());
        let ssrcs: Vec<Ssrc> = sent.flat_map(Outbound::ssrcs).collect();
        self.leaving.extend(ssrcs);
        self.write_goodbyes(now, srtp, egress);
    }
}
