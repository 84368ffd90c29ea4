//! Which section and layer a packet belongs to (RFC 9143 §9.2, RFC 8852 §3).
//!
//! In this order: a MID in the packet, an SSRC that is bound already, an SSRC that was signalled, a payload type
//! that only one section has. Bindings are made by authenticated packets only, and are bounded.

use std::collections::BTreeMap;

use tombolo_net::{ExtSeqNo, Ssrc};
use tombolo_rtp::ext::HeaderExtensions;
use tombolo_rtp::{Mid, Rid};

use super::DropReason;
use crate::transceiver::{Transceiver, TransceiverId};

/// The most SSRCs that are bound at one time.
pub(crate) const MAX_STREAMS: usize = 128;

/// What an SSRC carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Media.
    Primary,
    /// Retransmissions of the stream with this SSRC.
    Repairs(Ssrc),
    /// Repair packets; each tells what it protects.
    Protects,
}

/// Where an SSRC belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    pub(crate) transceiver: TransceiverId,
    pub(crate) rid: Option<Rid>,
    pub(crate) role: Role,
    /// The sequence number of the packet whose MID made or last confirmed the binding.
    pub(crate) mid_seq: Option<ExtSeqNo>,
}

/// The table of bindings.
#[derive(Debug, Default)]
pub(crate) struct Router {
    bindings: BTreeMap<u32, Binding>,
    /// SSRCs that were bound and are no more, until somebody asks.
    gone: Vec<Ssrc>,
}

/// The parts of a packet that routing looks at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Labels {
    pub(crate) ssrc: Ssrc,
    pub(crate) payload_type: u8,
    /// Without wraps, as far as the SSRC's stream is known; else any consistent number.
    pub(crate) seq: ExtSeqNo,
    pub(crate) mid: Option<Mid>,
    pub(crate) rid: Option<Rid>,
    pub(crate) repaired_rid: Option<Rid>,
}

impl Labels {
    pub(crate) fn new(ssrc: Ssrc, payload_type: u8, seq: ExtSeqNo, extensions: &HeaderExtensions) -> Self {
        let HeaderExtensions { mid, rid, repaired_rid, .. } = *extensions;
        Self { ssrc, payload_type, seq, mid, rid, repaired_rid }
    }
}

impl Router {
    pub(crate) fn is_full(&self) -> bool {
        self.bindings.len() >= MAX_STREAMS
    }

