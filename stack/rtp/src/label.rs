//! [`Mid`] and [`Rid`]: the short names that tie a packet to a media section and to a layer.

use std::fmt;
use std::str::FromStr;

use crate::DecodeError;

/// Most bytes that a [`Mid`] or a [`Rid`] can have. Peers use one to three; an RTP one-byte extension element
/// holds 16.
pub const MAX_LABEL_LEN: usize = 16;

/// Whether `byte` may stand in an SDP token (RFC 8866 §9).
const fn is_token_byte(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x27 | 0x2a..=0x2b | 0x2d..=0x2e | 0x30..=0x39 | 0x41..=0x5a | 0x5e..=0x7e)
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Label {
    len: u8,
    bytes: [u8; MAX_LABEL_LEN],
}

impl Label {
    fn new(text: &[u8]) -> Result<Self, DecodeError> {
        if text.is_empty() || text.len() > MAX_LABEL_LEN || !text.iter().all(|&byte| is_token_byte(byte)) {
            return Err(DecodeError::Malformed);
        }
        let mut bytes = [0; MAX_LABEL_LEN];
        bytes[..text.len()].copy_from_slice(text);
        Ok(Self { len: text.len() as u8, bytes })
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    fn as_str(&self) -> &str {
        // Token bytes are ASCII, so this is always UTF-8.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

macro_rules! label {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Label);

        impl $name {
            /// From 1 to 16 bytes of token characters (RFC 8866 §9), as an extension element or SDES item has them.
            ///
            /// # Errors
            /// [`DecodeError::Malformed`] when it is empty, longer, or no token.
            pub fn from_bytes(text: &[u8]) -> Result<Self, DecodeError> {
                Label::new(text).map(Self)
            }

            /// The bytes, as they stand on the wire.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8] {
                self.0.as_bytes()
            }

            /// The text, as it stands in SDP.
            #[must_use]
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl FromStr for $name {
            type Err = DecodeError;

            fn from_str(text: &str) -> Result<Self, DecodeError> {
                Self::from_bytes(text.as_bytes())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.as_str())
            }
        }
    };
}

label! {
    /// The identification of a media section (`a=mid`, RFC 5888 §4, RFC 9143 §15): 1 to 16 token characters.
    Mid
}

label! {
    /// The identification of a layer (`a=rid`, RFC 8851 §4, RFC 8852 §3): 1 to 16 token characters.
    Rid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_their_text() {
        let mid: Mid = "video-0".parse().unwrap();
        assert_eq!(mid.as_str(), "video-0");
        assert_eq!(mid.to_string(), "video-0");
        assert_eq!(format!("{:?}", Rid::from_bytes(b"hi").unwrap()), "Rid(hi)");
        assert_eq!(Mid::from_bytes(&[b'a'; 16]).unwrap().as_bytes().len(), 16);
    }

    #[test]
    fn what_is_no_short_token_is_refused() {
        for bad in [&b""[..], &[b'a'; 17], b"a b", b"a\0", b"\xff", b"a=b", b"a,b"] {
            assert_eq!(Rid::from_bytes(bad), Err(DecodeError::Malformed), "{bad:?}");
        }
    }
}
