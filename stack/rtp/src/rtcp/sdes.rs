//! Source descriptions (RFC 3550 §6.5).

use tombolo_net::Ssrc;

use super::{packet_type, take_ssrc, write_packet};
use crate::{DecodeError, Mid, Rid};

/// The canonical name (RFC 3550 §6.5.1).
const CNAME: u8 = 1;
/// The layer (RFC 8852 §4.1).
const RID: u8 = 12;
/// The layer that is repaired (RFC 8852 §4.2).
const REPAIRED_RID: u8 = 13;
/// The media section (RFC 9143 §15.1).
const MID: u8 = 15;

/// One item of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SdesItem<'a> {
    /// The canonical name, up to 255 bytes: the same for all sources of a participant.
    Cname(&'a [u8]),
    /// The media section that the source belongs to.
    Mid(Mid),
    /// The layer that the source carries.
    Rid(Rid),
    /// The layer that the source repairs.
    RepairedRid(Rid),
    /// Anything else: the item type and its value.
    Other(u8, &'a [u8]),
}

impl SdesItem<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        let (kind, value) = match self {
            Self::Cname(name) => (CNAME, *name),
            Self::Mid(mid) => (MID, mid.as_bytes()),
            Self::Rid(rid) => (RID, rid.as_bytes()),
            Self::RepairedRid(rid) => (REPAIRED_RID, rid.as_bytes()),
            Self::Other(kind, value) => (*kind, *value),
        };
        let value = &value[..value.len().min(255)];
        out.extend_from_slice(&[kind, value.len() as u8]);
        out.extend_from_slice(value);
    }
}

/// A source description: a list of chunks, one for each source.
#[derive(Clone, Copy, Debug)]
pub struct Sdes<'a> {
    count: u8,
    body: &'a [u8],
}

impl<'a> Sdes<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut rest = body;
        for _ in 0..count {
            (_, rest) = SdesChunk::split(rest)?;
        }
        Ok(Self { count, body })
    }

    /// The chunks.
    pub fn chunks(&self) -> impl Iterator<Item = SdesChunk<'a>> + use<'a> {
        let mut rest = self.body;
        (0..self.count).map_while(move |_| {
            let (chunk, after) = SdesChunk::split(rest).ok()?;
            rest = after;
            Some(chunk)
        })
    }
}

/// What is said about one source.
#[derive(Clone, Copy, Debug)]
pub struct SdesChunk<'a> {
    /// The source.
    pub ssrc: Ssrc,
    items: &'a [u8],
}

impl<'a> SdesChunk<'a> {
    /// The items. A MID or RID that is no token is given as [`SdesItem::Other`].
    pub fn items(&self) -> impl Iterator<Item = SdesItem<'a>> + use<'a> {
        let mut rest = self.items;
        std::iter::from_fn(move || {
            let (kind, value, after) = split_item(rest)?;
            rest = after;
            let other = SdesItem::Other(kind, value);
            Some(match kind {
                CNAME => SdesItem::Cname(value),
                MID => Mid::from_bytes(value).map_or(other, SdesItem::Mid),
                RID => Rid::from_bytes(value).map_or(other, SdesItem::Rid),
                REPAIRED_RID => Rid::from_bytes(value).map_or(other, SdesItem::RepairedRid),
                _ => other,
            })
        })
    }

    /// Takes one chunk: the source, the items, a zero byte, and zeros up to a whole word.
    fn split(body: &'a [u8]) -> Result<(Self, &'a [u8]), DecodeError> {
        let (ssrc, start) = take_ssrc(body)?;
        let mut rest = start;
        while rest.first().ok_or(DecodeError::Truncated)? != &0 {
            (_, _, rest) = split_item(rest).ok_or(DecodeError::Truncated)?;
        }
        let items_len = start.len() - rest.len();
        // The list ends with one to four zero bytes; the body is a whole number of words.
        let padded = (items_len / 4 + 1) * 4;
        let rest = start.get(padded..).ok_or(DecodeError::Truncated)?;
        Ok((Self { ssrc, items: &start[..items_len] }, rest))
    }
}

fn split_item(rest: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [kind, len, rest @ ..] = rest else { return None };
    let (value, rest) = rest.split_at_checked(usize::from(*len))?;
    Some((*kind, value, rest))
}

/// Appends a source description with one chunk a source. Of more than 31 the first 31 are written; values are cut
/// to 255 bytes.
pub fn write_sdes(out: &mut Vec<u8>, chunks: &[(Ssrc, &[SdesItem<'_>])]) {
    let chunks = &chunks[..chunks.len().min(31)];
    write_packet(out, packet_type::SDES, chunks.len() as u8, |out| {
        for (ssrc, items) in chunks {
            out.extend_from_slice(&ssrc.0.to_be_bytes());
            let start = out.len();
            items.iter().for_each(|item| item.write(out));
            let padded = ((out.len() - start) / 4 + 1) * 4;
            out.resize(start + padded, 0);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::{Compound, Packet};
    use super::*;

    fn read(data: &[u8]) -> Result<Vec<(Ssrc, Vec<SdesItem<'_>>)>, DecodeError> {
        match Compound::new(data).next().unwrap()? {
            Packet::Sdes(sdes) => Ok(sdes.chunks().map(|c| (c.ssrc, c.items().collect())).collect()),
            other => panic!("{other:?}"),
        }
    }

    /// RTCP-01 (codec part): CNAME and MID are written and read, for every length modulo four.
    #[test]
    fn cname_and_mid_round_trip_at_every_alignment() {
        for len in 0..9 {
            let cname = vec![b'c'; len];
            let items = [SdesItem::Cname(&cname), SdesItem::Mid("a1".parse().unwrap())];
            let mut out = Vec::new();
            write_sdes(&mut out, &[(Ssrc(1), &items), (Ssrc(2), &items[..1]), (Ssrc(3), &[])]);
            assert_eq!(out.len() % 4, 0);
            let expected = vec![(Ssrc(1), items.to_vec()), (Ssrc(2), items[..1].to_vec()), (Ssrc(3), vec![])];
            assert_eq!(read(&out), Ok(expected), "length {len}");
        }
    }

    #[test]
    fn other_items_are_kept() {
        let (rid, repaired): (Rid, Rid) = ("hi".parse().unwrap(), "lo".parse().unwrap());
        let items = [
            SdesItem::Other(6, b"tool"),
            SdesItem::Other(MID, b"no token"),
            SdesItem::Rid(rid),
            SdesItem::RepairedRid(repaired),
            SdesItem::Other(RID, b""),
        ];
        let mut out = Vec::new();
        write_sdes(&mut out, &[(Ssrc(1), &items)]);
        assert_eq!(read(&out), Ok(vec![(Ssrc(1), items.to_vec())]));
    }

    #[test]
    fn items_that_overrun_and_lists_without_end_are_refused() {
        assert_eq!(read(&[0x81, 202, 0, 2, 0, 0, 0, 1, 1, 9, b'a', 0]), Err(DecodeError::Truncated));
        assert_eq!(read(&[0x81, 202, 0, 2, 0, 0, 0, 1, 1, 2, b'a', b'b']), Err(DecodeError::Truncated));
        assert_eq!(read(&[0x81, 202, 0, 1, 0, 0, 0, 1]), Err(DecodeError::Truncated));
        assert_eq!(read(&[0x82, 202, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0]), Err(DecodeError::Truncated));
        assert_eq!(read(&[0x80, 202, 0, 0]), Ok(vec![]));
    }
}
