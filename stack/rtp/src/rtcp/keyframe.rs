//! Requests for keyframes: PLI (RFC 4585 §6.3.1) and FIR (RFC 5104 §4.3.1).

use tombolo_net::Ssrc;

use super::{packet_type, take_feedback, write_feedback};
use crate::DecodeError;

pub(super) const PLI_FORMAT: u8 = 1;
pub(super) const FIR_FORMAT: u8 = 4;

/// A picture was lost: a keyframe or another way to repair is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pli {
    /// Who lost it.
    pub sender: Ssrc,
    /// The source of the picture.
    pub media: Ssrc,
}

impl Pli {
    pub(super) fn parse(body: &[u8]) -> Result<Self, DecodeError> {
        let (sender, media, _) = take_feedback(body)?;
        Ok(Self { sender, media })
    }
}

/// Appends a picture loss indication.
pub fn write_pli(out: &mut Vec<u8>, sender: Ssrc, media: Ssrc) {
    write_feedback(out, (packet_type::PSFB, PLI_FORMAT), (sender, media), |_| {});
}

/// The command to send a keyframe, to one or several sources.
#[derive(Clone, Copy, Debug)]
pub struct Fir<'a> {
    /// Who commands.
    pub sender: Ssrc,
    fci: &'a [u8],
}

/// One target of a [`Fir`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirEntry {
    /// The source that shall send a keyframe.
    pub ssrc: Ssrc,
    /// The command's number: the same again is a repetition of one command, not a new one.
    pub seq: u8,
}

impl<'a> Fir<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, DecodeError> {
        // The media source is zero and has no meaning here.
        let (sender, _, fci) = take_feedback(body)?;
        if fci.len() < 8 {
            return Err(DecodeError::Truncated);
        }
        Ok(Self { sender, fci })
    }

    /// The targets.
    #[must_use]
    pub const fn entries(&self) -> FirEntries<'a> {
        FirEntries { fci: self.fci }
    }
}

/// Iterator over the targets of a [`Fir`].
#[derive(Clone, Debug)]
pub struct FirEntries<'a> {
    fci: &'a [u8],
}

impl Iterator for FirEntries<'_> {
    type Item = FirEntry;

    fn next(&mut self) -> Option<FirEntry> {
        let (&[a, b, c, d, seq, _, _, _], fci) = self.fci.split_first_chunk()?;
        self.fci = fci;
        Some(FirEntry { ssrc: Ssrc(u32::from_be_bytes([a, b, c, d])), seq })
    }
}

/// Appends a full intra request for `targets`. Nothing is written for no target.
pub fn write_fir(out: &mut Vec<u8>, sender: Ssrc, targets: &[FirEntry]) {
    if targets.is_empty() {
        return;
    }
    write_feedback(out, (packet_type::PSFB, FIR_FORMAT), (sender, Ssrc(0)), |out| {
        for target in targets {
            out.extend_from_slice(&target.ssrc.0.to_be_bytes());
            out.extend_from_slice(&[target.seq, 0, 0, 0]);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::{Compound, Packet};
    use super::*;

    #[test]
    fn a_picture_loss_indication_has_no_fci() {
        let mut out = Vec::new();
        write_pli(&mut out, Ssrc(1), Ssrc(2));
        assert_eq!(out, [0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
        let pli = Pli { sender: Ssrc(1), media: Ssrc(2) };
        assert!(matches!(Compound::new(&out).next(), Some(Ok(Packet::Pli(read))) if read == pli));
    }

    /// RTCP-09 (codec part): the media source is zero and each target has its own number.
    #[test]
    fn a_full_intra_request_names_each_target() {
        let targets = [FirEntry { ssrc: Ssrc(7), seq: 255 }, FirEntry { ssrc: Ssrc(8), seq: 0 }];
        let mut out = Vec::new();
        write_fir(&mut out, Ssrc(1), &targets);
        assert_eq!(out[8..12], [0; 4]);
        let Some(Ok(Packet::Fir(fir))) = Compound::new(&out).next() else { panic!("no FIR") };
        assert_eq!(fir.sender, Ssrc(1));
        assert_eq!(fir.entries().collect::<Vec<_>>(), targets);
    }

    #[test]
    fn an_empty_request_is_not_written_and_not_read() {
        let mut out = Vec::new();
        write_fir(&mut out, Ssrc(1), &[]);
        assert!(out.is_empty());
        let empty = [0x84, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0];
        assert!(matches!(Compound::new(&empty).next(), Some(Err(DecodeError::Truncated))));
    }
}
