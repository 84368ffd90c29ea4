//! The offer/answer state machine, from descriptions alone.

use std::fmt::Write as _;

use tombolo::sdp::{Direction, SdpError, SdpReason, SdpType, SessionDescription, Setup};
use tombolo::{DtlsRolePreference, MediaKind, PeerConnection, SignalingState, TransceiverInit, UseError};

use crate::peer::{Peer, config, negotiate, offerer};

const OFFER: &str = include_str!("../data/sdp/chromium156-sendrecv-av-dc-gathered-raw.sdp");
const SIMULCAST: &str = include_str!("../data/sdp/chromium156-simulcast3-vp8.sdp");

fn now() -> std::time::Instant {
    tombolo_netsim::start()
}

fn fresh() -> PeerConnection {
    Peer::new(config(2), 2).pc
}

/// What a fresh connection says to an offer, without sending anything of its own.
fn answer_to(text: &str) -> Result<SessionDescription, SdpError> {
    let mut pc = fresh();
    pc.set_remote_description(now(), SessionDescription::offer(text)?)?;
    let answer = pc.create_answer().unwrap();
    pc.set_local_description(now(), &answer).unwrap();
    Ok(answer)
}

/// The line number of the first line that begins so.
fn line_of(text: &str, start: &str) -> u32 {
    text.lines().position(|line| line.starts_with(start)).map_or(0, |index| index as u32 + 1)
}

fn without(text: &str, start: &str) -> String {
    text.lines().filter(|line| !line.starts_with(start)).fold(String::new(), |mut text, line| {
        let _ = write!(text, "{line}\r\n");
        text
    })
}

/// An offer of ours and the answer of a peer, as text.
fn exchange() -> (PeerConnection, String) {
    let mut a = offerer(config(1)).pc;
    let offer = a.create_offer().unwrap();
    a.set_local_description(now(), &offer).unwrap();
    let answer = answer_to(&offer.to_string()).unwrap();
    (a, answer.to_string())
}

fn apply(pc: &mut PeerConnection, answer: &str) -> Result<(), SdpError> {
    pc.set_remote_description(now(), SessionDescription::answer(answer)?)
}

/// What can be seen of a connection.
fn snapshot(pc: &PeerConnection) -> (SignalingState, String, String) {
    let local = pc.local_description().map(|description| description.to_string()).unwrap_or_default();
    (pc.signaling_state(), format!("{:?}", pc.transceivers()), local)
}

fn refused(answer: &str, expected: SdpReason) {
    let (mut a, _) = exchange();
    let before = snapshot(&a);
    let error = apply(&mut a, answer).unwrap_err();
    assert_eq!(error.reason, expected, "{error}");
    assert!(error.line > 0 && error.line as usize <= answer.lines().count());
    assert_eq!(snapshot(&a), before, "{error}");
}

/// SDP-01, SDP-09: rtcp-mux, fingerprint, credentials and setup must be in an answer.
#[test]
fn sdp_01_sdp_09_what_an_answer_must_have() {
    let (_, answer) = exchange();
    for (start, expected) in [
        ("a=rtcp-mux", SdpReason::RtcpMuxMissing),
        ("a=ice-ufrag", SdpReason::IceCredentialsMissing),
        ("a=ice-pwd", SdpReason::IceCredentialsMissing),
        ("a=fingerprint", SdpReason::FingerprintMissing),
        ("a=setup", SdpReason::SetupMissing),
    ] {
        refused(&without(&answer, start), expected);
    }
    // A bundled section that has none of them itself inherits from the tag.
    let (mut a, answer) = exchange();
    let (first, second) = answer.split_at(answer.rfind("m=video").unwrap());
    let bare = ["a=ice-", "a=fingerprint", "a=setup"]
        .iter()
        .fold(second.to_owned(), |text, start| without(&text, start));
    apply(&mut a, &format!("{first}{bare}")).unwrap();
}

/// SDP-09: what an offer must have.
#[test]
fn sdp_09_what_an_offer_must_have() {
    for (start, expected) in [
        ("a=ice-ufrag", SdpReason::IceCredentialsMissing),
        ("a=ice-pwd", SdpReason::IceCredentialsMissing),
        ("a=fingerprint", SdpReason::FingerprintMissing),
        ("a=setup", SdpReason::SetupMissing),
    ] {
        let error = answer_to(&without(OFFER, start)).unwrap_err();
        assert_eq!((error.line, error.reason), (line_of(OFFER, "m=audio"), expected));
    }
}

