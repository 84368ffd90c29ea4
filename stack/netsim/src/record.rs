//! What the tap of a [`Pair`](crate::Pair) saw, and how it becomes a pcap file.
//!
//! The file has LINKTYPE_RAW (101): each packet begins with an IPv4 or IPv6 header, then UDP. Addresses of different
//! families on one path cannot be written as one IP packet; the sender's family wins and the other is unspecified.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tombolo_net::FiveTuple;

use crate::link::LinkDrop;
use crate::pair::Side;

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives at this time since the start of the clock.
    Arrives(Duration),
    /// The link lost it.
    Lost(LinkDrop),
    /// [`Pair::inject`](crate::Pair::inject) put it there.
    Injected,
}

/// One datagram that was sent or injected.
#[derive(Clone, Debug)]
pub struct Record {
    /// Since the start of the clock.
    pub sent: Duration,
    /// Who receives it, or would have.
    pub to: Side,
    /// The path as the sender named it.
    pub path: FiveTuple,
    /// The UDP payload.
    pub data: Vec<u8>,
    /// What became of it.
    pub fate: Fate,
}

const LINKTYPE_RAW: u32 = 101;
const UDP: u8 = 17;

/// Writes all records, lost ones included, with the time of sending.
pub(crate) fn write_pcap(path: &Path, records: &[Record]) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(&pcap_header())?;
    for record in records {
        file.write_all(&pcap_packet(record))?;
    }
    file.flush()
}

fn pcap_header() -> Vec<u8> {
    let mut out = Vec::with_capacity(24);
    out.extend_from_slice(&0xa1b2_c3d4_u32.to_le_bytes()); // microseconds, written little-endian
    out.extend_from_slice(&2_u16.to_le_bytes());
    out.extend_from_slice(&4_u16.to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&0x4_0000_u32.to_le_bytes());
    out.extend_from_slice(&LINKTYPE_RAW.to_le_bytes());
    out
}

fn pcap_packet(record: &Record) -> Vec<u8> {
    let packet = ip_packet(record.path.local, record.path.remote, &record.data);
    let len = (packet.len() as u32).to_le_bytes();
    let mut out = Vec::with_capacity(16 + packet.len());
    out.extend_from_slice(&(record.sent.as_secs() as u32).to_le_bytes());
    out.extend_from_slice(&record.sent.subsec_micros().to_le_bytes());
    out.extend_from_slice(&len);
    out.extend_from_slice(&len);
    out.extend_from_slice(&packet);
    out
}

fn ip_packet(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let udp_len = 8 + payload.len();
    let mut out = Vec::with_capacity(40 + udp_len);
    match from.ip() {
        IpAddr::V4(from) => {
            let to = if let IpAddr::V4(to) = to.ip() { to } else { Ipv4Addr::UNSPECIFIED };
            out.extend_from_slice(&[0x45, 0]);
            out.extend_from_slice(&((20 + udp_len) as u16).to_be_bytes());
            out.extend_from_slice(&[0, 0, 0, 0, 64, UDP, 0, 0]);
            out.extend_from_slice(&from.octets());
            out.extend_from_slice(&to.octets());
            let sum = ipv4_checksum(&out).to_be_bytes();
            out[10..12].copy_from_slice(&sum);
        }
        IpAddr::V6(from) => {
            let to = if let IpAddr::V6(to) = to.ip() { to } else { Ipv6Addr::UNSPECIFIED };
            out.extend_from_slice(&[0x60, 0, 0, 0]);
            out.extend_from_slice(&(udp_len as u16).to_be_bytes());
            out.extend_from_slice(&[UDP, 64]);
            out.extend_from_slice(&from.octets());
            out.extend_from_slice(&to.octets());
        }
    }
    out.extend_from_slice(&from.port().to_be_bytes());
    out.extend_from_slice(&to.port().to_be_bytes());
    out.extend_from_slice(&(udp_len as u16).to_be_bytes());
    out.extend_from_slice(&[0, 0]); // no UDP checksum
    out.extend_from_slice(payload);
    out
}

fn ipv4_checksum(header: &[u8]) -> u16 {
    let words = header.chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !(((folded & 0xffff) + (folded >> 16)) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_has_valid_ip_and_udp_lengths_and_checksum() {
        let from: SocketAddr = "10.0.0.1:1000".parse().expect("an address");
        let to: SocketAddr = "10.0.0.2:2000".parse().expect("an address");
        let packet = ip_packet(from, to, b"hello");
        assert_eq!(packet.len(), 33);
        assert_eq!(packet[2..4], [0, 33]);
        assert_eq!(ipv4_checksum(&packet[..20]), 0, "a header with its checksum sums to zero");
        assert_eq!(packet[20..28], [3, 232, 7, 208, 0, 13, 0, 0]);
        assert_eq!(&packet[28..], b"hello");

        let from: SocketAddr = "[2001:db8::1]:1000".parse().expect("an address");
        let to: SocketAddr = "[2001:db8::2]:2000".parse().expect("an address");
        let packet = ip_packet(from, to, b"hello");
        assert_eq!((packet.len(), packet[0], packet[6]), (53, 0x60, UDP));
    }
}
