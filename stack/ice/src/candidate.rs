//! Candidates (RFC 8445 §5.1) and their text form (RFC 8839 §5.1, RFC 6544 §4.5).
//!
//! ```text
//! candidate:FOUNDATION COMPONENT TRANSPORT PRIORITY ADDRESS PORT typ TYPE [raddr A rport P] [NAME VALUE]*
//! ```

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use thiserror::Error;

/// The longest text that is parsed, in bytes.
const MAX_TEXT_BYTES: usize = 1024;
/// The most extension attributes that are kept.
const MAX_EXTENSIONS: usize = 16;

/// The type of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CandidateKind {
    /// An address of an interface.
    Host,
    /// What a STUN server sees.
    ServerReflexive,
    /// What the peer sees, or where an authenticated check of the peer came from.
    PeerReflexive,
    /// Allocated on a TURN server.
    Relayed,
}

impl CandidateKind {
    /// The recommended type preference (RFC 8445 §5.1.2.2).
    #[must_use]
    pub const fn preference(self) -> u8 {
        match self {
            Self::Host => 126,
            Self::PeerReflexive => 110,
            Self::ServerReflexive => 100,
            Self::Relayed => 0,
        }
    }

    /// The priority of a candidate of component 1 (RFC 8445 §5.1.2.1).
    #[must_use]
    pub const fn priority(self, local_preference: u16) -> u32 {
        (self.preference() as u32) << 24 | (local_preference as u32) << 8 | 255
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::ServerReflexive => "srflx",
            Self::PeerReflexive => "prflx",
            Self::Relayed => "relay",
        }
    }
}

/// The transport of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CandidateTransport {
    /// UDP.
    Udp,
    /// TCP: kept and written, not paired.
    Tcp,
}

/// Where a candidate is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CandidateAddress {
    /// An address.
    Ip(SocketAddr),
    /// A name, such as the `.local` ones that browsers use to hide addresses (mDNS). It is never paired; whoever
    /// resolves it adds the candidate again with the address.
    Name {
        /// The name.
        host: String,
        /// The port.
        port: u16,
    },
}

/// One candidate, local or remote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// 1 to 32 characters; equal for candidates that are likely to share their fate.
    pub foundation: String,
    /// 1 for RTP or everything multiplexed, 2 for RTCP. Only 1 is paired.
    pub component: u16,
    /// The transport.
    pub transport: CandidateTransport,
    /// The priority, higher is better.
    pub priority: u32,
    /// Where it is.
    pub address: CandidateAddress,
    /// The type.
    pub kind: CandidateKind,
    /// For reflexive and relayed ones: what it is derived from.
    pub related: Option<SocketAddr>,
    /// The address that a local candidate sends from. `None`: its own. Not part of the text form.
    pub base: Option<SocketAddr>,
    /// Extension attributes in order, such as `tcptype`, `ufrag`, `generation`.
    pub extensions: Vec<(String, String)>,
}

impl Candidate {
    /// A UDP host candidate with the highest local preference of its family (IPv6 before IPv4).
    #[must_use]
    pub fn host(address: SocketAddr) -> Self {
        let preference = if address.is_ipv6() { 65535 } else { 65534 };
        Self {
            foundation: foundation(CandidateKind::Host, address.ip()),
            component: 1,
            transport: CandidateTransport::Udp,
            priority: CandidateKind::Host.priority(preference),
            address: CandidateAddress::Ip(address),
            kind: CandidateKind::Host,
            related: None,
            base: None,
            extensions: Vec::new(),
        }
    }

    /// A server-reflexive candidate: seen as `address` from outside, sent from `base`.
    #[must_use]
    pub fn server_reflexive(address: SocketAddr, base: SocketAddr) -> Self {
        Self {
            foundation: foundation(CandidateKind::ServerReflexive, base.ip()),
            priority: CandidateKind::ServerReflexive.priority(65535),
            kind: CandidateKind::ServerReflexive,
            related: Some(base),
            base: Some(base),
            ..Self::host(address)
        }
    }

    /// A host candidate behind a one-to-one address translation: announced as `address`, sent from `base`.
    #[must_use]
    pub fn translated_host(address: SocketAddr, base: SocketAddr) -> Self {
        Self { base: Some(base), ..Self::host(address) }
    }

    /// The address, when it is one.
    #[must_use]
    pub const fn socket_addr(&self) -> Option<SocketAddr> {
        match self.address {
            CandidateAddress::Ip(address) => Some(address),
            CandidateAddress::Name { .. } => None,
        }
    }

    /// The address that a local candidate sends from.
    #[must_use]
    pub fn base_addr(&self) -> Option<SocketAddr> {
        self.base.or_else(|| self.socket_addr())
    }

