//! Wire types of every way to join a Tombolo channel.
//!
//! [`message`] has the JSON that goes over a WebSocket, versioned, with trickled candidates; `docs/signaling.md` describes
//! it for people. WHIP and WHEP carry session descriptions and fragments, which the PeerConnection's crate reads, and
//! Media over QUIC needs no wire types of its own but the roster: [`message::Participant`].
//!
//! Nothing here does I/O, and nothing here knows a meeting, a host or a token: a channel is a name.

pub mod message;
pub mod name;

pub use message::{
    ClientMessage, CodecName, ErrorCode, MediaKind, MessageError, Participant, RosterEvent, ServerMessage,
    SlotChoice, TrackSummary, TransportKind, UnavailableReason, VERSION,
};
pub use name::{Name, NameError};
