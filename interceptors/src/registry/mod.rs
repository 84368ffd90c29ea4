//! Interceptors of one's own, kept in the order in which packets pass them.
//!
//! An [`Interceptor`] says by its [`Place`] how far from the wire it works, and a [`Registry`] keeps them by that: a packet that is
//! sent passes from the application to the wire, one that is received the other way, in whichever order they were added. It can
//! look at packets, change their payloads in place, drop them, and have RTCP of its own.
//!
//! | place | belongs there | of this crate |
//! |---|---|---|
//! | [`Place::Media`] | what changes payloads or counts media | [`keyframe`](crate::keyframe) |
//! | [`Place::Redundancy`] | what protects packets before they are kept | |
//! | repair | keeps, asks for and repeats packets | [`nack`](crate::nack), [`rtx`](crate::rtx) |
//! | [`Place::Transport`] | what numbers, counts or measures all packets | [`twcc`](crate::twcc), [`ccfb`](crate::ccfb), [`report`](crate::report) |
//! | [`Place::Wire`] | what sees each packet as it leaves and as it came | [`dump`](crate::dump) |
//!
//! Repair divides them into two [`Stretch`]es: on the side of the media each packet passes once, on the side of the wire
//! each repetition, too. The features of this crate need no registry, and `tombolo`'s `PeerConnection` does without one for its own:
//! each has other needs (labels, negotiated ids, the keys), which calls to plain structs meet and one trait would not. It takes
//! a registry for those of its user. `examples/own_interceptor.rs` is a whole interceptor.

mod packet;

use std::any::Any;
use std::time::Instant;

use tombolo_net::Ssrc;

pub use packet::{NoRoom, PacketMut};

/// How far from the wire an interceptor works, the farthest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// Nearest to the application: each media packet once, before it is protected and after it was repaired.
    Media,
    /// Each media packet once, too, nearer to the wire than all that changes payloads.
    Redundancy,
    /// All packets of the transport, repetitions and padding included.
    Transport,
    /// Nearest to the wire: the last before a packet is sealed, the first after one was opened.
    Wire,
}

/// The places on one side of repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stretch {
    /// [`Place::Media`] and [`Place::Redundancy`].
    Media,
    /// [`Place::Transport`] and [`Place::Wire`].
    Wire,
}

impl Place {
    /// On which side of repair it is.
    #[must_use]
    pub const fn stretch(self) -> Stretch {
        match self {
            Self::Media | Self::Redundancy => Stretch::Media,
            Self::Transport | Self::Wire => Stretch::Wire,
        }
    }
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It goes on.
    #[default]
    Pass,
    /// It ends here; interceptors behind this one do not see it.
    Drop,
}

/// Something that packets pass. Only [`Self::place`] must be written; what is left out does nothing.
///
/// It has no clock and no socket. Nothing may be done in it that takes long: packets wait for it.
pub trait Interceptor: Any + Send {
    /// Where it stands. Asked once, when it is added.
    fn place(&self) -> Place;

    /// An RTP packet is on its way to the wire.
    fn on_send(&mut self, _now: Instant, _packet: &mut PacketMut<'_>) -> Verdict {
        Verdict::Pass
    }

    /// An RTP packet is on its way to the application.
    fn on_receive(&mut self, _now: Instant, _packet: &mut PacketMut<'_>) -> Verdict {
        Verdict::Pass
    }

    /// A datagram of RTCP leaves ([`Compound`](tombolo_rtp::rtcp::Compound) reads it).
    fn on_rtcp_sent(&mut self, _now: Instant, _datagram: &[u8]) {}

    /// A datagram of RTCP arrived.
    fn on_rtcp_received(&mut self, _now: Instant, _datagram: &[u8]) {}

    /// Appends RTCP messages of its own that are due, whole ones, as `sender`; they leave in one datagram, which holds about 1000
    /// bytes.
    fn write_feedback(&mut self, _now: Instant, _sender: Ssrc, _out: &mut Vec<u8>) {}

    /// Time has passed. An early call does nothing.
    fn handle_timeout(&mut self, _now: Instant) {}

