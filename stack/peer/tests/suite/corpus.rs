//! Offers and answers as browsers, servers and devices make them: each is answered sensibly, or refused with the line
//! that is wrong. None panics.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tombolo::PeerConnection;
use tombolo::sdp::{Direction, Media, SdpError, SectionKind, SessionDescription, Setup};

use crate::peer::{Peer, config};

fn connection() -> PeerConnection {
    Peer::new(config(2).ice_lite(true), 2).pc
}

/// The answer, by section: kind, and codecs with their payload types or `-` for a rejected one.
fn answer(text: &str) -> Result<String, SdpError> {
    let now = tombolo_netsim::start();
    let mut pc = connection();
    let offer = SessionDescription::offer(text)?;
    pc.set_remote_description(now, offer.clone())?;
    for id in pc.transceivers().iter().map(tombolo::Transceiver::id).collect::<Vec<_>>() {
        pc.set_direction(id, Direction::SendRecv).unwrap();
    }
    let answer = pc.create_answer().unwrap();
    pc.set_local_description(now, &answer).unwrap();
    check(&offer, &SessionDescription::answer(&answer.to_string()).unwrap());
    let summary = answer.sdp().media.iter().map(|media| {
        let kind = match media.kind {
            SectionKind::Audio => "a",
            SectionKind::Video => "v",
            _ => "x",
        };
        if media.is_rejected() {
            return format!("{kind}-");
        }
        let codecs = media.rtpmaps.iter().map(|map| format!("{}={}", map.value.name, map.value.payload_type));
        let rids =
            media.simulcast.as_ref().map(|simulcast| format!(" {}", simulcast.value)).unwrap_or_default();
        format!("{kind}+ {}{rids}", codecs.collect::<Vec<_>>().join(" "))
    });
    Ok(summary.collect::<Vec<_>>().join(" | "))
}

/// What holds for every answer, whatever was offered.
fn check(offer: &SessionDescription, answer: &SessionDescription) {
    let (offer, answer) = (offer.sdp(), answer.sdp());
    // SDP-06: as many sections, in the same order, of the same kind and protocol.
    assert_eq!(answer.media.len(), offer.media.len());
    let mut tagged = 0;
    for (theirs, ours) in offer.media.iter().zip(&answer.media) {
        assert_eq!(
            (&ours.kind_name, &ours.protocol, &ours.mid),
            (&theirs.kind_name, &theirs.protocol, &theirs.mid)
        );
        tagged += usize::from(!ours.candidates.is_empty());
        if ours.is_rejected() {
            continue;
        }
        // SDP-02: mux only where offered, and always here. RTCP-05: reduced size only where offered.
        assert!(ours.rtcp_mux.is_some() && theirs.rtcp_mux.is_some());
        assert!(theirs.rtcp_rsize || !ours.rtcp_rsize);
        assert!(ours.rtcp_mux_only.is_none(), "N4: not in answers");
        // The direction is a part of the offered one's complement.
        assert_eq!(ours.direction.and(theirs.direction.reversed()), ours.direction);
        // The payload types are the offerer's, and none of them looks like RTCP (RTP-09).
        for format in &ours.formats {
            assert!(theirs.formats.contains(format), "{format}");
            assert!(!(64..=95).contains(&format.parse::<u8>().unwrap()));
        }
        // RTP-12: ids as offered. RTCP-04: no feedback that was not offered.
        for extmap in &ours.extmaps {
            let known = theirs.extmaps.iter().find(|known| known.value.id == extmap.value.id);
            assert_eq!(known.map(|known| &known.value.uri), Some(&extmap.value.uri));
        }
        for feedback in &ours.feedback {
            let (number, kind) = &feedback.value;
            let offered = theirs
                .feedback
                .iter()
                .any(|fb| (fb.value.0.is_none() || fb.value.0 == *number) && fb.value.1 == *kind);
            assert!(offered, "{number:?} {kind}");
        }
        // RTP-07: the MID extension where it was offered.
        let mid = "urn:ietf:params:rtp-hdrext:sdes:mid";
        let has_mid = |media: &Media| media.extmaps.iter().any(|extmap| extmap.value.uri == mid);
        assert_eq!(has_mid(ours), has_mid(theirs));
        // SDP-12: no stream that was not offered, no tilde.
        let offered: Vec<&str> = theirs
            .simulcast
            .iter()
            .flat_map(|one| &one.value.send)
            .flatten()
            .map(|rid| rid.id.as_str())
            .collect();
        for rid in
            ours.simulcast.iter().flat_map(|one| one.value.recv.iter().chain(&one.value.send)).flatten()
        {
            assert!(offered.contains(&rid.id.as_str()) && !rid.paused);
        }
        // SDP-13: no SSRC of the peer.
        for ssrc in &ours.ssrcs {
            assert!(
                offer
                    .media
                    .iter()
                    .flat_map(|media| &media.ssrcs)
                    .all(|theirs| theirs.value.ssrc != ssrc.value.ssrc)
            );
        }
    }
    let accepted: Vec<&Media> = answer.media.iter().filter(|media| !media.is_rejected()).collect();
    // SDP-10, SDP-11: one transport, whose candidates stand in the tagged section; the group holds what is accepted, and no more.
    assert_eq!(tagged, usize::from(!accepted.is_empty()));
    match answer.bundle() {
        Some(group) => {
            let offered = &offer.bundle().unwrap().value.mids;
            assert!(group.value.mids.iter().all(|mid| offered.contains(mid)));
            assert_eq!(group.value.mids.len(), accepted.len());
            let tag = answer.media_with_mid(&group.value.mids[0]).unwrap();
            assert!(!tag.candidates.is_empty());
        }
        None => assert!(accepted.len() <= 1),
    }
    for transport in
        accepted.iter().map(|media| &media.transport).filter(|transport| transport.ice_ufrag.is_some())
    {
        assert!(transport.ice_ufrag.as_ref().unwrap().value.len() <= 32, "STUN-07");
        assert_eq!(transport.ice_options, ["trickle", "ice2"], "ICE-09");
        assert!(matches!(transport.setup.unwrap().value, Setup::Active | Setup::Passive));
        let offered_tls_id = offer.media.iter().any(|media| media.transport.tls_id.is_some());
        assert_eq!(transport.tls_id.is_some(), offered_tls_id || offer.transport.tls_id.is_some(), "DTLS-07");
    }
}

