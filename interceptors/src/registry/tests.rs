use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use tombolo_net::{RtpTime, SeqNo};
use tombolo_rtp::{DecodeError, ExtensionForm, RtpHeader, RtpPacket};

use super::*;
use crate::test_clock::at;

/// Tells its name of each packet that it sees, and drops those with a number.
struct Witness {
    place: Place,
    name: &'static str,
    drops: Option<u16>,
    seen: Sender<&'static str>,
}

impl Witness {
    fn see(&self, packet: &PacketMut<'_>) -> Verdict {
        self.seen.send(self.name).unwrap();
        if self.drops == Some(packet.header().seq.0) { Verdict::Drop } else { Verdict::Pass }
    }
}

impl Interceptor for Witness {
    fn place(&self) -> Place {
        self.place
    }

    fn on_send(&mut self, _: Instant, packet: &mut PacketMut<'_>) -> Verdict {
        self.see(packet)
    }

    fn on_receive(&mut self, _: Instant, packet: &mut PacketMut<'_>) -> Verdict {
        self.see(packet)
    }

    fn on_rtcp_sent(&mut self, _: Instant, _: &[u8]) {
        self.seen.send(self.name).unwrap();
    }

    fn on_rtcp_received(&mut self, _: Instant, _: &[u8]) {
        self.seen.send(self.name).unwrap();
    }
}

