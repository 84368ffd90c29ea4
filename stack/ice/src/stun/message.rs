//! A view of a received message.

use std::net::SocketAddr;

use thiserror::Error;

use super::attribute::decode_xor_address;
use super::integrity::{INTEGRITY_BYTES, fingerprint};
use super::{AttributeType, Attributes, ErrorCode, HEADER_BYTES, IntegrityKey, MAGIC_COOKIE, TransactionId};

/// Why bytes are no STUN message.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecodeError {
    /// Shorter than a header, or the first two bits or the cookie are wrong.
    #[error("not STUN")]
    NotStun,
    /// The length field does not match the datagram or is no multiple of four.
    #[error("wrong length field")]
    Length,
    /// An attribute runs past the end.
    #[error("attribute past the end")]
    AttributePastEnd,
    /// MESSAGE-INTEGRITY or FINGERPRINT has a wrong size.
    #[error("attribute of a wrong size")]
    AttributeSize,
    /// FINGERPRINT is not the last attribute.
    #[error("FINGERPRINT is not last")]
    FingerprintNotLast,
    /// The checksum does not match: not STUN (RFC 8489 §7.3).
    #[error("wrong FINGERPRINT")]
    Fingerprint,
}

/// The class of a message (RFC 8489 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Wants a response.
    Request,
    /// Wants none.
    Indication,
    /// The request succeeded.
    Success,
    /// The request failed.
    Error,
}

/// The method of a message, 12 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Method(pub u16);

impl Method {
    /// Binding, the only one of ICE.
    pub const BINDING: Self = Self(0x001);
}

/// The type field: the class bits stand between the method bits (RFC 8489 §5, figure 3).
pub(super) const fn encode_type(class: Class, method: Method) -> u16 {
    let class = match class {
        Class::Request => 0,
        Class::Indication => 0x010,
        Class::Success => 0x100,
        Class::Error => 0x110,
    };
    (method.0 & 0xf) | (method.0 & 0x70) << 1 | (method.0 & 0xf80) << 2 | class
}

const fn decode_type(value: u16) -> (Class, Method) {
    let class = match value & 0x110 {
        0 => Class::Request,
        0x010 => Class::Indication,
        0x100 => Class::Success,
        _ => Class::Error,
    };
    (class, Method((value & 0xf) | (value & 0xe0) >> 1 | (value & 0x3e00) >> 2))
}

/// A message whose bounds and FINGERPRINT, where it has one, are checked. Its integrity is not: see
/// [`Message::verify_integrity`].
///
/// Only attributes before MESSAGE-INTEGRITY are visible: what follows is not protected (RFC 8489 §14.5).
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    data: &'a [u8],
    class: Class,
    method: Method,
    /// Where the visible attributes end: at MESSAGE-INTEGRITY, FINGERPRINT or the end.
    visible_end: usize,
    /// Offset of the MESSAGE-INTEGRITY attribute, which then is `visible_end`.
    integrity: Option<usize>,
    has_fingerprint: bool,
}

impl<'a> Message<'a> {
    /// A view of one datagram.
    ///
    /// # Errors
    /// When it is malformed, or its FINGERPRINT is wrong.
    pub fn parse(data: &'a [u8]) -> Result<Self, DecodeError> {
        if data.len() < HEADER_BYTES || data[0] >= 0x40 || data[4..8] != MAGIC_COOKIE.to_be_bytes() {
            return Err(DecodeError::NotStun);
        }
        let length = usize::from(u16::from_be_bytes([data[2], data[3]]));
        if length + HEADER_BYTES != data.len() || !length.is_multiple_of(4) {
            return Err(DecodeError::Length);
        }
        let (class, method) = decode_type(u16::from_be_bytes([data[0], data[1]]));
        let mut message =
            Self { data, class, method, visible_end: data.len(), integrity: None, has_fingerprint: false };
        message.scan()?;
        Ok(message)
    }

    /// Checks all bounds, and finds MESSAGE-INTEGRITY and FINGERPRINT.
    fn scan(&mut self) -> Result<(), DecodeError> {
        let mut at = HEADER_BYTES;
        while at < self.data.len() {
            // The length is a multiple of four, so a whole attribute header is there.
            let header = &self.data[at..at + 4];
            let kind = AttributeType(u16::from_be_bytes([header[0], header[1]]));
            let len = usize::from(u16::from_be_bytes([header[2], header[3]]));
            let end = at + 4 + len.next_multiple_of(4);
            if end > self.data.len() {
                return Err(DecodeError::AttributePastEnd);
            }
            match kind {
                AttributeType::MESSAGE_INTEGRITY if self.integrity.is_none() => {
                    if len != INTEGRITY_BYTES {
                        return Err(DecodeError::AttributeSize);
                    }
                    self.integrity = Some(at);
                    self.visible_end = at;
                }
                AttributeType::FINGERPRINT => return self.check_fingerprint(at, len, end),
                _ => {}
            }
            at = end;
        }
        Ok(())
    }

