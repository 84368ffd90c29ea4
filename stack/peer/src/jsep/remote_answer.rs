//! Judging a peer's answer to our offer (RFC 9429 §5.8.3, §5.11).

use tombolo_rtp::ext::{ExtensionKind, ExtensionMap};

use super::remote_offer::{RemoteDescription, bundle_indices, check_shared_ids};
use super::section;
use super::transport::RemoteTransport;
use crate::config::Config;
use crate::sdp::{Media, Sdp, SdpError, SdpReason, SdpType};
use crate::transceiver::{NegotiatedMedia, NegotiatedRed};

impl RemoteDescription {
    /// Judges an answer to `offer`. `previous` is the last description of the peer that was applied.
    pub(crate) fn read_answer(
        config: &Config,
        offer: &Sdp,
        sdp: Sdp,
        previous: Option<&Self>,
    ) -> Result<Self, SdpError> {
        if sdp.media.len() != offer.media.len() {
            let line = sdp.media.last().map_or(1, |media| media.line.line);
            return Err(SdpError::new(line, SdpReason::MediaSectionMismatch));
        }
        let mut sections = Vec::with_capacity(sdp.media.len());
        for (offered, answered) in offer.media.iter().zip(&sdp.media) {
            sections.push(accepted(config, &sdp, offered, answered)?);
        }
        let bundle = check_bundle(offer, &sdp, &sections)?;
        check_shared_ids(&sdp, &sections)?;
        let mut transport = None;
        if let Some(&tag) = bundle.first() {
            transport = Some(RemoteTransport::read(SdpType::Answer, &sdp, tag, &bundle)?);
        }
        if let (Some(new), Some(old)) =
            (&mut transport, previous.and_then(|previous| previous.transport.as_ref()))
        {
            new.follow(old)?;
        }
        Ok(Self { sdp, sections, bundle, transport })
    }
}

fn accepted(
    config: &Config,
    sdp: &Sdp,
    offered: &Media,
    answered: &Media,
) -> Result<Option<NegotiatedMedia>, SdpError> {
    let refuse = |reason| Err(SdpError::new(answered.line.line, reason));
    if answered.kind_name != offered.kind_name || (answered.mid.is_some() && answered.mid != offered.mid) {
        return refuse(SdpReason::MediaSectionMismatch);
    }
    if answered.protocol != offered.protocol {
        return refuse(SdpReason::ProtocolMismatch);
    }
    if answered.is_rejected() || offered.is_rejected() {
        return Ok(None);
    }
    if answered.rtcp_mux.is_none() {
        return refuse(SdpReason::RtcpMuxMissing);
    }
    let (offered_way, answered_way) = (offered.direction, answered.direction.reversed());
    if offered_way.and(answered_way) != answered_way {
        return refuse(SdpReason::DirectionMismatch);
    }
    let Some(ours) = section::negotiate(config, sdp, offered)? else {
        return refuse(SdpReason::CodecNotOffered);
    };
    let Some(mut theirs) = section::negotiate(config, sdp, answered)? else {
        return refuse(SdpReason::CodecNotOffered);
    };
    theirs.codecs.retain_mut(|codec| {
        let Some(own) = ours.codecs.iter().find(|own| own.payload_type == codec.payload_type) else {
            return false;
        };
        codec.feedback = codec.feedback.and(own.feedback);
        codec.rtx_payload_type =
            codec.rtx_payload_type.filter(|_| own.rtx_payload_type == codec.rtx_payload_type);
        own.codec == codec.codec
    });
    if theirs.codecs.is_empty() {
        return refuse(SdpReason::CodecNotOffered);
    }
    theirs.flexfec = theirs.flexfec.filter(|_| theirs.flexfec == ours.flexfec);
    theirs.settle_feedback(config.prefers_ccfb);
    let same = |red: &NegotiatedRed| ours.red.is_some_and(|own| own.payload_type == red.payload_type);
    theirs.red = theirs.red.filter(same);
    theirs.extensions = answered_extensions(&ours.extensions, answered)?;
    theirs.reduced_size &= offered.rtcp_rsize;
    check_simulcast(offered, answered)?;
    Ok(Some(theirs))
}

/// RFC 8285 §6: an answer keeps the ids of the offer and adds none.
fn answered_extensions(offered: &ExtensionMap, answered: &Media) -> Result<ExtensionMap, SdpError> {
    let mut map = ExtensionMap::default();
    for at in &answered.extmaps {
        let kind = ExtensionKind::from_uri(&at.value.uri);
        let Some(kind) = kind.filter(|&kind| offered.id(kind) == Some(at.value.id)) else {
            return Err(SdpError::new(at.line, SdpReason::ExtmapNotOffered));
        };
        // Cannot fail: the offer's map has the same pair.
        let _ = map.insert(at.value.id, kind);
    }
    Ok(map)
}

/// RFC 8853 §5.3.2: an answer may leave streams out, and adds none.
fn check_simulcast(offered: &Media, answered: &Media) -> Result<(), SdpError> {
    let Some(simulcast) = &answered.simulcast else { return Ok(()) };
    let offered = offered.simulcast.as_ref().map(|at| &at.value);
    let has = |rid: &str, send: bool| {
        let streams = offered.map(|offered| if send { &offered.send } else { &offered.recv });
        streams.is_some_and(|streams| streams.iter().flatten().any(|own| own.id == rid))
    };
    let received = simulcast.value.recv.iter().flatten().map(|rid| has(&rid.id, true));
    let sent = simulcast.value.send.iter().flatten().map(|rid| has(&rid.id, false));
    if received.chain(sent).all(|known| known) {
        return Ok(());
    }
    Err(SdpError::new(simulcast.line, SdpReason::SimulcastNotOffered))
}

/// RFC 9143 §7.4: the answer's group is a part of the offer's; all that is accepted must share one transport.
fn check_bundle(
    offer: &Sdp,
    sdp: &Sdp,
    sections: &[Option<NegotiatedMedia>],
) -> Result<Vec<usize>, SdpError> {
    if let Some(group) = sdp.bundle() {
        let offered = offer.bundle().map(|group| group.value.mids.as_slice()).unwrap_or_default();
        if group.value.mids.iter().any(|mid| !offered.contains(mid)) {
            return Err(SdpError::new(group.line, SdpReason::BundleNotOffered));
        }
    }
    let mut bundle = bundle_indices(sdp);
    bundle.retain(|&index| sections[index].is_some());
    let accepted = || (0..sections.len()).filter(|&index| sections[index].is_some());
    if bundle.is_empty() {
        bundle.extend(accepted().next());
    }
    match accepted().find(|index| !bundle.contains(index)) {
        Some(outside) => Err(SdpError::new(sdp.media[outside].line.line, SdpReason::NotBundled)),
        None => Ok(bundle),
    }
}
