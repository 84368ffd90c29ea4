//! Pictures and sound through the gateway.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use moq_net::track::Position;
use tombolo_gateway::core::Config;

use crate::client::{Client, Over, Publisher, first_frame, track, unwrap};
use crate::{Gateway, soon};

pub(crate) const CATALOG: &str = r#"{
    "video":{"renditions":{"video":{"codec":"vp8","container":{"kind":"legacy"},"codedWidth":640,"codedHeight":360}}},
    "audio":{"renditions":{"audio":{"codec":"opus","container":{"kind":"legacy"},"sampleRate":48000,"numberOfChannels":2}}}
}"#;

/// A VP8 frame header (RFC 6386 §9.1) and a number.
fn vp8(keyframe: bool, number: u32) -> Vec<u8> {
    let mut frame = vec![if keyframe { 0x10 } else { 0x11 }, 2, 0];
    if keyframe {
        frame.extend([0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01]);
    }
    frame.extend(number.to_be_bytes());
    frame
}

fn time_us(number: u32) -> u64 {
    1_000_000 + u64::from(number) * 33_333
}

fn number(data: &[u8]) -> u32 {
    u32::from_be_bytes(data[data.len() - 4..].try_into().expect("four bytes"))
}

/// Publishes 30 pictures/s, a keyframe every second, and sound, until dropped. Every picture has its number.
fn publish(mut publisher: Publisher) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_micros(33_333));
        for n in 0_u32.. {
            ticks.tick().await;
            let time = time_us(n);
            publisher.picture(time, n.is_multiple_of(30), &vp8(n.is_multiple_of(30), n));
            publisher.sound(time, &n.to_be_bytes());
        }
    })
}

async fn watch(viewer: &Client) {
    let broadcast = viewer.broadcast("alice.hang").await;
    let mut catalogs = track(&broadcast, "catalog.json").await;
    let catalog: serde_json::Value =
        serde_json::from_slice(&first_frame(&mut catalogs).await.1).expect("JSON");
    assert_eq!(catalog["video"]["renditions"]["video"]["codec"], "vp8");
    assert_eq!(catalog["audio"]["renditions"]["audio"]["codec"], "opus");
    let mut video = track(&broadcast, "video").await;
    let mut audio = track(&broadcast, "audio").await;

    let mut last = None;
    for _ in 0..3 {
        let (mut group, first) = first_frame(&mut video).await;
        let mut frame = Some(first);
        let mut index = 0;
        while let Some(payload) = frame {
            let (time, data) = unwrap(&payload);
            let n = number(data);
            assert_eq!(data[0] & 1 == 0, index == 0, "a keyframe at the head of a group, and only there");
            assert!(last.is_none_or(|last| n == last + 1), "{n} after {last:?}");
            assert_eq!(time, time_us(n));
            (last, index) = (Some(n), index + 1);
            frame = soon("frame", group.read_frame()).await.expect("no error").map(|frame| frame.payload);
        }
    }
    let groups = groups_of_sound(&mut audio, 20).await;
    assert!(groups.iter().all(|packets| packets.len() == 1), "one packet in a group: {groups:?}");
    let sounds: Vec<_> = groups.concat().into_iter().map(|(_, number)| number).collect();
    assert!(sounds.is_sorted_by(|a, b| a < b), "{sounds:?}");
}

/// The next groups of sound: times in microseconds and numbers of their packets.
async fn groups_of_sound(audio: &mut moq_net::track::Ordered, count: usize) -> Vec<Vec<(u64, u32)>> {
    let mut groups = Vec::new();
    for _ in 0..count {
        let (mut group, first) = first_frame(audio).await;
        let (mut packets, mut frame) = (Vec::new(), Some(first));
        while let Some(payload) = frame {
            let (time, data) = unwrap(&payload);
            packets.push((time, number(data)));
            frame = soon("frame", group.read_frame()).await.expect("no error").map(|frame| frame.payload);
        }
        groups.push(packets);
    }
    groups
}

