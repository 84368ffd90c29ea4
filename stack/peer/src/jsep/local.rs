//! Writing our descriptions (RFC 9429 §5.2, §5.3).

use std::net::SocketAddr;

use tombolo_rtp::ext::{ExtensionKind, ExtensionMap};

use super::RemoteDescription;
use super::section::{FLEXFEC, FLEXFEC_CLOCK_RATE_HZ, RED, fits};
use crate::codec::{Codec, CodecCapability, Feedback, H264Format, MediaKind, NegotiatedCodec};
use crate::config::Config;
use crate::sdp::{
    At, Direction, Extmap, FingerprintLine, Group, Media, Origin, RidLine, RtpMap, Sdp, SectionKind, Setup,
    SimulcastRid, SsrcAttribute, SsrcGroup, TransportAttributes,
};
use crate::transceiver::{NegotiatedMedia, NegotiatedRed, Transceiver};

/// Our end of the transport, as a description tells it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LocalTransport {
    pub(crate) ufrag: String,
    pub(crate) pwd: String,
    pub(crate) fingerprint: FingerprintLine,
    pub(crate) tls_id: String,
    /// The values from `candidate:` on, and the address of the best one.
    pub(crate) candidates: Vec<String>,
    pub(crate) default: Option<SocketAddr>,
    pub(crate) end_of_candidates: bool,
}

impl LocalTransport {
    fn attributes(&self, setup: Setup, tls_id: bool) -> TransportAttributes {
        TransportAttributes {
            ice_ufrag: Some(At::new(self.ufrag.clone())),
            ice_pwd: Some(At::new(self.pwd.clone())),
            ice_options: vec!["trickle".into(), "ice2".into()],
            ice_mismatch: None,
            fingerprints: vec![At::new(self.fingerprint.clone())],
            setup: Some(At::new(setup)),
            tls_id: tls_id.then(|| At::new(self.tls_id.clone())),
        }
    }

    /// Puts the transport into the bundled sections, the tag first; only that one has the candidates.
    ///
    /// Deviation: RFC 9143 §7.1.3, the attributes stand in every section as browsers write them and not in the tagged
    /// one alone, because the tab of a Firefox ESR 153 crashes on an answer whose other sections lack them.
    fn describe(&self, sdp: &mut Sdp, bundle: &[usize], setup: Setup, tls_id: bool) {
        for &index in bundle {
            let media = &mut sdp.media[index];
            media.port = self.default.map_or(9, |address| address.port());
            media.connection = self.default.map(|address| address.ip().to_string());
            media.transport = self.attributes(setup, tls_id);
        }
        if let Some(&tag) = bundle.first() {
            let media = &mut sdp.media[tag];
            media.candidates = self.candidates.iter().cloned().map(At::new).collect();
            media.end_of_candidates = self.end_of_candidates;
        }
    }
}

/// The answer to `offer`. `transceiver` gives the one of a section; a section without one, or with a stopped one, is
/// rejected. `group` says whether to write a bundle group.
pub(crate) fn answer<'a>(
    config: &Config,
    origin: Origin,
    offer: &RemoteDescription,
    transport: &LocalTransport,
    setup: Setup,
    transceiver: impl Fn(usize) -> Option<&'a Transceiver>,
) -> Sdp {
    let mut sdp = Sdp { origin, ..Sdp::default() };
    sdp.ice_lite = config.is_ice_lite().then(At::default);
    sdp.extmap_allow_mixed = offer.sdp.extmap_allow_mixed;
    for (index, (offered, negotiated)) in offer.sdp.media.iter().zip(&offer.sections).enumerate() {
        let accepted =
            negotiated.as_ref().zip(transceiver(index)).filter(|(_, transceiver)| !transceiver.stopped);
        sdp.media.push(match accepted {
            Some((negotiated, transceiver)) => {
                let direction = offered.direction.reversed().and(transceiver.direction);
                let mut media = section(config, negotiated, transceiver, direction);
                media.protocol.clone_from(&offered.protocol);
                media.mid.clone_from(&offered.mid);
                media.extmap_allow_mixed = offered.extmap_allow_mixed;
                for extmap in &mut media.extmaps {
                    let theirs = offered.extmaps.iter().find(|theirs| theirs.value.id == extmap.value.id);
                    extmap.value.direction =
                        theirs.and_then(|at| at.value.direction).map(Direction::reversed);
                }
                media
            }
            None => rejected(offered),
        });
    }
    let bundle: Vec<usize> =
        offer.bundle.iter().copied().filter(|&index| sdp.media[index].port != 0).collect();
    if offer.sdp.bundle().is_some() {
        push_group(&mut sdp, &bundle);
    }
    let has_tls_id = offer.transport.as_ref().is_some_and(|transport| transport.tls_id.is_some());
    transport.describe(&mut sdp, &bundle, setup, has_tls_id);
    sdp
}

