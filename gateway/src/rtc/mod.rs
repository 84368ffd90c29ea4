//! The WebRTC legs of the gateway: browsers and apps that signal over a WebSocket, WHIP encoders, WHEP players.

pub mod command;
