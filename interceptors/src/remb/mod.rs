//! Receiver estimated maximum bitrate (draft-alvestrand-rmcat-remb-03): for senders that know no other feedback.
//!
//! There is no estimator here: what is told is a ceiling that the owner sets. Senders with transport-wide feedback
//! estimate for themselves and need none of this.

use std::time::{Duration, Instant};

use tombolo_net::{Bitrate, Ssrc};
use tombolo_rtp::rtcp;

/// The time between two messages: senders forget an estimate after a few seconds.
const INTERVAL: Duration = Duration::from_secs(1);

/// Tells the senders of a transport a ceiling once a second, and at once when it changes.
#[derive(Clone, Copy, Debug)]
pub struct Writer {
    ceiling: Bitrate,
    next: Option<Instant>,
}

impl Writer {
    /// A writer that tells `ceiling`, for all sources together and with their headers, from `now` on.
    #[must_use]
    pub const fn new(now: Instant, ceiling: Bitrate) -> Self {
        Self { ceiling, next: Some(now) }
    }

    /// Changes the ceiling.
    pub fn set_ceiling(&mut self, now: Instant, ceiling: Bitrate) {
        if self.ceiling != ceiling {
            self.ceiling = ceiling;
            self.next = Some(now);
        }
    }

    /// Appends a message about `sources` when it is due at `now`, and tells whether it did. With no sources there
    /// is nobody to tell.
    pub fn write_feedback(
        &mut self,
        now: Instant,
        sender: Ssrc,
        sources: &[Ssrc],
        out: &mut Vec<u8>,
    ) -> bool {
        if self.next.is_none_or(|next| now < next) {
            return false;
        }
        self.next = Some(now + INTERVAL);
        if sources.is_empty() {
            return false;
        }
        rtcp::write_remb(out, sender, self.ceiling, sources);
        true
    }

    /// When the next message is due.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use tombolo_rtp::rtcp::{Compound, Packet};

    use super::*;
    use crate::test_clock::at;

    fn told(writer: &mut Writer, ms: u64, sources: &[Ssrc]) -> Option<u64> {
        let mut out = Vec::new();
        writer.write_feedback(at(ms), Ssrc(1), sources, &mut out).then(|| {
            let Some(Ok(Packet::Remb(remb))) = Compound::new(&out).next() else { panic!("no REMB") };
            assert!(remb.ssrcs().eq(sources.iter().copied()));
            remb.bitrate.as_bps()
        })
    }

    #[test]
    fn the_ceiling_is_told_each_second_and_when_it_changes() {
        let mut writer = Writer::new(at(0), Bitrate::from_kbps(2000));
        let sources = [Ssrc(5), Ssrc(6)];
        assert_eq!(told(&mut writer, 0, &sources), Some(2_000_000));
        assert_eq!(told(&mut writer, 999, &sources), None);
        assert_eq!(told(&mut writer, 1000, &sources), Some(2_000_000));
        writer.set_ceiling(at(1100), Bitrate::from_kbps(2000));
        assert_eq!(told(&mut writer, 1100, &sources), None);
        writer.set_ceiling(at(1200), Bitrate::from_kbps(500));
        assert_eq!(told(&mut writer, 1200, &sources), Some(500_000));
        assert_eq!(told(&mut writer, 2200, &[]), None);
        assert_eq!(writer.poll_timeout(), Some(at(3200)));
    }
}
