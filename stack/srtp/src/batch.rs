//! [`protect_rtp_batch`]: many packets under many keys at a time.

use tombolo_crypto::{CM_LANES, CmJob, seal_batch};

use crate::cipher::RtpPacket;
use crate::{OutboundContext, ProtectError};

/// One packet of [`protect_rtp_batch`].
#[derive(Debug)]
pub struct Outgoing<'a> {
    context: &'a mut OutboundContext,
    buf: &'a mut [u8],
    len: usize,
    protected: Result<usize, ProtectError>,
}

impl<'a> Outgoing<'a> {
    /// The arguments of [`OutboundContext::protect_rtp`].
    #[must_use]
    pub const fn new(context: &'a mut OutboundContext, buf: &'a mut [u8], len: usize) -> Self {
        Self { context, buf, len, protected: Ok(len) }
    }

    /// What [`OutboundContext::protect_rtp`] would have returned, once [`protect_rtp_batch`] has.
    ///
    /// # Errors
    /// [`ProtectError`]; buffer and context are as before.
    pub const fn protected(&self) -> Result<usize, ProtectError> {
        self.protected
    }
}

/// Does [`OutboundContext::protect_rtp`] for each packet, as a forwarder has them: one payload, a copy with a header of
/// its own for each receiver.
///
/// With the HMAC-SHA1 profiles that is quicker than one packet at a time, most so with four packets of about the same
/// length and more. With the others it is the same.
pub fn protect_rtp_batch(packets: &mut [Outgoing<'_>]) {
    for packets in packets.chunks_mut(CM_LANES) {
        let mut lanes: [Option<RtpPacket>; CM_LANES] = [None; CM_LANES];
        for (outgoing, lane) in packets.iter_mut().zip(&mut lanes) {
            let prepared = outgoing.context.prepare_rtp(outgoing.buf, outgoing.len);
            outgoing.protected = prepared.map(|packet| outgoing.context.protected_len(&packet));
            *lane = prepared.ok();
        }
        seal(packets, &lanes);
    }
}

/// Seals the packets that were prepared: those that gain from it together, and the others alone.
fn seal(packets: &mut [Outgoing<'_>], lanes: &[Option<RtpPacket>; CM_LANES]) {
    let mut jobs: [Option<CmJob<'_>>; CM_LANES] = Default::default();
    let mut tails: [&mut [u8]; CM_LANES] = Default::default();
    let mut contexts: [Option<&OutboundContext>; CM_LANES] = Default::default();
    for (at, outgoing) in packets.iter_mut().enumerate() {
        let Some(packet) = &lanes[at] else { continue };
        let keys = &outgoing.context.keys;
        if !keys.rtp.batches(packet) {
            keys.rtp.seal_rtp(outgoing.buf, packet, &keys.mki);
            continue;
        }
        let (text, tail) = outgoing.buf.split_at_mut(packet.len);
        jobs[at] = keys.rtp.job(text, packet);
        tails[at] = tail;
        contexts[at] = Some(&*outgoing.context);
    }
    seal_batch(&mut jobs);
    for ((job, tail), context) in jobs.iter().zip(tails).zip(contexts) {
        if let (Some(job), Some(context)) = (job, context) {
            context.keys.rtp.put_cm_tail(tail, &context.keys.mki, &job.mac);
        }
    }
}
