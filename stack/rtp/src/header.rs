//! [`RtpHeader`]: the fields of an RTP header and their encoder.

use tombolo_net::{RtpTime, SeqNo, Ssrc};

use crate::UseError;
use crate::packet::{Extensions, ONE_BYTE_PROFILE, TWO_BYTE_PROFILE};

/// Bytes of the fixed header (RFC 3550 §5.1).
pub const FIXED_LEN: usize = 12;

/// Most bytes of elements that an [`ExtensionWriter`] puts in one header, a bound of its own: every element of the
/// one-byte form fits.
pub const MAX_EXTENSION_LEN: usize = 252;

/// The two encodings of header extension elements (RFC 8285 §4.2, §4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExtensionForm {
    /// Ids 1 to 14, 1 to 16 bytes each. What everybody understands.
    #[default]
    OneByte,
    /// Ids 1 to 255, 0 to 255 bytes each. Only when `extmap-allow-mixed` or ids above 14 were negotiated (RFC 8285 §6).
    TwoByte,
    /// The one-byte form as long as it holds every element of the packet, and then the other. Only when
    /// `extmap-allow-mixed` was negotiated (RFC 8285 §4.1.2, §6).
    Mixed,
}

impl ExtensionForm {
    /// Whether the one-byte form can carry an element.
    const fn is_short(id: u8, len: usize) -> bool {
        id <= 14 && 1 <= len && len <= 16
    }

    /// The `defined by profile` field.
    const fn profile(self) -> u16 {
        match self {
            Self::OneByte | Self::Mixed => ONE_BYTE_PROFILE,
            Self::TwoByte => TWO_BYTE_PROFILE,
        }
    }
}

/// The fields of the fixed RTP header (RFC 3550 §5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RtpHeader {
    /// The marker bit.
    pub marker: bool,
    /// The payload type, 0..=127; the top bit is ignored.
    pub payload_type: u8,
    /// The sequence number.
    pub seq: SeqNo,
    /// The timestamp, in ticks of the payload's clock.
    pub timestamp: RtpTime,
    /// The synchronisation source.
    pub ssrc: Ssrc,
}

impl RtpHeader {
    /// Appends the header to `out`, in a form that is complete without extension. The writer that is returned adds
    /// elements; the payload is appended after it is dropped.
    pub fn write<'a>(&self, out: &'a mut Vec<u8>, form: ExtensionForm) -> ExtensionWriter<'a> {
        self.write_with_csrcs(out, form, &[])
    }

    /// As [`RtpHeader::write`], with contributing sources. More than 15 cannot be expressed: the rest is left out.
    pub fn write_with_csrcs<'a>(
        &self,
        out: &'a mut Vec<u8>,
        form: ExtensionForm,
        csrcs: &[Ssrc],
    ) -> ExtensionWriter<'a> {
        let csrcs = &csrcs[..csrcs.len().min(15)];
        let start = out.len();
        let mut fixed = [0; FIXED_LEN];
        fixed[0] = 0x80 | csrcs.len() as u8;
        fixed[1] = u8::from(self.marker) << 7 | self.payload_type & 0x7f;
        fixed[2..4].copy_from_slice(&self.seq.0.to_be_bytes());
        fixed[4..8].copy_from_slice(&self.timestamp.0.to_be_bytes());
        fixed[8..].copy_from_slice(&self.ssrc.0.to_be_bytes());
        out.extend_from_slice(&fixed);
        for csrc in csrcs {
            out.extend_from_slice(&csrc.0.to_be_bytes());
        }
        let elements_end = out.len();
        ExtensionWriter { out, start, block: elements_end, elements_end, form }
    }
}

/// Adds header extension elements to the header that was just written. After every call the header is complete:
/// nothing has to be finished.
#[derive(Debug)]
pub struct ExtensionWriter<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    /// Where the extension block begins, if there is one.
    block: usize,
    elements_end: usize,
    form: ExtensionForm,
}

