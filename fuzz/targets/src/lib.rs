//! The bodies of the fuzz targets: what a peer sends, in any shape.
//!
//! Each body takes bytes and panics when something is wrong; the machines among them first turn the bytes into
//! operations. `fuzz/fuzz_targets/` hands them to libFuzzer, and `cargo test` replays `fuzz/corpus/` through them.

mod codec;
mod dtls;
mod dtls_session;
mod ext;
mod fec;
mod ice;
mod interceptors;
mod jitter;
mod media;
mod peer;
mod rtp;
mod sdp;
mod srtp;

pub use codec::{
    audio, av1, codec_headers, comfort_noise, h264, h265, opus, packetize, red, telephone_event, vp8, vp9,
};
pub use dtls::{dtls_handshake, dtls_records};
pub use dtls_session::dtls_session;
pub use ext::{dependency_descriptor, extension};
pub use fec::fec;
pub use ice::{ice_agent, ice_candidate, stun};
pub use interceptors::{registry, sframe};
pub use jitter::{audio_buffer, video_buffer};
pub use media::{byte_stream, ivf, ogg_opus, wav};
pub use peer::peer;
pub use rtp::{rtcp, rtp};
pub use sdp::{sdp, sdp_fragment};
pub use srtp::{srtp, srtp_session};

/// The body of a target.
pub type Body = fn(&[u8]);

/// Every target by its name, which is also that of its file in `fuzz_targets/` and of its corpus.
pub const TARGETS: [(&str, Body); 36] = [
    ("audio", audio),
    ("audio_buffer", audio_buffer),
    ("av1", av1),
    ("byte_stream", byte_stream),
    ("codec_headers", codec_headers),
    ("comfort_noise", comfort_noise),
    ("dependency_descriptor", dependency_descriptor),
    ("dtls_handshake", dtls_handshake),
    ("dtls_records", dtls_records),
    ("dtls_session", dtls_session),
    ("extension", extension),
    ("fec", fec),
    ("h264", h264),
    ("h265", h265),
    ("ice_agent", ice_agent),
    ("ice_candidate", ice_candidate),
    ("ivf", ivf),
    ("ogg_opus", ogg_opus),
    ("opus", opus),
    ("packetize", packetize),
    ("peer", peer),
    ("red", red),
    ("registry", registry),
    ("rtcp", rtcp),
    ("rtp", rtp),
    ("sdp", sdp),
    ("sdp_fragment", sdp_fragment),
    ("sframe", sframe),
    ("srtp", srtp),
    ("srtp_session", srtp_session),
    ("stun", stun),
    ("telephone_event", telephone_event),
    ("video_buffer", video_buffer),
    ("vp8", vp8),
    ("vp9", vp9),
    ("wav", wav),
];