/// SDP-02: sections without rtcp-mux are rejected, since there is one port.
#[test]
fn sdp_02_no_mux_is_rejected() {
    let answer = answer_to(&without(OFFER, "a=rtcp-mux")).unwrap();
    assert!(answer.sdp().media.iter().all(tombolo::sdp::Media::is_rejected));
    assert!(!answer.to_string().contains("a=rtcp-mux"));
}

/// SDP-03: offers of this side say that they can do nothing else; a peer must not say it alone. N4: answers don't.
#[test]
fn sdp_03_mux_only() {
    let offer = offerer(config(1)).pc.create_offer().unwrap();
    assert!(offer.sdp().media.iter().all(|media| media.rtcp_mux.is_some() && media.rtcp_mux_only.is_some()));
    let alone = OFFER.replacen("a=rtcp-mux\r\n", "a=rtcp-mux-only\r\n", 1);
    let error = answer_to(&alone).unwrap_err();
    assert_eq!((error.line, error.reason), (line_of(&alone, "a=rtcp-mux-only"), SdpReason::RtcpMuxOnly));
    let both = OFFER.replace("a=rtcp-mux\r\n", "a=rtcp-mux\r\na=rtcp-mux-only\r\n");
    assert!(!answer_to(&both).unwrap().to_string().contains("rtcp-mux-only"));
}

/// SDP-04: a simulcast stream without its rid stops everything.
#[test]
fn sdp_04_simulcast_streams_have_rids() {
    let offer = without(SIMULCAST, "a=rid:h");
    let error = answer_to(&offer).unwrap_err();
    assert_eq!((error.line, error.reason), (line_of(&offer, "a=simulcast"), SdpReason::SimulcastRidMissing));
}

/// SDP-05, SRTP-02, N1: all RTP profiles of RFC 9429 are taken and repeated, and never without a fingerprint.
#[test]
fn sdp_05_profiles() {
    for profile in ["RTP/AVP", "RTP/AVPF", "RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF"] {
        let offer = OFFER.replace("UDP/TLS/RTP/SAVPF", profile);
        let answer = answer_to(&offer).unwrap();
        assert!(
            answer.sdp().media[..2].iter().all(|media| media.protocol == profile && !media.is_rejected())
        );
        let error = answer_to(&without(&offer, "a=fingerprint")).unwrap_err();
        assert_eq!(error.reason, SdpReason::FingerprintMissing);
    }
    let answer = answer_to(&OFFER.replace("UDP/TLS/RTP/SAVPF", "RTP/XYZ")).unwrap();
    assert!(answer.sdp().media.iter().all(tombolo::sdp::Media::is_rejected));
}

/// SDP-06: the 4 × 4 table of directions.
#[test]
fn sdp_06_directions() {
    use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};
    let all = [SendRecv, SendOnly, RecvOnly, Inactive];
    for offered in all {
        for own in all {
            let mut pc = fresh();
            let offer = OFFER.replace("a=sendrecv", &format!("a={}", offered.as_str()));
            pc.set_remote_description(now(), SessionDescription::offer(&offer).unwrap()).unwrap();
            let id = pc.transceivers()[0].id();
            pc.set_direction(id, own).unwrap();
            let answer = pc.create_answer().unwrap();
            let expected =
                Direction::new(own.sends() && offered.receives(), own.receives() && offered.sends());
            assert_eq!(answer.sdp().media[0].direction, expected, "{offered:?} {own:?}");
            pc.set_local_description(now(), &answer).unwrap();
            assert_eq!(pc.transceivers()[0].current_direction(), Some(expected));
        }
    }
}

/// SDP-06: the session version stays while nothing changes, and goes up by one when something does.
#[test]
fn sdp_06_versions() {
    let (mut a, answer) = exchange();
    apply(&mut a, &answer).unwrap();
    let version = |description: &SessionDescription| description.sdp().origin.version.parse::<u64>().unwrap();
    let first = version(&a.local_description().unwrap());
    // The negotiated codecs differ from all that were offered, so the second offer differs; the third does not.
    let second = a.create_offer().unwrap();
    a.set_local_description(now(), &second).unwrap();
    a.set_local_description(now(), &SessionDescription::rollback()).unwrap();
    assert_eq!(version(&a.create_offer().unwrap()), version(&second));
    a.add_transceiver(MediaKind::Audio, Direction::SendOnly, &TransceiverInit::default());
    let more = a.create_offer().unwrap();
    assert_eq!(version(&more), first + 1);
    assert_eq!(more.sdp().origin.session_id, second.sdp().origin.session_id);
}

