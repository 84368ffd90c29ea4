//! Which of the two messages that tell of every packet is agreed on (RFC 8888 §6).

use tombolo::sdp::{Direction, SessionDescription};
use tombolo::{Feedback, MediaKind, PeerConnection, TransceiverInit};

use crate::text::*;

const CCFB: &str = "a=rtcp-fb:* ack ccfb";

fn preferring(seed: u64) -> PeerConnection {
    connection_with(seed, |config| config.prefer_ccfb(true))
}

fn offering(mut connection: PeerConnection) -> (PeerConnection, SessionDescription) {
    for kind in [MediaKind::Audio, MediaKind::Video] {
        connection.add_transceiver(kind, Direction::SendRecv, &TransceiverInit::default());
    }
    let offer = start(&mut connection);
    (connection, offer)
}

/// What each section has, as `(ccfb, transport_cc)`; the same for all its codecs.
fn agreed(connection: &PeerConnection) -> Vec<(bool, bool)> {
    let of = |feedback: Feedback| (feedback.ccfb, feedback.transport_cc);
    let sections = connection.transceivers().iter().map(|transceiver| {
        let codecs = &transceiver.negotiated().expect("an agreement").codecs;
        assert!(codecs.iter().all(|codec| of(codec.feedback) == of(codecs[0].feedback)));
        of(codecs[0].feedback)
    });
    sections.collect()
}

fn count(text: &str, line: &str) -> usize {
    text.lines().filter(|found| found.trim() == line).count()
}

#[test]
fn it_is_offered_only_when_asked_for() {
    let (_, offer) = offering(connection());
    assert!(!offer.to_string().contains("ccfb"));
    let (_, offer) = offering(preferring(1));
    assert_eq!(count(&offer.to_string(), CCFB), 2, "once a section, for all payload types");
    assert!(offer.to_string().contains("transport-cc"), "who does not know it takes the other");
}

#[test]
fn of_both_the_answerer_keeps_the_one_it_prefers() {
    for (answerer, has_ccfb) in [(connection(), false), (preferring(2), true)] {
        let (mut offerer, offer) = offering(preferring(1));
        let mut answerer = answerer;
        give(&mut answerer, &offer.to_string()).unwrap();
        let answer = settle(&mut answerer).to_string();
        assert_eq!(count(&answer, CCFB), if has_ccfb { 2 } else { 0 });
        assert_eq!(answer.contains("transport-cc"), !has_ccfb, "{answer}");
        give_answer(&mut offerer, &answer).unwrap();
        for side in [&offerer, &answerer] {
            assert_eq!(agreed(side), [(has_ccfb, !has_ccfb); 2]);
        }
        let again = start(&mut offerer).to_string();
        assert_eq!(count(&again, CCFB), if has_ccfb { 2 } else { 0 }, "later offers keep it");
    }
}

#[test]
fn it_is_taken_from_who_offers_nothing_else() {
    let text = offer().replace("a=rtcp-fb:111 transport-cc", CCFB).replace("a=rtcp-fb:96 transport-cc", CCFB);
    let mut connection = connection();
    give(&mut connection, &text).unwrap();
    let answer = settle(&mut connection).to_string();
    assert_eq!((count(&answer, CCFB), agreed(&connection)), (2, vec![(true, false); 2]));
}

/// RTCP-04: an answer cannot bring in what was not offered.
#[test]
fn an_answer_does_not_add_it() {
    let (mut offerer, offer) = offering(connection());
    let answer = answer_of_peer(&offer).to_string();
    give_answer(&mut offerer, &answer.replace("a=rtcp-fb:111 transport-cc", CCFB)).unwrap();
    assert_eq!(agreed(&offerer), [(false, false), (false, true)]);
}
