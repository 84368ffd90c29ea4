//! What the gateway's process costs for one publisher and one viewer of a camera with sound: clients of our own over
//! loopback, beside the limit of 2 % of a core.
//!
//! Packets come as native clients send them. Browsers acknowledge and pace in their own way, and with two of them the
//! machine is busier, so that the same gateway costs up to twice as much there (`footprint` of the browser suites).

mod media;
mod process;
mod webrtc;
mod webtransport;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Figure;
use media::Seen;
use process::Gateway;

const CHANNEL: &str = "bench";
const PUBLISHER: &str = "camera";
/// What the process may use, in percent of a core.
const LIMIT_PERCENT: f64 = 2.0;
/// Until everybody has settled.
const SETTLE: Duration = Duration::from_secs(5);
/// How long each pair is watched, in seconds, where [`SECONDS`] does not say.
const WATCH_SECONDS: u64 = 15;
/// Names the environment variable that says how long each pair is watched, in seconds: minutes show whether memory grows.
const SECONDS: &str = "TOMBOLO_SECONDS";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    WebRtc,
    WebTransport,
}

use Transport::{WebRtc, WebTransport};

const PAIRS: [(&str, Transport, Transport); 4] = [
    ("gateway webrtc-webrtc", WebRtc, WebRtc),
    ("gateway webrtc-webtransport", WebRtc, WebTransport),
    ("gateway webtransport-webrtc", WebTransport, WebRtc),
    ("gateway webtransport-webtransport", WebTransport, WebTransport),
];

pub(super) fn figures() -> impl Iterator<Item = Figure> {
    PAIRS.into_iter().map(|(name, publisher, viewer)| measure(name, publisher, viewer))
}

fn measure(name: &'static str, publisher: Transport, viewer: Transport) -> Figure {
    let seconds =
        std::env::var(SECONDS).map_or(WATCH_SECONDS, |text| text.parse().expect("a number of seconds"));
    let watch = Duration::from_secs(seconds);
    // One thread, so that the other cores are the gateway's.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let gateway = Gateway::start();
        let seen = Arc::new(Seen::default());
        match publisher {
            WebRtc => webrtc::publish(&gateway).await,
            WebTransport => webtransport::publish(&gateway).await,
        }
        // Until the channel knows what is published.
        tokio::time::sleep(Duration::from_secs(1)).await;
        match viewer {
            WebRtc => webrtc::watch(&gateway, Arc::clone(&seen)).await,
            WebTransport => webtransport::watch(&gateway, Arc::clone(&seen)).await,
        }
        tokio::time::sleep(SETTLE).await;
        let (start, before, seen_before) = (Instant::now(), gateway.usage(), seen.get());
        tokio::time::sleep(watch).await;
        let (after, seen_after, seconds) = (gateway.usage(), seen.get(), start.elapsed().as_secs_f64());
        let rate = |before: u64, after: u64| (after - before) as f64 / seconds;
        let pictures = rate(seen_before.0, seen_after.0);
        let sounds = rate(seen_before.1, seen_after.1);
        let sleeps = rate(before.sleeps, after.sleeps);
        let grown = after.resident_kib as i64 - before.resident_kib as i64;
        eprintln!(
            "{name}: {pictures:.1} pictures/s, {sounds:.1} sounds/s, {sleeps:.0} times/s asleep, {} KiB resident, \
             {grown} more than {seconds:.0} s before",
            after.resident_kib,
        );
        assert!(pictures > 27.0 && sounds > 45.0, "{name}: the viewer sees too little");
        let percent = rate(before.nanos, after.nanos) / 1e7;
        Figure {
            name: name.to_owned(),
            ours: percent,
            unit: "% of a core",
            peer: "limit",
            theirs: LIMIT_PERCENT,
            ratio: LIMIT_PERCENT / percent,
        }
    })
}
