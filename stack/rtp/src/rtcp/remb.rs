//! Receiver estimated maximum bitrate (draft-alvestrand-rmcat-remb-03 §2.2).

use tombolo_net::{Bitrate, Ssrc};

use super::{packet_type, ssrcs, take_feedback, write_feedback};
use crate::DecodeError;

/// Application layer feedback, of which this is one kind.
pub(super) const FORMAT: u8 = 15;
const IDENTIFIER: [u8; 4] = *b"REMB";

pub(super) fn is_remb(body: &[u8]) -> bool {
    body.get(8..12) == Some(&IDENTIFIER)
}

/// What a receiver believes that it can take, of several sources together.
#[derive(Clone, Copy, Debug)]
pub struct Remb<'a> {
    /// Who believes it.
    pub sender: Ssrc,
    /// The sum over all packets of the sources, headers included.
    pub bitrate: Bitrate,
    ssrcs: &'a [u8],
}

impl<'a> Remb<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, DecodeError> {
        let (sender, _, fci) = take_feedback(body)?;
        let (&[_, _, _, _, count, a, b, c], rest) = fci.split_first_chunk().ok_or(DecodeError::Truncated)?;
        let mantissa = u64::from(a & 3) << 16 | u64::from(b) << 8 | u64::from(c);
        let exponent = u32::from(a >> 2);
        // Exponents beyond 46 lose the mantissa's top bits: such a rate is no limit at all.
        let bps = if exponent > 46 && mantissa != 0 {
            u64::MAX
        } else {
            mantissa.checked_shl(exponent).unwrap_or(0)
        };
        let ssrcs = rest.get(..usize::from(count) * 4).ok_or(DecodeError::Truncated)?;
        Ok(Self { sender, bitrate: Bitrate::from_bps(bps), ssrcs })
    }

    /// The sources that share the rate, at most 255.
    pub fn ssrcs(&self) -> impl ExactSizeIterator<Item = Ssrc> + use<'a> {
        ssrcs(self.ssrcs)
    }
}

/// Appends an estimate for up to 255 sources. The rate is rounded down to 18 significant bits.
pub fn write_remb(out: &mut Vec<u8>, sender: Ssrc, bitrate: Bitrate, sources: &[Ssrc]) {
    let sources = &sources[..sources.len().min(255)];
    write_feedback(out, (packet_type::PSFB, FORMAT), (sender, Ssrc(0)), |out| {
        let bps = bitrate.as_bps();
        let exponent = (64 - bps.leading_zeros()).saturating_sub(18);
        let mantissa = (bps >> exponent) as u32;
        out.extend_from_slice(&IDENTIFIER);
        out.extend_from_slice(&((sources.len() as u32) << 24 | exponent << 18 | mantissa).to_be_bytes());
        for ssrc in sources {
            out.extend_from_slice(&ssrc.0.to_be_bytes());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::{Compound, Packet, Unknown};
    use super::*;

    fn read(data: &[u8]) -> Result<(u64, Vec<Ssrc>), DecodeError> {
        match Compound::new(data).next().unwrap()? {
            Packet::Remb(remb) => Ok((remb.bitrate.as_bps(), remb.ssrcs().collect())),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn rates_keep_18_bits() {
        for (bps, expected) in [
            (0, 0),
            (262_143, 262_143),
            (1_000_000, 1_000_000),
            (262_145, 262_144),
            (u64::MAX, 0x3_ffff << 46),
        ] {
            let mut out = Vec::new();
            write_remb(&mut out, Ssrc(1), Bitrate::from_bps(bps), &[Ssrc(5), Ssrc(6)]);
            assert_eq!(read(&out), Ok((expected, vec![Ssrc(5), Ssrc(6)])), "{bps}");
        }
    }

    #[test]
    fn huge_exponents_are_no_limit_and_counts_are_checked() {
        let mut out = Vec::new();
        write_remb(&mut out, Ssrc(1), Bitrate::from_bps(1), &[]);
        out[17] = 63 << 2;
        assert_eq!(read(&out), Ok((u64::MAX, vec![])));
        out[16] = 1;
        assert_eq!(read(&out), Err(DecodeError::Truncated));
    }

    #[test]
    fn other_application_feedback_is_unknown() {
        let data = [0x8f, 206, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, b'G', b'O', b'O', b'G'];
        assert!(matches!(
            Compound::new(&data).next(),
            Some(Ok(Packet::Unknown(Unknown { packet_type: 206, count: 15, .. })))
        ));
    }
}
