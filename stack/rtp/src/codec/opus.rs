//! Opus (RFC 7587): what the first bytes of a packet tell. The packet is the payload, without a payload header.

use std::time::Duration;

/// How much sound an Opus packet holds, from its TOC byte (RFC 6716 §3.1, §3.2): 2.5 to 120 ms. `None` for a packet
/// that breaks those rules.
#[must_use]
pub fn duration(packet: &[u8]) -> Option<Duration> {
    const MAX: Duration = Duration::from_millis(120);
    let toc = *packet.first()?;
    let config = toc >> 3;
    let frame_us: u64 = match config {
        0..12 => [10_000, 20_000, 40_000, 60_000][usize::from(config & 3)],
        12..16 => [10_000, 20_000][usize::from(config & 1)],
        _ => [2_500, 5_000, 10_000, 20_000][usize::from(config & 3)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u64::from(packet.get(1)? & 0x3f),
    };
    let duration = Duration::from_micros(frame_us * frames);
    (frames > 0 && duration <= MAX).then_some(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_tells_the_duration() {
        let ms = |packet: &[u8]| duration(packet).map(|d| d.as_micros() as f64 / 1000.0);
        assert_eq!(ms(&[31 << 3]), Some(20.0));
        assert_eq!(ms(&[16 << 3]), Some(2.5));
        assert_eq!(ms(&[3 << 3 | 1]), Some(120.0));
        assert_eq!(ms(&[13 << 3 | 2]), Some(40.0));
        assert_eq!(ms(&[31 << 3 | 3, 3]), Some(60.0));
        assert_eq!(ms(&[31 << 3 | 3, 7]), None);
        assert_eq!(ms(&[31 << 3 | 3, 0]), None);
        assert_eq!(ms(&[31 << 3 | 3]), None);
        assert_eq!(ms(&[]), None);
    }
}
