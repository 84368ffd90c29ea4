//! Goodbye (RFC 3550 §6.6) and application-defined messages (RFC 3550 §6.7).

use tombolo_net::Ssrc;

use super::{packet_type, ssrcs, take_ssrc, write_packet};
use crate::DecodeError;

/// Sources that leave.
#[derive(Clone, Copy, Debug)]
pub struct Bye<'a> {
    ssrcs: &'a [u8],
    reason: Option<&'a [u8]>,
}

impl<'a> Bye<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Result<Self, DecodeError> {
        let (ssrcs, rest) = body.split_at_checked(usize::from(count) * 4).ok_or(DecodeError::Truncated)?;
        let reason = match rest {
            [] => None,
            [len, text @ ..] => Some(text.get(..usize::from(*len)).ok_or(DecodeError::Truncated)?),
        };
        Ok(Self { ssrcs, reason })
    }

    /// Who leaves: up to 31, possibly none.
    pub fn ssrcs(&self) -> impl ExactSizeIterator<Item = Ssrc> + use<'a> {
        ssrcs(self.ssrcs)
    }

    /// Why, when it is told: text for people, up to 255 bytes.
    #[must_use]
    pub const fn reason(&self) -> Option<&'a [u8]> {
        self.reason
    }
}

/// Appends a goodbye for up to 31 sources; the rest is left out. An empty `reason` is not written; it is cut to
/// 255 bytes.
pub fn write_bye(out: &mut Vec<u8>, sources: &[Ssrc], reason: &[u8]) {
    let sources = &sources[..sources.len().min(31)];
    write_packet(out, packet_type::BYE, sources.len() as u8, |out| {
        for ssrc in sources {
            out.extend_from_slice(&ssrc.0.to_be_bytes());
        }
        let reason = &reason[..reason.len().min(255)];
        if !reason.is_empty() {
            out.push(reason.len() as u8);
            out.extend_from_slice(reason);
        }
    });
}

/// A message that an application defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct App<'a> {
    /// Whom it is about.
    pub ssrc: Ssrc,
    /// 0..=31, the application's own.
    pub subtype: u8,
    /// Which application.
    pub name: [u8; 4],
    /// A whole number of words.
    pub data: &'a [u8],
}

impl<'a> App<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Result<Self, DecodeError> {
        let (ssrc, rest) = take_ssrc(body)?;
        let (name, data) = rest.split_first_chunk().ok_or(DecodeError::Truncated)?;
        Ok(Self { ssrc, subtype: count, name: *name, data })
    }
}

/// Appends an application-defined message. The data is padded with zeros to a whole number of words, and cut to what
/// the length field can count (262,132 bytes).
pub fn write_app(out: &mut Vec<u8>, app: &App<'_>) {
    write_packet(out, packet_type::APP, app.subtype, |out| {
        out.extend_from_slice(&app.ssrc.0.to_be_bytes());
        out.extend_from_slice(&app.name);
        out.extend_from_slice(&app.data[..app.data.len().min(0xffff * 4 - 8)]);
    });
}

#[cfg(test)]
mod tests {
    use super::super::{Compound, Packet};
    use super::*;

    fn read_bye(data: &[u8]) -> Result<(Vec<Ssrc>, Option<&[u8]>), DecodeError> {
        match Compound::new(data).next().unwrap()? {
            Packet::Bye(bye) => Ok((bye.ssrcs().collect(), bye.reason())),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn goodbyes_round_trip() {
        let mut out = Vec::new();
        write_bye(&mut out, &[Ssrc(1), Ssrc(2)], b"");
        assert_eq!(read_bye(&out), Ok((vec![Ssrc(1), Ssrc(2)], None)));
        out.clear();
        write_bye(&mut out, &[], b"moved");
        assert_eq!(read_bye(&out), Ok((vec![], Some(&b"moved"[..]))));
    }

    /// The class of CVE-2021-43804: a reason whose length points outside.
    #[test]
    fn a_reason_or_count_beyond_the_body_is_refused() {
        assert_eq!(read_bye(&[0x80, 203, 0, 1, 4, b'a', b'b', b'c']), Err(DecodeError::Truncated));
        assert_eq!(read_bye(&[0x80, 203, 0, 1, 255, 0, 0, 0]), Err(DecodeError::Truncated));
        assert_eq!(read_bye(&[0x82, 203, 0, 1, 0, 0, 0, 1]), Err(DecodeError::Truncated));
    }

    #[test]
    fn application_messages_round_trip() {
        let app = App { ssrc: Ssrc(9), subtype: 31, name: *b"abcd", data: &[1, 2, 3, 4] };
        let mut out = Vec::new();
        write_app(&mut out, &app);
        assert!(matches!(Compound::new(&out).next(), Some(Ok(Packet::App(read))) if read == app));
        assert!(matches!(
            Compound::new(&[0x80, 204, 0, 1, 0, 0, 0, 1]).next(),
            Some(Err(DecodeError::Truncated))
        ));
    }
}