fn witnesses(names: &[(&'static str, Place, Option<u16>)]) -> (Registry, Receiver<&'static str>) {
    let (seen, log) = channel();
    let mut registry = Registry::new();
    for &(name, place, drops) in names {
        registry.add(Witness { place, name, drops, seen: seen.clone() });
    }
    (registry, log)
}

fn packet(seq: u16, payload: &[u8], room: usize) -> (Vec<u8>, usize) {
    let mut bytes = Vec::new();
    let header = RtpHeader {
        marker: false,
        payload_type: 96,
        seq: SeqNo(seq),
        timestamp: RtpTime(7),
        ssrc: tombolo_net::Ssrc(1),
    };
    header.write(&mut bytes, ExtensionForm::OneByte).push(3, &[9]).unwrap();
    bytes.extend_from_slice(payload);
    let len = bytes.len();
    bytes.resize(len + room, 0xee);
    (bytes, len)
}

const WHOLE: [Stretch; 2] = [Stretch::Media, Stretch::Wire];

fn send(registry: &mut Registry, seq: u16) {
    let (mut bytes, len) = packet(seq, b"x", 0);
    for stretch in WHOLE {
        let mut packet = PacketMut::parse(&mut bytes, len).unwrap();
        if registry.on_send(at(0), stretch, &mut packet) == Verdict::Drop {
            return;
        }
    }
}

fn receive(registry: &mut Registry, seq: u16) {
    let (mut bytes, len) = packet(seq, b"x", 0);
    for stretch in WHOLE.into_iter().rev() {
        let mut packet = PacketMut::parse(&mut bytes, len).unwrap();
        if registry.on_receive(at(0), stretch, &mut packet) == Verdict::Drop {
            return;
        }
    }
}

#[test]
fn packets_pass_by_distance_from_the_wire_whatever_the_order_of_adding() {
    let all = [
        ("media", Place::Media, None),
        ("redundancy", Place::Redundancy, None),
        ("transport", Place::Transport, None),
        ("wire", Place::Wire, None),
    ];
    for order in 0..24 {
        let mut left = all.to_vec();
        let all: Vec<_> = [order / 6, order / 2 % 3, order % 2, 0].map(|index| left.remove(index)).into();
        let (mut registry, log) = witnesses(&all);
        send(&mut registry, 1);
        assert_eq!(log.try_iter().collect::<Vec<_>>(), ["media", "redundancy", "transport", "wire"]);
        receive(&mut registry, 1);
        assert_eq!(log.try_iter().collect::<Vec<_>>(), ["wire", "transport", "redundancy", "media"]);
        registry.on_rtcp_sent(at(0), &[]);
        assert_eq!(log.try_iter().collect::<Vec<_>>(), ["media", "redundancy", "transport", "wire"]);
        registry.on_rtcp_received(at(0), &[]);
        assert_eq!(log.try_iter().collect::<Vec<_>>(), ["wire", "transport", "redundancy", "media"]);
    }
}

#[test]
fn of_one_place_the_first_added_is_farther_from_the_wire() {
    let (mut registry, log) = witnesses(&[
        ("first", Place::Wire, None),
        ("second", Place::Wire, None),
        ("media", Place::Media, None),
    ]);
    send(&mut registry, 1);
    assert_eq!(log.try_iter().collect::<Vec<_>>(), ["media", "first", "second"]);
}

#[test]
fn what_is_dropped_is_not_seen_farther_on() {
    let (mut registry, log) = witnesses(&[
        ("wire", Place::Wire, None),
        ("drop", Place::Transport, Some(5)),
        ("m", Place::Media, None),
    ]);
    send(&mut registry, 5);
    assert_eq!(log.try_iter().collect::<Vec<_>>(), ["m", "drop"]);
    receive(&mut registry, 5);
    assert_eq!(log.try_iter().collect::<Vec<_>>(), ["wire", "drop"]);
    send(&mut registry, 6);
    assert_eq!(log.try_iter().count(), 3);
}

#[test]
fn a_stretch_without_interceptors_is_known_to_be_empty() {
    let (registry, _log) = witnesses(&[("wire", Place::Wire, None)]);
    assert!(registry.has(Stretch::Wire) && !registry.has(Stretch::Media) && !registry.is_empty());
    assert!(Registry::new().is_empty());
}

#[test]
fn payloads_change_in_place_and_grow_into_the_room() {
    let (mut bytes, len) = packet(1, b"abc", 2);
    let mut packet = PacketMut::parse(&mut bytes, len).unwrap();
    assert_eq!((packet.payload(), packet.extension(3)), (&b"abc"[..], Some(&[9][..])));
    packet.payload_mut()[0] = b'z';
    assert_eq!(packet.set_payload_len(6), Err(NoRoom));
    assert_eq!(packet.payload(), b"zbc");
    packet.set_payload_len(5).unwrap();
    assert_eq!(packet.payload(), b"zbc\0\0");
    packet.set_payload_len(1).unwrap();
    assert_eq!((packet.payload(), packet.bytes().len()), (&b"z"[..], len - 2));
    assert_eq!(RtpPacket::parse(packet.bytes()).unwrap().payload(), b"z");
}

#[test]
fn padding_goes_when_the_payload_changes_its_length() {
    let (mut bytes, len) = packet(1, b"abcd\0\0\x03", 0);
    bytes[0] |= 0x20;
    let mut packet = PacketMut::parse(&mut bytes, len).unwrap();
    assert_eq!((packet.payload(), packet.bytes().len()), (&b"abcd"[..], len));
    packet.set_payload_len(6).unwrap();
    assert_eq!(packet.payload(), b"abcd\0\0");
    assert_eq!(RtpPacket::parse(packet.bytes()).unwrap().padding_len(), 0);
}

#[test]
fn what_is_no_packet_is_refused() {
    let (mut bytes, len) = packet(1, b"abc", 0);
    assert_eq!(PacketMut::parse(&mut bytes, len + 1).unwrap_err(), DecodeError::Truncated);
    assert!(PacketMut::parse(&mut bytes, 11).is_err());
    bytes[0] = 0;
    assert!(PacketMut::parse(&mut bytes, len).is_err());
}

/// Sends a message of its own twice a second.
struct Ticker(Instant);

impl Interceptor for Ticker {
    fn place(&self) -> Place {
        Place::Transport
    }

    fn write_feedback(&mut self, now: Instant, sender: Ssrc, out: &mut Vec<u8>) {
        if now >= self.0 {
            tombolo_rtp::rtcp::write_pli(out, sender, Ssrc(2));
            self.0 = now + Duration::from_millis(500);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Some(self.0)
    }
}

#[test]
fn the_rtcp_of_each_interceptor_is_its_own_and_the_earliest_timer_counts() {
    let mut registry = Registry::new();
    registry.add(Ticker(at(300)));
    registry.add(Ticker(at(200)));
    assert_eq!(registry.poll_timeout(), Some(at(200)));
    let mut written = |ms| {
        let mut out = Vec::new();
        let wrote = |index| registry.write_feedback(index, at(ms), Ssrc(1), &mut out);
        (0..3).map(wrote).collect::<Vec<_>>()
    };
    assert_eq!(written(100), [false, false, false]);
    assert_eq!(written(200), [false, true, false]);
    assert_eq!(written(300), [true, false, false]);
    assert_eq!(written(700), [false, true, false]);
    registry.get_mut::<Ticker>().unwrap().0 = at(5);
    assert_eq!(
        (registry.poll_timeout(), registry.get::<Ticker>().map(|ticker| ticker.0)),
        (Some(at(5)), Some(at(5)))
    );
    assert!(registry.get::<Witness>().is_none());
}