/// SDP-07: every type of description in every state; what does not fit changes nothing.
#[test]
fn sdp_07_states() {
    let text = SessionDescription::offer(OFFER).unwrap();
    let (_, answer) = exchange();
    let answer = SessionDescription::answer(&answer).unwrap();
    let stable = || Peer::new(config(2), 2).pc;
    let local = || exchange().0;
    let remote = || {
        let mut pc = fresh();
        pc.set_remote_description(now(), text.clone()).unwrap();
        pc
    };
    let wrong = |pc: &mut PeerConnection, description: &SessionDescription| {
        let before = snapshot(pc);
        let error = pc.set_remote_description(now(), description.clone()).unwrap_err();
        assert_eq!(error, SdpError { line: 0, reason: SdpReason::WrongState });
        assert_eq!(snapshot(pc), before);
    };
    wrong(&mut stable(), &answer);
    wrong(&mut stable(), &SessionDescription::rollback());
    wrong(&mut local(), &text);
    wrong(&mut local(), &SessionDescription::rollback());
    wrong(&mut remote(), &answer);
    for (mut pc, kind) in
        [(stable(), SdpType::Rollback), (stable(), SdpType::Answer), (local(), SdpType::Answer)]
    {
        let description = SessionDescription::parse(kind, &answer.to_string()).unwrap();
        let before = snapshot(&pc);
        let error = pc.set_local_description(now(), &description).unwrap_err();
        assert_eq!(error.reason, SdpReason::WrongState);
        assert_eq!(snapshot(&pc), before);
    }
    assert_eq!(remote().create_offer(), Err(UseError::WrongState));
    assert_eq!(local().create_answer(), Err(UseError::WrongState));
    assert_eq!(stable().create_answer(), Err(UseError::WrongState));
    // A description of our own that was not created here, or not last.
    let mut pc = remote();
    let made = pc.create_answer().unwrap();
    let other = SessionDescription::answer(&made.to_string().replace("a=mid:0", "a=mid:9")).unwrap();
    assert_eq!(pc.set_local_description(now(), &other).unwrap_err().reason, SdpReason::NotCreatedHere);
    // A newer offer replaces a pending one.
    pc.set_remote_description(now(), SessionDescription::offer(SIMULCAST).unwrap()).unwrap();
    assert_eq!(pc.transceivers().len(), 1);
}

/// SDP-07: rollback of either side's offer leaves what was before.
#[test]
fn sdp_07_rollback() {
    let (mut a, answer) = exchange();
    apply(&mut a, &answer).unwrap();
    let before = snapshot(&a);
    a.set_remote_description(now(), SessionDescription::offer(&reoffer(&answer)).unwrap()).unwrap();
    assert_eq!(a.signaling_state(), SignalingState::HaveRemoteOffer);
    a.set_remote_description(now(), SessionDescription::rollback()).unwrap();
    assert_eq!(snapshot(&a), before);
    let offer = a.create_offer().unwrap();
    a.set_local_description(now(), &offer).unwrap();
    a.set_local_description(now(), &SessionDescription::rollback()).unwrap();
    assert_eq!(snapshot(&a), before);
}

/// SDP-07: an offer that is refused at any line leaves all as it was.
#[test]
fn sdp_07_a_refused_offer_changes_nothing() {
    let (mut a, answer) = exchange();
    apply(&mut a, &answer).unwrap();
    let before = snapshot(&a);
    let offer = reoffer(&answer);
    let mut refused = 0;
    for index in 0..offer.lines().count() {
        let lines: Vec<&str> =
            offer.lines().enumerate().filter(|&(at, _)| at != index).map(|(_, line)| line).collect();
        let result = SessionDescription::offer(&lines.join("\r\n"))
            .and_then(|offer| a.set_remote_description(now(), offer));
        if result.is_ok() {
            a.set_remote_description(now(), SessionDescription::rollback()).unwrap();
        } else {
            refused += 1;
        }
        assert_eq!(snapshot(&a), before, "without line {}", index + 1);
    }
    assert!(refused >= 5, "{refused}");
}

