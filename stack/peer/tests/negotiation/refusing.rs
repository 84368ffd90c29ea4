//! What is refused: the line is named, and nothing has changed.

use tombolo::sdp::{Direction, SdpReason, SessionDescription};
use tombolo::{MediaKind, PeerConnection, SignalingState, TransceiverInit, UseError};

use crate::text::*;

/// Gives `text` to a fresh connection and to one in a call: both refuse it for `reason` at the line that starts with
/// `line`, and are as before.
fn refused(text: &str, line: &str, reason: SdpReason) {
    let mut fresh = connection();
    let before = snapshot(&fresh);
    let error = give(&mut fresh, text).expect_err(line);
    assert_eq!((error.line, error.reason), (line_of(text, line), reason));
    assert_eq!(snapshot(&fresh), before);

    let mut in_call = connection();
    give(&mut in_call, &offer()).expect("a good offer");
    settle(&mut in_call);
    let before = snapshot(&in_call);
    give(&mut in_call, text).expect_err(line);
    assert_eq!(snapshot(&in_call), before);
}

/// SDP-09, SRTP-02: no credentials, role or fingerprint, no session: the section that lacks them is named.
#[test]
fn missing_transport_attributes_are_refused() {
    refused(&without(&offer(), "a=ice-ufrag"), "m=audio", SdpReason::IceCredentialsMissing);
    refused(&without(&offer(), "a=ice-pwd"), "m=audio", SdpReason::IceCredentialsMissing);
    refused(&without(&offer(), "a=setup"), "m=audio", SdpReason::SetupMissing);
    refused(&without(&offer(), "a=fingerprint"), "m=audio", SdpReason::FingerprintMissing);
}

/// SRTP-02: media in the clear is refused whatever the protocol is called, also beside a section that is protected.
#[test]
fn media_in_the_clear_is_refused() {
    for protocol in ["RTP/AVP", "RTP/AVPF", "RTP/SAVP", "UDP/TLS/RTP/SAVPF"] {
        let text = with(&without(&offer(), "a=fingerprint"), "UDP/TLS/RTP/SAVPF", protocol);
        let error = give(&mut connection(), &text).unwrap_err();
        assert_eq!(error.reason, SdpReason::FingerprintMissing, "{protocol}");
    }
    let clear = with(AUDIO, "UDP/TLS/RTP/SAVPF", "RTP/AVP");
    let unbundled = with(HEAD, "a=group:BUNDLE 0 1\n", "");
    let text = format!("{unbundled}{VIDEO}{TRANSPORT}{clear}");
    let error = give(&mut connection(), &text).unwrap_err();
    assert_eq!((error.line, error.reason), (line_of(&text, "m=audio"), SdpReason::FingerprintMissing));
    let sdes = with(
        &without(&offer(), "a=fingerprint"),
        "a=setup:actpass",
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd\na=setup:actpass",
    );
    assert!(give(&mut connection(), &sdes).is_err(), "keys in the description are no protection");
}

/// DTLS-04: roles that DTLS does not have.
#[test]
fn strange_roles_are_refused() {
    for role in ["holdconn", "foo", ""] {
        refused(&with(&offer(), "setup:actpass", &format!("setup:{role}")), "a=setup", SdpReason::Setup);
    }
}

/// DTLS-11: weak and unknown hash functions alone are refused.
#[test]
fn weak_fingerprints_are_refused() {
    let md5 = format!("a=fingerprint:md5 {}00", "00:".repeat(15));
    let weak =
        without(&offer(), "a=fingerprint").replace("a=setup:actpass", &format!("{md5}\na=setup:actpass"));
    refused(&weak, "a=fingerprint", SdpReason::FingerprintHash);
}

/// SDP-04: a simulcast stream without `a=rid`.
#[test]
fn simulcast_needs_its_rids() {
    let lines = "a=fmtp:97 apt=96\na=rid:a send\na=simulcast:send a;b\n";
    refused(&with(&offer(), "a=fmtp:97 apt=96\n", lines), "a=simulcast", SdpReason::SimulcastRidMissing);
}

/// SDP-03: a peer that can only mux must also offer to.
#[test]
fn rtcp_mux_only_needs_rtcp_mux() {
    let audio = with(AUDIO, "a=rtcp-mux", "a=rtcp-mux-only");
    let text = format!("{HEAD}{audio}{TRANSPORT}{VIDEO}{TRANSPORT}");
    refused(&text, "a=rtcp-mux-only", SdpReason::RtcpMuxOnly);
}

