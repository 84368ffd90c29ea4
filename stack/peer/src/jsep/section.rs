//! What one media section of a peer's description and this side have in common.

use tombolo_net::{Bitrate, Ssrc};
use tombolo_rtp::Rid;
use tombolo_rtp::codec::h265;
use tombolo_rtp::ext::{ExtensionKind, ExtensionMap};

use crate::codec::{
    Codec, CodecCapability, Feedback, H264Format, MediaKind, NegotiatedCodec, fmtp_parameters, from_rtpmap,
};
use crate::config::Config;
use crate::sdp::{Media, RtpMap, Sdp, SdpError, SdpReason, SectionKind, SimulcastRid};
use crate::transceiver::{MAX_SIGNALLED_SSRCS, NegotiatedMedia, NegotiatedRed, SignalledSsrc};

/// The protocols of RFC 9429 §5.1.2: all of them mean DTLS-SRTP here; the fingerprint decides, not the name.
const RTP_PROTOCOLS: [&str; 8] = [
    "UDP/TLS/RTP/SAVPF",
    "UDP/TLS/RTP/SAVP",
    "TCP/DTLS/RTP/SAVPF",
    "TCP/DTLS/RTP/SAVP",
    "RTP/SAVPF",
    "RTP/SAVP",
    "RTP/AVPF",
    "RTP/AVP",
];

/// FlexFEC's name in `a=rtpmap`.
pub(super) const FLEXFEC: &str = "flexfec-03";
/// RED's.
pub(super) const RED: &str = "red";
/// FlexFEC's clock: that of the pictures.
pub(super) const FLEXFEC_CLOCK_RATE_HZ: u32 = 90_000;

/// Sound or pictures over RTP, if the section is such.
pub(crate) fn rtp_kind(media: &Media) -> Option<MediaKind> {
    let kind = match media.kind {
        SectionKind::Audio => MediaKind::Audio,
        SectionKind::Video => MediaKind::Video,
        SectionKind::Application | SectionKind::Other => return None,
    };
    RTP_PROTOCOLS.contains(&media.protocol.as_str()).then_some(kind)
}

/// What both sides can do in an offered or answered section. `None` when there is no common codec.
///
/// # Errors
/// The line that contradicts another of the same section.
pub(crate) fn negotiate(
    config: &Config,
    sdp: &Sdp,
    media: &Media,
) -> Result<Option<NegotiatedMedia>, SdpError> {
    let simulcast = simulcast(media)?;
    let Some(kind) = rtp_kind(media) else { return Ok(None) };
    let codecs = codecs(&config.codecs, kind, media);
    if codecs.is_empty() {
        return Ok(None);
    }
    let (mut receive_rids, send_rids) = simulcast;
    receive_rids.truncate(config.max_rids);
    let max_bitrate = media.bandwidth_tias.or(media.bandwidth_as.map(|kbps| kbps.saturating_mul(1000)));
    let red = config.red.and_then(|_| red(&codecs, media));
    Ok(Some(NegotiatedMedia {
        codecs,
        red,
        flexfec: config.flexfec.and_then(|_| flexfec(kind, media)),
        extensions: extensions(config, sdp.extmap_allow_mixed || media.extmap_allow_mixed, kind, media),
        receive_rids,
        send_rids,
        reduced_size: media.rtcp_rsize,
        remote_ssrcs: signalled_ssrcs(media),
        remote_streams: media
            .msids
            .iter()
            .map(|(stream, _)| stream.clone())
            .filter(|stream| stream != "-")
            .collect(),
        max_bitrate: max_bitrate.filter(|&bps| bps > 0).map(Bitrate::from_bps),
    }))
}

/// The parameters of a payload type, with several lines joined.
pub(crate) fn fmtp(media: &Media, payload_type: u8) -> String {
    let lines = media.fmtps.iter().filter(|at| at.value.0 == payload_type).map(|at| at.value.1.as_str());
    lines.collect::<Vec<_>>().join(";")
}