/// The peer's answer as its next offer.
fn reoffer(answer: &str) -> String {
    answer.replace("a=setup:active", "a=setup:actpass")
}

/// SDP-10: when the tagged section is rejected, tag and transport move to the next.
#[test]
fn sdp_10_the_tag_moves() {
    // No codec of the first section is known.
    let offer = OFFER.replace("opus/48000/2", "strange/48000/2");
    let answer = answer_to(&offer).unwrap();
    let sdp = answer.sdp();
    assert!(sdp.media[0].is_rejected());
    assert_eq!(sdp.bundle().unwrap().value.mids, ["1"]);
    assert!(sdp.media[1].transport.ice_ufrag.is_some() && sdp.media[0].transport.ice_ufrag.is_none());
    assert!(!sdp.media[1].candidates.is_empty() && sdp.media[0].candidates.is_empty());
    assert!(!answer.to_string().contains("a=rtcp:"));
}

/// SDP-11: an answer's bundle group stays within the offer's, and holds all that is accepted.
#[test]
fn sdp_11_bundle_of_an_answer() {
    let (_, answer) = exchange();
    refused(&answer.replace("a=group:BUNDLE 0 1", "a=group:BUNDLE 0 1 7"), SdpReason::BundleNotOffered);
    refused(&answer.replace("a=group:BUNDLE 0 1", "a=group:BUNDLE 0"), SdpReason::NotBundled);
}

/// SDP-09: an answer has the sections of the offer, with their protocols.
#[test]
fn sdp_09_sections_of_an_answer() {
    let (_, answer) = exchange();
    refused(&answer[..answer.find("m=video").unwrap()], SdpReason::MediaSectionMismatch);
    refused(&answer.replace("m=video", "m=text"), SdpReason::MediaSectionMismatch);
    refused(&answer.replace("a=mid:1", "a=mid:2"), SdpReason::MediaSectionMismatch);
    refused(&answer.replacen("UDP/TLS/RTP/SAVPF", "RTP/SAVPF", 1), SdpReason::ProtocolMismatch);
    refused(&answer.replace("opus/48000/2", "PCMU/8000"), SdpReason::CodecNotOffered);
    refused(&answer.replace("a=extmap:1 ", "a=extmap:9 "), SdpReason::ExtmapNotOffered);
}

/// SDP-06: an answer may not send what the offer does not receive.
#[test]
fn sdp_06_direction_of_an_answer() {
    let mut a = Peer::new(config(1), 1).pc;
    a.add_transceiver(MediaKind::Audio, Direction::SendOnly, &TransceiverInit::default());
    let offer = a.create_offer().unwrap();
    a.set_local_description(now(), &offer).unwrap();
    let answer = answer_to(&offer.to_string()).unwrap().to_string();
    assert!(answer.contains("a=recvonly"));
    let error = apply(&mut a, &answer.replace("a=recvonly", "a=sendrecv")).unwrap_err();
    assert_eq!(error.reason, SdpReason::DirectionMismatch);
    apply(&mut a, &answer).unwrap();
}

/// SDP-12: an answer may leave streams out, and adds none; without simulcast one encoding is left.
#[test]
fn sdp_12_simulcast_in_answers() {
    let offered = || {
        let mut a = Peer::new(config(1), 1).pc;
        let rids = ["a", "b", "c"].map(|rid| rid.parse().unwrap()).to_vec();
        let init = TransceiverInit { send_rids: rids, ..TransceiverInit::default() };
        a.add_transceiver(MediaKind::Video, Direction::SendOnly, &init);
        let offer = a.create_offer().unwrap();
        a.set_local_description(now(), &offer).unwrap();
        (a, offer.to_string())
    };
    let (mut a, offer) = offered();
    assert!(offer.contains("a=rid:b send\r\n") && offer.contains("a=simulcast:send a;b;c\r\n"));
    let answer = answer_to(&offer).unwrap().to_string();
    assert!(answer.contains("a=rid:b recv\r\n") && answer.contains("a=simulcast:recv a;b;c\r\n"));
    let fewer = answer.replace("recv a;b;c", "recv a;c");
    apply(&mut a, &fewer).unwrap();
    let rids: Vec<String> =
        a.transceivers()[0].negotiated().unwrap().send_rids.iter().map(ToString::to_string).collect();
    assert_eq!(rids, ["a", "c"]);

    let (mut a, _) = offered();
    let more = answer.replace("a=rid:b", "a=rid:z").replace("a;b;c", "a;z;c");
    assert_eq!(apply(&mut a, &more).unwrap_err().reason, SdpReason::SimulcastNotOffered);
    let none = without(&without(&answer, "a=rid"), "a=simulcast");
    apply(&mut a, &none).unwrap();
    assert!(a.transceivers()[0].negotiated().unwrap().send_rids.is_empty());
}

