//! Protocol versions.

/// A version of DTLS. Ordered: later versions are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ProtocolVersion {
    /// DTLS 1.2, RFC 6347.
    Dtls12,
    /// DTLS 1.3, RFC 9147.
    Dtls13,
}

impl ProtocolVersion {
    /// The value on the wire.
    pub(crate) const fn wire(self) -> u16 {
        match self {
            Self::Dtls12 => VERSION_1_2,
            Self::Dtls13 => VERSION_1_3,
        }
    }
}

/// The wire value of DTLS 1.3, which stands in supported_versions alone.
pub(crate) const VERSION_1_3: u16 = 0xfefc;
/// The wire value of DTLS 1.2, which records and hellos of 1.3 carry too.
pub(crate) const VERSION_1_2: u16 = 0xfefd;
/// The wire value of DTLS 1.0, which first records of a handshake carry for old peers' sake.
pub(crate) const VERSION_1_0: u16 = 0xfeff;
