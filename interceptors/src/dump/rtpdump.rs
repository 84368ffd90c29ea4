//! The dump format of rtptools, which rtpplay and many test tools read.
//!
//! `#!rtpplay1.0 address/port\n [start s 32 | start µs 32 | address 32 | port 16 | 0 16] (length 16 | packet length 16 |
//! time since the start in ms 32 | packet)*`; the packet length is 0 for RTCP.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant, UNIX_EPOCH};

use tombolo_net::Epoch;

/// Bytes before each packet.
const HEADER_LEN: usize = 8;

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtpDumpKind {
    /// RTP.
    Rtp,
    /// RTCP.
    Rtcp,
}

/// Writes packets as rtptools does.
#[derive(Clone, Copy, Debug)]
pub struct RtpDump {
    start: Instant,
    max_len_bytes: usize,
}

impl RtpDump {
    /// Begins a file about what comes from `source`: appends its headers. IPv6 has no place in the binary one and stands there as
    /// zeros.
    #[must_use]
    pub fn new(now: Instant, epoch: &Epoch, source: SocketAddr, out: &mut Vec<u8>) -> Self {
        let since_1970 = epoch.system_at(now).duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        out.extend_from_slice(format!("#!rtpplay1.0 {}/{}\n", source.ip(), source.port()).as_bytes());
        out.extend_from_slice(&(since_1970.as_secs() as u32).to_be_bytes());
        out.extend_from_slice(&since_1970.subsec_micros().to_be_bytes());
        let address = if let IpAddr::V4(address) = source.ip() { address.octets() } else { [0; 4] };
        out.extend_from_slice(&address);
        out.extend_from_slice(&source.port().to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        Self { start: now, max_len_bytes: usize::from(u16::MAX) - HEADER_LEN }
    }

    /// Keeps so many bytes of each packet at most, as for headers without content. Default 65,527.
    #[must_use]
    pub const fn max_len_bytes(mut self, bytes: usize) -> Self {
        if bytes < self.max_len_bytes {
            self.max_len_bytes = bytes;
        }
        self
    }

    /// Appends a packet, or as much of it as is kept.
    pub fn write(&self, now: Instant, kind: RtpDumpKind, packet: &[u8], out: &mut Vec<u8>) {
        let kept = &packet[..packet.len().min(self.max_len_bytes)];
        let whole = match kind {
            RtpDumpKind::Rtp => u16::try_from(packet.len()).unwrap_or(u16::MAX),
            RtpDumpKind::Rtcp => 0,
        };
        let millis = now.saturating_duration_since(self.start).as_millis() as u32;
        out.extend_from_slice(&((kept.len() + HEADER_LEN) as u16).to_be_bytes());
        out.extend_from_slice(&whole.to_be_bytes());
        out.extend_from_slice(&millis.to_be_bytes());
        out.extend_from_slice(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_clock::at;

    #[test]
    fn packets_stand_with_their_times_and_lengths() {
        let epoch = Epoch { instant: at(0), system: UNIX_EPOCH + Duration::from_millis(5_000_250) };
        let mut out = Vec::new();
        let dump = RtpDump::new(at(0), &epoch, ([10, 0, 0, 1], 5004).into(), &mut out).max_len_bytes(12);
        dump.write(at(40), RtpDumpKind::Rtp, &[0x80; 100], &mut out);
        dump.write(at(70_000), RtpDumpKind::Rtcp, &[0x81; 8], &mut out);
        let line = b"#!rtpplay1.0 10.0.0.1/5004\n";
        assert_eq!(&out[..line.len()], line);
        let rest = &out[line.len()..];
        let head = [0, 0, 0x13, 0x88, 0, 3, 0xd0, 0x90, 10, 0, 0, 1, 0x13, 0x8c, 0, 0];
        assert_eq!(rest[..16], head);
        assert_eq!(rest[16..24], [0, 20, 0, 100, 0, 0, 0, 40], "cut to 12 of 100");
        assert_eq!(rest[36..44], [0, 16, 0, 0, 0, 1, 0x11, 0x70]);
        assert_eq!(rest[44..], [0x81; 8]);
    }
}