    /// The value of an extension attribute.
    #[must_use]
    pub fn extension(&self, name: &str) -> Option<&str> {
        self.extensions.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Equal for candidates of one type from one address (RFC 8445 §5.1.1.3): FNV-1a, which is stable across runs.
fn foundation(kind: CandidateKind, base: IpAddr) -> String {
    let octets = match base {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    };
    let bytes = octets.into_iter().chain([kind.preference()]);
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash.to_string()
}

/// Why a text is no candidate.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CandidateError {
    /// It does not begin with `candidate:`.
    #[error("not a candidate attribute")]
    Prefix,
    /// Longer than 1024 bytes, or more than 16 extension attributes.
    #[error("too long")]
    TooLong,
    /// A control character, which could end the line that the candidate is written into.
    #[error("control character")]
    ControlCharacter,
    /// A field is missing.
    #[error("a field is missing")]
    Missing,
    /// The foundation has not 1 to 32 ice-chars.
    #[error("bad foundation")]
    Foundation,
    /// The component is not 1 to 256.
    #[error("bad component")]
    Component,
    /// Neither UDP nor TCP.
    #[error("unknown transport")]
    Transport,
    /// The priority is not 1 to 2^31-1.
    #[error("bad priority")]
    Priority,
    /// Neither an address nor a name.
    #[error("bad address")]
    Address,
    /// Not a port.
    #[error("bad port")]
    Port,
    /// `typ` is missing or the type is unknown.
    #[error("unknown type")]
    Kind,
}

impl FromStr for Candidate {
    type Err = CandidateError;

    /// Takes `candidate:…`, also with `a=` before it.
    fn from_str(text: &str) -> Result<Self, CandidateError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(CandidateError::TooLong);
        }
        let text = text.trim_matches([' ', '\r', '\n']);
        let text = text.strip_prefix("a=").unwrap_or(text);
        let text = text.strip_prefix("candidate:").ok_or(CandidateError::Prefix)?;
        if text.contains(char::is_control) {
            return Err(CandidateError::ControlCharacter);
        }
        let mut words = text.split(' ').filter(|word| !word.is_empty());
        let mut next = || words.next().ok_or(CandidateError::Missing);
        let foundation = next()?;
        let is_ice_char = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
        if foundation.len() > 32 || !foundation.bytes().all(is_ice_char) {
            return Err(CandidateError::Foundation);
        }
        let component = next()?.parse().ok().filter(|id| (1..=256).contains(id));
        let component = component.ok_or(CandidateError::Component)?;
        let transport = parse_transport(next()?)?;
        let priority = next()?.parse().ok().filter(|priority| (1..=0x7fff_ffff).contains(priority));
        let priority = priority.ok_or(CandidateError::Priority)?;
        let host = next()?;
        let port = next()?.parse().map_err(|_| CandidateError::Port)?;
        let address = parse_address(host, port)?;
        if next()? != "typ" {
            return Err(CandidateError::Kind);
        }
        let kind = parse_kind(next()?)?;
        let (related, extensions) = parse_rest(words)?;
        let foundation = foundation.to_owned();
        Ok(Self {
            foundation,
            component,
            transport,
            priority,
            address,
            kind,
            related,
            base: None,
            extensions,
        })
    }
}

fn parse_transport(word: &str) -> Result<CandidateTransport, CandidateError> {
    if word.eq_ignore_ascii_case("udp") {
        Ok(CandidateTransport::Udp)
    } else if word.eq_ignore_ascii_case("tcp") {
        Ok(CandidateTransport::Tcp)
    } else {
        Err(CandidateError::Transport)
    }
}

fn parse_kind(word: &str) -> Result<CandidateKind, CandidateError> {
    match word {
        "host" => Ok(CandidateKind::Host),
        "srflx" => Ok(CandidateKind::ServerReflexive),
        "prflx" => Ok(CandidateKind::PeerReflexive),
        "relay" => Ok(CandidateKind::Relayed),
        _ => Err(CandidateError::Kind),
    }
}

fn parse_address(host: &str, port: u16) -> Result<CandidateAddress, CandidateError> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(CandidateAddress::Ip(SocketAddr::new(ip, port)));
    }
    let is_name_char = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    if host.len() > 255 || !host.bytes().all(is_name_char) {
        return Err(CandidateError::Address);
    }
    Ok(CandidateAddress::Name { host: host.to_owned(), port })
}

type Rest = (Option<SocketAddr>, Vec<(String, String)>);

