//! RTP and RTCP: borrowed views, appending encoders, header extensions and payload formats.
//!
//! Nothing here has a clock, a socket or a queue towards another layer; everything that comes from the network is
//! validated before it is read.
//!
//! | module | what | from |
//! |---|---|---|
//! | [`packet`], [`header`] | [`RtpPacket`], a view; [`RtpHeader`] and [`ExtensionWriter`] | RFC 3550 §5, RFC 8285 |
//! | [`ext`] | typed header extensions and [`ext::ExtensionMap`] | RFC 8285 and one RFC or draft each |
//! | [`rtcp`] | compound packets, feedback messages and extended reports | RFC 3550 §6, 3611, 4585, 5104, 5506, 8888 |
//! | [`codec`] | video and sound to packets and back | the payload formats of eleven codecs, RED, telephone events |

mod bits;
pub mod codec;
pub mod ext;
pub mod header;
pub mod label;
pub mod packet;
pub mod rtcp;

pub use header::{ExtensionForm, ExtensionWriter, RtpHeader};
pub use label::{Mid, Rid};
pub use packet::RtpPacket;

/// Why bytes from the network are not what they claim to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Fewer bytes than the fixed part needs, or than a count or length inside says.
    #[error("the packet ends before what it announces")]
    Truncated,
    /// The version field is not 2.
    #[error("not RTP version 2")]
    Version,
    /// The padding count is zero, larger than what it could pad, or padding stands where none may be.
    #[error("impossible padding")]
    Padding,
    /// A field has a value that the format forbids.
    #[error("a field has a forbidden value")]
    Malformed,
}

/// What a caller asked for that the wire format cannot express.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum UseError {
    /// The extension id is 0, is 15 or more in the one-byte form, or is taken by another extension.
    #[error("header extension id not usable")]
    ExtensionId,
    /// The element is too long or too short for the form, or the extension block is full.
    #[error("header extension does not fit")]
    ExtensionLength,
    /// Layers that an allocation cannot tell of.
    #[error("layers that cannot be told of")]
    Layers,
    /// A dependency structure that cannot be, or a frame that does not fit its structure.
    #[error("dependencies that cannot be told of")]
    Dependencies,
    /// The report would be longer than a datagram.
    #[error("the report does not fit into a datagram")]
    ReportLength,
}

/// Whether a datagram whose first byte is in 128..=191 is RTCP and not RTP, by its packet type (RFC 5761 §4):
/// 192..=223 in the second byte.
#[must_use]
pub fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [128..=191, 192..=223, ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MUX-01: the second byte decides, over its whole range.
    #[test]
    fn only_packet_types_192_to_223_are_rtcp() {
        for second in 0..=255 {
            assert_eq!(is_rtcp(&[0x80, second]), (192..=223).contains(&second), "second byte {second}");
        }
        for first in 0..=255 {
            assert_eq!(is_rtcp(&[first, 200]), (128..=191).contains(&first), "first byte {first}");
        }
        assert!(!is_rtcp(&[0x80]));
        assert!(!is_rtcp(&[]));
    }
}
