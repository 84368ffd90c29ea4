use super::*;

const HEAD: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n";

fn with_media(lines: &str) -> Result<Sdp, SdpError> {
    SessionDescription::offer(&format!("{HEAD}m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\n{lines}"))
        .map(SessionDescription::into_sdp)
}

fn reason(lines: &str) -> (u32, SdpReason) {
    let error = with_media(lines).expect_err(lines);
    (error.line, error.reason)
}

/// SDP-08: a malformed line refuses the whole, and is named.
#[test]
fn sdp_08_malformed_lines_are_named() {
    for (line, expected) in [
        ("a=ice-ufrag:abc", SdpReason::IceUfrag),
        ("a=ice-ufrag:a:cd", SdpReason::IceUfrag),
        ("a=ice-pwd:tooshort", SdpReason::IcePwd),
        ("a=fingerprint:sha-256 -", SdpReason::Fingerprint),
        ("a=fingerprint:sha-256 AA:BB", SdpReason::Fingerprint),
        ("a=fingerprint:sha-256", SdpReason::Fingerprint),
        ("a=setup:holdconn", SdpReason::Setup),
        ("a=setup:foo", SdpReason::Setup),
        ("a=tls-id:", SdpReason::TlsId),
        ("a=mid:", SdpReason::Mid),
        ("a=mid:seventeen-letters", SdpReason::Mid),
        ("a=rtpmap:96", SdpReason::RtpMap),
        ("a=rtpmap:128 VP8/90000", SdpReason::RtpMap),
        ("a=rtpmap:96 VP8/0", SdpReason::RtpMap),
        ("a=rtpmap:96 VP8", SdpReason::RtpMap),
        ("a=fmtp:x y", SdpReason::Fmtp),
        ("a=rtcp-fb:96", SdpReason::RtcpFeedback),
        ("a=rtcp-fb:x nack", SdpReason::RtcpFeedback),
        ("a=extmap:0 urn:x", SdpReason::Extmap),
        ("a=extmap:1/up urn:x", SdpReason::Extmap),
        ("a=extmap:1", SdpReason::Extmap),
        ("a=rid:q up", SdpReason::Rid),
        ("a=rid:q! send", SdpReason::Rid),
        ("a=simulcast:", SdpReason::Simulcast),
        ("a=simulcast:send", SdpReason::Simulcast),
        ("a=simulcast:send a;;b", SdpReason::Simulcast),
        ("a=simulcast:send a send b", SdpReason::Simulcast),
        ("a=ssrc:x cname:y", SdpReason::Ssrc),
        ("a=ssrc-group:FID 1 x", SdpReason::SsrcGroup),
        ("a=candidate:1 1 udp", SdpReason::Candidate),
        ("b=AS:x", SdpReason::Bandwidth),
        ("b=AS", SdpReason::Bandwidth),
        ("nonsense", SdpReason::NotALine),
        ("m=video x RTP/SAVPF 96", SdpReason::MediaLine),
        ("m=video 9 RTP/SAVPF 200", SdpReason::MediaLine),
        ("m=video 9 RTP/SAVPF", SdpReason::MediaLine),
    ] {
        assert_eq!(reason(&format!("c=IN IP4 0.0.0.0\r\n{line}\r\n")), (7, expected), "{line}");
    }
}

/// SDP-08: what is unknown is ignored, and what is long is bounded.
#[test]
fn sdp_08_unknown_is_ignored_and_long_is_bounded() {
    let sdp = with_media("a=x-new:thing\r\na=flag\r\nb=X-YZ:128\r\nk=clear\r\ny=?\r\n").unwrap();
    assert_eq!(sdp.media.len(), 1);
    let long = format!("{HEAD}a=x:{}\r\n", "y".repeat(1_000_000));
    let error = SessionDescription::offer(&long).unwrap_err();
    assert_eq!((error.line, error.reason), (5, SdpReason::TooLong));
    let many = "m=audio 9 RTP/SAVPF 0\r\n".repeat(MAX_MEDIA_SECTIONS + 1);
    let error = SessionDescription::offer(&format!("{HEAD}{many}")).unwrap_err();
    assert_eq!((error.line, error.reason), (133, SdpReason::TooManyMediaSections));
}

