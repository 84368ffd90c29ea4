//! What depends on what, as the dependency descriptor tells it.

use std::collections::VecDeque;

use tombolo_net::{ExtSeqNo, SeqNo, SeqUnwrapper};
use tombolo_rtp::ext::dependency::{DependencyDescriptor, FrameDiffs};

/// Most frames that are followed at once.
const MAX_FRAMES: usize = 128;
/// So many of the last frame numbers are remembered as handed out; a power of two.
const REMEMBERED: usize = 256;

/// What the dependency descriptor of a packet tells of its frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameLink {
    /// The number of the frame.
    pub number: u16,
    /// The packet is the first of the frame.
    pub starts: bool,
    /// The packet is the last of the frame.
    pub ends: bool,
    /// How many frames back those are that it refers to; empty for a keyframe.
    pub refers_to: FrameDiffs,
}

impl From<&DependencyDescriptor<'_>> for FrameLink {
    fn from(descriptor: &DependencyDescriptor<'_>) -> Self {
        Self {
            number: descriptor.frame_number,
            starts: descriptor.start_of_frame,
            ends: descriptor.end_of_frame,
            refers_to: descriptor.frame.frame_diffs,
        }
    }
}

/// A frame of which packets have come.
#[derive(Clone, Copy, Debug)]
struct Known {
    number: u64,
    refers_to: FrameDiffs,
    first: Option<ExtSeqNo>,
    last: Option<ExtSeqNo>,
    packets: u64,
}

impl Known {
    fn is_whole(&self) -> bool {
        matches!((self.first, self.last), (Some(first), Some(last)) if last.0 >= first.0 && last.0 - first.0 < self.packets)
    }
}

/// The frames that are coming together, and those that were handed out.
#[derive(Debug)]
pub(super) struct Links {
    unwrapper: SeqUnwrapper,
    /// Ascending by number.
    known: VecDeque<Known>,
    handed_out: [u64; REMEMBERED],
}

impl Links {
    pub(super) fn new() -> Self {
        let known = VecDeque::with_capacity(MAX_FRAMES);
        Self { unwrapper: SeqUnwrapper::default(), known, handed_out: [0; REMEMBERED] }
    }

    /// Takes note of a packet that was not there before.
    pub(super) fn on_packet(&mut self, seq: ExtSeqNo, link: &FrameLink) {
        let number = self.unwrapper.unwrap(SeqNo(link.number)).0;
        let at = match self.known.binary_search_by_key(&number, |known| known.number) {
            Ok(at) => at,
            Err(at) => {
                if self.known.len() == MAX_FRAMES {
                    if at == 0 {
                        return;
                    }
                    self.known.pop_front();
                }
                let known = Known { number, refers_to: link.refers_to, first: None, last: None, packets: 0 };
                let at = at.min(self.known.len());
                self.known.insert(at, known);
                at
            }
        };
        let known = &mut self.known[at];
        known.packets += 1;
        if link.starts {
            known.first = Some(seq);
        }
        if link.ends {
            known.last = Some(seq);
        }
    }

    /// Whether the frame that begins with this packet can be decoded: all that it refers to was handed out. `None` when no
    /// packet told it. It counts as handed out if it can; those before it are forgotten.
    pub(super) fn hand_out(&mut self, first: ExtSeqNo) -> Option<bool> {
        let at = self.known.iter().position(|known| known.first == Some(first))?;
        let known = self.known[at];
        let can = self.can_be_decoded(&known);
        if can {
            self.handed_out[known.number as usize % REMEMBERED] = known.number;
        }
        self.known.drain(..=at);
        Some(can)
    }

    /// The first packet of the first whole frame behind `hole` that can be decoded without what is missing there.
    pub(super) fn beyond(&self, hole: ExtSeqNo) -> Option<ExtSeqNo> {
        let beyond = |known: &&Known| known.first.is_some_and(|first| first > hole);
        let mut whole = self.known.iter().filter(beyond).filter(|known| known.is_whole());
        whole.find(|known| self.can_be_decoded(known))?.first
    }

    /// Numbers of frames begin at 65536, so that none that was handed out is zero.
    fn can_be_decoded(&self, known: &Known) -> bool {
        known.refers_to.iter().all(|diff| {
            let referred = known.number.checked_sub(u64::from(*diff));
            referred.is_some_and(|referred| self.handed_out[referred as usize % REMEMBERED] == referred)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(number: u16, diffs: &[u16], starts: bool, ends: bool) -> FrameLink {
        FrameLink { number, starts, ends, refers_to: FrameDiffs::new(diffs).unwrap() }
    }

    #[test]
    fn a_frame_needs_what_it_refers_to() {
        let mut links = Links::new();
        for (seq, number, diffs) in [(10, 65_535, &[][..]), (11, 0, &[1]), (13, 2, &[2]), (14, 3, &[1, 2])] {
            links.on_packet(ExtSeqNo(seq), &link(number, diffs, true, true));
        }
        assert_eq!(links.hand_out(ExtSeqNo(10)), Some(true));
        assert_eq!(links.hand_out(ExtSeqNo(11)), Some(true));
        assert_eq!(links.hand_out(ExtSeqNo(12)), None, "nobody told of it");
        assert_eq!(links.beyond(ExtSeqNo(12)), Some(ExtSeqNo(13)), "it refers to 11 alone");
        assert_eq!(links.hand_out(ExtSeqNo(13)), Some(true));
        assert_eq!(links.hand_out(ExtSeqNo(14)), Some(false));
    }

    #[test]
    fn only_a_whole_frame_is_worth_a_skip() {
        let mut links = Links::new();
        links.on_packet(ExtSeqNo(10), &link(5, &[], true, true));
        links.hand_out(ExtSeqNo(10));
        links.on_packet(ExtSeqNo(12), &link(7, &[2], true, false));
        links.on_packet(ExtSeqNo(14), &link(7, &[2], false, true));
        assert_eq!(links.beyond(ExtSeqNo(11)), None);
        links.on_packet(ExtSeqNo(13), &link(7, &[2], false, false));
        assert_eq!(links.beyond(ExtSeqNo(11)), Some(ExtSeqNo(12)));
        assert_eq!(links.beyond(ExtSeqNo(12)), None);
    }

    #[test]
    fn what_is_followed_is_bounded() {
        let mut links = Links::new();
        for n in 0..5000_u64 {
            links.on_packet(ExtSeqNo(n), &link((n * 37) as u16, &[1], true, true));
            assert!(links.known.len() <= MAX_FRAMES);
            assert!(links.known.iter().is_sorted_by_key(|known| known.number));
        }
    }
}