/// RFC 3264 §6: the same line with port 0.
fn rejected(offered: &Media) -> Media {
    Media {
        kind: offered.kind,
        kind_name: offered.kind_name.clone(),
        protocol: offered.protocol.clone(),
        formats: offered.formats.clone(),
        mid: offered.mid.clone(),
        direction: Direction::Inactive,
        ..Media::default()
    }
}

/// An offer of all transceivers, each in its section; a section whose transceiver was stopped is rejected.
pub(crate) fn offer<'a>(
    config: &Config,
    origin: Origin,
    transport: &LocalTransport,
    sections: impl Iterator<Item = (Option<&'a Transceiver>, String, Option<&'a Media>)>,
) -> Sdp {
    let mut sdp = Sdp { origin, extmap_allow_mixed: true, ..Sdp::default() };
    sdp.ice_lite = config.is_ice_lite().then(At::default);
    let sections: Vec<_> = sections.collect();
    let live =
        |transceiver: &Option<&'a Transceiver>| transceiver.is_some_and(|transceiver| !transceiver.stopped);
    let mut plan = OfferPlan::new(config, sections.iter().filter_map(|(transceiver, ..)| *transceiver));
    let mut bundle = Vec::new();
    for (index, (transceiver, mid, previous)) in sections.iter().enumerate() {
        let media = match transceiver {
            Some(transceiver) if live(&Some(transceiver)) => {
                bundle.push(index);
                let media = plan.media(transceiver);
                let mut media = section(config, &media, transceiver, transceiver.direction);
                media.protocol = "UDP/TLS/RTP/SAVPF".into();
                media.mid = Some(At::new(mid.clone()));
                media.rtcp_mux_only = Some(At::default());
                media
            }
            _ => match previous {
                Some(previous) => rejected(previous),
                None => continue,
            },
        };
        sdp.media.push(media);
    }
    push_group(&mut sdp, &bundle);
    transport.describe(&mut sdp, &bundle, Setup::ActPass, true);
    sdp
}

fn push_group(sdp: &mut Sdp, bundle: &[usize]) {
    let mids: Vec<String> =
        bundle.iter().filter_map(|&index| sdp.media[index].mid_str().map(str::to_owned)).collect();
    if !mids.is_empty() {
        sdp.groups.push(At::new(Group { semantics: "BUNDLE".into(), mids }));
    }
}

/// The lines of an accepted section, without transport, protocol and mid.
fn section(
    config: &Config,
    negotiated: &NegotiatedMedia,
    transceiver: &Transceiver,
    direction: Direction,
) -> Media {
    let kind = transceiver.kind;
    let mut media = Media {
        kind: if kind == MediaKind::Audio { SectionKind::Audio } else { SectionKind::Video },
        kind_name: kind.as_str().into(),
        port: 9,
        direction,
        rtcp_mux: Some(At::default()),
        rtcp_rsize: negotiated.reduced_size,
        ..Media::default()
    };
    for codec in &negotiated.codecs {
        let red = negotiated.red.filter(|red| red.frames == codec.payload_type);
        if let Some(red) = red.filter(|red| red.is_first) {
            push_red(&mut media, red);
        }
        push_codec(config, &mut media, codec);
        if let Some(red) = red.filter(|red| !red.is_first) {
            push_red(&mut media, red);
        }
    }
    if let Some(payload_type) = negotiated.flexfec {
        let feedback = negotiated.codecs.first().map(|codec| codec.feedback).unwrap_or_default();
        push_flexfec(&mut media, payload_type, feedback);
    }
    if negotiated.has_ccfb() {
        media.feedback.push(At::new((None, "ack ccfb".into())));
    }
    for kind in ExtensionKind::ALL {
        if let Some(id) = negotiated.extensions.id(kind) {
            media.extmaps.push(At::new(Extmap { id, direction: None, uri: kind.uri().into() }));
        }
    }
    if direction.receives() && !negotiated.receive_rids.is_empty() {
        push_rids(&mut media, negotiated.receive_rids.iter().map(ToString::to_string), false);
    }
    if direction.sends() {
        media.msids.push((transceiver.stream_id.clone(), Some(transceiver.track_id.clone())));
        if negotiated.send_rids.is_empty() {
            push_ssrcs(&mut media, transceiver, negotiated);
        } else {
            push_rids(&mut media, negotiated.send_rids.iter().map(ToString::to_string), true);
        }
    }
    media
}

