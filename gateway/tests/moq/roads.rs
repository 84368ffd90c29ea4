//! Bad roads: what a slow or interrupted receiver gets, and that nobody else notices.

use std::time::{Duration, Instant};

use moq_net::track::Ordered;

use crate::client::{Client, Over, Publisher, first_frame, track, unwrap};
use crate::relay::Relay;
use crate::{Gateway, soon};

const CATALOG: &str = r#"{"video":{"renditions":{"video":{"codec":"vp8"}}}}"#;

/// A publisher of pictures of `bytes` that carry when they were made. It makes a keyframe at first and when it is
/// asked.
async fn publish(gateway: &Gateway, bytes: usize, epoch: Instant) -> Client {
    let alice = Client::connect(gateway, Over::WebTransport("moq-lite-05"), "/demo?name=alice").await;
    let mut publisher = Publisher::new(&alice, "alice.hang", CATALOG);
    let control = alice.broadcast(".gateway").await;
    let (ask, mut asked) = tokio::sync::mpsc::channel(16);
    tokio::spawn(async move {
        let mut requests = track(&control, "keyframes").await;
        while let Ok(Some(_)) = requests.next_group().await {
            if ask.send(()).await.is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_micros(33_333));
        let mut first = true;
        loop {
            ticks.tick().await;
            let keyframe = asked.try_recv().is_ok() || first;
            first = false;
            let made = epoch.elapsed().as_micros() as u64;
            let mut frame = vec![if keyframe { 0x10 } else { 0x11 }, 2, 0];
            if keyframe {
                frame.extend([0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01]);
            }
            frame.resize(bytes, 0);
            frame.extend(made.to_be_bytes());
            publisher.picture(1_000_000 + made, keyframe, &frame);
        }
    });
    alice
}

/// Reads pictures as they come, until `until`; how old each was, and when it came.
async fn ages(mut video: Ordered, epoch: Instant, until: Instant) -> Vec<(Duration, Duration)> {
    let mut ages = Vec::new();
    while Instant::now() < until {
        let (mut group, first) = first_frame(&mut video).await;
        let mut payload = Some(first);
        while let Some(bytes) = payload {
            let (_, data) = unwrap(&bytes);
            let made = u64::from_be_bytes(data[data.len() - 8..].try_into().expect("eight bytes"));
            let now = epoch.elapsed();
            ages.push((now, now.saturating_sub(Duration::from_micros(made))));
            if Instant::now() >= until {
                break;
            }
            // A group that was given up ends with an error.
            let next = soon("frame", group.read_frame()).await;
            payload = next.ok().flatten().map(|frame| frame.payload);
        }
    }
    ages
}

async fn video(client: &Client) -> Ordered {
    track(&client.broadcast("alice.hang").await, "video").await
}

/// Twice what the road carries: the viewer behind it sees fewer pictures, but never old ones, and the other
/// viewer sees all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_receiver_gets_fewer_pictures_not_old_ones_and_nobody_else_notices() {
    let mut gateway = Gateway::start();
    let epoch = Instant::now();
    // 4,000 bytes at 30/s are 960 kb/s.
    let _alice = publish(&gateway, 4000, epoch).await;
    let quick = Client::connect(&gateway, Over::WebTransport("moq-lite-05"), "/demo?name=quick").await;
    let relay = Relay::open(gateway.address, 500_000, 60).await;
    gateway.address = relay.address;
    let slow = Client::connect(&gateway, Over::WebTransport("moq-lite-05"), "/demo?name=slow").await;
    let until = Instant::now() + Duration::from_secs(12);
    let quick = tokio::spawn(ages(video(&quick).await, epoch, until));
    let slow = tokio::spawn(ages(video(&slow).await, epoch, until));
    let (quick, slow) = (quick.await.expect("read"), slow.await.expect("read"));

    assert!(
        quick.len() * 3 > slow.len() * 4,
        "{} pictures on the quick road, {} on the slow",
        quick.len(),
        slow.len()
    );
    let worst = quick.iter().map(|(_, age)| *age).max().expect("pictures");
    assert!(worst < Duration::from_secs(3), "the quick viewer's oldest picture: {worst:?}");
    assert!(slow.len() > 30, "the slow viewer saw {}", slow.len());
    let late = slow.iter().filter(|(at, _)| *at > Duration::from_secs(6)).map(|(_, age)| *age).max();
    assert!(late.expect("pictures to the end") < Duration::from_secs(5), "the lag grows: {late:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_outage_of_a_second_and_a_half_the_picture_is_live_again_at_once() {
    let mut gateway = Gateway::start();
    let epoch = Instant::now();
    let _alice = publish(&gateway, 3000, epoch).await;
    let relay = Relay::open(gateway.address, 100_000_000, 1000).await;
    gateway.address = relay.address;
    let bob = Client::connect(&gateway, Over::WebTransport("moq-lite-05"), "/demo?name=bob").await;
    let until = Instant::now() + Duration::from_secs(8);
    let reading = tokio::spawn(ages(video(&bob).await, epoch, until));
    tokio::time::sleep(Duration::from_secs(3)).await;
    relay.outage(Duration::from_millis(1500)).await;
    let back = epoch.elapsed();
    assert!(relay.lost() > 20, "the outage took {} datagrams", relay.lost());
    let ages = reading.await.expect("read");
    let live = ages.iter().find(|(at, age)| *at > back && *age < Duration::from_millis(300));
    let (at, _) = live.expect("a live picture after the outage");
    assert!(*at - back < Duration::from_secs(3), "live {:?} after the road was back", *at - back);
}
