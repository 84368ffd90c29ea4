//! SFrame and the registry of interceptors, by operations.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use arbitrary::{Arbitrary, Unstructured};
use tombolo_crypto::CryptoProvider;
use tombolo_interceptors::registry::{Interceptor, PacketMut, Place, Registry, Stretch, Verdict};
use tombolo_interceptors::transform::sframe::{Header, OpenError, Opener, Sealer, Suite};
use tombolo_rtp::RtpPacket;

/// Frames that wait to be opened at most.
const MAX_FRAMES: usize = 64;

#[derive(Arbitrary, Debug)]
enum SframeOperation<'a> {
    /// The sender goes on with another key.
    SetKey(u8),
    /// The receiver gets a key, which may be another than the sender's.
    AddKey(u8, bool),
    RemoveKey(u8),
    Seal(&'a [u8], &'a [u8]),
    /// A frame arrives, perhaps again, with an edit unless that is of nothing.
    Open {
        index: u8,
        at: u16,
        with: u8,
        cut: u8,
    },
    /// Something that nobody sealed arrives.
    Forge(&'a [u8]),
}

/// A frame on its way, and what it was made of.
struct Sealed {
    header: Header,
    metadata: Vec<u8>,
    frame: Vec<u8>,
    bytes: Vec<u8>,
}

/// `[suite | operations]`: what is opened was sealed so, and is opened once; everything else is refused and leaves nothing.
pub fn sframe(data: &[u8]) {
    let Some((&suite, data)) = data.split_first() else { return };
    let suite = Suite::ALL[usize::from(suite) % Suite::ALL.len()];
    let provider = CryptoProvider::default();
    let mut sealer = Sealer::new(provider, suite, 0, &[0; 16]).expect("a suite of the backend");
    let mut opener = Opener::new(provider, suite);
    let mut under_way: Vec<Sealed> = Vec::new();
    let mut held: BTreeMap<u64, bool> = BTreeMap::new();
    let (mut used, mut opened) = (BTreeSet::from([0]), BTreeSet::new());
    let mut out = Vec::new();
    let mut input = Unstructured::new(data);
    while !input.is_empty() {
        let Ok(operation) = SframeOperation::arbitrary(&mut input) else { break };
        match operation {
            SframeOperation::SetKey(id) => {
                // To use a key again is the one thing that a sender must not do.
                if used.insert(id) {
                    sealer.set_key(id.into(), &[id; 16]).expect("a new key");
                }
            }
            SframeOperation::AddKey(id, right) => {
                let key = if right { id } else { !id };
                let added = opener.add_key(id.into(), &[key; 16]).is_ok();
                assert_eq!(added, !held.contains_key(&id.into()));
                if added {
                    held.insert(id.into(), right);
                }
            }
            SframeOperation::RemoveKey(id) => {
                assert_eq!(opener.remove_key(id.into()), held.remove(&id.into()).is_some());
                // With the key goes what is known of its counters.
                opened.retain(|header: &(u64, u64)| header.0 != u64::from(id));
            }
            SframeOperation::Seal(metadata, frame) if under_way.len() < MAX_FRAMES => {
                let mut bytes = Vec::new();
                let header = sealer.seal(metadata, frame, &mut bytes).expect("counters are left");
                assert_eq!(Header::parse(&bytes).map(|(header, _)| header), Ok(header));
                under_way.push(Sealed { header, metadata: metadata.to_vec(), frame: frame.to_vec(), bytes });
            }
            SframeOperation::Seal(..) => {}
            SframeOperation::Open { index, at, with, cut } => {
                let Some(sealed) = under_way.get(usize::from(index)) else { continue };
                let mut bytes = sealed.bytes.clone();
                let at = usize::from(at) % bytes.len();
                bytes[at] ^= with;
                bytes.truncate(bytes.len() - usize::from(cut).min(bytes.len()));
                out.clear();
                let result = opener.open(&sealed.metadata, &bytes, &mut out);
                let Header { key_id, counter } = sealed.header;
                let is_genuine = bytes == sealed.bytes && held.get(&key_id) == Some(&true);
                // A tag of four bytes is met by chance once in four thousand million times.
                let is_first = !opened.contains(&(key_id, counter));
                if is_genuine && is_first {
                    assert_eq!((result, &out), (Ok(sealed.header), &sealed.frame));
                    opened.insert((key_id, counter));
                } else {
                    assert!(result.is_err() && out.is_empty());
                    assert!(!is_genuine || result == Err(OpenError::Replayed));
                }
            }
            SframeOperation::Forge(bytes) => {
                out.clear();
                let is_sealed = under_way.iter().any(|sealed| sealed.bytes == bytes);
                assert!(is_sealed || opener.open(&[], bytes, &mut out).is_err() && out.is_empty());
            }
        }
    }
}

/// Changes each payload in a way that shows in which order others of its kind had it.
struct Change {
    place: Place,
    len: u16,
    drops: bool,
}

impl Change {
    fn pass(&self, packet: &mut PacketMut<'_>) -> Verdict {
        let len = usize::from(self.len);
        assert_eq!(packet.set_payload_len(len).is_ok(), len <= packet.max_payload_len());
        packet.payload_mut().fill(self.place as u8);
        RtpPacket::parse(packet.bytes()).expect("still a packet");
        if self.drops { Verdict::Drop } else { Verdict::Pass }
    }
}

impl Interceptor for Change {
    fn place(&self) -> Place {
        self.place
    }

    fn on_send(&mut self, _: Instant, packet: &mut PacketMut<'_>) -> Verdict {
        self.pass(packet)
    }

    fn on_receive(&mut self, _: Instant, packet: &mut PacketMut<'_>) -> Verdict {
        self.pass(packet)
    }
}

/// `[interceptors | packet]`: any packet through any interceptors, both ways: it stays a packet of the same header, and the last to
/// have it is the nearest to where it goes.
pub fn registry(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok(changes) = <[(u8, u16, bool); 6]>::arbitrary(&mut input) else { return };
    let mut registry = Registry::new();
    let mut drops = false;
    for (place, len, drop) in changes {
        let place = [Place::Wire, Place::Media, Place::Transport, Place::Redundancy][usize::from(place % 4)];
        drops |= drop;
        registry.add(Change { place, len: len % 2000, drops: drop });
    }
    assert!(registry.places().is_sorted());
    let packet = input.take_rest();
    let now = tombolo_netsim::start();
    for is_sent in [true, false] {
        let mut buf = [packet, &[0; 100]].concat();
        let Ok(mut view) = PacketMut::parse(&mut buf, packet.len()) else { return };
        let header = view.header();
        let stretches = [Stretch::Media, Stretch::Wire];
        let passes = if is_sent {
            stretches.iter().all(|&stretch| registry.on_send(now, stretch, &mut view) == Verdict::Pass)
        } else {
            stretches
                .iter()
                .rev()
                .all(|&stretch| registry.on_receive(now, stretch, &mut view) == Verdict::Pass)
        };
        assert_eq!(passes, !drops);
        assert_eq!(RtpPacket::parse(view.bytes()).expect("a packet").header(), header);
        if let Some(&last) = view.payload().first().filter(|_| passes) {
            let nearest = if is_sent { registry.places().max() } else { registry.places().min() };
            assert_eq!(Some(last), nearest.map(|place| place as u8));
        }
    }
}
