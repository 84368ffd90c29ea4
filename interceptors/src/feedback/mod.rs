//! How RTCP messages are put together into datagrams (RFC 3550 §6.1, RFC 5506, RFC 9143 §15.1).
//!
//! - A regular datagram is a compound: a report for this side, then an SDES with CNAME (and MID where the source is
//!   bundled) for every source that it reports as.
//! - Feedback between reports goes out behind an empty receiver report and the SDES, or alone where reduced size
//!   was negotiated and a compound has gone out before (RFC 5506 §4).

use tombolo_net::Ssrc;
use tombolo_rtp::Mid;
use tombolo_rtp::rtcp::{self, ReportBlock, SdesItem, SenderInfo};

/// Senders in one datagram at most; more go into the next.
const MAX_SENDERS: usize = 8;
/// Bytes of a sender report without blocks.
const SENDER_REPORT_LEN: usize = 28;
/// Bytes of a receiver report without blocks.
const RECEIVER_REPORT_LEN: usize = 8;
/// Bytes of a report block.
const BLOCK_LEN: usize = 24;
/// Blocks in one report at most.
const MAX_BLOCKS: usize = 31;
/// Bytes of an SDES header.
const SDES_HEADER_LEN: usize = 4;

/// A source of this side that sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// What it says about itself.
    pub info: SenderInfo,
    /// The media section that it belongs to, when it is bundled.
    pub mid: Option<Mid>,
}

/// What the regular reports of this moment still have to tell; [`Composer::write_report`] takes from the front.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// Who reports when none of `sources` is left.
    pub reporter: Ssrc,
    /// The media section of the reporter, when it has one.
    pub reporter_mid: Option<Mid>,
    /// The sources of this side that sent since the last report.
    pub sources: &'a [Source],
    /// What this side receives.
    pub blocks: &'a [ReportBlock],
}

/// Composes the RTCP of one transport.
#[derive(Clone, Debug)]
pub struct Composer {
    cname: Box<str>,
    reduced_size: bool,
    compound_sent: bool,
}

impl Composer {
    /// A composer for a participant with this canonical name, the same for all its sources, cut to 255 bytes.
    /// `reduced_size`: whether both sides agreed on `a=rtcp-rsize`.
    #[must_use]
    pub fn new(cname: &str, reduced_size: bool) -> Self {
        let mut len = cname.len().min(255);
        while !cname.is_char_boundary(len) {
            len -= 1;
        }
        Self { cname: cname[..len].into(), reduced_size, compound_sent: false }
    }

    /// Changes what was agreed on.
    pub fn set_reduced_size(&mut self, reduced_size: bool) {
        self.reduced_size = reduced_size;
    }

    /// Appends one compound datagram with as much of `report` as `max_len` bytes hold (at least one sender or
    /// block, whatever `max_len`), and takes that much from the front of `report`. Call again, with an empty
    /// buffer, while it returns `true`: something is left.
    pub fn write_report(&mut self, out: &mut Vec<u8>, max_len: usize, report: &mut Report<'_>) -> bool {
        let chunk_len = self.chunk_len();
        let mut len = SDES_HEADER_LEN + chunk_len;
        len += if report.sources.is_empty() { RECEIVER_REPORT_LEN } else { SENDER_REPORT_LEN };
        let mut senders = report.sources.len().min(1);
        while senders < report.sources.len().min(MAX_SENDERS)
            && len + SENDER_REPORT_LEN + chunk_len <= max_len
        {
            senders += 1;
            len += SENDER_REPORT_LEN + chunk_len;
        }
        let room = max_len.saturating_sub(len) / BLOCK_LEN;
        let least = usize::from(senders == 0);
        let blocks = room.max(least).min(report.blocks.len()).min(MAX_BLOCKS);

        let (sources, later_sources) = report.sources.split_at(senders);
        let (told, later_blocks) = report.blocks.split_at(blocks);
        match sources {
            [] => {
                rtcp::write_receiver_report(out, report.reporter, told);
                self.write_sdes(out, &[(report.reporter, report.reporter_mid)]);
            }
            [first, others @ ..] => {
                rtcp::write_sender_report(out, &first.info, told);
                for other in others {
                    rtcp::write_sender_report(out, &other.info, &[]);
                }
                let mut described = [(Ssrc(0), None); MAX_SENDERS];
                for (entry, source) in described.iter_mut().zip(sources) {
                    *entry = (source.info.ssrc, source.mid);
                }
                self.write_sdes(out, &described[..senders]);
            }
        }
        self.compound_sent = true;
        (report.sources, report.blocks) = (later_sources, later_blocks);
        !(later_sources.is_empty() && later_blocks.is_empty())
    }