async fn from_to(publisher: Over, viewer: Over) {
    let gateway = Gateway::start();
    let alice = Client::connect(&gateway, publisher, "/demo?name=alice").await;
    let task = publish(Publisher::new(&alice, "alice.hang", CATALOG));
    let viewer = Client::connect(&gateway, viewer, "/demo?name=bob").await;
    watch(&viewer).await;
    task.abort();
    // All of it was QUIC, and looked like it: nobody was invited to grease the bit that tells (RFC 9287).
    let stats = gateway.port.stats();
    assert!(stats.quic_received > 50, "{stats:?}");
    assert_eq!((stats.webrtc_received, stats.dropped_unknown), (0, 0), "{stats:?}");
}

#[tokio::test]
async fn pictures_and_sound_go_from_webtransport_to_webtransport() {
    from_to(Over::WebTransport("moq-lite-04"), Over::WebTransport("moq-lite-05")).await;
}

#[tokio::test]
async fn pictures_and_sound_go_from_raw_quic_to_webtransport() {
    from_to(Over::RawQuic("moq-lite-06"), Over::WebTransport("moq-lite-03")).await;
}

#[tokio::test]
async fn pictures_and_sound_go_from_webtransport_to_raw_quic() {
    from_to(Over::WebTransport("moq-lite-05"), Over::RawQuic("moq-lite-05")).await;
}

#[tokio::test]
async fn pictures_and_sound_go_between_clients_of_the_ietf_drafts() {
    from_to(Over::RawQuic("moqt-17"), Over::RawQuic("moq-00")).await;
    from_to(Over::WebTransport("moqt-18"), Over::WebTransport("moqt-20")).await;
}

#[tokio::test]
async fn sound_comes_in_groups_as_long_as_the_client_asks() {
    const GROUP_US: u64 = 100_000;
    let gateway = Gateway::start();
    let alice = Client::connect(&gateway, Over::WebTransport("moq-lite-05"), "/demo?name=alice").await;
    let task = publish(Publisher::new(&alice, "alice.hang", CATALOG));
    let viewer =
        Client::connect(&gateway, Over::WebTransport("moq-lite-05"), "/demo?name=bob&sound-group-ms=100")
            .await;
    let mut audio = track(&viewer.broadcast("alice.hang").await, "audio").await;
    let groups = groups_of_sound(&mut audio, 6).await;
    for packets in &groups {
        assert!(
            packets.len() > 1 && packets.iter().all(|(time, _)| *time < packets[0].0 + GROUP_US),
            "{groups:?}"
        );
    }
    assert!(groups.windows(2).all(|pair| pair[1][0].0 >= pair[0][0].0 + GROUP_US), "{groups:?}");
    task.abort();
}

#[tokio::test]
async fn a_client_without_a_name_is_named_after_what_it_publishes() {
    let gateway = Gateway::start();
    let alice = Client::connect(&gateway, Over::WebTransport("moq-lite-04"), "/demo").await;
    let task = publish(Publisher::new(&alice, "alice.hang", CATALOG));
    let viewer = Client::connect(&gateway, Over::WebTransport("moq-lite-04"), "/demo").await;
    watch(&viewer).await;
    task.abort();
}

#[tokio::test]
async fn a_client_that_publishes_under_anothers_name_is_sent_away() {
    let gateway = Gateway::start();
    let mallory = Client::connect(&gateway, Over::WebTransport("moq-lite-04"), "/demo?name=mallory").await;
    let _publisher = Publisher::new(&mallory, "alice.hang", CATALOG);
    let closed = soon("close", mallory.transport.closed()).await.to_string();
    assert!(closed.contains("<its name>.hang"), "{closed}");
}

#[tokio::test]
async fn a_joiner_of_a_call_of_any_age_begins_at_the_newest_keyframe() {
    const KEYFRAMES: [u32; 2] = [0, 40];
    let gateway = Gateway::start();
    let alice = Client::connect(&gateway, Over::WebTransport("moq-lite-05"), "/demo?name=alice").await;
    let mut publisher = Publisher::new(&alice, "alice.hang", CATALOG);
    let early = Client::connect(&gateway, Over::WebTransport("moq-lite-05"), "/demo?name=early").await;
    let broadcast = early.broadcast("alice.hang").await;
    let mut early_video = track(&broadcast, "video").await;
    let (sent, mut number_sent) = tokio::sync::watch::channel(0);
    let task = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(33));
        for n in 0.. {
            ticks.tick().await;
            let keyframe = KEYFRAMES.contains(&n);
            publisher.picture(time_us(n), keyframe, &vp8(keyframe, n));
            sent.send_replace(n);
        }
    });
    let _ = first_frame(&mut early_video).await;
    soon("two keyframes", number_sent.wait_for(|n| *n > 50)).await.expect("publishing");
    let late = Client::connect(&gateway, Over::WebTransport("moq-lite-05"), "/demo?name=late").await;
    let broadcast = late.broadcast("alice.hang").await;
    let mut late_video = track(&broadcast, "video").await;
    let (mut group, first) = first_frame(&mut late_video).await;
    assert_eq!(number(unwrap(&first).1), KEYFRAMES[1], "the newest keyframe, from the kept group");
    for n in 41..60 {
        let frame = soon("frame", group.read_frame()).await.expect("no error").expect("a frame");
        assert_eq!(number(unwrap(&frame.payload).1), n);
    }
    task.abort();
}