/// The common codecs in our order of preference, with the peer's payload types.
fn codecs(capabilities: &[CodecCapability], kind: MediaKind, media: &Media) -> Vec<NegotiatedCodec> {
    let mut found: Vec<(usize, NegotiatedCodec)> = Vec::new();
    for payload_type in media.formats.iter().filter_map(|format| format.parse().ok()) {
        // RFC 5761 §4: with rtcp-mux these look like RTCP.
        if (64..=95).contains(&payload_type)
            || found.iter().any(|(_, codec)| codec.payload_type == payload_type)
        {
            continue;
        }
        let map = media.rtpmaps.iter().find(|map| map.value.payload_type == payload_type);
        let Some(codec) =
            map.and_then(|map| from_rtpmap(&map.value)).filter(|&codec| MediaKind::of(codec) == kind)
        else {
            continue;
        };
        let h264 = match codec {
            Codec::H264 => match H264Format::from_fmtp(&fmtp(media, payload_type)) {
                Some(format) => Some(format),
                None => continue,
            },
            Codec::H265 if !h265::accepts(&fmtp(media, payload_type)) => continue,
            _ => None,
        };
        if let Some(rank) = rank(capabilities, codec, h264) {
            let feedback = Feedback::of(media, payload_type).and(Feedback::supported(kind));
            found.push((
                rank,
                NegotiatedCodec { codec, payload_type, rtx_payload_type: None, h264, feedback },
            ));
        }
    }
    // Other H.264 profiles only from a peer that has no Baseline: not every viewer could decode them.
    let is_baseline = |codec: &NegotiatedCodec| codec.h264.is_none_or(H264Format::is_baseline);
    if found.iter().any(|(_, codec)| codec.h264.is_some_and(H264Format::is_baseline)) {
        found.retain(|(_, codec)| is_baseline(codec));
    }
    found.sort_by_key(|&(rank, _)| rank);
    let mut codecs: Vec<NegotiatedCodec> = found.into_iter().map(|(_, codec)| codec).collect();
    attach_rtx(&mut codecs, media);
    codecs
}

/// The place of a format in our preferences; `None` when we do not have it.
fn rank(capabilities: &[CodecCapability], codec: Codec, h264: Option<H264Format>) -> Option<usize> {
    let own = |capability: &CodecCapability| H264Format::from_fmtp(&capability.fmtp);
    let same = |capability: &CodecCapability, exact: bool| match h264 {
        _ if capability.codec != codec => false,
        None => true,
        Some(theirs) => own(capability).is_some_and(|ours| {
            ours.packetization_mode == theirs.packetization_mode
                && (!exact || ours.profile_level_id[..2] == theirs.profile_level_id[..2])
        }),
    };
    let exact = capabilities.iter().position(|capability| same(capability, true));
    exact.or_else(|| capabilities.iter().position(|capability| same(capability, false)))
}

/// RFC 4588 §8.1: an RTX format without `apt`, with one that is not there, or with another clock rate is dropped.
fn attach_rtx(codecs: &mut [NegotiatedCodec], media: &Media) {
    for map in media.rtpmaps.iter().map(|map| &map.value).filter(|map| map.name.eq_ignore_ascii_case("rtx")) {
        let listed = media.formats.iter().any(|format| format.parse() == Ok(map.payload_type));
        if !listed || (64..=95).contains(&map.payload_type) {
            continue;
        }
        let parameters = fmtp(media, map.payload_type);
        let apt = fmtp_parameters(&parameters)
            .find_map(|(name, value)| (name == "apt").then(|| value.parse().ok()));
        let Some(Some(apt)) = apt else { continue };
        let primary = codecs.iter_mut().find(|codec| codec.payload_type == apt);
        if let Some(primary) = primary.filter(|codec| codec.codec.clock_rate_hz() == map.clock_rate) {
            primary.rtx_payload_type.get_or_insert(map.payload_type);
        }
    }
}

/// The payload type of FlexFEC, if the section lists it.
fn flexfec(kind: MediaKind, media: &Media) -> Option<u8> {
    let mut maps = media.rtpmaps.iter().map(|map| &map.value);
    let map =
        maps.find(|map| map.name.eq_ignore_ascii_case(FLEXFEC) && map.clock_rate == FLEXFEC_CLOCK_RATE_HZ)?;
    let listed = media.formats.iter().any(|format| format.parse() == Ok(map.payload_type));
    let usable = kind == MediaKind::Video && listed && !(64..=95).contains(&map.payload_type);
    usable.then_some(map.payload_type)
}

