//! Writes a message.

use std::net::SocketAddr;

use super::attribute::encode_xor_address;
use super::integrity::fingerprint;
use super::message::encode_type;
use super::{
    AttributeType, Class, ErrorCode, HEADER_BYTES, IntegrityKey, MAGIC_COOKIE, Method, TransactionId,
};

/// Appends one message to a buffer. Attributes come in the order of the calls; [`Encoder::finish`] ends it.
#[derive(Debug)]
pub struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    id: TransactionId,
    padding: u8,
}

impl<'a> Encoder<'a> {
    /// Begins a message.
    pub fn new(out: &'a mut Vec<u8>, class: Class, method: Method, id: TransactionId) -> Self {
        let start = out.len();
        out.extend_from_slice(&encode_type(class, method).to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&MAGIC_COOKIE.to_be_bytes());
        out.extend_from_slice(&id.0);
        Self { out, start, id, padding: 0 }
    }

    /// The value of padding bytes, which receivers ignore (RFC 8489 §14). Default 0.
    #[must_use]
    pub const fn padding(mut self, value: u8) -> Self {
        self.padding = value;
        self
    }

    /// Any attribute, by its bytes. At most 65532 of them; the callers in this crate stay far below.
    #[must_use]
    pub fn attribute(self, kind: AttributeType, value: &[u8]) -> Self {
        self.attribute_with(kind, |out| out.extend_from_slice(value))
    }

    fn attribute_with(self, kind: AttributeType, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        self.out.extend_from_slice(&kind.0.to_be_bytes());
        let length_at = self.out.len();
        self.out.extend_from_slice(&[0, 0]);
        write(self.out);
        let len = self.out.len() - length_at - 2;
        self.out[length_at..length_at + 2].copy_from_slice(&(len as u16).to_be_bytes());
        self.out.resize(length_at + 2 + len.next_multiple_of(4), self.padding);
        self
    }

    /// USERNAME of a check: the receiver's ufrag, a colon, the sender's (RFC 8445 §7.2.2).
    #[must_use]
    pub fn ice_username(self, receiver: &str, sender: &str) -> Self {
        self.attribute_with(AttributeType::USERNAME, |out| {
            out.extend_from_slice(receiver.as_bytes());
            out.push(b':');
            out.extend_from_slice(sender.as_bytes());
        })
    }

    /// XOR-MAPPED-ADDRESS.
    #[must_use]
    pub fn xor_mapped_address(self, address: SocketAddr) -> Self {
        let id = self.id;
        self.attribute_with(AttributeType::XOR_MAPPED_ADDRESS, |out| encode_xor_address(address, id, out))
    }

    /// ERROR-CODE with an empty reason phrase: a reply to a stranger is as short as possible.
    #[must_use]
    pub fn error_code(self, code: ErrorCode) -> Self {
        self.attribute(AttributeType::ERROR_CODE, &code.encode())
    }

    /// UNKNOWN-ATTRIBUTES.
    #[must_use]
    pub fn unknown_attributes(self, types: impl IntoIterator<Item = AttributeType>) -> Self {
        self.attribute_with(AttributeType::UNKNOWN_ATTRIBUTES, |out| {
            for kind in types {
                out.extend_from_slice(&kind.0.to_be_bytes());
            }
        })
    }

    /// MESSAGE-INTEGRITY over what was written so far.
    #[must_use]
    pub fn integrity(self, key: &IntegrityKey) -> Self {
        let tag = key.sign(&self.out[self.start..]);
        self.attribute(AttributeType::MESSAGE_INTEGRITY, &tag)
    }

    /// FINGERPRINT; ends the message as [`Encoder::finish`] does.
    pub fn finish_with_fingerprint(self) {
        let crc = fingerprint(&self.out[self.start..]);
        self.attribute(AttributeType::FINGERPRINT, &crc.to_be_bytes()).finish();
    }

    /// Writes the length.
    pub fn finish(self) {
        let length = (self.out.len() - self.start - HEADER_BYTES) as u16;
        self.out[self.start + 2..self.start + 4].copy_from_slice(&length.to_be_bytes());
    }
}
