//! The broadcast `.gateway`, by which the gateway talks to a client that wants to listen.
//!
//! | track | a group | its one frame |
//! |---|---|---|
//! | `roster.json` | at each change | `[{"id":"p2","name":"bob","transport":"webrtc","tracks":[…]}, …]`, the others |
//! | `keyframes` | at each request | `{"broadcast":"alice.hang","track":"video"}`: make a keyframe now |

use std::time::Duration;

use moq_net::{Timescale, Timestamp, broadcast, origin, track};
use serde::Serialize;
use tombolo_signaling::message::Participant;

const PATH: &str = ".gateway";
const ROSTER: &str = "roster.json";
const KEYFRAMES: &str = "keyframes";
/// Above the catalogs': who is there comes first.
const PRIORITY: u8 = 110;

/// The broadcast, for one session. It ends when this is dropped.
pub(super) struct Control {
    _broadcast: broadcast::Producer,
    roster: track::Producer,
    keyframes: track::Producer,
}

#[derive(Serialize)]
struct KeyframeRequest<'a> {
    broadcast: &'a str,
    track: &'a str,
}

impl Control {
    pub(super) fn new(origin: &origin::Producer) -> Result<Self, moq_net::Error> {
        let info = || {
            track::Info::default()
                .with_timescale(Timescale::MILLI)
                .with_priority(PRIORITY)
                .with_max_age(Duration::ZERO)
        };
        let broadcast = origin.create_broadcast(PATH)?;
        let roster = broadcast.create_track(ROSTER, info())?;
        let keyframes = broadcast.create_track(KEYFRAMES, info())?;
        broadcast.announce(origin::Route::default())?;
        Ok(Self { _broadcast: broadcast, roster, keyframes })
    }

    /// Tells who else is in the channel.
    pub(super) fn tell_roster(&self, others: &[Participant]) {
        write(&self.roster, &others);
    }

    /// Asks the client for a keyframe.
    pub(super) fn ask_for_keyframe(&self, broadcast: &str, track: &str) {
        if self.keyframes.is_used() {
            write(&self.keyframes, &KeyframeRequest { broadcast, track });
        }
    }

    /// Tells whether the client listens to requests for keyframes.
    pub(super) fn keyframes_demand(&self) -> track::Demand {
        self.keyframes.demand()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        for track in [&self.roster, &self.keyframes] {
            // An error means that it has ended already.
            let _ = track.finish();
        }
    }
}

fn write(track: &track::Producer, message: &impl Serialize) {
    let written = serde_json::to_vec(message).map_err(|error| error.to_string()).and_then(|json| {
        track.clone().write_frame(Timestamp::now(), json).map_err(|error| error.to_string())
    });
    if let Err(error) = written {
        tracing::debug!(track = track.name(), error, "not told");
    }
}