#[tokio::test]
async fn a_publisher_that_listens_is_asked_for_a_keyframe_when_somebody_joins() {
    let gateway = Gateway::start();
    let alice = Client::connect(&gateway, Over::WebTransport("moq-lite-05"), "/demo?name=alice").await;
    let mut publisher = Publisher::new(&alice, "alice.hang", CATALOG);
    let mut asked = track(&alice.broadcast(".gateway").await, "keyframes").await;
    let asked = tokio::spawn(async move { first_frame(&mut asked).await.1 });
    // The gateway hears of the listener.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let bob = Client::connect(&gateway, Over::WebTransport("moq-lite-05"), "/demo?name=bob").await;
    let broadcast = bob.broadcast("alice.hang").await;
    let mut video = track(&broadcast, "video").await;
    let first = tokio::spawn(async move { first_frame(&mut video).await.1 });
    let request = asked.await.expect("read");
    assert_eq!(&request[..], br#"{"broadcast":"alice.hang","track":"video"}"#);
    publisher.picture(time_us(7), true, &vp8(true, 7));
    assert_eq!(number(unwrap(&first.await.expect("read")).1), 7);
}

#[tokio::test]
async fn a_viewer_that_comes_back_to_a_track_is_not_shown_what_was_before() {
    let gateway = Gateway::start();
    let alice = Client::connect(&gateway, Over::WebTransport("moq-lite-05"), "/demo?name=alice").await;
    let task = publish(Publisher::new(&alice, "alice.hang", CATALOG));
    let bob = Client::connect(&gateway, Over::WebTransport("moq-lite-05"), "/demo?name=bob").await;
    let broadcast = bob.broadcast("alice.hang").await;
    let mut shown = 0;
    for _ in 0..3 {
        let mut video = track(&broadcast, "video").await;
        let first = loop {
            let first = number(unwrap(&first_frame(&mut video).await.1).1);
            // moq-net itself keeps what this client has read before.
            if shown == 0 || first > shown {
                break first;
            }
        };
        assert!(shown == 0 || first > shown + 30, "{first} after {shown}: two seconds have passed");
        shown = first;
        drop(video);
        soon("nobody watches", async {
            while gateway.hub.stats().await.expect("running").core.subscriptions > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    task.abort();
}

/// What a client does that was too slow for a group, and what the page does when its decoder is.
#[tokio::test]
async fn a_viewer_that_wants_the_next_group_gets_one_that_is_made_for_it() {
    let gateway = Gateway::start();
    let alice = Client::connect(&gateway, Over::WebTransport("moq-lite-05"), "/demo?name=alice").await;
    let mut publisher = Publisher::new(&alice, "alice.hang", CATALOG);
    let mut asked = track(&alice.broadcast(".gateway").await, "keyframes").await;
    let requests = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&requests);
    let task = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(33));
        let mut keyframe = true;
        for n in 0.. {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = first_frame(&mut asked) => {
                    counted.fetch_add(1, Ordering::Relaxed);
                    keyframe = true;
                }
            }
            publisher.picture(time_us(n), keyframe, &vp8(keyframe, n));
            keyframe = false;
        }
    });
    // The gateway hears of the listener.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let bob = Client::connect(&gateway, Over::WebTransport("moq-lite-05"), "/demo?name=bob").await;
    let broadcast = bob.broadcast("alice.hang").await;
    let mut video = track(&broadcast, "video").await;
    let mut shown = first_frame(&mut video).await.0;
    // Past the budget of the joining.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = requests.load(Ordering::Relaxed);
    let next = Position::group(shown.sequence + 1);
    video.update(video.subscription().with_start(next)).expect("the track goes on");
    let (group, _) = first_frame(&mut video).await;
    assert!(group.sequence > shown.sequence);
    assert_eq!(requests.load(Ordering::Relaxed), before + 1, "one keyframe is asked for");
    let end = soon("the end of the old group", async { while let Ok(Some(_)) = shown.read_frame().await {} });
    end.await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(requests.load(Ordering::Relaxed), before + 1, "what has been granted is not asked for again");
    task.abort();
}

