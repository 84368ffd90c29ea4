//! An interceptor of one's own: it loses packets at random, each repetition anew, and counts what it took.
//!
//! `cargo run -p tombolo-interceptors --example own_interceptor` passes 1000 packets by it. A connection takes it with
//! `PeerConnection::interceptors().add(…)`.

use std::time::Instant;

use tombolo_interceptors::registry::{Interceptor, PacketMut, Place, Registry, Stretch, Verdict};
use tombolo_net::{RtpTime, SeqNo, Ssrc};
use tombolo_rtp::{ExtensionForm, RtpHeader};

/// Loses `one_in` packets on average, of those that are sent.
struct BadRoad {
    one_in: u32,
    state: u32,
    lost: u32,
}

impl Interceptor for BadRoad {
    fn place(&self) -> Place {
        Place::Wire // Behind what repairs losses, so that this is a loss like any other.
    }

    fn on_send(&mut self, _now: Instant, _packet: &mut PacketMut<'_>) -> Verdict {
        self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if !(self.state >> 16).is_multiple_of(self.one_in) {
            return Verdict::Pass;
        }
        self.lost += 1;
        Verdict::Drop
    }
}

fn main() {
    let mut registry = Registry::new();
    registry.add(BadRoad { one_in: 20, state: 7, lost: 0 });
    let mut arrived = 0;
    for seq in 0..1000 {
        let mut bytes = Vec::new();
        let (timestamp, ssrc) = (RtpTime(0), Ssrc(1));
        let header = RtpHeader { marker: false, payload_type: 96, seq: SeqNo(seq), timestamp, ssrc };
        header.write(&mut bytes, ExtensionForm::OneByte);
        bytes.extend_from_slice(b"payload");
        let len = bytes.len();
        let mut packet = PacketMut::parse(&mut bytes, len).expect("it was written here");
        if registry.on_send(tombolo_netsim::start(), Stretch::Wire, &mut packet) == Verdict::Pass {
            arrived += 1;
        }
    }
    let lost = registry.get::<BadRoad>().map_or(0, |road| road.lost);
    println!("{arrived} arrived, {lost} were lost");
}