    /// When [`Self::handle_timeout`] or [`Self::write_feedback`] is due.
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

/// The interceptors of one transport, in the order of their places; of the same place, in the order in which they were
/// added. Passing a packet allocates nothing.
#[derive(Default)]
pub struct Registry {
    entries: Vec<Entry>,
}

struct Entry {
    place: Place,
    interceptor: Box<dyn Interceptor>,
}

impl Registry {
    /// A registry without interceptors.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an interceptor at its place.
    pub fn add(&mut self, interceptor: impl Interceptor) {
        let place = interceptor.place();
        let index = self.entries.partition_point(|entry| entry.place <= place);
        self.entries.insert(index, Entry { place, interceptor: Box::new(interceptor) });
    }

    /// The first interceptor of this type.
    #[must_use]
    pub fn get<T: Interceptor>(&self) -> Option<&T> {
        self.entries.iter().find_map(|entry| (&*entry.interceptor as &dyn Any).downcast_ref())
    }

    /// The first interceptor of this type.
    pub fn get_mut<T: Interceptor>(&mut self) -> Option<&mut T> {
        self.entries.iter_mut().find_map(|entry| (&mut *entry.interceptor as &mut dyn Any).downcast_mut())
    }

    /// The places that are taken, in order.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        self.entries.iter().map(|entry| entry.place)
    }

    /// Whether anything stands in this stretch: if not, packets need not be shown to it.
    #[must_use]
    pub fn has(&self, stretch: Stretch) -> bool {
        self.entries.iter().any(|entry| entry.place.stretch() == stretch)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no interceptors.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Lets a packet that is sent pass one stretch, towards the wire.
    pub fn on_send(&mut self, now: Instant, stretch: Stretch, packet: &mut PacketMut<'_>) -> Verdict {
        let entries = self.entries.iter_mut().filter(|entry| entry.place.stretch() == stretch);
        pass(entries, |interceptor| interceptor.on_send(now, packet))
    }

    /// Lets a packet that was received pass one stretch, towards the application.
    pub fn on_receive(&mut self, now: Instant, stretch: Stretch, packet: &mut PacketMut<'_>) -> Verdict {
        let entries = self.entries.iter_mut().rev().filter(|entry| entry.place.stretch() == stretch);
        pass(entries, |interceptor| interceptor.on_receive(now, packet))
    }

    /// Shows a datagram of RTCP that leaves.
    pub fn on_rtcp_sent(&mut self, now: Instant, datagram: &[u8]) {
        self.entries.iter_mut().for_each(|entry| entry.interceptor.on_rtcp_sent(now, datagram));
    }

    /// Shows a datagram of RTCP that arrived.
    pub fn on_rtcp_received(&mut self, now: Instant, datagram: &[u8]) {
        self.entries.iter_mut().rev().for_each(|entry| entry.interceptor.on_rtcp_received(now, datagram));
    }

    /// Appends what is due of the RTCP of the interceptor with this index, up to [`Self::len`], and tells whether it wrote any.
    pub fn write_feedback(&mut self, index: usize, now: Instant, sender: Ssrc, out: &mut Vec<u8>) -> bool {
        let before = out.len();
        if let Some(entry) = self.entries.get_mut(index) {
            entry.interceptor.write_feedback(now, sender, out);
        }
        out.len() > before
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.entries.iter_mut().for_each(|entry| entry.interceptor.handle_timeout(now));
    }

    /// When [`Self::handle_timeout`] or [`Self::write_feedback`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.entries.iter().filter_map(|entry| entry.interceptor.poll_timeout()).min()
    }
}

fn pass<'a>(
    mut entries: impl Iterator<Item = &'a mut Entry>,
    mut show: impl FnMut(&mut dyn Interceptor) -> Verdict,
) -> Verdict {
    let drops = entries.any(|entry| show(&mut *entry.interceptor) == Verdict::Drop);
    if drops { Verdict::Drop } else { Verdict::Pass }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.places()).finish()
    }
}

#[cfg(test)]
mod tests;
