//! A sans-I/O WebRTC PeerConnection

pub mod sdp;