/// SDP-12: a paused stream is answered without the tilde, duplicates count once, and no more than the limit are taken.
#[test]
fn sdp_12_paused_and_too_many_streams() {
    let answer = answer_to(&SIMULCAST.replace("q;h;f", "q;~h;f")).unwrap().to_string();
    assert!(answer.contains("a=simulcast:recv q;h;f\r\n"));
    let answer = answer_to(&SIMULCAST.replace("send q;h;f", "send q;h;h;f")).unwrap().to_string();
    assert!(answer.contains("a=simulcast:recv q;h;f\r\n"));
    let mut pc = Peer::new(config(2).max_rids(2), 2).pc;
    pc.set_remote_description(now(), SessionDescription::offer(SIMULCAST).unwrap()).unwrap();
    assert!(pc.create_answer().unwrap().to_string().contains("a=simulcast:recv q;h\r\n"));
}

/// SDP-13: a group with a member that is not announced is ignored, and our SSRCs are none of the peer's.
#[test]
fn sdp_13_ssrcs() {
    let ffmpeg = include_str!("../data/sdp/ffmpeg-whip-offer-h264-opus.sdp");
    let mut pc = fresh();
    pc.set_remote_description(now(), SessionDescription::offer(ffmpeg).unwrap()).unwrap();
    let answer = pc.create_answer().unwrap();
    pc.set_local_description(now(), &answer).unwrap();
    let video = pc.transceivers()[1].negotiated().unwrap();
    assert_eq!(video.remote_ssrcs.len(), 1);
    assert_eq!(video.remote_ssrcs[0].repairs, None);
    // The peer announces the very SSRC that this side would have drawn.
    let mut pc = fresh();
    pc.set_remote_description(now(), SessionDescription::offer(OFFER).unwrap()).unwrap();
    let own = pc.transceivers()[0].encodings()[0].ssrc;
    let clash = OFFER.replace("1046415011", &own.to_string());
    let mut pc = fresh();
    pc.set_remote_description(now(), SessionDescription::offer(&clash).unwrap()).unwrap();
    assert_ne!(pc.transceivers()[0].encodings()[0].ssrc, own);
}

/// DTLS-03, DTLS-05: offers say actpass; other values are answered with their opposite; the answer decides.
#[test]
fn dtls_03_dtls_05_roles() {
    let setup = |text: &str| answer_to(text).unwrap().sdp().media[0].transport.setup.map(|setup| setup.value);
    assert_eq!(setup(OFFER), Some(Setup::Active));
    assert_eq!(setup(&OFFER.replace("actpass", "active")), Some(Setup::Passive));
    assert_eq!(setup(&OFFER.replace("actpass", "passive")), Some(Setup::Active));
    let mut pc = Peer::new(config(2).dtls_role(DtlsRolePreference::Passive), 2).pc;
    pc.set_remote_description(now(), SessionDescription::offer(OFFER).unwrap()).unwrap();
    assert!(pc.create_answer().unwrap().to_string().contains("a=setup:passive"));
    for role in ["active", "passive"] {
        let (mut a, answer) = exchange();
        apply(&mut a, &answer.replace("a=setup:active", &format!("a=setup:{role}"))).unwrap();
        assert!(a.create_offer().unwrap().to_string().contains("a=setup:actpass"));
    }
}

