//! A publisher and a viewer over WebTransport, made of `moq-net`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use moq_net::{Timescale, Timestamp, group, origin, track};
use tombolo::MediaKind;
use url::Url;
use web_transport_quinn::ClientBuilder;
use web_transport_quinn::proto::ConnectRequest;

use super::media::{Camera, Seen};
use super::process::Gateway;
use super::{CHANNEL, PUBLISHER};

/// What the page speaks.
const PROTOCOL: &str = "moq-lite-05";
/// Sound before the picture, as the page has it.
const PRIORITIES: [(&str, MediaKind, u8); 2] =
    [("audio", MediaKind::Audio, 80), ("video", MediaKind::Video, 60)];
/// How much sound a group holds, which is what the page asks for and publishes.
const SOUND_GROUP_MS: u64 = 100;
const CATALOG: &str = r#"{
    "video":{"renditions":{"video":{"codec":"vp8","container":{"kind":"legacy"},"codedWidth":640,"codedHeight":360}}},
    "audio":{"renditions":{"audio":{"codec":"opus","container":{"kind":"legacy"},"sampleRate":48000,"numberOfChannels":2}}}
}"#;

struct Client {
    publish: origin::Producer,
    subscribe: origin::Consumer,
    _session: moq_net::Session,
    _client: web_transport_quinn::Client,
}

impl Client {
    async fn connect(gateway: &Gateway, name: &str) -> Self {
        let hash = gateway.request("GET", "/certificate.sha256", "text/plain", "").1;
        let hash = (0..hash.trim().len()).step_by(2).map(|at| u8::from_str_radix(&hash[at..at + 2], 16));
        let hash = hash.collect::<Result<Vec<u8>, _>>().expect("hexadecimal");
        let client = ClientBuilder::new().with_server_certificate_hashes(vec![hash]).expect("a client");
        let url =
            format!("https://{}/{CHANNEL}?name={name}&sound-group-ms={SOUND_GROUP_MS}", gateway.address);
        let url: Url = url.parse().expect("a URL");
        let transport = client.connect(ConnectRequest::new(url).with_protocol(PROTOCOL)).await;
        let transport = transport.expect("a WebTransport session");

        let (publish, driver) = origin::Producer::new(origin::Config::new(moq_net::Hop::random()));
        tokio::spawn(moq_net::time::run(driver));
        let (subscribe, driver) = origin::Producer::new(origin::Config::new(moq_net::Hop::random()));
        tokio::spawn(moq_net::time::run(driver));
        let moq = moq_net::Client::new().with_publisher(&publish).with_subscriber(subscribe.clone());
        let (session, driver) = moq.connect(Instant::now(), transport).await.expect("a MoQ session");
        tokio::spawn(moq_net::time::run(driver));
        Self { publish, subscribe: subscribe.consume(), _session: session, _client: client }
    }
}

/// Publishes for as long as the runtime lives.
pub(super) async fn publish(gateway: &Gateway) {
    let client = Client::connect(gateway, PUBLISHER).await;
    tokio::spawn(async move {
        // All of it, since its session ends with it.
        let client = client;
        let path = format!("{PUBLISHER}.hang");
        let broadcast = client.publish.create_broadcast(&path).expect("a new broadcast");
        let info = || track::Info::default().with_timescale(Timescale::MICRO);
        let mut catalog = broadcast.create_track("catalog.json", info()).expect("a new track");
        let video = broadcast.create_track("video", info()).expect("a new track");
        let audio = broadcast.create_track("audio", info()).expect("a new track");
        catalog.write_frame(Timestamp::now(), CATALOG.as_bytes()).expect("written");
        broadcast.announce(origin::Route::default()).expect("announced");
        let mut camera = Camera::new();
        let mut group: Option<group::Producer> = None;
        let mut sound: Option<(u64, group::Producer)> = None;
        loop {
            tokio::time::sleep_until(camera.due().into()).await;
            let sample = camera.take();
            let time = Timestamp::from_micros(sample.media_time_us).expect("a timestamp");
            let frame = wrap(sample.media_time_us, &sample.data);
            if sample.kind == MediaKind::Audio {
                if let Some((_, before)) =
                    sound.take_if(|(began_us, _)| sample.media_time_us >= *began_us + SOUND_GROUP_MS * 1000)
                {
                    before.finish().expect("finished");
                }
                let (_, group) = sound
                    .get_or_insert_with(|| (sample.media_time_us, audio.append_group().expect("a group")));
                group.write_frame(time, frame).expect("written");
                continue;
            }
            if sample.keyframe
                && let Some(before) = group.replace(video.append_group().expect("a group"))
            {
                before.finish().expect("finished");
            }
            group
                .as_mut()
                .expect("the first picture is a keyframe")
                .write_frame(time, frame)
                .expect("written");
        }
    });
}

/// Watches for as long as the runtime lives.
pub(super) async fn watch(gateway: &Gateway, seen: Arc<Seen>) {
    let client = Client::connect(gateway, "viewer").await;
    let broadcast = client.subscribe.routed_broadcast(&format!("{PUBLISHER}.hang")).await;
    let broadcast = broadcast.expect("a broadcast");
    for (name, kind, priority) in PRIORITIES {
        let subscription =
            track::Subscription::default().with_priority(priority).with_max_age(Duration::from_millis(500));
        let track = broadcast.track(name).expect("a track").subscribe(subscription).await;
        let mut groups = track.expect("subscribed").ordered();
        let seen = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Some(mut group) = groups.next_group().await.expect("a track that goes on") {
                while let Ok(Some(_)) = group.read_frame().await {
                    seen.count(kind);
                }
            }
        });
    }
    tokio::spawn(async move {
        let _kept = (client, broadcast);
        std::future::pending::<()>().await;
    });
}

/// The hang `legacy` container, in the longest form.
fn wrap(media_time_us: u64, data: &[u8]) -> Bytes {
    [&(media_time_us | 0xc000_0000_0000_0000).to_be_bytes()[..], data].concat().into()
}
