//! Judging a peer's offer (RFC 9429 §5.8, §5.10): what can be accepted of it, or the line that refuses it.

use tombolo_rtp::ext::ExtensionKind;

use super::section::{self, rtp_kind};
use super::transport::RemoteTransport;
use crate::codec::NegotiatedCodec;
use crate::config::Config;
use crate::sdp::{Media, Sdp, SdpError, SdpReason, SdpType};
use crate::transceiver::NegotiatedMedia;

/// A peer's description and what can be had of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RemoteDescription {
    pub(crate) sdp: Sdp,
    /// By section; `None` is rejected.
    pub(crate) sections: Vec<Option<NegotiatedMedia>>,
    /// The accepted sections in the order of the bundle group.
    pub(crate) bundle: Vec<usize>,
    /// The transport, when any section is accepted.
    pub(crate) transport: Option<RemoteTransport>,
}

impl RemoteDescription {
    /// Judges an offer. `previous` are the descriptions that were applied last, the peer's and ours, if any.
    pub(crate) fn read_offer(
        config: &Config,
        sdp: Sdp,
        previous: Option<(&Self, &Sdp)>,
    ) -> Result<Self, SdpError> {
        if let Some((theirs, ours)) = previous {
            check_sections_follow(&sdp, &theirs.sdp, ours)?;
        }
        let group = bundle_indices(&sdp);
        let mut sections = Vec::with_capacity(sdp.media.len());
        for (index, media) in sdp.media.iter().enumerate() {
            check_secured(&sdp, &group, index)?;
            sections.push(acceptable(config, &sdp, media)?);
        }
        let bundle = one_transport(&sdp, &group, &mut sections);
        check_shared_ids(&sdp, &sections)?;
        let tag =
            bundle.iter().copied().find(|&index| sdp.media[index].port != 0).or(bundle.first().copied());
        let mut transport = None;
        if let Some(tag) = tag {
            transport = Some(RemoteTransport::read(SdpType::Offer, &sdp, tag, &group)?);
        }
        if let (Some(new), Some(old)) =
            (&mut transport, previous.and_then(|(theirs, _)| theirs.transport.as_ref()))
        {
            new.follow(old)?;
        }
        Ok(Self { sdp, sections, bundle, transport })
    }
}

/// A later offer has the sections of the last one, in place; one that either side rejected may be recycled.
fn check_sections_follow(sdp: &Sdp, theirs: &Sdp, ours: &Sdp) -> Result<(), SdpError> {
    if sdp.media.len() < theirs.media.len() {
        let line = sdp.media.last().map_or(1, |media| media.line.line);
        return Err(SdpError::new(line, SdpReason::MediaSectionMismatch));
    }
    for ((new, old), own) in sdp.media.iter().zip(&theirs.media).zip(&ours.media) {
        let same = new.kind_name == old.kind_name && new.mid == old.mid;
        if !same && !old.is_rejected() && !own.is_rejected() && !new.is_rejected() {
            return Err(SdpError::new(new.line.line, SdpReason::MediaSectionMismatch));
        }
    }
    Ok(())
}

/// The sections of the bundle group in its order; mids without a section are ignored.
pub(super) fn bundle_indices(sdp: &Sdp) -> Vec<usize> {
    let mids = sdp.bundle().map(|group| group.value.mids.as_slice()).unwrap_or_default();
    let index = |mid: &String| sdp.media.iter().position(|media| media.mid_str() == Some(mid));
    mids.iter().filter_map(index).collect()
}

/// RFC 8827 §6.5: media without a fingerprint would be unprotected, so it fails the offer whatever else it says.
fn check_secured(sdp: &Sdp, group: &[usize], index: usize) -> Result<(), SdpError> {
    let media = &sdp.media[index];
    if media.is_rejected() || rtp_kind(media).is_none() {
        return Ok(());
    }
    let has = |index: usize| !sdp.media[index].transport.fingerprints.is_empty();
    let inherited = group.contains(&index) && group.iter().any(|&other| has(other));
    if has(index) || inherited || !sdp.transport.fingerprints.is_empty() {
        return Ok(());
    }
    Err(SdpError::new(media.line.line, SdpReason::FingerprintMissing))
}