/// RED around Opus, if the section lists it: all blocks of it are of the one payload type.
fn red(codecs: &[NegotiatedCodec], media: &Media) -> Option<NegotiatedRed> {
    let frames = codecs.iter().find(|codec| codec.codec == Codec::Opus)?.payload_type;
    let place = |number: u8| media.formats.iter().position(|format| format.parse() == Ok(number));
    let is_ours = |map: &&RtpMap| {
        let is_red = map.name.eq_ignore_ascii_case(RED) && map.clock_rate == Codec::Opus.clock_rate_hz();
        let blocks = fmtp(media, map.payload_type);
        is_red
            && map.channels == Codec::Opus.channels()
            && !(64..=95).contains(&map.payload_type)
            && blocks.split('/').all(|block| block.trim().parse() == Ok(frames))
    };
    let payload_type = media.rtpmaps.iter().map(|map| &map.value).find(is_ours)?.payload_type;
    Some(NegotiatedRed { payload_type, frames, is_first: place(payload_type)? < place(frames)? })
}

fn extensions(config: &Config, allow_mixed: bool, kind: MediaKind, media: &Media) -> ExtensionMap {
    let mut map = ExtensionMap::default();
    for extmap in media.extmaps.iter().map(|extmap| &extmap.value) {
        let usable = (1..=14).contains(&extmap.id) || (allow_mixed && extmap.id > 15);
        let Some(extension) = ExtensionKind::from_uri(&extmap.uri) else { continue };
        if usable && config.extensions.contains(&extension) && fits(extension, kind) {
            // A second id for the same extension is left out: each stands once (RFC 8285 §5).
            let _ = map.insert(extmap.id, extension);
        }
    }
    map
}

/// Whether an extension says anything about this kind of media.
pub(crate) const fn fits(extension: ExtensionKind, kind: MediaKind) -> bool {
    match extension {
        ExtensionKind::AudioLevel | ExtensionKind::CsrcAudioLevels => matches!(kind, MediaKind::Audio),
        ExtensionKind::Rid
        | ExtensionKind::RepairedRid
        | ExtensionKind::PlayoutDelay
        | ExtensionKind::VideoOrientation
        | ExtensionKind::VideoContentType
        | ExtensionKind::VideoTiming
        | ExtensionKind::ColorSpace
        | ExtensionKind::LayersAllocation
        | ExtensionKind::DependencyDescriptor => matches!(kind, MediaKind::Video),
        _ => true,
    }
}

/// The streams that the peer sends, and those it wants to receive; of alternatives the first.
fn simulcast(media: &Media) -> Result<(Vec<Rid>, Vec<Rid>), SdpError> {
    let Some(simulcast) = &media.simulcast else { return Ok((Vec::new(), Vec::new())) };
    let missing = SdpError::new(simulcast.line, SdpReason::SimulcastRidMissing);
    let streams = |streams: &[Vec<SimulcastRid>], send: bool| -> Result<Vec<Rid>, SdpError> {
        let described = |id: &str| media.rids.iter().any(|rid| rid.value.id == id && rid.value.send == send);
        let mut rids = Vec::new();
        for alternatives in streams {
            if !alternatives.iter().all(|rid| described(&rid.id)) {
                return Err(missing);
            }
            let first = alternatives.first().and_then(|rid| rid.id.parse().ok());
            rids.extend(first.filter(|rid| !rids.contains(rid)));
        }
        Ok(rids)
    };
    Ok((streams(&simulcast.value.send, true)?, streams(&simulcast.value.recv, false)?))
}

/// RFC 5576: the announced SSRCs. A group that names one that is not announced is ignored.
fn signalled_ssrcs(media: &Media) -> Vec<SignalledSsrc> {
    let mut ssrcs: Vec<SignalledSsrc> = Vec::new();
    for line in &media.ssrcs {
        let ssrc = Ssrc(line.value.ssrc);
        if ssrcs.len() < MAX_SIGNALLED_SSRCS && !ssrcs.iter().any(|known| known.ssrc == ssrc) {
            ssrcs.push(SignalledSsrc { ssrc, repairs: None, protects: None });
        }
    }
    for group in media.ssrc_groups.iter().map(|group| &group.value) {
        let [primary, repair] = group.ssrcs[..] else { continue };
        if primary == repair || !ssrcs.iter().any(|known| known.ssrc.0 == primary) {
            continue;
        }
        if let Some(known) = ssrcs.iter_mut().find(|known| known.ssrc.0 == repair) {
            match group.semantics.as_str() {
                "FID" => known.repairs = Some(Ssrc(primary)),
                "FEC-FR" => known.protects = Some(Ssrc(primary)),
                _ => {}
            }
        }
    }
    ssrcs
}
