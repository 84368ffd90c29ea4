//! Packets as vectors, in and out.

use tombolo_srtp::{InboundContext, OutboundContext, ProtectError, UnprotectError};

/// The payload type of an RTCP packet with feedback, where RTP has marker and payload type.
const FEEDBACK: u8 = 206;

pub(crate) fn protect(outbound: &mut OutboundContext, packet: &[u8]) -> Result<Vec<u8>, ProtectError> {
    let mut buf = packet.to_vec();
    buf.resize(packet.len() + outbound.overhead(), 0);
    let len = if packet.get(1) == Some(&FEEDBACK) {
        outbound.protect_rtcp(&mut buf, packet.len())?
    } else {
        outbound.protect_rtp(&mut buf, packet.len())?
    };
    buf.truncate(len);
    Ok(buf)
}

pub(crate) fn unprotect(inbound: &mut InboundContext, sealed: &[u8]) -> Result<Vec<u8>, UnprotectError> {
    let mut buf = sealed.to_vec();
    let len = if sealed.get(1) == Some(&FEEDBACK) {
        inbound.unprotect_rtcp(&mut buf)?
    } else {
        inbound.unprotect_rtp(&mut buf)?
    };
    buf.truncate(len);
    Ok(buf)
}