/// SDP-11: a mid stands once, and in one group.
#[test]
fn mids_are_unique_and_in_one_group() {
    let twice = with(&offer(), "a=mid:1", "a=mid:0");
    let error = give(&mut connection(), &twice).unwrap_err();
    assert_eq!((error.line, error.reason), (line_of(&offer(), "a=mid:1"), SdpReason::DuplicateMid));
    let groups = with(&offer(), "a=group:BUNDLE 0 1\n", "a=group:BUNDLE 0 1\na=group:BUNDLE 1\n");
    refused(&groups, "a=group:BUNDLE 1", SdpReason::MidInTwoGroups);
}

/// ICE-04: one half of the credentials alone is no restart.
#[test]
fn credentials_change_together_or_not_at_all() {
    let mut connection = connection();
    give(&mut connection, &offer()).unwrap();
    settle(&mut connection);
    let before = snapshot(&connection);
    let new_ufrag = with(&offer(), "ufrag:abcd", "ufrag:efgh");
    assert_eq!(give(&mut connection, &new_ufrag).unwrap_err().reason, SdpReason::IceHalfRestart);
    let new_pwd = with(&offer(), "0123456789012345678901", "1123456789012345678901");
    assert_eq!(give(&mut connection, &new_pwd).unwrap_err().reason, SdpReason::IceHalfRestart);
    assert_eq!(snapshot(&connection), before);
    give(&mut connection, &offer()).expect("the same again is nothing new");
}

/// ICE-06: `ice-lite` does not come or go on a live session.
#[test]
fn ice_lite_does_not_change_under_a_session() {
    let mut connection = connection();
    give(&mut connection, &offer()).unwrap();
    settle(&mut connection);
    let before = snapshot(&connection);
    let lite = with(&offer(), "t=0 0\n", "t=0 0\na=ice-lite\n");
    let error = give(&mut connection, &lite).unwrap_err();
    assert_eq!((error.line, error.reason), (line_of(&lite, "a=ice-lite"), SdpReason::IceLiteChanged));
    assert_eq!(snapshot(&connection), before);
}

/// DTLS-06, DTLS-07: fingerprint, role and `tls-id` do not change on a live association.
#[test]
fn the_association_does_not_change_under_a_session() {
    let offer = with(&offer(), "a=setup:actpass", "a=tls-id:abcdefghijklmnopqrst\na=setup:actpass");
    for (from, to, reason) in [
        ("sha-256 00:", "sha-256 01:", SdpReason::FingerprintChanged),
        ("tls-id:abc", "tls-id:xyz", SdpReason::TlsIdChanged),
    ] {
        let mut connection = connection();
        give(&mut connection, &offer).unwrap();
        settle(&mut connection);
        let before = snapshot(&connection);
        assert_eq!(give(&mut connection, &with(&offer, from, to)).unwrap_err().reason, reason);
        assert_eq!(snapshot(&connection), before);
    }
}

/// A connection that has offered a microphone and a camera, the offer, and a peer's good answer.
fn offered() -> (PeerConnection, String) {
    let mut connection = connection();
    connection.add_transceiver(MediaKind::Audio, Direction::SendRecv, &TransceiverInit::default());
    connection.add_transceiver(MediaKind::Video, Direction::SendRecv, &TransceiverInit::default());
    let offer = start(&mut connection);
    let answer = answer_of_peer(&offer).to_string().replace("\r\n", "\n");
    (connection, answer)
}

/// SDP-01, SDP-09, SDP-11, DTLS-04, ICE-08, RTCP-04: answers that do not fit the offer, each with its reason; the good
/// one is taken after all of them.
#[test]
fn answers_that_do_not_fit_are_refused() {
    let (mut connection, good) = offered();
    let before = snapshot(&connection);
    let replaced_first = |from: &str, to: &str| {
        assert!(good.contains(from), "{from} is not in the answer");
        good.replacen(from, to, 1)
    };
    let role = if good.contains("a=setup:active") { "a=setup:active" } else { "a=setup:passive" };
    let last_section = good.rfind("m=video").expect("a second section");
    let cases = [
        (replaced_first("a=rtcp-mux\n", ""), SdpReason::RtcpMuxMissing),
        (
            good.lines()
                .filter(|line| !line.starts_with("a=ice-pwd"))
                .map(|line| format!("{line}\n"))
                .collect(),
            SdpReason::IceCredentialsMissing,
        ),
        (
            good.lines()
                .filter(|line| !line.starts_with("a=fingerprint"))
                .map(|line| format!("{line}\n"))
                .collect(),
            SdpReason::FingerprintMissing,
        ),
        (good.replace(&format!("{role}\n"), ""), SdpReason::SetupMissing),
        (replaced_first(role, "a=setup:actpass"), SdpReason::SetupAnswer),
        (replaced_first(role, &format!("a=ice-mismatch\n{role}")), SdpReason::IceMismatch),
        (replaced_first("BUNDLE 0 1", "BUNDLE 0 1 9"), SdpReason::BundleNotOffered),
        (replaced_first("BUNDLE 0 1", "BUNDLE 0"), SdpReason::NotBundled),
        (replaced_first("m=audio", "m=video"), SdpReason::MediaSectionMismatch),
        (replaced_first("UDP/TLS/RTP/SAVPF", "RTP/SAVPF"), SdpReason::ProtocolMismatch),
        (good[..last_section].to_owned(), SdpReason::MediaSectionMismatch),
    ];
    for (text, reason) in cases {
        let error = give_answer(&mut connection, &text).expect_err("a bad answer");
        assert_eq!(error.reason, reason, "{error}");
        assert_eq!(snapshot(&connection), before, "{error}");
    }
    give_answer(&mut connection, &good).expect("the good answer");
    assert_eq!(connection.signaling_state(), SignalingState::Stable);
}

