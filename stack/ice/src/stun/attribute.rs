//! Attributes: their types, and the values that are more than bytes.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::{MAGIC_COOKIE, TransactionId};

/// The type of an attribute. Unknown ones are kept as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttributeType(pub u16);

impl AttributeType {
    /// MAPPED-ADDRESS (RFC 8489 §14.1).
    pub const MAPPED_ADDRESS: Self = Self(0x0001);
    /// USERNAME (RFC 8489 §14.3).
    pub const USERNAME: Self = Self(0x0006);
    /// MESSAGE-INTEGRITY (RFC 8489 §14.5).
    pub const MESSAGE_INTEGRITY: Self = Self(0x0008);
    /// ERROR-CODE (RFC 8489 §14.8).
    pub const ERROR_CODE: Self = Self(0x0009);
    /// UNKNOWN-ATTRIBUTES (RFC 8489 §14.13).
    pub const UNKNOWN_ATTRIBUTES: Self = Self(0x000a);
    /// REALM (RFC 8489 §14.9).
    pub const REALM: Self = Self(0x0014);
    /// NONCE (RFC 8489 §14.10).
    pub const NONCE: Self = Self(0x0015);
    /// MESSAGE-INTEGRITY-SHA256 (RFC 8489 §14.6).
    pub const MESSAGE_INTEGRITY_SHA256: Self = Self(0x001c);
    /// XOR-MAPPED-ADDRESS (RFC 8489 §14.2).
    pub const XOR_MAPPED_ADDRESS: Self = Self(0x0020);
    /// PRIORITY (RFC 8445 §16.1).
    pub const PRIORITY: Self = Self(0x0024);
    /// USE-CANDIDATE (RFC 8445 §16.1).
    pub const USE_CANDIDATE: Self = Self(0x0025);
    /// SOFTWARE (RFC 8489 §14.14).
    pub const SOFTWARE: Self = Self(0x8022);
    /// FINGERPRINT (RFC 8489 §14.7).
    pub const FINGERPRINT: Self = Self(0x8028);
    /// ICE-CONTROLLED (RFC 8445 §16.1).
    pub const ICE_CONTROLLED: Self = Self(0x8029);
    /// ICE-CONTROLLING (RFC 8445 §16.1).
    pub const ICE_CONTROLLING: Self = Self(0x802a);

    /// Whether a receiver that does not know it must refuse the request (RFC 8489 §14).
    #[must_use]
    pub const fn is_comprehension_required(self) -> bool {
        self.0 < 0x8000
    }

    /// Whether this crate knows it.
    #[must_use]
    pub const fn is_known(self) -> bool {
        matches!(
            self,
            Self::MAPPED_ADDRESS
                | Self::USERNAME
                | Self::MESSAGE_INTEGRITY
                | Self::ERROR_CODE
                | Self::UNKNOWN_ATTRIBUTES
                | Self::REALM
                | Self::NONCE
                | Self::MESSAGE_INTEGRITY_SHA256
                | Self::XOR_MAPPED_ADDRESS
                | Self::PRIORITY
                | Self::USE_CANDIDATE
                | Self::SOFTWARE
                | Self::FINGERPRINT
                | Self::ICE_CONTROLLED
                | Self::ICE_CONTROLLING
        )
    }
}

/// An ERROR-CODE (RFC 8489 §14.8), 300..=699.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub u16);

impl ErrorCode {
    /// The request was malformed.
    pub const BAD_REQUEST: Self = Self(400);
    /// The credentials are wrong or missing.
    pub const UNAUTHENTICATED: Self = Self(401);
    /// Consent is revoked (RFC 7675 §5.2).
    pub const FORBIDDEN: Self = Self(403);
    /// A comprehension-required attribute is unknown.
    pub const UNKNOWN_ATTRIBUTE: Self = Self(420);
    /// Both agents have the same role (RFC 8445 §7.3.1.1).
    pub const ROLE_CONFLICT: Self = Self(487);

    pub(super) fn decode(value: &[u8]) -> Option<Self> {
        let (class, number) = (value.get(2)? & 7, *value.get(3)?);
        ((3..=6).contains(&class) && number < 100).then_some(Self(u16::from(class) * 100 + u16::from(number)))
    }

    pub(super) const fn encode(self) -> [u8; 4] {
        [0, 0, (self.0 / 100) as u8, (self.0 % 100) as u8]
    }
}

/// The attributes of a message in order. [`Message::parse`](super::Message::parse) has checked all bounds.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    pub(super) const fn new(checked: &'a [u8]) -> Self {
        Self { rest: checked }
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (AttributeType, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (header, rest) = self.rest.split_first_chunk::<4>()?;
        let len = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let value = rest.get(..len)?;
        self.rest = rest.get(len.next_multiple_of(4)..)?;
        Some((AttributeType(u16::from_be_bytes([header[0], header[1]])), value))
    }
}

/// XOR-MAPPED-ADDRESS both ways: XOR is its own inverse (RFC 8489 §14.2).
fn xor_ip(ip: IpAddr, id: TransactionId) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => IpAddr::V4((ip.to_bits() ^ MAGIC_COOKIE).into()),
        IpAddr::V6(ip) => {
            let mut mask = [0; 16];
            mask[..4].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
            mask[4..].copy_from_slice(&id.0);
            IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() ^ u128::from_be_bytes(mask)))
        }
    }
}

const XOR_PORT: u16 = (MAGIC_COOKIE >> 16) as u16;

pub(super) fn decode_xor_address(value: &[u8], id: TransactionId) -> Option<SocketAddr> {
    let (header, ip) = value.split_first_chunk::<4>()?;
    let ip: IpAddr = match header[1] {
        1 => <[u8; 4]>::try_from(ip).ok()?.into(),
        2 => <[u8; 16]>::try_from(ip).ok()?.into(),
        _ => return None,
    };
    Some(SocketAddr::new(xor_ip(ip, id), u16::from_be_bytes([header[2], header[3]]) ^ XOR_PORT))
}

pub(super) fn encode_xor_address(address: SocketAddr, id: TransactionId, out: &mut Vec<u8>) {
    let port = (address.port() ^ XOR_PORT).to_be_bytes();
    match xor_ip(address.ip(), id) {
        IpAddr::V4(ip) => {
            out.extend_from_slice(&[0, 1, port[0], port[1]]);
            out.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.extend_from_slice(&[0, 2, port[0], port[1]]);
            out.extend_from_slice(&ip.octets());
        }
    }
}