/// DTLS-03: after either role the answer to a later offer keeps it, and an offer that would change it is refused.
#[test]
fn dtls_03_the_live_role_stays() {
    let (mut a, answer) = exchange();
    // The peer is the client.
    apply(&mut a, &answer).unwrap();
    let again = |a: &mut PeerConnection, setup: &str| {
        let offer = answer.replace("a=setup:active", &format!("a=setup:{setup}"));
        a.set_remote_description(now(), SessionDescription::offer(&offer).unwrap())?;
        let answer = a.create_answer().unwrap();
        a.set_local_description(now(), &answer).unwrap();
        Ok::<_, SdpError>(answer.to_string())
    };
    assert!(again(&mut a, "actpass").unwrap().contains("a=setup:passive"));
    assert!(again(&mut a, "active").unwrap().contains("a=setup:passive"));
    assert_eq!(again(&mut a, "passive").unwrap_err().reason, SdpReason::SetupChanged);
}

/// DTLS-04: holdconn, unknown values, none, and actpass in an answer.
#[test]
fn dtls_04_setup_values() {
    let (_, answer) = exchange();
    for value in ["holdconn", "foo", ""] {
        let text = answer.replace("a=setup:active", &format!("a=setup:{value}"));
        assert_eq!(SessionDescription::answer(&text).unwrap_err().reason, SdpReason::Setup);
    }
    refused(&answer.replace("a=setup:active", "a=setup:actpass"), SdpReason::SetupAnswer);
    refused(&without(&answer, "a=setup"), SdpReason::SetupMissing);
}

/// DTLS-07, N3: offers carry one tls-id and repeat it; it changes only with a new association; no answer has one
/// when none was offered.
#[test]
fn dtls_07_tls_id() {
    let (mut a, answer) = exchange();
    let tls_id = |text: &str| text.lines().find(|line| line.starts_with("a=tls-id:")).map(str::to_owned);
    let offered = tls_id(&a.local_description().unwrap().to_string()).unwrap();
    assert!(offered.len() >= "a=tls-id:".len() + 20);
    let theirs = tls_id(&answer).unwrap();
    apply(&mut a, &answer).unwrap();
    assert_eq!(tls_id(&a.create_offer().unwrap().to_string()), Some(offered));
    let changed = reoffer(&answer).replace(&theirs, "a=tls-id:anotheranotheranother");
    let error = a.set_remote_description(now(), SessionDescription::offer(&changed).unwrap()).unwrap_err();
    assert_eq!((error.line, error.reason), (line_of(&changed, "a=tls-id"), SdpReason::TlsIdChanged));
    assert_eq!(tls_id(&answer_to(OFFER).unwrap().to_string()), None);
}

/// DTLS-11: weak hash functions alone are refused, names are read in any case, a section's own fingerprint counts.
#[test]
fn dtls_11_fingerprints() {
    let weak = OFFER.lines().map(|line| match line.strip_prefix("a=fingerprint:sha-256 ") {
        Some(hash) => format!("a=fingerprint:md5 {}", &hash[..16 * 3 - 1]),
        None => line.to_owned(),
    });
    let weak: Vec<String> = weak.collect();
    let error = answer_to(&weak.join("\n")).unwrap_err();
    assert_eq!((error.line, error.reason), (line_of(OFFER, "a=fingerprint"), SdpReason::FingerprintHash));
    answer_to(&OFFER.replace("a=fingerprint:sha-256", "a=fingerprint:SHA-256")).unwrap();
    // The session's one is malformed in a way that only its hash function shows; the sections' own ones count.
    let session = OFFER.replacen("t=0 0\r\n", "t=0 0\r\na=fingerprint:foo 00\r\n", 1);
    answer_to(&session).unwrap();
    let only_session = without(&session, "a=fingerprint:sha-256");
    assert_eq!(answer_to(&only_session).unwrap_err().reason, SdpReason::FingerprintHash);
}

/// DTLS-06: another certificate on a live connection is refused.
#[test]
fn dtls_06_a_fingerprint_does_not_change() {
    let (mut a, answer) = exchange();
    apply(&mut a, &answer).unwrap();
    let changed: Vec<String> = reoffer(&answer)
        .lines()
        .map(|line| match line.strip_prefix("a=fingerprint:sha-256 ") {
            Some(hash) => format!("a=fingerprint:sha-256 {}:00", &hash[3..]),
            None => line.to_owned(),
        })
        .collect();
    let offer = SessionDescription::offer(&changed.join("\n")).unwrap();
    assert_eq!(a.set_remote_description(now(), offer).unwrap_err().reason, SdpReason::FingerprintChanged);
}