#[test]
fn the_head_is_needed() {
    for (text, line, expected) in [
        ("", 1, SdpReason::Version),
        ("hello", 1, SdpReason::NotALine),
        ("o=- 1 2 IN IP4 0.0.0.0\n", 1, SdpReason::Version),
        ("v=1\n", 1, SdpReason::Version),
        ("v=0\ns=-\n", 1, SdpReason::Origin),
        ("v=0\no=- 1 2\n", 2, SdpReason::Origin),
    ] {
        let error = SessionDescription::offer(text).unwrap_err();
        assert_eq!((error.line, error.reason), (line, expected), "{text}");
    }
}

/// STUN-07: fragments up to 256 characters are used in full, longer ones refused.
#[test]
fn stun_07_credential_lengths() {
    for length in [4, 32, 33, 256] {
        let ufrag = "u".repeat(length);
        let sdp = with_media(&format!("a=ice-ufrag:{ufrag}\r\n")).unwrap();
        assert_eq!(sdp.media[0].transport.ice_ufrag.as_ref().map(|at| &at.value), Some(&ufrag));
    }
    for length in [3, 257] {
        assert_eq!(reason(&format!("a=ice-ufrag:{}\r\n", "u".repeat(length))), (6, SdpReason::IceUfrag));
    }
    for length in [22, 256] {
        assert!(with_media(&format!("a=ice-pwd:{}\r\n", "p".repeat(length))).is_ok());
    }
    for length in [21, 257] {
        assert_eq!(reason(&format!("a=ice-pwd:{}\r\n", "p".repeat(length))), (6, SdpReason::IcePwd));
    }
}

/// SDP-11: mids are unique, and in one bundle group.
#[test]
fn sdp_11_mids_and_groups() {
    let two = "a=mid:0\r\nm=audio 9 RTP/SAVPF 0\r\na=mid:0\r\n";
    assert_eq!(reason(two), (8, SdpReason::DuplicateMid));
    let text = "v=0\no=- 1 2 IN IP4 0\na=group:BUNDLE 0 1\na=group:LS 0 1\na=group:BUNDLE 1\n";
    let error = SessionDescription::offer(text).unwrap_err();
    assert_eq!((error.line, error.reason), (5, SdpReason::MidInTwoGroups));
}

/// The odd forms that deployed peers write.
#[test]
fn odd_forms_are_read() {
    let simulcast =
        |line: &str| with_media(line).unwrap().media[0].simulcast.clone().unwrap().value.to_string();
    assert_eq!(simulcast("a=simulcast: recv 1;2;3\n"), "recv 1;2;3");
    assert_eq!(simulcast("a=simulcast:recv q;h;f \n"), "recv q;h;f");
    assert_eq!(simulcast("a=simulcast: recv rid=1;2\n"), "recv 1;2");
    assert_eq!(simulcast("a=simulcast:recv a send b,c;~d\n"), "send b,c;~d recv a");
    let media = with_media("a=rtcp-fb:96 nack \na=rtcp-fb:* ccm  fir\na=ssrc:7 name:\na=ssrc:8\na=ice-options:ice2,trickle\na=extmap:5000 urn:x\na=extmap:2 urn:ietf:params:rtp-hdrext:encrypt urn:y\n")
        .unwrap()
        .media
        .remove(0);
    assert_eq!(media.feedback[0].value, (Some(96), "nack".into()));
    assert_eq!(media.feedback[1].value, (None, "ccm fir".into()));
    assert_eq!(media.ssrcs[1].value.ssrc, 8);
    assert_eq!(media.transport.ice_options, ["ice2", "trickle"]);
    assert!(media.extmaps.is_empty());
    assert_eq!(media.direction, Direction::SendRecv);
}