    fn check_fingerprint(&mut self, at: usize, len: usize, end: usize) -> Result<(), DecodeError> {
        if len != 4 {
            return Err(DecodeError::AttributeSize);
        }
        if end != self.data.len() {
            return Err(DecodeError::FingerprintNotLast);
        }
        if self.data[at + 4..end] != fingerprint(&self.data[..at]).to_be_bytes() {
            return Err(DecodeError::Fingerprint);
        }
        self.has_fingerprint = true;
        self.visible_end = self.visible_end.min(at);
        Ok(())
    }

    /// The whole datagram.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.data
    }

    /// The class.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.class
    }

    /// The method.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.method
    }

    /// The transaction id.
    #[must_use]
    pub fn transaction_id(&self) -> TransactionId {
        let mut id = [0; 12];
        id.copy_from_slice(&self.data[8..HEADER_BYTES]);
        TransactionId(id)
    }

    /// The attributes that count.
    #[must_use]
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::new(&self.data[HEADER_BYTES..self.visible_end])
    }

    /// The value of the first attribute of this type; a repeated one is ignored (RFC 8489 §14).
    #[must_use]
    pub fn attribute(&self, wanted: AttributeType) -> Option<&'a [u8]> {
        self.attributes().find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
    }

    /// USERNAME.
    #[must_use]
    pub fn username(&self) -> Option<&'a [u8]> {
        self.attribute(AttributeType::USERNAME)
    }

    /// The two parts of an ICE USERNAME, the receiver's ufrag first (RFC 8445 §7.2.2).
    #[must_use]
    pub fn ufrags(&self) -> Option<(&'a [u8], &'a [u8])> {
        let username = self.username()?;
        let colon = username.iter().position(|byte| *byte == b':')?;
        Some((&username[..colon], &username[colon + 1..]))
    }

    /// XOR-MAPPED-ADDRESS, when it is there and well-formed.
    #[must_use]
    pub fn xor_mapped_address(&self) -> Option<SocketAddr> {
        decode_xor_address(self.attribute(AttributeType::XOR_MAPPED_ADDRESS)?, self.transaction_id())
    }

    /// ERROR-CODE, when it is there and well-formed.
    #[must_use]
    pub fn error_code(&self) -> Option<ErrorCode> {
        ErrorCode::decode(self.attribute(AttributeType::ERROR_CODE)?)
    }

    /// PRIORITY, when it is there and well-formed.
    #[must_use]
    pub fn priority(&self) -> Option<u32> {
        self.attribute(AttributeType::PRIORITY)?.try_into().ok().map(u32::from_be_bytes)
    }

    /// Whether USE-CANDIDATE is there.
    #[must_use]
    pub fn use_candidate(&self) -> bool {
        self.attribute(AttributeType::USE_CANDIDATE).is_some()
    }

    /// The tiebreaker of ICE-CONTROLLING.
    #[must_use]
    pub fn ice_controlling(&self) -> Option<u64> {
        self.attribute(AttributeType::ICE_CONTROLLING)?.try_into().ok().map(u64::from_be_bytes)
    }

    /// The tiebreaker of ICE-CONTROLLED.
    #[must_use]
    pub fn ice_controlled(&self) -> Option<u64> {
        self.attribute(AttributeType::ICE_CONTROLLED)?.try_into().ok().map(u64::from_be_bytes)
    }

    /// The types that UNKNOWN-ATTRIBUTES lists.
    pub fn unknown_attributes(&self) -> impl Iterator<Item = AttributeType> + 'a {
        let listed = self.attribute(AttributeType::UNKNOWN_ATTRIBUTES).unwrap_or_default();
        listed.chunks_exact(2).map(|pair| AttributeType(u16::from_be_bytes([pair[0], pair[1]])))
    }

    /// The comprehension-required attributes of this message that this crate does not know.
    pub fn not_understood(&self) -> impl Iterator<Item = AttributeType> + 'a {
        let unknown = |kind: &AttributeType| kind.is_comprehension_required() && !kind.is_known();
        self.attributes().map(|(kind, _)| kind).filter(unknown)
    }

    /// Whether there is a FINGERPRINT. It is right, or parsing had failed.
    #[must_use]
    pub const fn has_fingerprint(&self) -> bool {
        self.has_fingerprint
    }

    /// Whether there is a MESSAGE-INTEGRITY, right or wrong.
    #[must_use]
    pub const fn has_integrity(&self) -> bool {
        self.integrity.is_some()
    }

    /// Whether there is a MESSAGE-INTEGRITY and it is right. Compares in constant time.
    #[must_use]
    pub fn verify_integrity(&self, key: &IntegrityKey) -> bool {
        self.integrity
            .is_some_and(|at| key.verify(&self.data[..at], &self.data[at + 4..at + 4 + INTEGRITY_BYTES]))
    }
}
