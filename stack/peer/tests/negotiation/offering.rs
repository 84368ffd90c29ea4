//! What our own offers say.

use tombolo::sdp::{Direction, SessionDescription, Setup};
use tombolo::{Codec, CodecCapability, Config, ConfigError, MediaKind, PeerConnection, TransceiverInit};

use crate::text::*;

fn offering() -> (PeerConnection, SessionDescription) {
    let mut connection = connection();
    connection.add_transceiver(MediaKind::Audio, Direction::SendRecv, &TransceiverInit::default());
    connection.add_transceiver(MediaKind::Video, Direction::SendRecv, &TransceiverInit::default());
    let offer = start(&mut connection);
    (connection, offer)
}

/// SDP-03: a side that can only mux says both.
#[test]
fn offers_say_that_rtcp_is_muxed_and_only_muxed() {
    let (_, offer) = offering();
    let media = &offer.sdp().media;
    assert!(media.iter().all(|media| media.rtcp_mux.is_some() && media.rtcp_mux_only.is_some()));
}

/// ICE-09: `trickle` and `ice2` stand in offers and answers.
#[test]
fn ice_options_are_declared() {
    let (_, offer) = offering();
    for description in [&offer, &answer_of_peer(&offer)] {
        let options = &description.sdp().media[0].transport.ice_options;
        assert!(options.contains(&"trickle".into()) && options.contains(&"ice2".into()), "{options:?}");
    }
}

/// DTLS-03: every offer says actpass, also after the roles are settled. DTLS-07: with the same `tls-id`.
#[test]
fn offers_always_leave_the_role_to_the_answerer() {
    let (mut connection, offer) = offering();
    let transport = |offer: &SessionDescription| offer.sdp().media[0].transport.clone();
    assert_eq!(transport(&offer).setup.unwrap().value, Setup::ActPass);
    let tls_id = transport(&offer).tls_id.unwrap().value;
    assert!(tls_id.len() >= 20, "120 bits in characters of six");
    give_answer(&mut connection, &answer_of_peer(&offer).to_string()).unwrap();
    let again = start(&mut connection);
    assert_eq!(transport(&again).setup.unwrap().value, Setup::ActPass);
    assert_eq!(transport(&again).tls_id.unwrap().value, tls_id);
}

/// SDP-10: one group with all sections, and one transport, whose candidates stand in the first one.
#[test]
fn offers_are_bundled_behind_one_transport() {
    let (mut connection, offer) = offering();
    give_answer(&mut connection, &answer_of_peer(&offer).to_string()).unwrap();
    let again = start(&mut connection);
    for offer in [offer, again] {
        assert_eq!(offer.sdp().bundle().unwrap().value.mids, ["0", "1"]);
        let [tag, other] = &offer.sdp().media[..] else { panic!("two sections") };
        assert!(tag.transport.ice_ufrag.is_some() && !tag.transport.fingerprints.is_empty());
        assert_eq!(other.transport, tag.transport, "browsers repeat it, and Firefox relies on that");
        assert!(other.candidates.is_empty());
        assert!(!offer.to_string().contains("a=rtcp:"));
    }
}

/// RTP-07, RTP-12: MID has one id in all sections of an offer, and ids and payload types mean the same everywhere.
#[test]
fn ids_mean_the_same_in_all_sections() {
    let (_, offer) = offering();
    let mut meanings = std::collections::BTreeMap::new();
    for media in &offer.sdp().media {
        let mid = media.extmaps.iter().find(|at| at.value.uri.ends_with("sdes:mid"));
        assert!(mid.is_some(), "MID is offered in each section");
        for extmap in media.extmaps.iter().map(|at| &at.value) {
            assert!((1..=14).contains(&extmap.id));
            assert_eq!(meanings.entry(extmap.id).or_insert(&extmap.uri), &&extmap.uri);
        }
    }
}

/// RTP-09: our payload types are none that look like RTCP, whatever is asked for.
#[test]
fn our_payload_types_do_not_look_like_rtcp() {
    let (_, offer) = offering();
    for format in offer.sdp().media.iter().flat_map(|media| &media.formats) {
        let payload_type: u8 = format.parse().unwrap();
        assert!((96..=127).contains(&payload_type) || (35..=63).contains(&payload_type), "{payload_type}");
    }
    for payload_type in [64, 72, 95] {
        let codec =
            CodecCapability { codec: Codec::Vp8, payload_type, rtx_payload_type: None, fmtp: String::new() };
        let built = Config::builder(certificate()).codecs(vec![codec]).build();
        assert!(matches!(built, Err(ConfigError::PayloadType(found)) if found == payload_type));
    }
}

/// RTX-02: each rtx of an offer names a payload type of its section.
#[test]
fn offered_rtx_names_its_primary() {
    let (_, offer) = offering();
    let video = &offer.sdp().media[1];
    let rtx: Vec<_> = video.rtpmaps.iter().filter(|at| at.value.name == "rtx").collect();
    assert!(!rtx.is_empty());
    for map in rtx {
        let fmtp = video.fmtps.iter().find(|at| at.value.0 == map.value.payload_type).unwrap();
        let apt = fmtp.value.1.strip_prefix("apt=").unwrap();
        assert!(formats(video).contains(&apt));
    }
}

/// SDP-13: each source of an offer has the participant's CNAME, and each group's members are declared.
#[test]
fn offered_sources_are_declared() {
    let (_, offer) = offering();
    let mut names = std::collections::BTreeSet::new();
    for media in &offer.sdp().media {
        let declared: Vec<_> = media.ssrcs.iter().filter(|at| at.value.name == "cname").collect();
        assert!(!declared.is_empty());
        names.extend(declared.iter().map(|at| at.value.value.clone()));
        for ssrc in media.ssrc_groups.iter().flat_map(|group| &group.value.ssrcs) {
            assert!(declared.iter().any(|at| at.value.ssrc == *ssrc));
        }
    }
    assert_eq!(names.len(), 1, "one name for all: {names:?}");
}