/// `raddr` and `rport`, then name and value by turns. A name without a value ends it.
fn parse_rest<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<Rest, CandidateError> {
    let (mut ip, mut port) = (None, None);
    let mut extensions = Vec::new();
    while let (Some(name), Some(value)) = (words.next(), words.next()) {
        match name {
            "raddr" => ip = Some(value.parse::<IpAddr>().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))),
            "rport" => port = Some(value.parse().map_err(|_| CandidateError::Port)?),
            _ if extensions.len() == MAX_EXTENSIONS => return Err(CandidateError::TooLong),
            _ => extensions.push((name.to_owned(), value.to_owned())),
        }
    }
    Ok((ip.zip(port).map(|(ip, port)| SocketAddr::new(ip, port)), extensions))
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = match self.transport {
            CandidateTransport::Udp => "udp",
            CandidateTransport::Tcp => "tcp",
        };
        let Self { foundation, component, priority, .. } = self;
        write!(f, "candidate:{foundation} {component} {transport} {priority} ")?;
        match &self.address {
            CandidateAddress::Ip(address) => write!(f, "{} {}", address.ip(), address.port())?,
            CandidateAddress::Name { host, port } => write!(f, "{host} {port}")?,
        }
        write!(f, " typ {}", self.kind.as_str())?;
        if let Some(related) = self.related {
            write!(f, " raddr {} rport {}", related.ip(), related.port())?;
        }
        for (name, value) in &self.extensions {
            write!(f, " {name} {value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_of_browsers_survive_both_ways() {
        for text in [
            "candidate:1 1 udp 2122260223 192.0.2.7 51493 typ host generation 0 ufrag aBcD network-id 1",
            "candidate:842163049 1 udp 1677729535 203.0.113.7 51493 typ srflx raddr 192.0.2.7 rport 51493",
            "candidate:0 1 udp 2122252543 6a0a0f3e-8f3c-4f0e-9d3a-6b6f0e0c1c8f.local 40000 typ host",
            "candidate:3 1 tcp 1518280447 2001:db8::7 9 typ host tcptype active",
        ] {
            let candidate: Candidate = text.parse().unwrap();
            assert_eq!(candidate.to_string(), text);
            assert_eq!(format!("a={text}\r\n").parse(), Ok(candidate));
        }
    }

    #[test]
    fn a_local_name_is_kept_as_a_name() {
        let text = "candidate:0 1 UDP 2122252543 x.local 40000 typ host";
        let candidate: Candidate = text.parse().unwrap();
        assert_eq!(candidate.socket_addr(), None);
        let scoped = "candidate:0 1 udp 1 fe80::1%eth0 4 typ host".parse::<Candidate>();
        assert_eq!(scoped, Err(CandidateError::Address));
    }

    #[test]
    fn malformed_texts_name_what_is_wrong() {
        let long = format!("candidate:1 1 udp 1 192.0.2.1 1 typ host {}", "x y ".repeat(300));
        let many = format!("candidate:1 1 udp 1 192.0.2.1 1 typ host {}", "x y ".repeat(17));
        for (text, error) in [
            ("", CandidateError::Prefix),
            ("candidate:", CandidateError::Missing),
            ("candidate:1 1 udp 1 192.0.2.1 1 typ host x y\r\na=z", CandidateError::ControlCharacter),
            ("candidate:1 1 udp 1 192.0.2.1 1 typ", CandidateError::Missing),
            ("candidate:a*b 1 udp 1 192.0.2.1 1 typ host", CandidateError::Foundation),
            ("candidate:1 0 udp 1 192.0.2.1 1 typ host", CandidateError::Component),
            ("candidate:1 1 sctp 1 192.0.2.1 1 typ host", CandidateError::Transport),
            ("candidate:1 1 udp 0 192.0.2.1 1 typ host", CandidateError::Priority),
            ("candidate:1 1 udp 4294967296 192.0.2.1 1 typ host", CandidateError::Priority),
            ("candidate:1 1 udp 1 192.0.2.1:5 1 typ host", CandidateError::Address),
            ("candidate:1 1 udp 1 192.0.2.1 65536 typ host", CandidateError::Port),
            ("candidate:1 1 udp 1 192.0.2.1 1 type host", CandidateError::Kind),
            ("candidate:1 1 udp 1 192.0.2.1 1 typ moon", CandidateError::Kind),
            (&long, CandidateError::TooLong),
            (&many, CandidateError::TooLong),
        ] {
            assert_eq!(text.parse::<Candidate>(), Err(error), "{text}");
        }
    }

    #[test]
    fn priorities_are_those_of_rfc_8445() {
        assert_eq!(CandidateKind::Host.priority(65535), 2_130_706_431);
        assert_eq!(CandidateKind::PeerReflexive.priority(0), 110 << 24 | 255);
    }

    #[test]
    fn foundations_differ_by_type_and_address() {
        let (a, b): (SocketAddr, SocketAddr) =
            ("192.0.2.1:1".parse().unwrap(), "192.0.2.2:1".parse().unwrap());
        assert_eq!(Candidate::host(a).foundation, Candidate::translated_host(a, b).foundation);
        assert_ne!(Candidate::host(a).foundation, Candidate::host(b).foundation);
        assert_ne!(Candidate::host(a).foundation, Candidate::server_reflexive(b, a).foundation);
    }
}