/// RTP-08: a header-extension id means one thing.
#[test]
fn rtp_08_one_id_one_extension() {
    assert_eq!(reason("a=extmap:1 urn:a\r\na=extmap:1 urn:b\r\n"), (7, SdpReason::ExtmapConflict));
    assert_eq!(with_media("a=extmap:1 urn:a\r\na=extmap:1 urn:a\r\n").unwrap().media[0].extmaps.len(), 1);
}

#[test]
fn one_payload_type_in_one_section_is_one_codec() {
    let lines = "a=rtpmap:96 VP8/90000\r\na=rtpmap:96 H264/90000\r\n";
    assert_eq!(reason(lines), (7, SdpReason::PayloadTypeConflict));
    assert!(with_media("a=rtpmap:96 VP8/90000\r\na=rtpmap:96 vp8/90000\r\n").is_ok());
}

#[test]
fn a_session_direction_and_address_are_inherited() {
    let text = "v=0\no=- 1 2 IN IP4 0\nc=IN IP6 ::1\na=recvonly\nm=audio 9 RTP/SAVPF 0\nm=audio 9 RTP/SAVPF 0\na=sendonly\nc=IN IP4 1.2.3.4\n";
    let sdp = SessionDescription::offer(text).unwrap().into_sdp();
    assert_eq!(sdp.media[0].direction, Direction::RecvOnly);
    assert_eq!(sdp.media[0].connection.as_deref(), Some("::1"));
    assert_eq!(sdp.media[1].direction, Direction::SendOnly);
    assert_eq!(sdp.media[1].connection.as_deref(), Some("1.2.3.4"));
}

#[test]
fn fragments() {
    let text = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na=group:BUNDLE 0 1\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\na=candidate:bad\r\na=end-of-candidates\r\n";
    let fragment = Fragment::parse(text).unwrap();
    assert_eq!(fragment.ice_ufrag.as_deref(), Some("EsAw"));
    assert_eq!(fragment.media.len(), 1);
    assert_eq!(fragment.media[0].mid.as_deref(), Some("0"));
    assert_eq!(fragment.media[0].candidates, ["candidate:1 1 udp 1 192.0.2.1 1 typ host", "candidate:bad"]);
    assert!(fragment.media[0].end_of_candidates && !fragment.end_of_candidates);
    assert_eq!(Fragment::parse("a=ice-ufrag:abc\n").unwrap_err().line, 1);
    assert_eq!(Fragment::parse("\njunk\n").unwrap_err().line, 2);
}

/// Every description of the corpus that can be read says the same after it was written.
#[test]
fn the_corpus_survives_a_round_trip() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/sdp");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let first = SessionDescription::offer(&text).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let mut again = SessionDescription::offer(&first.to_string()).unwrap();
        // Feedback is written grouped by payload type, and orphans of `m=` have no place to stand.
        let listed =
            |media: &Media, number: u8| media.rtpmaps.iter().any(|map| map.value.payload_type == number);
        let mut expected = first.sdp.clone();
        for media in expected.media.iter_mut().chain(&mut again.sdp.media) {
            let mapped: Vec<_> = (0..=127).filter(|&number| listed(media, number)).collect();
            media.feedback.retain(|fb| fb.value.0.is_none_or(|number| mapped.contains(&number)));
            media.fmtps.retain(|fmtp| mapped.contains(&fmtp.value.0));
            media.feedback.sort_by(|a, b| a.value.cmp(&b.value));
            media.fmtps.sort_by(|a, b| a.value.cmp(&b.value));
            media.connection.get_or_insert_with(|| "0.0.0.0".into());
        }
        assert!(again.sdp == expected, "{path:?}");
        count += 1;
    }
    assert_eq!(count, 48);
}
