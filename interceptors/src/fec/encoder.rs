//! The sending side.

use tombolo_net::SeqNo;
use tombolo_rtp::RtpPacket;

use super::parity::Parity;
use super::{FIXED_LEN, Format, MAX_GROUP, MAX_PACKET, MAX_REPAIRS, flexfec, masks, ulpfec};

/// Makes repair packets for groups of packets of one stream.
///
/// A group ends when the owner says so, as a rule with a frame, so that nothing waits for a repair packet which waits for the next
/// frame. Keeps the packets of a group: at most 46 of 2048 bytes.
#[derive(Debug)]
pub struct Encoder {
    format: Format,
    /// The first `len` are the group; the others are kept for their memory.
    packets: Vec<(SeqNo, Vec<u8>)>,
    len: usize,
    parity: Parity,
    payload: Vec<u8>,
}

impl Encoder {
    /// An encoder with no group begun.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self { format, packets: Vec::new(), len: 0, parity: Parity::default(), payload: Vec::new() }
    }

    /// Adds a packet to the group: as it goes on the wire, but see [`zero_extensions`](super::zero_extensions). `false`, and
    /// nothing happens, when it has no place: it is no RTP packet or longer than 2048 bytes, the group has 46, or its number is not one of
    /// the next 46. Then [`Encoder::finish`] the group, and add the packet to the next one.
    pub fn push(&mut self, packet: &[u8]) -> bool {
        if packet.len() < FIXED_LEN || packet.len() > MAX_PACKET || self.len == MAX_GROUP {
            return false;
        }
        let Ok(parsed) = RtpPacket::parse(packet) else { return false };
        let seq = parsed.seq();
        if let Some((first, _)) = self.packets[..self.len].first() {
            let newest = self.packets[self.len - 1].0;
            if !seq.is_newer_than(newest) || seq.distance_from(*first) as usize >= MAX_GROUP {
                return false;
            }
        }
        if self.packets.len() == self.len {
            self.packets.push((seq, Vec::with_capacity(MAX_PACKET)));
        }
        let (kept_seq, kept) = &mut self.packets[self.len];
        *kept_seq = seq;
        kept.clear();
        kept.extend_from_slice(packet);
        self.len += 1;
        true
    }

    /// How many packets the group has.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether the group has no packet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Ends the group. `send` is given the payloads of `repairs` repair packets, at most 24; each is as long as the longest
    /// packet that it covers, and up to 32 bytes longer. Of an empty group there are none.
    pub fn finish(&mut self, repairs: usize, mut send: impl FnMut(&[u8])) {
        let group = &self.packets[..self.len];
        let mut places = [0_u64; MAX_REPAIRS];
        let places = &mut places[..repairs.min(MAX_REPAIRS)];
        masks::cover(group.len(), places);
        for places in places.iter().filter(|places| **places != 0) {
            let (mut mask, mut base) = (0_u128, None);
            self.parity.clear();
            for (at, (seq, packet)) in group.iter().enumerate() {
                if places >> at & 1 == 1 {
                    let base = *base.get_or_insert(*seq);
                    mask |= 1 << seq.distance_from(base);
                    self.parity.add(packet);
                }
            }
            let Some(base) = base else { continue };
            self.payload.clear();
            match self.format {
                Format::FlexFec(ssrc) => flexfec::write(&mut self.payload, ssrc, base, mask, &self.parity),
                Format::UlpFec => ulpfec::write(&mut self.payload, base, mask, &self.parity),
            }
            send(&self.payload);
        }
        self.len = 0;
    }
}
