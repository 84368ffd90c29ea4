//! Session descriptions and fragments.

use tombolo::sdp::{Fragment, SessionDescription};

/// Any text as an offer and as an answer. What is accepted is written, and reads as the same again.
pub fn sdp(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for parse in [SessionDescription::offer, SessionDescription::answer] {
        match parse(text) {
            Ok(description) => {
                let written = description.to_string();
                let again = parse(&written).expect("what was written can be read");
                assert_eq!(again.to_string(), written);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

/// Any text as the body of a trickle PATCH.
pub fn sdp_fragment(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = Fragment::parse(text);
    }
}
