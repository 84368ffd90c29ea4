//! The sending side: which of the requests that come in ask for a new keyframe.

use std::time::{Duration, Instant};

use tombolo_net::Ssrc;

/// How many requesters' FIR numbers are remembered; of more, the one silent for longest is forgotten.
const MAX_REQUESTERS: usize = 16;
/// An unanswered request is believed lost on the way to the encoder after this time, and the next one counts.
const UNANSWERED: Duration = Duration::from_secs(1);
/// The round trip that is assumed before one is measured.
const INITIAL_RTT: Duration = Duration::from_millis(50);
/// The longest time for which a request is taken for one that the last keyframe has answered.
const MAX_ANSWERED: Duration = Duration::from_millis(500);

/// Tells repeated requests for a keyframe of one outgoing stream from new ones. Holds at most 16 requesters.
#[derive(Clone, Debug, Default)]
pub struct Handler {
    pending: Option<Instant>,
    answered: Option<Instant>,
    rtt: Option<Duration>,
    /// The last FIR number of each requester, the latest requester last.
    fir: Vec<(Ssrc, u8)>,
    plis: u64,
    firs: u64,
}

impl Handler {
    /// A handler that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells the round-trip time: a picture loss told within it after a keyframe was sent was told before that
    /// keyframe arrived.
    pub fn set_rtt(&mut self, rtt: Duration) {
        self.rtt = Some(rtt);
    }

    /// A PLI for the stream came in. Whether a keyframe is to be made: not while one is under way already.
    pub fn on_pli(&mut self, now: Instant) -> bool {
        self.plis += 1;
        let under_way = self.pending.is_some_and(|since| now.saturating_duration_since(since) < UNANSWERED);
        let rtt = self.rtt.unwrap_or(INITIAL_RTT).min(MAX_ANSWERED);
        let answered = self.answered.is_some_and(|sent| now.saturating_duration_since(sent) < rtt);
        if under_way || answered {
            return false;
        }
        self.pending = Some(now);
        true
    }

    /// A FIR entry for the stream came in from `requester` with this command number. Whether it is a new command,
    /// for which a keyframe is to be made; a repeated number is not (RFC 5104 §4.3.1.2).
    pub fn on_fir(&mut self, now: Instant, requester: Ssrc, number: u8) -> bool {
        self.firs += 1;
        let known = self.fir.iter().position(|&(ssrc, _)| ssrc == requester);
        let repeated = known.is_some_and(|index| self.fir[index].1 == number);
        if let Some(index) = known {
            self.fir.remove(index);
        } else if self.fir.len() == MAX_REQUESTERS {
            self.fir.remove(0);
        }
        self.fir.push((requester, number));
        if !repeated {
            self.pending = Some(now);
        }
        !repeated
    }

    /// A keyframe of the stream goes out.
    pub fn on_keyframe_sent(&mut self, now: Instant) {
        self.pending = None;
        self.answered = Some(now);
    }

    /// How many PLIs came in.
    #[must_use]
    pub const fn plis(&self) -> u64 {
        self.plis
    }

    /// How many FIR entries came in.
    #[must_use]
    pub const fn firs(&self) -> u64 {
        self.firs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_clock::at;

    #[test]
    fn repeated_picture_losses_are_one_request() {
        let mut handler = Handler::new();
        handler.set_rtt(Duration::from_millis(40));
        assert!(handler.on_pli(at(0)));
        assert!(!handler.on_pli(at(10)), "under way");
        handler.on_keyframe_sent(at(30));
        assert!(!handler.on_pli(at(69)), "told before the keyframe arrived");
        assert!(handler.on_pli(at(70)), "the keyframe itself was lost");
        assert!(!handler.on_pli(at(1069)));
        assert!(handler.on_pli(at(1070)), "nobody answered");
        assert_eq!(handler.plis(), 6);
    }

    /// RTCP-09: commands 5, 5, 6 are two keyframes; 255 → 0 is new; each requester counts for itself.
    #[test]
    fn fir_numbers_tell_commands_apart() {
        let mut handler = Handler::new();
        let fir = |handler: &mut Handler, ssrc, number| handler.on_fir(at(0), Ssrc(ssrc), number);
        assert!(fir(&mut handler, 1, 5));
        assert!(!fir(&mut handler, 1, 5));
        assert!(fir(&mut handler, 1, 6));
        assert!(fir(&mut handler, 2, 6));
        assert!(fir(&mut handler, 1, 255));
        assert!(fir(&mut handler, 1, 0));
        assert!(!fir(&mut handler, 1, 0));
    }

    #[test]
    fn a_crowd_of_requesters_is_bounded() {
        let mut handler = Handler::new();
        for ssrc in 0..10_000 {
            handler.on_fir(at(0), Ssrc(ssrc), 1);
        }
        assert_eq!(handler.fir.len(), MAX_REQUESTERS);
        assert!(!handler.on_fir(at(0), Ssrc(9_999), 1));
    }
}
