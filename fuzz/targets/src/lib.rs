//! The bodies of the fuzz targets: what a peer sends, in any shape.
//!
//! Each body takes bytes and panics when something is wrong; the machines among them first turn the bytes into
//! operations. `fuzz/fuzz_targets/` hands them to libFuzzer, and `cargo test` replays `fuzz/corpus/` through them.

mod dtls;
mod ext;
mod ice;
mod media;
mod peer;
mod rtp;
mod sdp;
mod srtp;

pub use dtls::{dtls_handshake, dtls_records};
pub use ext::{dependency_descriptor, extension};
pub use ice::{ice_agent, ice_candidate, stun};
pub use media::{byte_stream, ivf, ogg_opus, wav};
pub use peer::peer;
pub use rtp::{h264, opus, rtcp, rtp, vp8};
pub use sdp::{sdp, sdp_fragment};
pub use srtp::{srtp, srtp_session};

/// The body of a target.
pub type Body = fn(&[u8]);

/// Every target by its name, which is also that of its file in `fuzz_targets/` and of its corpus.
pub const TARGETS: [(&str, Body); 21] = [
    ("byte_stream", byte_stream),
    ("dependency_descriptor", dependency_descriptor),
    ("dtls_handshake", dtls_handshake),
    ("dtls_records", dtls_records),
    ("extension", extension),
    ("h264", h264),
    ("ice_agent", ice_agent),
    ("ice_candidate", ice_candidate),
    ("ivf", ivf),
    ("ogg_opus", ogg_opus),
    ("opus", opus),
    ("peer", peer),
    ("rtcp", rtcp),
    ("rtp", rtp),
    ("sdp", sdp),
    ("sdp_fragment", sdp_fragment),
    ("srtp", srtp),
    ("srtp_session", srtp_session),
    ("stun", stun),
    ("vp8", vp8),
    ("wav", wav),
];
