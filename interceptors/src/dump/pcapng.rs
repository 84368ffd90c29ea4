//! pcapng (draft-ietf-opsawg-pcapng): a section header, an interface of raw IP (LINKTYPE_RAW), and an enhanced packet block for
//! each datagram, with the IP and UDP headers that its path implies.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant, UNIX_EPOCH};

use tombolo_net::{Epoch, FiveTuple};

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const LINKTYPE_RAW: u16 = 101;
/// `if_tsresol`: times count units of 10⁻⁹ s.
const NANOSECONDS: [u8; 8] = [9, 0, 1, 0, 9, 0, 0, 0];
const UDP: u8 = 17;

/// Writes datagrams as pcapng.
#[derive(Clone, Copy, Debug)]
pub struct Pcapng {
    epoch: Epoch,
}

impl Pcapng {
    /// Begins a file: appends its headers.
    #[must_use]
    pub fn new(epoch: Epoch, out: &mut Vec<u8>) -> Self {
        block(out, SECTION_HEADER, |out| {
            out.extend_from_slice(&0x1a2b_3c4d_u32.to_le_bytes());
            out.extend_from_slice(&1_u16.to_le_bytes());
            out.extend_from_slice(&0_u16.to_le_bytes());
            out.extend_from_slice(&u64::MAX.to_le_bytes()); // The length of the section is not known.
        });
        block(out, INTERFACE, |out| {
            out.extend_from_slice(&LINKTYPE_RAW.to_le_bytes());
            out.extend_from_slice(&[0; 6]); // No limit of length.
            out.extend_from_slice(&NANOSECONDS);
            out.extend_from_slice(&[0; 4]);
        });
        Self { epoch }
    }

    /// Appends a datagram of at most 65,507 bytes that went from `path.local` to `path.remote`; one that came took the reversed
    /// path. A longer one is left out.
    pub fn write(&self, now: Instant, path: FiveTuple, payload: &[u8], out: &mut Vec<u8>) {
        let len = payload.len() + 8 + if path.local.is_ipv4() { 20 } else { 40 };
        if payload.len() > 65_507 || path.local.is_ipv4() != path.remote.is_ipv4() {
            return;
        }
        let since_1970 = self.epoch.system_at(now).duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let nanos = since_1970.as_nanos() as u64;
        block(out, ENHANCED_PACKET, |out| {
            out.extend_from_slice(&0_u32.to_le_bytes());
            out.extend_from_slice(&((nanos >> 32) as u32).to_le_bytes());
            out.extend_from_slice(&(nanos as u32).to_le_bytes());
            out.extend_from_slice(&(len as u32).to_le_bytes());
            out.extend_from_slice(&(len as u32).to_le_bytes());
            write_headers(path.local, path.remote, payload.len(), out);
            out.extend_from_slice(payload);
        });
    }
}

/// A block: type, length, what `body` writes, padding to a word, length.
fn block(out: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    body(out);
    let padding = (start.wrapping_sub(out.len())) % 4;
    out.extend_from_slice(&[0; 3][..padding]);
    let len = ((out.len() - start + 4) as u32).to_le_bytes();
    out.extend_from_slice(&len);
    out[start + 4..start + 8].copy_from_slice(&len);
}

fn write_headers(from: SocketAddr, to: SocketAddr, len: usize, out: &mut Vec<u8>) {
    let udp_len = ((len + 8) as u16).to_be_bytes();
    let start = out.len();
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            out.extend_from_slice(&[0x45, 0]);
            out.extend_from_slice(&((len + 28).min(65_535) as u16).to_be_bytes());
            out.extend_from_slice(&[0, 0, 0x40, 0, 64, UDP, 0, 0]);
            out.extend_from_slice(&from.octets());
            out.extend_from_slice(&to.octets());
            let sum = !ones_sum(&out[start..]);
            out[start + 10..start + 12].copy_from_slice(&sum.to_be_bytes());
        }
        (from, to) => {
            out.extend_from_slice(&[0x60, 0, 0, 0]);
            out.extend_from_slice(&udp_len);
            out.extend_from_slice(&[UDP, 64]);
            for address in [from, to] {
                let octets = match address {
                    IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                    IpAddr::V6(address) => address.octets(),
                };
                out.extend_from_slice(&octets);
            }
        }
    }
    out.extend_from_slice(&from.port().to_be_bytes());
    out.extend_from_slice(&to.port().to_be_bytes());
    out.extend_from_slice(&udp_len);
    out.extend_from_slice(&[0, 0]); // No checksum.
}

/// The one's complement sum of an IPv4 header (RFC 1071).
fn ones_sum(header: &[u8]) -> u16 {
    let words = header.chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    ((folded & 0xffff) + (folded >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_clock::at;

    /// The blocks of a file: type and body. Lengths at both ends agree.
    fn blocks(mut file: &[u8]) -> Vec<(u32, &[u8])> {
        let word = |bytes: &[u8]| u32::from_le_bytes(bytes[..4].try_into().unwrap());
        let mut blocks = Vec::new();
        while !file.is_empty() {
            let len = word(&file[4..]) as usize;
            assert!(len.is_multiple_of(4) && word(&file[len - 4..]) as usize == len);
            blocks.push((word(file), &file[8..len - 4]));
            file = &file[len..];
        }
        blocks
    }

    #[test]
    fn a_datagram_is_a_block_with_its_headers() {
        let epoch = Epoch { instant: at(0), system: UNIX_EPOCH + Duration::from_secs(1_000_000_000) };
        let mut out = Vec::new();
        let file = Pcapng::new(epoch, &mut out);
        let v4 = FiveTuple::udp(([10, 0, 0, 1], 1000).into(), ([10, 0, 0, 2], 2000).into());
        file.write(at(1500), v4, b"hello", &mut out);
        let v6 = FiveTuple::udp(([1; 8], 1000).into(), ([2; 8], 2000).into());
        file.write(at(1500), v6, b"hello", &mut out);
        let mixed = FiveTuple::udp(v4.local, v6.remote);
        file.write(at(1500), mixed, b"no such datagram", &mut out);
        file.write(at(1500), v4, &[0; 70_000], &mut out);

        let blocks = blocks(&out);
        assert_eq!(
            blocks.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(),
            [SECTION_HEADER, INTERFACE, ENHANCED_PACKET, ENHANCED_PACKET]
        );
        assert_eq!(blocks[0].1[..8], [0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0]);
        let packet = blocks[2].1;
        let nanos = 1_000_000_001_500_000_000_u64;
        assert_eq!(packet[4..8], ((nanos >> 32) as u32).to_le_bytes());
        assert_eq!(packet[8..12], (nanos as u32).to_le_bytes());
        assert_eq!(packet[12], 33);
        let ip = &packet[20..20 + 33];
        assert_eq!((ip[0], ones_sum(&ip[..20])), (0x45, 0xffff), "a header with its checksum");
        assert_eq!(ip[20..28], [3, 232, 7, 208, 0, 13, 0, 0]);
        assert_eq!(&ip[28..], b"hello");
        let ip = &blocks[3].1[20..20 + 53];
        assert_eq!((ip[0], ip[5], ip[6]), (0x60, 13, UDP));
        assert_eq!(&ip[48..], b"hello");
    }
}
