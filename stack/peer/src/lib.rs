//! A sans-I/O WebRTC PeerConnection