fn push_codec(config: &Config, media: &mut Media, negotiated: &NegotiatedCodec) {
    let codec = negotiated.codec;
    let mut push = |payload_type: u8, name: &str, channels: u8| {
        media.formats.push(payload_type.to_string());
        let map = RtpMap { payload_type, name: name.into(), clock_rate: codec.clock_rate_hz(), channels };
        media.rtpmaps.push(At::new(map));
    };
    push(negotiated.payload_type, codec.name(), codec.channels());
    if let Some(rtx) = negotiated.rtx_payload_type {
        push(rtx, "rtx", 1);
        media.fmtps.push(At::new((rtx, format!("apt={}", negotiated.payload_type))));
    }
    for name in negotiated.feedback.names() {
        media.feedback.push(At::new((Some(negotiated.payload_type), name.into())));
    }
    let fmtp = match negotiated.h264 {
        Some(H264Format { packetization_mode: mode, profile_level_id: [a, b, c] }) => {
            format!(
                "level-asymmetry-allowed=1;packetization-mode={mode};profile-level-id={a:02x}{b:02x}{c:02x}"
            )
        }
        None => {
            let capability = config.codecs.iter().find(|capability| capability.codec == codec);
            capability.map(|capability| capability.fmtp.clone()).unwrap_or_default()
        }
    };
    if !fmtp.is_empty() {
        media.fmtps.push(At::new((negotiated.payload_type, fmtp)));
    }
}

fn push_red(media: &mut Media, red: NegotiatedRed) {
    let (payload_type, name) = (red.payload_type, RED.into());
    media.formats.push(payload_type.to_string());
    let (clock_rate, channels) = (Codec::Opus.clock_rate_hz(), Codec::Opus.channels());
    media.rtpmaps.push(At::new(RtpMap { payload_type, name, clock_rate, channels }));
    media.fmtps.push(At::new((payload_type, format!("{0}/{0}", red.frames))));
}

/// The repair window is what Chromium writes: ten seconds, in µs.
fn push_flexfec(media: &mut Media, payload_type: u8, feedback: Feedback) {
    media.formats.push(payload_type.to_string());
    let (name, clock_rate) = (FLEXFEC.into(), FLEXFEC_CLOCK_RATE_HZ);
    media.rtpmaps.push(At::new(RtpMap { payload_type, name, clock_rate, channels: 1 }));
    let feedback = Feedback { nack: false, pli: false, fir: false, ..feedback };
    for name in feedback.names() {
        media.feedback.push(At::new((Some(payload_type), name.into())));
    }
    media.fmtps.push(At::new((payload_type, "repair-window=10000000".into())));
}

fn push_rids(media: &mut Media, rids: impl Iterator<Item = String> + Clone, send: bool) {
    for id in rids.clone() {
        media.rids.push(At::new(RidLine { id, send, restrictions: String::new() }));
    }
    let streams = rids.map(|id| vec![SimulcastRid { id, paused: false }]).collect();
    let simulcast = media.simulcast.get_or_insert_default();
    *(if send { &mut simulcast.value.send } else { &mut simulcast.value.recv }) = streams;
}

/// RFC 5576: one stream, its retransmissions in an FID group, its repair packets in an FEC-FR group (RFC 5956 §4.3), the same
/// CNAME on all.
fn push_ssrcs(media: &mut Media, transceiver: &Transceiver, negotiated: &NegotiatedMedia) {
    let Some(encoding) = transceiver.encodings.first() else { return };
    let mut ssrcs = vec![encoding.ssrc.0];
    let rtx = negotiated.codecs.iter().any(|codec| codec.rtx_payload_type.is_some());
    let repairs =
        [("FID", encoding.rtx_ssrc, rtx), ("FEC-FR", encoding.fec_ssrc, negotiated.flexfec.is_some())];
    for (semantics, repair, _) in repairs.into_iter().filter(|repair| repair.2) {
        ssrcs.push(repair.0);
        let group = SsrcGroup { semantics: semantics.into(), ssrcs: vec![encoding.ssrc.0, repair.0] };
        media.ssrc_groups.push(At::new(group));
    }
    for ssrc in ssrcs {
        let attribute = |name: &str, value: String| At::new(SsrcAttribute { ssrc, name: name.into(), value });
        media.ssrcs.push(attribute("cname", transceiver.cname.clone()));
        media.ssrcs.push(attribute("msid", format!("{} {}", transceiver.stream_id, transceiver.track_id)));
    }
}

/// The payload types and extension ids of one offer: what was negotiated keeps its number, what is new takes its
/// preferred number or, where that means something else already, a free one.
struct OfferPlan<'a> {
    config: &'a Config,
    codecs: Vec<NegotiatedCodec>,
    flexfec: Option<u8>,
    red: Option<u8>,
    extensions: ExtensionMap,
}