    /// Appends what must stand before feedback in a datagram of its own: nothing where reduced size is allowed, an
    /// empty receiver report and the SDES otherwise. Append the feedback behind it.
    pub fn begin_feedback(&mut self, out: &mut Vec<u8>, reporter: Ssrc, mid: Option<Mid>) {
        if self.reduced_size && self.compound_sent {
            return;
        }
        rtcp::write_receiver_report(out, reporter, &[]);
        self.write_sdes(out, &[(reporter, mid)]);
        self.compound_sent = true;
    }

    /// The bytes of an SDES chunk with the longest MID.
    fn chunk_len(&self) -> usize {
        const LONGEST_MID: usize = 16;
        (4 + 2 + self.cname.len() + 2 + LONGEST_MID + 1).next_multiple_of(4)
    }

    fn write_sdes(&self, out: &mut Vec<u8>, sources: &[(Ssrc, Option<Mid>)]) {
        let cname = SdesItem::Cname(self.cname.as_bytes());
        let mut items = [[cname; 2]; MAX_SENDERS];
        let mut chunks: [(Ssrc, &[SdesItem<'_>]); MAX_SENDERS] = [(Ssrc(0), &[]); MAX_SENDERS];
        for ((chunk, items), &(ssrc, mid)) in chunks.iter_mut().zip(&mut items).zip(sources) {
            let count = match mid {
                Some(mid) => {
                    items[1] = SdesItem::Mid(mid);
                    2
                }
                None => 1,
            };
            *chunk = (ssrc, &items[..count]);
        }
        rtcp::write_sdes(out, &chunks[..sources.len().min(MAX_SENDERS)]);
    }
}

#[cfg(test)]
mod tests {
    use tombolo_rtp::rtcp::{Compound, Packet};

    use super::*;

    fn source(ssrc: u32, mid: &str) -> Source {
        Source { info: SenderInfo { ssrc: Ssrc(ssrc), ..SenderInfo::default() }, mid: mid.parse().ok() }
    }

    fn block(ssrc: u32) -> ReportBlock {
        ReportBlock { ssrc: Ssrc(ssrc), ..ReportBlock::default() }
    }

    /// One word for each message: what an observer of the datagram sees.
    fn read(datagram: &[u8]) -> Vec<String> {
        Compound::new(datagram)
            .map(|packet| match packet.unwrap() {
                Packet::SenderReport(sr) => format!("SR {}+{}", sr.info.ssrc, sr.reports.count()),
                Packet::ReceiverReport(rr) => format!("RR+{}", rr.reports.count()),
                Packet::Sdes(sdes) => {
                    let items = |chunk: rtcp::SdesChunk<'_>| {
                        let items = chunk.items().map(|item| match item {
                            SdesItem::Cname(name) => String::from_utf8(name.to_vec()).unwrap(),
                            SdesItem::Mid(mid) => format!("mid {mid}"),
                            _ => "?".into(),
                        });
                        format!("{}: {}", chunk.ssrc, items.collect::<Vec<_>>().join(", "))
                    };
                    format!("SDES {}", sdes.chunks().map(items).collect::<Vec<_>>().join("; "))
                }
                Packet::Pli(_) => "PLI".into(),
                _ => "?".into(),
            })
            .collect()
    }

    fn pli(composer: &mut Composer) -> Vec<String> {
        let mut out = Vec::new();
        composer.begin_feedback(&mut out, Ssrc(1), None);
        rtcp::write_pli(&mut out, Ssrc(1), Ssrc(9));
        read(&out)
    }

    fn report(
        composer: &mut Composer,
        sources: &[Source],
        blocks: &[ReportBlock],
        max_len: usize,
    ) -> Vec<Vec<String>> {
        let mut report = Report { reporter: Ssrc(1), reporter_mid: None, sources, blocks };
        let mut datagrams = Vec::new();
        loop {
            let mut out = Vec::new();
            let more = composer.write_report(&mut out, max_len, &mut report);
            assert!(out.len() <= max_len, "{} bytes", out.len());
            datagrams.push(read(&out));
            if !more {
                return datagrams;
            }
        }
    }

    /// RTCP-05: without agreement every datagram is a report, an SDES with CNAME, and then the feedback.
    #[test]
    fn feedback_is_compound_unless_reduced_size_is_agreed() {
        let mut composer = Composer::new("alice", false);
        for _ in 0..2 {
            assert_eq!(pli(&mut composer), ["RR+0", "SDES 1: alice", "PLI"]);
        }
    }

    /// RTCP-05: with agreement the first datagram and every timer report are compound; feedback between is not.
    #[test]
    fn reduced_size_comes_after_a_first_compound_and_not_in_reports() {
        let mut composer = Composer::new("alice", true);
        assert_eq!(pli(&mut composer), ["RR+0", "SDES 1: alice", "PLI"]);
        assert_eq!(pli(&mut composer), ["PLI"]);
        assert_eq!(report(&mut composer, &[], &[block(9)], 1200), [["RR+1", "SDES 1: alice"]]);
        assert_eq!(pli(&mut composer), ["PLI"]);
        composer.set_reduced_size(false);
        assert_eq!(pli(&mut composer).len(), 3);
        let mut fresh = Composer::new("alice", true);
        report(&mut fresh, &[], &[], 1200);
        assert_eq!(pli(&mut fresh), ["PLI"]);
    }

    /// RTCP-01: the SDES has CNAME and MID for each source that reports.
    #[test]
    fn each_sender_is_described_with_cname_and_mid() {
        let mut composer = Composer::new("alice", false);
        let sources = [source(10, "0"), source(11, "v1")];
        assert_eq!(
            report(&mut composer, &sources, &[block(20), block(21)], 1200),
            [["SR 10+2", "SR 11+0", "SDES 10: alice, mid 0; 11: alice, mid v1"]]
        );
    }

    /// Reports of a crowd are split so that each datagram is a compound of its own within the MTU.
    #[test]
    fn a_crowd_is_split_over_datagrams() {
        let mut composer = Composer::new("a-canonical-name", false);
        let sources: Vec<_> = (0..20).map(|n| source(n, "12345678")).collect();
        let blocks: Vec<_> = (0..100).map(block).collect();
        for max_len in [300, 576, 1200] {
            let datagrams = report(&mut composer, &sources, &blocks, max_len);
            let all = datagrams.concat();
            assert_eq!(all.iter().filter(|word| word.starts_with("SR")).count(), 20);
            let told: usize = all
                .iter()
                .filter_map(|word| word.rsplit_once('+').map(|(_, count)| count.parse::<usize>().unwrap()))
                .sum();
            assert_eq!(told, 100);
            for datagram in &datagrams {
                assert!(datagram[0].starts_with("SR") || datagram[0].starts_with("RR"));
                assert!(datagram.last().unwrap().starts_with("SDES"));
            }
        }
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let composer = Composer::new(&"é".repeat(200), false);
        assert_eq!(composer.cname.len(), 254);
    }
}