fn acceptable(config: &Config, sdp: &Sdp, media: &Media) -> Result<Option<NegotiatedMedia>, SdpError> {
    if let (Some(only), None) = (&media.rtcp_mux_only, &media.rtcp_mux) {
        return Err(SdpError::new(only.line, SdpReason::RtcpMuxOnly));
    }
    let mut negotiated = section::negotiate(config, sdp, media)?;
    // An answerer sends one stream per section, even where the offerer would receive several.
    if let Some(negotiated) = &mut negotiated {
        negotiated.send_rids.clear();
        negotiated.settle_feedback(config.prefers_ccfb);
    }
    // RFC 8035 §3.1: without rtcp-mux in the offer there is none in the answer, so the section is rejected.
    Ok(negotiated.filter(|_| !media.is_rejected() && media.rtcp_mux.is_some()))
}

/// There is one transport: the bundle group's, or the first acceptable section's where nothing is bundled. The
/// others are rejected. Returns the accepted sections, the group's order first.
fn one_transport(sdp: &Sdp, group: &[usize], sections: &mut [Option<NegotiatedMedia>]) -> Vec<usize> {
    let mut accepted: Vec<usize> = group.iter().copied().filter(|&index| sections[index].is_some()).collect();
    if accepted.is_empty() {
        accepted.extend((0..sdp.media.len()).find(|&index| sections[index].is_some()));
    }
    for (index, section) in sections.iter_mut().enumerate() {
        if !accepted.contains(&index) {
            *section = None;
        }
    }
    accepted
}

/// RFC 9143 §9.1.1, §12: in a bundle a payload type means one codec, and the ids that tell sections apart mean one
/// extension.
pub(super) fn check_shared_ids(sdp: &Sdp, sections: &[Option<NegotiatedMedia>]) -> Result<(), SdpError> {
    let accepted =
        || sections.iter().enumerate().filter_map(|(index, section)| Some((index, section.as_ref()?)));
    for (index, section) in accepted() {
        let line = sdp.media[index].line.line;
        for (_, earlier) in accepted().take_while(|&(other, _)| other < index) {
            let clashes =
                |codec: &NegotiatedCodec| earlier.codecs.iter().any(|other| codecs_clash(codec, other));
            let codec = section.codecs.iter().find(|codec| clashes(codec)).map(|codec| codec.payload_type);
            if let Some(payload_type) = codec.or_else(|| repair_clash(section, earlier)) {
                let map = sdp.media[index].rtpmaps.iter().find(|map| map.value.payload_type == payload_type);
                return Err(SdpError::new(map.map_or(line, |map| map.line), SdpReason::PayloadTypeConflict));
            }
            for kind in [ExtensionKind::Mid, ExtensionKind::Rid, ExtensionKind::RepairedRid] {
                let (Some(own), Some(other)) = (section.extensions.id(kind), earlier.extensions.id(kind))
                else {
                    continue;
                };
                if own != other {
                    let extmap = sdp.media[index].extmaps.iter().find(|extmap| extmap.value.id == own);
                    return Err(SdpError::new(extmap.map_or(line, |at| at.line), SdpReason::ExtmapConflict));
                }
            }
        }
    }
    Ok(())
}

/// A payload type that is repair in one section and media in the other.
fn repair_clash(a: &NegotiatedMedia, b: &NegotiatedMedia) -> Option<u8> {
    let clash = |a: &NegotiatedMedia, b: &NegotiatedMedia| {
        let other = |&number: &u8| {
            let same = a.flexfec == Some(number) && b.flexfec == Some(number)
                || a.red.zip(b.red).is_some_and(|(a, b)| [a.payload_type, b.payload_type] == [number; 2]);
            !same && b.has_payload_type(number)
        };
        a.repair_payload_types().find(other)
    };
    clash(a, b).or_else(|| clash(b, a))
}

fn codecs_clash(a: &NegotiatedCodec, b: &NegotiatedCodec) -> bool {
    let same_codec = a.codec == b.codec && a.h264 == b.h264;
    let same_rtx = a.rtx_payload_type.is_some() && a.rtx_payload_type == b.rtx_payload_type;
    (a.payload_type == b.payload_type && !same_codec)
        || a.rtx_payload_type == Some(b.payload_type)
        || b.rtx_payload_type == Some(a.payload_type)
        || (same_rtx && a.payload_type != b.payload_type)
}
