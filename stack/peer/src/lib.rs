//! A sans-I/O WebRTC PeerConnection.

mod codec;
mod config;
mod connection;
mod error;
mod event;
mod jsep;
mod media;
pub mod sdp;
mod stats;
mod transceiver;
mod transport;

pub use codec::{Codec, CodecCapability, Feedback, H264Format, MediaKind, NegotiatedCodec};
pub use config::{Config, ConfigBuilder, ConfigError, DtlsRolePreference};
pub use connection::PeerConnection;
pub use error::UseError;
pub use event::{ConnectionState, Event, FailReason, ReceivedPacket, ReceivedSenderReport};
pub use jsep::SignalingState;
pub use media::OutgoingPacket;
pub use stats::{DropReason, Drops, InboundStats, OutboundStats, Stats};
pub use transceiver::{
    Encoding, MAX_SIGNALLED_SSRCS, NegotiatedMedia, SignalledSsrc, Transceiver, TransceiverId,
    TransceiverInit,
};

pub use tombolo_crypto as crypto;
pub use tombolo_dtls as dtls;
pub use tombolo_ice as ice;
pub use tombolo_net as net;
pub use tombolo_rtp as rtp;
