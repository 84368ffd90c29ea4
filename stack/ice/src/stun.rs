//! STUN messages (RFC 8489) as ICE uses them: views, an encoder, short-term integrity.
//!
//! ```text
//! [ type 16 | length 16 | cookie 32 | transaction id 96 ][ attribute ]*
//!   attribute: [ type 16 | length 16 | value | padding to 4 bytes ]
//! ```
//!
//! Left out: the classic STUN of RFC 3489, long-term credentials and MESSAGE-INTEGRITY-SHA256, which ICE does not
//! use (RFC 8445 §7.1).

mod attribute;
mod encoder;
mod integrity;
mod message;
#[cfg(test)]
mod vectors;

pub use attribute::{AttributeType, Attributes, ErrorCode};
pub use encoder::Encoder;
pub use integrity::IntegrityKey;
pub use message::{Class, DecodeError, Message, Method};

/// The bytes before the attributes.
pub const HEADER_BYTES: usize = 20;
/// The value that tells STUN from anything else (RFC 8489 §5).
pub const MAGIC_COOKIE: u32 = 0x2112_a442;

/// The 96 random bits that join a response to its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransactionId(pub [u8; 12]);

/// Whether `data` looks like STUN: the first two bits, the cookie and the length say so (RFC 7983 §7,
/// RFC 8489 §6.3). It may still be malformed.
#[must_use]
pub fn is_stun(data: &[u8]) -> bool {
    data.len() >= HEADER_BYTES
        && data[0] < 4
        && data[4..8] == MAGIC_COOKIE.to_be_bytes()
        && usize::from(u16::from_be_bytes([data[2], data[3]])) + HEADER_BYTES == data.len()
}