/// ICE-04: the same credentials change nothing, one of the two is an error, and both are a restart.
#[test]
fn ice_04_changed_credentials() {
    let (mut a, answer) = exchange();
    apply(&mut a, &answer).unwrap();
    let credentials = a.local_ice_credentials().clone();
    let line = |start: &str| answer.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
    let offer = reoffer(&answer);
    let ufrag = offer.replace(&line("a=ice-ufrag"), "a=ice-ufrag:other");
    let pwd = offer.replace(&line("a=ice-pwd"), "a=ice-pwd:anotherpasswordthatislong");
    let both = ufrag.replace(&line("a=ice-pwd"), "a=ice-pwd:anotherpasswordthatislong");
    for text in [&ufrag, &pwd] {
        let offer = SessionDescription::offer(text).unwrap();
        let error = a.set_remote_description(now(), offer).unwrap_err();
        assert_eq!(error.reason, SdpReason::IceHalfRestart);
    }
    for (text, restarts) in [(&both, true), (&offer, false)] {
        a.set_remote_description(now(), SessionDescription::offer(text).unwrap()).unwrap();
        assert_eq!(a.local_ice_credentials() != &credentials, restarts);
    }
}

/// ICE-06: ice-lite does not appear or go without a restart.
#[test]
fn ice_06_lite_does_not_change() {
    let (mut a, answer) = exchange();
    apply(&mut a, &answer).unwrap();
    let lite = reoffer(&answer).replace("t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n");
    let error = a.set_remote_description(now(), SessionDescription::offer(&lite).unwrap()).unwrap_err();
    assert_eq!((error.line, error.reason), (line_of(&lite, "a=ice-lite"), SdpReason::IceLiteChanged));
}

/// ICE-08: a peer that saw a mismatch has no ICE with us.
#[test]
fn ice_08_mismatch_in_an_answer() {
    let (_, answer) = exchange();
    refused(&answer.replace("a=ice-options", "a=ice-mismatch\r\na=ice-options"), SdpReason::IceMismatch);
}

/// ICE-09: both tokens are declared, in offers and answers.
#[test]
fn ice_09_options() {
    let (a, answer) = exchange();
    for text in [a.local_description().unwrap().to_string(), answer] {
        assert!(text.contains("a=ice-options:trickle ice2\r\n"));
    }
}

/// ICE-12, N2: a default destination that is none of the candidates is told, and fails nothing.
#[test]
fn ice_12_default_destinations() {
    let mismatch = |address: &str, port: &str| {
        let offer = OFFER.replace("c=IN IP4 192.0.2.2", &format!("c=IN {address}"));
        let offer = offer.replace("m=audio 40424", &format!("m=audio {port}"));
        let mut pc = fresh();
        pc.set_remote_description(now(), SessionDescription::offer(&offer).unwrap()).unwrap();
        let answer = pc.create_answer().unwrap();
        pc.set_local_description(now(), &answer).unwrap();
        pc.stats().ice_mismatch
    };
    assert!(mismatch("IP4 192.0.2.9", "5000"));
    assert!(!mismatch("IP4 192.0.2.2", "40424"));
    assert!(!mismatch("IP4 0.0.0.0", "9"));
    assert!(!mismatch("IP6 ::", "9"));
    assert!(!mismatch("IP4 host.example", "5000"));
}

/// RTP-07: the MID extension stands in every section, with one id, in offers and answers.
#[test]
fn rtp_07_mid_everywhere() {
    let (a, answer) = exchange();
    for text in [a.local_description().unwrap().to_string(), answer] {
        let uri = "urn:ietf:params:rtp-hdrext:sdes:mid";
        assert_eq!(text.matches(&format!("a=extmap:1 {uri}\r\n")).count(), 2);
    }
}

/// RTP-09: payload types that look like RTCP are not accepted, and never offered.
#[test]
fn rtp_09_payload_types() {
    let vp8 = "m=video 9 UDP/TLS/RTP/SAVPF 96 97";
    let text = SIMULCAST.replace(vp8, "m=video 9 UDP/TLS/RTP/SAVPF 72 97");
    let text = text.replace(":96 ", ":72 ").replace("apt=96", "apt=72");
    assert!(answer_to(&text).unwrap().sdp().media[0].is_rejected());
    let offer = offerer(config(1)).pc.create_offer().unwrap();
    let formats = offer.sdp().media.iter().flat_map(|media| &media.formats);
    assert!(formats.map(|format| format.parse::<u8>().unwrap()).all(|number| !(64..=95).contains(&number)));
}