    pub(crate) fn remove(&mut self, ssrc: Ssrc) {
        // What repaired it repairs nothing now.
        self.keep(|bound, binding| bound != ssrc && binding.role != Role::Repairs(ssrc));
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&Binding) -> bool) {
        self.keep(|_, binding| keep(binding));
    }

    fn keep(&mut self, keep: impl Fn(Ssrc, &Binding) -> bool) {
        self.bindings.retain(|&ssrc, binding| {
            let kept = keep(Ssrc(ssrc), binding);
            if !kept {
                self.gone.push(Ssrc(ssrc));
            }
            kept
        });
    }

    /// An SSRC that was bound and is no more, each once.
    pub(crate) fn poll_gone(&mut self) -> Option<Ssrc> {
        self.gone.pop()
    }

    /// Binds an SSRC outside of the packet flow: an SDES item said where it belongs (RFC 9143 §15.1).
    pub(crate) fn bind_by_sdes(&mut self, ssrc: Ssrc, mid: Mid, transceivers: &[Transceiver]) {
        let Some(transceiver) = receiving(transceivers).find(|one| one.mid == Some(mid)) else { return };
        let layered = transceiver.negotiated.as_ref().is_some_and(|media| !media.receive_rids.is_empty());
        if !layered && self.bindings.len() < MAX_STREAMS {
            let role = self.role(transceiver, ssrc, None, None);
            self.bindings.entry(ssrc.0).or_insert(Binding {
                transceiver: transceiver.id,
                rid: None,
                role: role.unwrap_or(Role::Primary),
                mid_seq: None,
            });
        }
    }

    /// Where the packet belongs; makes or changes the binding of its SSRC when the packet says so.
    pub(crate) fn route(
        &mut self,
        labels: &Labels,
        transceivers: &[Transceiver],
    ) -> Result<Binding, DropReason> {
        let known = self.bindings.get(&labels.ssrc.0).copied();
        if let Some(mid) = labels.mid {
            let by_mid = receiving(transceivers).find(|transceiver| transceiver.mid == Some(mid));
            let transceiver = by_mid.ok_or(DropReason::UnknownMid)?;
            return match known {
                // RFC 9143 §9.2: an older packet does not change what a newer one said.
                Some(binding) if binding.mid_seq.is_some_and(|seq| seq >= labels.seq) => Ok(binding),
                Some(binding)
                    if binding.transceiver == transceiver.id && !Self::says_more(&binding, labels) =>
                {
                    let binding = Binding { mid_seq: Some(labels.seq), ..binding };
                    self.bindings.insert(labels.ssrc.0, binding);
                    Ok(binding)
                }
                _ => self.bind(transceiver, labels, Some(labels.seq)),
            };
        }
        if let Some(binding) = known {
            return Ok(binding);
        }
        let signalled = receiving(transceivers).find(|transceiver| {
            let media = transceiver.negotiated.as_ref();
            media.is_some_and(|media| media.remote_ssrcs.iter().any(|known| known.ssrc == labels.ssrc))
        });
        if let Some(transceiver) = signalled {
            return self.bind(transceiver, labels, None);
        }
        let mut by_payload_type = receiving(transceivers).filter(|transceiver| {
            let media = transceiver.negotiated.as_ref();
            media.is_some_and(|media| media.has_payload_type(labels.payload_type))
        });
        match (by_payload_type.next(), by_payload_type.next()) {
            (Some(transceiver), None) => self.bind(transceiver, labels, None),
            _ => Err(DropReason::UnknownSsrc),
        }
    }

    /// Whether the packet names a layer other than the bound one.
    fn says_more(binding: &Binding, labels: &Labels) -> bool {
        match binding.role {
            Role::Primary => labels.rid.is_some() && labels.rid != binding.rid && binding.rid.is_some(),
            Role::Protects => false,
            Role::Repairs(_) => labels.repaired_rid.is_some() && labels.repaired_rid != binding.rid,
        }
    }

    fn bind(
        &mut self,
        transceiver: &Transceiver,
        labels: &Labels,
        mid_seq: Option<ExtSeqNo>,
    ) -> Result<Binding, DropReason> {
        let media = transceiver.negotiated.as_ref().ok_or(DropReason::UnknownSsrc)?;
        let protects = media.flexfec == Some(labels.payload_type);
        let named = labels.repaired_rid.or(labels.rid);
        let rid = if media.receive_rids.is_empty() || protects {
            None
        } else {
            // RFC 8853: which of several layers it is only the packet can say.
            let rid = named.ok_or(DropReason::UnknownSsrc)?;
            Some(rid).filter(|rid| media.receive_rids.contains(rid)).ok_or(DropReason::UnknownRid)?.into()
        };
        let is_rtx = media.codecs.iter().any(|codec| codec.rtx_payload_type == Some(labels.payload_type));
        let role = if is_rtx {
            self.role(transceiver, labels.ssrc, rid, Some(labels)).ok_or(DropReason::UnknownRepair)?
        } else if protects {
            Role::Protects
        } else {
            Role::Primary
        };
        if self.bindings.len() >= MAX_STREAMS && !self.bindings.contains_key(&labels.ssrc.0) {
            return Err(DropReason::TooManyStreams);
        }
        let binding = Binding { transceiver: transceiver.id, rid, role, mid_seq };
        self.bindings.insert(labels.ssrc.0, binding);
        Ok(binding)
    }

    /// What an SSRC repairs: as signalled, else the one stream of its layer.
    fn role(
        &self,
        transceiver: &Transceiver,
        ssrc: Ssrc,
        rid: Option<Rid>,
        labels: Option<&Labels>,
    ) -> Option<Role> {
        let media = transceiver.negotiated.as_ref()?;
        let signalled = media.remote_ssrcs.iter().find(|known| known.ssrc == ssrc);
        if signalled.is_some_and(|known| known.protects.is_some()) {
            return Some(Role::Protects);
        }
        match (signalled.and_then(|known| known.repairs), labels) {
            (Some(primary), _) => Some(Role::Repairs(primary)),
            (None, Some(_)) => self.only_primary(transceiver.id, rid),
            (None, None) => None,
        }
    }

    fn only_primary(&self, transceiver: TransceiverId, rid: Option<Rid>) -> Option<Role> {
        let mut primaries = self.bindings.iter().filter(|(_, binding)| {
            binding.transceiver == transceiver && binding.rid == rid && binding.role == Role::Primary
        });
        match (primaries.next(), primaries.next()) {
            (Some((&ssrc, _)), None) => Some(Role::Repairs(Ssrc(ssrc))),
            _ => None,
        }
    }
}

fn receiving(transceivers: &[Transceiver]) -> impl Iterator<Item = &Transceiver> {
    transceivers.iter().filter(|transceiver| {
        !transceiver.stopped && transceiver.current.is_some_and(crate::sdp::Direction::receives)
    })
}