impl<'a> OfferPlan<'a> {
    fn new<'t>(config: &'a Config, transceivers: impl Iterator<Item = &'t Transceiver>) -> Self {
        let mut plan = Self {
            config,
            codecs: Vec::new(),
            flexfec: None,
            red: None,
            extensions: ExtensionMap::default(),
        };
        for negotiated in transceivers.filter_map(|transceiver| transceiver.negotiated.as_ref()) {
            plan.codecs.extend(&negotiated.codecs);
            plan.flexfec = plan.flexfec.or(negotiated.flexfec);
            plan.red = plan.red.or(negotiated.red.map(|red| red.payload_type));
            for kind in ExtensionKind::ALL {
                if let Some(id) = negotiated.extensions.id(kind) {
                    // Where two sections differ the first one's id is offered for new ones.
                    let _ = plan.extensions.insert(id, kind);
                }
            }
        }
        plan
    }

    fn media(&mut self, transceiver: &Transceiver) -> NegotiatedMedia {
        if let Some(negotiated) = &transceiver.negotiated {
            let rids = transceiver.encodings.iter().filter_map(|encoding| encoding.rid);
            let send_rids = rids.filter(|rid| negotiated.send_rids.contains(rid)).collect();
            return NegotiatedMedia { send_rids, ..negotiated.clone() };
        }
        let kind = transceiver.kind;
        let mut media = NegotiatedMedia { reduced_size: true, ..NegotiatedMedia::default() };
        for capability in
            self.config.codecs.iter().filter(|capability| MediaKind::of(capability.codec) == kind)
        {
            media.codecs.push(self.codec(capability));
        }
        if let Some(preferred) = self.config.flexfec.filter(|_| kind == MediaKind::Video) {
            let payload_type = self.flexfec.unwrap_or_else(|| self.free_payload_type(preferred, None));
            self.flexfec = Some(payload_type);
            media.flexfec = Some(payload_type);
        }
        let opus = media.codecs.iter().find(|codec| codec.codec == Codec::Opus);
        if let Some((preferred, opus)) = self.config.red.zip(opus) {
            let payload_type = self.red.unwrap_or_else(|| self.free_payload_type(preferred, None));
            self.red = Some(payload_type);
            media.red = Some(NegotiatedRed { payload_type, frames: opus.payload_type, is_first: false });
        }
        for &extension in self.config.extensions.iter().filter(|&&extension| fits(extension, kind)) {
            if let Some(id) = self.extension(extension) {
                // Cannot clash: the id is this extension's in the whole offer.
                let _ = media.extensions.insert(id, extension);
            }
        }
        media.send_rids = transceiver.encodings.iter().filter_map(|encoding| encoding.rid).collect();
        media
    }

    fn codec(&mut self, capability: &CodecCapability) -> NegotiatedCodec {
        let h264 =
            (capability.codec == Codec::H264).then(|| H264Format::from_fmtp(&capability.fmtp)).flatten();
        let same = |known: &&NegotiatedCodec| known.codec == capability.codec && known.h264 == h264;
        if let Some(known) = self.codecs.iter().find(same) {
            return *known;
        }
        let payload_type = self.free_payload_type(capability.payload_type, None);
        let rtx = capability.rtx_payload_type.map(|rtx| self.free_payload_type(rtx, Some(payload_type)));
        let feedback = Feedback {
            ccfb: self.config.prefers_ccfb,
            ..Feedback::supported(MediaKind::of(capability.codec))
        };
        let codec =
            NegotiatedCodec { codec: capability.codec, payload_type, rtx_payload_type: rtx, h264, feedback };
        self.codecs.push(codec);
        codec
    }

    /// RTP-09: the dynamic range, and the low one that RTCP does not collide with.
    fn free_payload_type(&self, preferred: u8, also_taken: Option<u8>) -> u8 {
        let taken = |number: u8| {
            also_taken == Some(number)
                || [self.flexfec, self.red].contains(&Some(number))
                || self
                    .codecs
                    .iter()
                    .any(|known| known.payload_type == number || known.rtx_payload_type == Some(number))
        };
        let mut choices = std::iter::once(preferred).chain(96..=127).chain(35..=63);
        choices.find(|&number| !taken(number) && !(64..=95).contains(&number)).unwrap_or(preferred)
    }

    fn extension(&mut self, kind: ExtensionKind) -> Option<u8> {
        if let Some(id) = self.extensions.id(kind) {
            return Some(id);
        }
        let id = (1..=14).find(|&id| self.extensions.kind(id).is_none())?;
        self.extensions.insert(id, kind).ok().map(|()| id)
    }
}