impl ExtensionWriter<'_> {
    /// Adds one element. Nothing is written on an error.
    ///
    /// # Errors
    /// [`UseError::ExtensionId`] for an id that the form does not have, [`UseError::ExtensionLength`] for data that
    /// the form cannot carry or for which there is no room.
    pub fn push(&mut self, id: u8, data: &[u8]) -> Result<(), UseError> {
        let header_len = match self.form {
            _ if id == 0 => return Err(UseError::ExtensionId),
            ExtensionForm::OneByte if id > 14 => return Err(UseError::ExtensionId),
            ExtensionForm::OneByte if !ExtensionForm::is_short(id, data.len()) => {
                return Err(UseError::ExtensionLength);
            }
            ExtensionForm::Mixed if !ExtensionForm::is_short(id, data.len()) => return self.widen(id, data),
            ExtensionForm::OneByte | ExtensionForm::Mixed => 1,
            ExtensionForm::TwoByte if data.len() > 255 => return Err(UseError::ExtensionLength),
            ExtensionForm::TwoByte => 2,
        };
        let used = self.elements_end.saturating_sub(self.block + 4);
        if used + header_len + data.len() > MAX_EXTENSION_LEN {
            return Err(UseError::ExtensionLength);
        }
        self.out.truncate(self.elements_end);
        if self.elements_end == self.block {
            self.out[self.start] |= 0x10;
            self.out.extend_from_slice(&self.form.profile().to_be_bytes());
            self.out.extend_from_slice(&[0, 0]);
        }
        match self.form {
            ExtensionForm::OneByte | ExtensionForm::Mixed => self.out.push(id << 4 | (data.len() - 1) as u8),
            ExtensionForm::TwoByte => self.out.extend_from_slice(&[id, data.len() as u8]),
        }
        self.out.extend_from_slice(data);
        self.elements_end = self.out.len();
        let words = (self.elements_end - self.block - 4).div_ceil(4);
        self.out.resize(self.block + 4 + words * 4, 0);
        self.out[self.block + 2..self.block + 4].copy_from_slice(&(words as u16).to_be_bytes());
        Ok(())
    }

    /// Goes over to the two-byte form, for the sake of an element.
    #[cold]
    fn widen(&mut self, id: u8, data: &[u8]) -> Result<(), UseError> {
        let used = self.block + 4..self.elements_end.max(self.block + 4);
        let mut block = [0; MAX_EXTENSION_LEN];
        let short = &mut block[..used.len()];
        short.copy_from_slice(self.out.get(used.clone()).unwrap_or_default());
        let elements = Extensions::one_byte(short);
        if used.len() + elements.clone().count() + 2 + data.len() > MAX_EXTENSION_LEN || data.len() > 255 {
            return Err(UseError::ExtensionLength);
        }
        self.out.truncate(self.block);
        self.elements_end = self.block;
        self.form = ExtensionForm::TwoByte;
        for (id, data) in elements {
            self.push(id, data)?;
        }
        self.push(id, data)
    }

    /// Bytes of the header so far.
    #[must_use]
    pub fn header_len(&self) -> usize {
        self.out.len() - self.start
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::RtpPacket;

    fn header() -> RtpHeader {
        RtpHeader {
            marker: true,
            payload_type: 111,
            seq: SeqNo(65535),
            timestamp: RtpTime(0xdead_beef),
            ssrc: Ssrc(1),
        }
    }

    #[test]
    fn a_header_without_extension_is_twelve_bytes() {
        let mut out = vec![0xee];
        assert_eq!(header().write(&mut out, ExtensionForm::OneByte).header_len(), 12);
        assert_eq!(out[1..], [0x80, 0xef, 0xff, 0xff, 0xde, 0xad, 0xbe, 0xef, 0, 0, 0, 1]);
    }

    #[test]
    fn elements_are_packed_and_padded() {
        let mut out = Vec::new();
        let mut writer = header().write(&mut out, ExtensionForm::OneByte);
        writer.push(1, b"0").unwrap();
        writer.push(3, &[1, 2, 3]).unwrap();
        assert_eq!(writer.header_len(), 24);
        assert_eq!(out[12..], [0xbe, 0xde, 0, 2, 0x10, b'0', 0x32, 1, 2, 3, 0, 0]);
    }

    /// RTP-12: what the one-byte form cannot carry is left out, and the packet stays good.
    #[test]
    fn elements_that_do_not_fit_the_form_are_refused_and_leave_no_trace() {
        let mut out = Vec::new();
        let mut writer = header().write(&mut out, ExtensionForm::OneByte);
        assert_eq!(writer.push(4, &[0; 17]), Err(UseError::ExtensionLength));
        assert_eq!(writer.push(4, &[]), Err(UseError::ExtensionLength));
        assert_eq!(writer.push(0, &[1]), Err(UseError::ExtensionId));
        assert_eq!(writer.push(15, &[1]), Err(UseError::ExtensionId));
        assert_eq!(writer.header_len(), 12);
        let mut two = Vec::new();
        let mut writer = header().write(&mut two, ExtensionForm::TwoByte);
        assert_eq!(writer.push(0, &[1]), Err(UseError::ExtensionId));
        writer.push(15, &[9; 17]).unwrap();
        writer.push(16, &[9; 220]).unwrap();
        assert_eq!(writer.push(17, &[9; 255]), Err(UseError::ExtensionLength));
        let view = RtpPacket::parse(&two).unwrap();
        assert_eq!(view.extension(15), Some(&[9; 17][..]));
        assert_eq!(view.extensions().count(), 2);
    }

    /// RTP-12: with mixed forms agreed, the longer one is taken where it is needed and not before.
    #[test]
    fn mixed_packets_take_the_longer_form_when_they_need_it() {
        let mut out = Vec::new();
        let mut writer = header().write(&mut out, ExtensionForm::Mixed);
        writer.push(1, b"0").unwrap();
        writer.push(14, &[9; 16]).unwrap();
        assert_eq!(writer.push(0, &[1; 20]), Err(UseError::ExtensionId));
        assert_eq!(writer.push(2, &[0; 256]), Err(UseError::ExtensionLength));
        assert_eq!(writer.push(2, &[0; 240]), Err(UseError::ExtensionLength));
        assert_eq!(writer.header_len(), 12 + 4 + 20, "still the one-byte form");
        writer.push(15, &[]).unwrap();
        writer.push(2, &[7; 17]).unwrap();
        writer.push(3, &[5]).unwrap();
        assert_eq!(out[12..16], [0x10, 0, 0, 12]);
        out.extend_from_slice(b"payload");
        let view = RtpPacket::parse(&out).unwrap();
        let all: Vec<_> = view.extensions().collect();
        let expected: [(u8, &[u8]); 5] = [(1, b"0"), (14, &[9; 16]), (15, &[]), (2, &[7; 17]), (3, &[5])];
        assert_eq!(all, expected);
        assert_eq!(view.payload(), b"payload");
        let mut first = Vec::new();
        header().write(&mut first, ExtensionForm::Mixed).push(200, &[1]).unwrap();
        assert_eq!(RtpPacket::parse(&first).unwrap().extension(200), Some(&[1][..]));
    }

    fn element() -> impl Strategy<Value = (u8, Vec<u8>)> {
        (1u8..15, proptest::collection::vec(any::<u8>(), 1..17))
    }

    proptest! {
        /// RTP-11: what the encoder writes is what the view reads.
        #[test]
        fn headers_round_trip(
            marker: bool, payload_type in 0u8..128, seq: u16, timestamp: u32, ssrc: u32,
            csrcs in proptest::collection::vec(any::<u32>(), 0..16),
            elements in proptest::collection::vec(element(), 0..10),
            form in 0usize..3,
            payload in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let header = RtpHeader {
                marker, payload_type, seq: SeqNo(seq), timestamp: RtpTime(timestamp), ssrc: Ssrc(ssrc),
            };
            let csrcs: Vec<_> = csrcs.into_iter().map(Ssrc).collect();
            let form = [ExtensionForm::OneByte, ExtensionForm::TwoByte, ExtensionForm::Mixed][form];
            let mut out = Vec::new();
            let mut writer = header.write_with_csrcs(&mut out, form, &csrcs);
            for (id, data) in &elements {
                writer.push(*id, data).unwrap();
            }
            let header_len = writer.header_len();
            out.extend_from_slice(&payload);
            let view = RtpPacket::parse(&out).unwrap();
            prop_assert_eq!(view.header(), header);
            prop_assert_eq!(view.header_len(), header_len);
            prop_assert_eq!(view.csrcs().collect::<Vec<_>>(), csrcs);
            let read: Vec<_> = view.extensions().map(|(id, data)| (id, data.to_vec())).collect();
            prop_assert_eq!(read, elements);
            prop_assert_eq!(view.payload(), payload);
        }
    }
}
