//! Our answers to other people's offers.

use tombolo::sdp::{Direction, Sdp, Setup};
use tombolo::{MediaKind, TransceiverInit};

use crate::text::*;

const DIRECTIONS: [Direction; 4] =
    [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive];

/// SDP-06: every section is answered in its place; what is no sound or picture, or has no common codec, with port 0.
#[test]
fn every_section_is_answered_in_its_place() {
    let data = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\na=mid:2\na=sctp-port:5000\n";
    let strange = "m=hologram 9 UDP/TLS/RTP/SAVPF 98\na=mid:3\na=rtcp-mux\na=rtpmap:98 H/90000\n";
    let old = "m=video 9 UDP/TLS/RTP/SAVPF 31\na=mid:4\na=rtcp-mux\na=rtpmap:31 H261/90000\n";
    let head = with(HEAD, "BUNDLE 0 1", "BUNDLE 0 2 3 4 1");
    let text = format!(
        "{head}{AUDIO}{TRANSPORT}{data}{TRANSPORT}{strange}{TRANSPORT}{old}{TRANSPORT}{VIDEO}{TRANSPORT}"
    );
    let answer = answer(&text);
    let sections: Vec<_> =
        answer.sdp().media.iter().map(|media| (media.kind_name.as_str(), media.is_rejected())).collect();
    assert_eq!(
        sections,
        [("audio", false), ("application", true), ("hologram", true), ("video", true), ("video", false)]
    );
    let mids: Vec<_> = answer.sdp().media.iter().filter_map(|media| media.mid_str()).collect();
    assert_eq!(mids, ["0", "2", "3", "4", "1"]);
    assert_eq!(answer.sdp().bundle().unwrap().value.mids, ["0", "1"]);
}

/// SDP-06: the sixteen pairs of an offered direction and ours.
#[test]
fn directions_complement_each_other() {
    for offered in DIRECTIONS {
        for wanted in DIRECTIONS {
            let mut connection = connection();
            give(&mut connection, &with(&offer(), "a=sendrecv", &format!("a={}", offered.as_str()))).unwrap();
            let id = connection.transceivers()[0].id();
            connection.set_direction(id, wanted).unwrap();
            let answer = settle(&mut connection);
            let expected =
                Direction::new(offered.receives() && wanted.sends(), offered.sends() && wanted.receives());
            assert_eq!(answer.sdp().media[0].direction, expected, "{offered:?} and {wanted:?}");
            assert_eq!(connection.transceivers()[0].current_direction(), Some(expected));
        }
    }
}

/// SDP-06: the version of our description goes up when it changes, and only then.
#[test]
fn the_version_counts_changes() {
    let mut connection = connection();
    let version =
        |answer: &tombolo::sdp::SessionDescription| answer.sdp().origin.version.parse::<u64>().unwrap();
    give(&mut connection, &offer()).unwrap();
    let first = settle(&mut connection);
    give(&mut connection, &offer()).unwrap();
    let second = settle(&mut connection);
    assert_eq!(version(&second), version(&first));
    assert_eq!(second.to_string(), first.to_string());
    give(&mut connection, &with(&offer(), "a=sendrecv", "a=recvonly")).unwrap();
    let third = settle(&mut connection);
    assert_eq!(version(&third), version(&first) + 1);
    assert_eq!(third.sdp().origin.session_id, first.sdp().origin.session_id);
}

