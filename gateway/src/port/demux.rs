//! RFC 9443 §2: what a datagram is, by its first byte.
//!
//! That QUIC is told by its fixed bit holds only where no peer is invited to grease it (RFC 9287 §3): the QUIC
//! endpoint behind this port must not send that transport parameter.

/// Who takes a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// STUN, DTLS, RTP or RTCP: the WebRTC side, which looks closer.
    WebRtc,
    /// QUIC, by long or short header.
    Quic,
    /// Nobody here: reserved values and ZRTP, which this gateway does not speak.
    Unknown,
}

/// Tells a datagram's protocol by its first byte; an empty datagram is nobody's.
///
/// | first byte | RFC 9443 | here |
/// |---|---|---|
/// | 0–3 | STUN | WebRTC |
/// | 4–15 | dropped | unknown |
/// | 16–19 | ZRTP | unknown |
/// | 20–63 | DTLS | WebRTC |
/// | 64–79 | TURN channel, or QUIC where no TURN server is in use | QUIC |
/// | 80–127 | QUIC short header | QUIC |
/// | 128–191 | RTP, RTCP | WebRTC |
/// | 192–255 | QUIC long header | QUIC |
#[must_use]
pub fn classify(datagram: &[u8]) -> Class {
    match datagram.first() {
        Some(0..=3 | 20..=63 | 128..=191) => Class::WebRtc,
        Some(64..=127 | 192..=255) => Class::Quic,
        Some(4..=19) | None => Class::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ranges as RFC 9443 figure 2 draws them, written a second time as a list of their borders.
    #[test]
    fn every_first_byte_has_the_class_of_the_figure() {
        let figure = [
            (0, 3, Class::WebRtc),
            (4, 15, Class::Unknown),
            (16, 19, Class::Unknown),
            (20, 63, Class::WebRtc),
            (64, 79, Class::Quic),
            (80, 127, Class::Quic),
            (128, 191, Class::WebRtc),
            (192, 255, Class::Quic),
        ];
        let mut seen = 0;
        for (first, last, class) in figure {
            for byte in first..=last {
                assert_eq!(classify(&[byte, 0, 0]), class, "first byte {byte}");
                seen += 1;
            }
        }
        assert_eq!(seen, 256);
        assert_eq!(classify(&[]), Class::Unknown);
    }

    /// RFC 9000 §17: a long header has the two top bits set, a short header only the second.
    #[test]
    fn both_quic_header_forms_are_quic() {
        for low in 0..64 {
            assert_eq!(classify(&[0b1100_0000 | low]), Class::Quic);
            assert_eq!(classify(&[0b0100_0000 | low]), Class::Quic);
        }
    }
}
