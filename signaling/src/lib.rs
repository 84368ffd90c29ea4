//! Wire types of every way to join a Tombolo channel.
//!
//! Two ways are described here; both end in the same channel:
//!
//! - [`message`]: JSON over a WebSocket, versioned, with trickled candidates (documented for people in
//!   `docs/signaling.md`);
//! - [`sdpfrag`]: the body of a WHIP or WHEP `PATCH` (RFC 8840 §9, RFC 9725 §4.3).
//!
//! The third, Media over QUIC, needs no wire types of its own but the roster: [`message::Participant`].
//!
//! Nothing here does I/O, and nothing here knows a meeting, a host or a token: a channel is a name.

pub mod message;
pub mod name;
pub mod sdpfrag;

pub use message::{
    ClientMessage, CodecName, ErrorCode, MediaKind, MessageError, Participant, RosterEvent, ServerMessage,
    SlotChoice, TrackSummary, TransportKind, UnavailableReason, VERSION,
};
pub use name::{Name, NameError};