/// A publisher that is subscribed to again sends its newest group again, from its beginning. The gateway has read that, and
/// it is the past.
#[tokio::test]
async fn nothing_is_read_twice_of_a_publisher_that_was_paused() {
    const GROUP: u32 = 10;
    let gateway = Gateway::start_with(Config::default().pause_after(Duration::from_millis(300)));
    let alice = Client::connect(&gateway, Over::WebTransport("moq-lite-05"), "/demo?name=alice").await;
    let mut publisher = Publisher::new(&alice, "alice.hang", CATALOG);
    let early = Client::connect(&gateway, Over::WebTransport("moq-lite-05"), "/demo?name=early").await;
    let mut video = track(&early.broadcast("alice.hang").await, "video").await;
    soon("wanted", publisher.video.used()).await.expect("publishing");
    let began = Instant::now();
    for n in 0..GROUP {
        publisher.picture(time_us(n), n == 0, &vp8(n == 0, n));
    }
    let (mut group, _) = first_frame(&mut video).await;
    for n in 1..GROUP {
        let frame = soon("frame", group.read_frame()).await.expect("no error").expect("a frame");
        assert_eq!(number(unwrap(&frame.payload).1), n);
    }
    drop((group, video, early));
    soon("paused", publisher.video.unused()).await.expect("publishing");
    let late = Client::connect(&gateway, Over::WebTransport("moq-lite-05"), "/demo?name=late").await;
    let mut video = track(&late.broadcast("alice.hang").await, "video").await;
    soon("wanted again", publisher.video.used()).await.expect("publishing");
    // Its clock went on: a picture that is late begins nothing.
    let elapsed_us = u64::try_from(began.elapsed().as_micros()).expect("a short time");
    publisher.picture(time_us(GROUP) + elapsed_us, true, &vp8(true, GROUP));
    let (_, first) = first_frame(&mut video).await;
    assert_eq!(number(unwrap(&first).1), GROUP);
    let read = gateway.hub.stats().await.expect("running").core.frames_in;
    assert_eq!(read, u64::from(GROUP) + 1, "frames that were read, of as many that were made");
}

#[tokio::test]
async fn a_track_that_leaves_the_catalog_for_good_leaves_the_channel() {
    let gateway = Gateway::start();
    let alice = Client::connect(&gateway, Over::WebTransport("moq-lite-05"), "/demo?name=alice").await;
    let mut publisher = Publisher::new(&alice, "alice.hang", CATALOG);
    let tracks = |want: usize| {
        let hub = gateway.hub.clone();
        soon("tracks", async move {
            while hub.stats().await.expect("running").core.tracks != want {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
    };
    tracks(2).await;
    let sound_only =
        r#"{"audio":{"renditions":{"audio":{"codec":"opus","sampleRate":48000,"numberOfChannels":2}}}}"#;
    let now = moq_net::Timestamp::now;
    publisher.catalog.write_frame(now(), sound_only.as_bytes()).expect("written");
    tokio::time::sleep(Duration::from_millis(300)).await;
    publisher.catalog.write_frame(now(), CATALOG.as_bytes()).expect("written");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(
        gateway.hub.stats().await.expect("running").core.tracks,
        2,
        "a catalog that flaps changes nothing"
    );
    publisher.catalog.write_frame(now(), sound_only.as_bytes()).expect("written");
    tracks(1).await;
    publisher.catalog.write_frame(now(), &b"not JSON"[..]).expect("written");
    publisher.catalog.write_frame(now(), CATALOG.as_bytes()).expect("written");
    tracks(2).await;
    drop((publisher, alice));
    tracks(0).await;
}