/// SDP-05: the answer repeats the offer's protocol, whichever of the ones that JSEP knows; another rejects the section.
#[test]
fn the_protocol_is_repeated() {
    for protocol in ["UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "RTP/SAVPF", "RTP/SAVP", "RTP/AVPF", "RTP/AVP"]
    {
        let answer = answer(&with(&offer(), "UDP/TLS/RTP/SAVPF", protocol));
        assert!(answer.sdp().media.iter().all(|media| media.protocol == protocol && !media.is_rejected()));
    }
    let audio = with(AUDIO, "UDP/TLS/RTP/SAVPF", "RTP/FANCY");
    let answer = answer(&format!("{HEAD}{audio}{TRANSPORT}{VIDEO}{TRANSPORT}"));
    let media = &answer.sdp().media;
    assert_eq!((media[0].is_rejected(), media[0].protocol.as_str()), (true, "RTP/FANCY"));
    assert!(!media[1].is_rejected());
}

/// SDP-02: rtcp-mux is answered where it was offered; a section without it is rejected.
#[test]
fn rtcp_mux_is_answered_only_when_offered() {
    let audio = without(AUDIO, "a=rtcp-mux");
    let answer = answer(&format!("{HEAD}{audio}{TRANSPORT}{VIDEO}{TRANSPORT}"));
    let media = &answer.sdp().media;
    assert!(media[0].is_rejected() && media[0].rtcp_mux.is_none());
    assert!(!media[1].is_rejected() && media[1].rtcp_mux.is_some());
}

/// RTCP-05: reduced size is answered where it was offered.
#[test]
fn reduced_size_is_answered_only_when_offered() {
    let answer = answer(&offer());
    assert_eq!([answer.sdp().media[0].rtcp_rsize, answer.sdp().media[1].rtcp_rsize], [false, true]);
}

/// RTCP-04: feedback that was not offered is not answered; what is answered was offered.
#[test]
fn feedback_is_never_added() {
    let bare = answer(&without(&offer(), "a=rtcp-fb"));
    assert!(bare.sdp().media.iter().all(|media| media.feedback.is_empty()));
    let only_pli = with(&without(&offer(), "a=rtcp-fb:96 nack"), "ccm fir", "nack pli");
    let answer = answer(&only_pli);
    let feedback = |index: usize| {
        let media = &answer.sdp().media[index];
        media.feedback.iter().map(|at| at.value.1.clone()).collect::<Vec<_>>()
    };
    assert_eq!(feedback(0), ["transport-cc"]);
    assert_eq!(feedback(1), ["goog-remb", "transport-cc", "nack pli"]);
}

/// RTCP-03: a wildcard covers all payload types.
#[test]
fn wildcard_feedback_covers_every_payload_type() {
    let video = with(&without(VIDEO, "a=rtcp-fb"), "a=rtpmap:97", "a=rtcp-fb:* nack pli\na=rtpmap:97");
    let mut connection = connection();
    give(&mut connection, &format!("{HEAD}{AUDIO}{TRANSPORT}{video}{TRANSPORT}")).unwrap();
    settle(&mut connection);
    let feedback = connection.transceivers()[1].negotiated().unwrap().codecs[0].feedback;
    assert!(feedback.pli && !feedback.nack && !feedback.fir);
}

/// RTP-12: the answer keeps the offer's extension ids, and adds none.
#[test]
fn extension_ids_are_those_of_the_offer() {
    let answer = answer(&offer());
    let ids = |index: usize| -> Vec<(u8, &str)> {
        let extmaps = answer.sdp().media[index].extmaps.iter().map(|at| &at.value);
        extmaps.map(|extmap| (extmap.id, extmap.uri.rsplit([':', '/']).next().unwrap_or_default())).collect()
    };
    let mid = (4, "mid");
    let twcc = (7, "draft-holmer-rmcat-transport-wide-cc-extensions-01");
    let sorted = |mut list: Vec<(u8, &'static str)>| {
        list.sort_unstable();
        list
    };
    let mut audio = ids(0);
    audio.sort_unstable();
    assert_eq!(audio, sorted(vec![mid, twcc]));
    let mut video = ids(1);
    video.sort_unstable();
    assert_eq!(video, sorted(vec![mid, twcc, (10, "rtp-stream-id"), (11, "repaired-rtp-stream-id")]));
}

/// RTP-08: id 0, id 15 in the one-byte form, and a second use of an id do not make an extension.
#[test]
fn impossible_extension_ids_are_not_used() {
    let audio = with(AUDIO, "a=extmap:7 ", "a=extmap:15 ");
    let fifteen = answer(&format!("{HEAD}{audio}{TRANSPORT}{VIDEO}{TRANSPORT}"));
    assert!(fifteen.sdp().media[0].extmaps.iter().all(|at| at.value.id != 15));
    let zero = give(&mut connection(), &with(&offer(), "a=extmap:7 ", "a=extmap:0 "));
    assert!(zero.is_err());
    let twice = give(&mut connection(), &with(&offer(), "a=extmap:7 ", "a=extmap:4 "));
    assert!(twice.is_err());
}

/// RTP-09: payload types that look like RTCP are not accepted.
#[test]
fn payload_types_that_look_like_rtcp_are_not_accepted() {
    let video = with(
        &with(VIDEO, "SAVPF 96 97", "SAVPF 72 96 97"),
        "a=rtpmap:97",
        "a=rtpmap:72 VP8/90000\na=rtpmap:97",
    );
    let answer = answer(&format!("{HEAD}{AUDIO}{TRANSPORT}{video}{TRANSPORT}"));
    assert_eq!(formats(&answer.sdp().media[1]), ["96", "97"]);
}

/// RTX-02: an rtx without `apt`, for a format that is not there, or with another clock rate is dropped; the primary
/// is kept.
#[test]
fn rtx_must_name_a_format_with_its_clock() {
    assert_eq!(formats(&answer(&offer()).sdp().media[1]), ["96", "97"]);
    for (from, to) in [
        ("a=fmtp:97 apt=96", "a=fmtp:97 rtx-time=3000"),
        ("a=fmtp:97 apt=96", "a=fmtp:97 apt=98"),
        ("rtx/90000", "rtx/48000"),
    ] {
        let answer = answer(&with(&offer(), from, to));
        assert_eq!(formats(&answer.sdp().media[1]), ["96"], "{to}");
    }
}

/// SDP-12: the simulcast streams that are wanted are answered in the other direction, never as paused, never more than
/// are taken; each rid once.
#[test]
fn simulcast_streams_are_taken_or_left_out() {
    let rids = "a=rid:a send\na=rid:b send\na=rid:c send\na=rid:a send\na=simulcast:send a;~b;c\n";
    let text = with(&offer(), "a=fmtp:97 apt=96\n", &format!("a=fmtp:97 apt=96\n{rids}"));
    for (max_rids, expected) in [(3, vec!["a", "b", "c"]), (2, vec!["a", "b"]), (0, vec![])] {
        let mut connection = connection_with(1, |config| config.max_rids(max_rids));
        give(&mut connection, &text).unwrap();
        let answer = settle(&mut connection);
        let media = &answer.sdp().media[1];
        assert!(!answer.to_string().contains('~'));
        let received: Vec<_> = media.rids.iter().map(|at| (at.value.id.as_str(), at.value.send)).collect();
        assert_eq!(received, expected.iter().map(|rid| (*rid, false)).collect::<Vec<_>>());
        let simulcast = media.simulcast.as_ref().map(|at| &at.value);
        let listed: Vec<_> =
            simulcast.iter().flat_map(|s| s.recv.iter().flatten()).map(|rid| rid.id.as_str()).collect();
        assert_eq!(listed, expected);
        assert!(simulcast.is_none_or(|simulcast| simulcast.send.is_empty()));
    }
}

/// SDP-13: a group that names a source without lines of its own is ignored; our sources avoid the peer's.
#[test]
fn sources_are_checked_and_avoided() {
    let sendonly = |connection: &mut tombolo::PeerConnection| {
        let id = connection.transceivers()[1].id();
        connection.set_direction(id, Direction::SendRecv).unwrap();
    };
    let ssrcs = |sdp: &Sdp| sdp.media[1].ssrcs.iter().map(|at| at.value.ssrc).collect::<Vec<_>>();
    let mut first = connection();
    give(&mut first, &offer()).unwrap();
    sendonly(&mut first);
    let own = ssrcs(settle(&mut first).sdp());
    assert!(!own.is_empty());

    // The same seed draws the same numbers, and the peer has them already.
    let taken: String = own.iter().map(|ssrc| format!("a=ssrc:{ssrc} cname:x\n")).collect();
    let group = format!("a=ssrc-group:FID {} 12345\n", own[0]);
    let text = with(&offer(), "a=fmtp:97 apt=96\n", &format!("a=fmtp:97 apt=96\n{group}{taken}"));
    let mut second = connection();
    give(&mut second, &text).unwrap();
    sendonly(&mut second);
    let others = ssrcs(settle(&mut second).sdp());
    assert!(!others.is_empty() && others.iter().all(|ssrc| !own.contains(ssrc)));
    let known = &second.transceivers()[1].negotiated().unwrap().remote_ssrcs;
    assert!(known.iter().all(|ssrc| ssrc.repairs.is_none()), "the group lacks a member");
}

/// DTLS-03: our answer takes the other role, ours by choice for actpass; a later offer keeps the role that is live.
#[test]
fn the_dtls_role_answers_the_offered_one() {
    let setup =
        |answer: &tombolo::sdp::SessionDescription| answer.sdp().media[0].transport.setup.unwrap().value;
    assert_eq!(setup(&answer(&offer())), Setup::Active);
    assert_eq!(setup(&answer(&with(&offer(), "actpass", "active"))), Setup::Passive);
    assert_eq!(setup(&answer(&with(&offer(), "actpass", "passive"))), Setup::Active);

    for offered in ["active", "passive"] {
        let mut connection = connection();
        give(&mut connection, &with(&offer(), "actpass", offered)).unwrap();
        let first = setup(&settle(&mut connection));
        give(&mut connection, &offer()).unwrap();
        assert_eq!(setup(&settle(&mut connection)), first, "the live role stays");
    }
}

/// DTLS-07: a `tls-id` is answered where one was offered.
#[test]
fn a_tls_id_is_answered_only_when_offered() {
    let tls_id = |text: &str| answer(text).sdp().media[0].transport.tls_id.clone();
    assert_eq!(tls_id(&offer()), None);
    let offered = with(&offer(), "a=setup:actpass", "a=tls-id:abcdefghijklmnopqrst\na=setup:actpass");
    let own = tls_id(&offered).unwrap().value;
    assert!(own.len() >= 20 && own != "abcdefghijklmnopqrst", "{own}");
}

/// SDP-10: in an answer the candidates stand in the first accepted section of the group; a rejected one leaves it.
#[test]
fn the_transport_moves_to_the_first_accepted_section() {
    let both = answer(&offer());
    assert_eq!(both.sdp().bundle().unwrap().value.mids, ["0", "1"]);
    assert!(both.sdp().media[0].transport.ice_ufrag.is_some());
    assert_eq!(both.sdp().media[1].transport, both.sdp().media[0].transport, "Firefox relies on that");

    let audio = with(AUDIO, "opus/48000/2", "speex/16000");
    let one = answer(&format!("{HEAD}{audio}{TRANSPORT}{VIDEO}{TRANSPORT}"));
    assert!(one.sdp().media[0].is_rejected());
    assert_eq!(one.sdp().bundle().unwrap().value.mids, ["1"]);
    assert!(one.sdp().media[0].transport.ice_ufrag.is_none());
    assert!(one.sdp().media[1].transport.ice_ufrag.is_some());
    assert!(!one.to_string().contains("a=rtcp:"), "RFC 9143 §7.1.3: no a=rtcp in bundled sections");
}

/// SDP-09: what a bundled section lacks it takes from the section that carries the transport.
#[test]
fn bundled_sections_inherit_the_transport() {
    let answer = answer(&format!("{HEAD}{AUDIO}{TRANSPORT}{VIDEO}"));
    assert!(answer.sdp().media.iter().all(|media| !media.is_rejected()));
}

/// RTP-13: one payload type may mean one codec in several sections, and nothing else.
#[test]
fn a_payload_type_means_one_codec_in_all_sections() {
    let second = with(VIDEO, "a=mid:1", "a=mid:2");
    let head = with(HEAD, "BUNDLE 0 1", "BUNDLE 0 1 2");
    let same = format!("{head}{AUDIO}{TRANSPORT}{VIDEO}{TRANSPORT}{second}{TRANSPORT}");
    assert!(answer(&same).sdp().media.iter().all(|media| !media.is_rejected()));
    let other = with(
        &with(&second, "VP8/90000", "H264/90000"),
        "a=rtpmap:97",
        "a=fmtp:96 profile-level-id=42e01f\na=rtpmap:97",
    );
    let text = format!("{head}{AUDIO}{TRANSPORT}{VIDEO}{TRANSPORT}{other}{TRANSPORT}");
    let error = give(&mut connection(), &text).unwrap_err();
    assert_eq!(error.line, line_of(&text, "a=rtpmap:96 H264"));
}

/// RTP-06: the sources of another seed are others.
#[test]
fn sources_come_from_the_seed() {
    let ssrcs = |seed| {
        let mut connection = connection_with(seed, |config| config);
        connection.add_transceiver(MediaKind::Video, Direction::SendOnly, &TransceiverInit::default());
        connection.transceivers()[0].encodings().to_vec()
    };
    assert_eq!(ssrcs(1), ssrcs(1));
    assert_ne!(ssrcs(1)[0].ssrc, ssrcs(2)[0].ssrc);
    assert_ne!(ssrcs(1)[0].ssrc, ssrcs(1)[0].rtx_ssrc);
}