fn outcome(text: &str) -> String {
    answer(text).unwrap_or_else(|error| {
        assert!(error.line > 0, "{error}");
        error.to_string()
    })
}

/// What is expected of each file that stands in the tree.
#[test]
fn the_generated_descriptions_are_answered_as_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let expected = std::fs::read_to_string(folder.join("answers.tsv")).unwrap();
    let expected: BTreeMap<&str, &str> = expected.lines().filter_map(|line| line.split_once('\t')).collect();
    let mut seen = 0;
    for file in files(&folder.join("sdp")) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(
            Some(&outcome(&std::fs::read_to_string(&file).unwrap()).as_str()),
            expected.get(name.as_str()),
            "{name}"
        );
        seen += 1;
    }
    assert_eq!(seen, expected.len());
}

/// Descriptions that others published are not part of the tree: their folder is named by `TOMBOLO_SDP_CORPUS`, or
/// lies beside the tree. Each is answered, with what holds for every answer, or refused with a line.
#[test]
fn found_descriptions_are_answered_or_refused_with_a_line() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/sdp");
    let root = std::env::var_os("TOMBOLO_SDP_CORPUS").map_or(beside, PathBuf::from);
    let found = root.join("found");
    if !found.is_dir() {
        eprintln!("skipped: no folder {} (set TOMBOLO_SDP_CORPUS)", found.display());
        return;
    }
    let mut answered = 0;
    for file in files(&found) {
        let text = std::fs::read_to_string(&file).unwrap();
        answered += usize::from(!outcome(&text).starts_with("line "));
    }
    assert!(answered >= 25, "{answered}");
}

/// Line ends, and every description cut at each of its lines or with one line changed: no panic, and refusals name a
/// line that is there.
#[test]
fn damaged_descriptions_are_refused_with_a_line_or_answered() {
    for file in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sdp")) {
        let text = std::fs::read_to_string(&file).unwrap();
        let unix = text.replace("\r\n", "\n");
        assert_eq!(outcome(&unix), outcome(&text));
        assert_eq!(outcome(unix.trim_end()), outcome(&text));
        let lines: Vec<&str> = unix.lines().collect();
        for index in (0..lines.len()).step_by(13) {
            let mut without = lines.clone();
            without.remove(index);
            let mut doubled = lines.clone();
            doubled.insert(index, lines[index]);
            let mut cut = lines.clone();
            let half = &lines[index][..lines[index].len() / 2];
            cut[index] = half;
            for damaged in [lines[..index].to_vec(), without, doubled, cut] {
                if let Err(error) = answer(&damaged.join("\n")) {
                    assert!(error.line as usize <= damaged.len().max(1), "{error} of {}", damaged.len());
                }
            }
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}