/// SDP-12: an answer may leave simulcast streams out, and adds none.
#[test]
fn answered_simulcast_is_part_of_the_offered_one() {
    let rids = ["a", "b", "c"].map(|rid| rid.parse().expect("a rid")).to_vec();
    let init = TransceiverInit { send_rids: rids, ..TransceiverInit::default() };
    let mut connection = connection();
    connection.add_transceiver(MediaKind::Video, Direction::SendOnly, &init);
    let offer = start(&mut connection);
    let good = answer_of_peer(&offer).to_string().replace("\r\n", "\n");
    let simulcast =
        good.lines().find(|line| line.starts_with("a=simulcast")).expect("a=simulcast").to_owned();
    assert_eq!(simulcast, "a=simulcast:recv a;b;c");

    let added = good.replace(&simulcast, "a=rid:d recv\na=simulcast:recv a;d");
    assert_eq!(give_answer(&mut connection, &added).unwrap_err().reason, SdpReason::SimulcastNotOffered);
    let fewer = good.replace(&simulcast, "a=simulcast:recv a;c");
    give_answer(&mut connection, &fewer).unwrap();
    let negotiated = connection.transceivers()[0].negotiated().unwrap();
    assert_eq!(negotiated.send_rids.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a", "c"]);
}

/// SDP-07: each description in each signaling state; what does not fit changes nothing, and an offer can be withdrawn.
#[test]
fn descriptions_fit_the_signaling_state() {
    let stable = connection;
    let have_local = || offered().0;
    let have_remote = || {
        let mut connection = connection();
        give(&mut connection, &offer()).expect("a good offer");
        connection
    };
    let answer_text = offered().1;
    let remote = |text: &str, kind: &str| match kind {
        "offer" => SessionDescription::offer(text).expect("an offer"),
        "answer" => SessionDescription::answer(text).expect("an answer"),
        _ => SessionDescription::rollback(),
    };
    let refused = |mut connection: PeerConnection, description: SessionDescription| {
        let before = snapshot(&connection);
        let error = connection.set_remote_description(now(), description).expect_err("the wrong state");
        assert_eq!((error.line, error.reason), (0, SdpReason::WrongState));
        assert_eq!(snapshot(&connection), before);
    };
    refused(stable(), remote(&answer_text, "answer"));
    refused(stable(), remote("", "rollback"));
    refused(have_local(), remote(&offer(), "offer"));
    refused(have_local(), remote("", "rollback"));
    refused(have_remote(), remote(&answer_text, "answer"));

    let mut connection = have_remote();
    assert_eq!(connection.create_offer(), Err(UseError::WrongState));
    connection.set_remote_description(now(), SessionDescription::rollback()).unwrap();
    assert_eq!(snapshot(&connection), snapshot(&stable()));
    assert_eq!(connection.create_answer(), Err(UseError::WrongState));

    let mut connection = have_local();
    connection.set_local_description(now(), &SessionDescription::rollback()).unwrap();
    assert_eq!(connection.signaling_state(), SignalingState::Stable);
    assert!(connection.transceivers().iter().all(|transceiver| transceiver.mid().is_none()));
    let error = connection.set_local_description(now(), &SessionDescription::rollback()).unwrap_err();
    assert_eq!(error.reason, SdpReason::WrongState);
}

/// SDP-07: local descriptions are set as they were created.
#[test]
fn edited_local_descriptions_are_refused() {
    let mut connection = connection();
    connection.add_transceiver(MediaKind::Audio, Direction::SendRecv, &TransceiverInit::default());
    let offer = connection.create_offer().unwrap();
    let edited = SessionDescription::offer(&offer.to_string().replace("sendrecv", "sendonly")).unwrap();
    let error = connection.set_local_description(now(), &edited).unwrap_err();
    assert_eq!(error.reason, SdpReason::NotCreatedHere);
    assert_eq!(connection.signaling_state(), SignalingState::Stable);
}