/// RTP-12: extension ids are the offerer's; ids beyond the one-byte form need `extmap-allow-mixed`.
#[test]
fn rtp_12_extension_ids() {
    let twcc = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
    let answer = answer_to(OFFER).unwrap().to_string();
    assert_eq!(answer.matches(&format!("a=extmap:3 {twcc}\r\n")).count(), 2);
    let seven = OFFER.replace("a=extmap:7 ", "a=extmap:12 ").replace("a=extmap:3 ", "a=extmap:7 ");
    assert_eq!(answer_to(&seven).unwrap().to_string().matches(&format!("a=extmap:7 {twcc}\r\n")).count(), 2);
    for (id, mixed, taken) in [(15, true, false), (16, true, true), (16, false, false)] {
        let text = OFFER.replace("a=extmap:3 ", &format!("a=extmap:{id} "));
        let text = if mixed { text } else { without(&text, "a=extmap-allow-mixed") };
        let answer = answer_to(&text).unwrap().to_string();
        assert_eq!(answer.contains(twcc), taken, "id {id}, mixed {mixed}");
    }
}

/// RTP-13: one payload type for two codecs in one bundle.
#[test]
fn rtp_13_payload_type_conflicts() {
    let text = OFFER.replace("111", "96");
    let error = answer_to(&text).unwrap_err();
    assert_eq!(
        (error.line, error.reason),
        (line_of(&text, "a=rtpmap:96 VP8"), SdpReason::PayloadTypeConflict)
    );
}

/// RTX-02: an RTX format without a sensible `apt` is dropped, and its primary kept.
#[test]
fn rtx_02_apt() {
    for (from, to) in [
        ("a=fmtp:97 apt=96\r\n", ""),
        ("a=fmtp:97 apt=96", "a=fmtp:97 apt=50"),
        ("a=fmtp:97 apt=96", "a=fmtp:97 apt=x"),
        ("a=rtpmap:97 rtx/90000", "a=rtpmap:97 rtx/8000"),
    ] {
        let answer = answer_to(&SIMULCAST.replace(from, to)).unwrap();
        assert_eq!(answer.sdp().media[0].formats, ["96"], "{to}");
    }
    assert_eq!(answer_to(SIMULCAST).unwrap().sdp().media[0].formats, ["96", "97"]);
}

/// RTCP-03, RTCP-04, RTCP-05: feedback and reduced size are what was offered, the wildcard included, and no more.
#[test]
fn rtcp_03_rtcp_04_rtcp_05_feedback() {
    let none = without(&without(SIMULCAST, "a=rtcp-fb"), "a=rtcp-rsize");
    let answer = answer_to(&none).unwrap().to_string();
    assert!(!answer.contains("a=rtcp-fb") && !answer.contains("a=rtcp-rsize"));
    let wildcard = format!("{none}a=rtcp-fb:* nack pli\r\na=rtcp-fb:* x-strange\r\n");
    let answer = answer_to(&wildcard).unwrap().to_string();
    assert_eq!(answer.matches("a=rtcp-fb").count(), 1);
    assert!(answer.contains("a=rtcp-fb:96 nack pli\r\n"));
    assert!(answer_to(SIMULCAST).unwrap().to_string().contains("a=rtcp-rsize"));
}

/// What is negotiated survives the way over text, both ways round.
#[test]
fn both_sides_agree_on_the_same() {
    let (mut a, mut b) = (offerer(config(1)), Peer::new(config(2), 2));
    negotiate(now(), &mut a, &mut b);
    for (a, b) in a.pc.transceivers().iter().zip(b.pc.transceivers()) {
        assert_eq!((a.kind(), a.mid(), a.current_direction()), (b.kind(), b.mid(), b.current_direction()));
        let (a, b) = (a.negotiated().unwrap(), b.negotiated().unwrap());
        assert_eq!((&a.codecs, &a.extensions, a.reduced_size), (&b.codecs, &b.extensions, b.reduced_size));
        assert!(!a.remote_ssrcs.is_empty() && !a.remote_streams.is_empty());
    }
}
