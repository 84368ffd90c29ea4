//! After many sessions everything is back where it was.

use std::time::Duration;

use crate::client::{Client, Over, Publisher, first_frame, track};
use crate::media::CATALOG;
use crate::{Gateway, soon};

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// A publisher over WebTransport and a viewer over raw QUIC who hears it.
async fn come_and_go(gateway: &Gateway) {
    let publisher = Client::connect(gateway, Over::WebTransport("moq-lite-04"), "/demo?name=alice").await;
    let mut camera = Publisher::new(&publisher, "alice.hang", CATALOG);
    let viewer = Client::connect(gateway, Over::RawQuic("moq-lite-05"), "/demo?name=bob").await;
    let mut sound = track(&viewer.broadcast("alice.hang").await, "audio").await;
    let speaking = async {
        for time_us in (0..).step_by(20_000) {
            camera.sound(time_us, b"sound");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::select! {
        _ = first_frame(&mut sound) => {}
        () = speaking => {}
    }
}

/// Waits until no session stands, and for the tasks that end a little later.
async fn settled(gateway: &Gateway, tasks_before: usize) -> usize {
    soon("all sessions ended", async {
        while gateway.server.stats().open > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    for _ in 0..200 {
        if tasks() <= tasks_before {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tasks()
}

/// Sessions and their tasks, at the gateway and at its clients.
#[tokio::test]
async fn sessions_leave_no_tasks_behind() {
    let gateway = Gateway::start();
    // What is started with the first session and stays is not counted.
    come_and_go(&gateway).await;
    let idle = settled(&gateway, 0).await;
    for _ in 0..20 {
        come_and_go(&gateway).await;
    }
    let left = settled(&gateway, idle).await;
    assert!(left <= idle, "{left} tasks, {idle} before");
    assert_eq!(gateway.server.stats().accepted, 42);
}
