//! After many joins and leaves everything is back where it was.

use std::net::SocketAddr;
use std::time::Duration;

use super::client::Client;
use super::support::{Signaling, gateway, request};

/// Open files of this process.
fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Resident memory of this process in KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// One of each kind of joining: a publisher by WHIP, a viewer by WHEP, one who only signals, and an offer that is given
/// up before it ever connects.
async fn come_and_go(server: SocketAddr, round: u64) {
    let publisher = Client::publish(server, "/whip/demo?name=alice", 2 * round).await;
    let viewer = Client::watch(server, "/whep/demo?publisher=alice", 2 * round + 1).await;
    drop(Signaling::join(server, "demo", "carol").await);
    let given_up =
        Client::open(server, "/whip/demo?name=dave", tombolo::sdp::Direction::SendOnly, round).await;
    given_up.leave(server).await;
    viewer.leave(server).await;
    publisher.leave(server).await;
}

/// Waits until nobody is there any more.
async fn empty(server: SocketAddr) {
    for _ in 0..100 {
        let metrics = request(server, "GET", "/metrics", &[], b"").await.body;
        let gone = [
            "tombolo_participants 0",
            "tombolo_webrtc_legs 0",
            "tombolo_channels 0",
            "tombolo_kept_group_bytes 0",
        ];
        if gone.iter().all(|line| metrics.lines().any(|found| found == *line)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{}", request(server, "GET", "/metrics", &[], b"").await.body);
}

/// Set in the process that does the work.
const ALONE: &str = "TOMBOLO_TEST_ALONE";

/// Memory and files belong to the whole process, so this runs in one of its own, without the tests beside it.
#[test]
fn a_thousand_joins_and_leaves_leave_nothing_behind() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if std::env::var_os(ALONE).is_some() {
        return runtime().block_on(a_thousand_joins_and_leaves());
    }
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["churn::a_thousand_joins_and_leaves_leave_nothing_behind", "--exact", "--nocapture"])
        .env(ALONE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "see above");
}

async fn a_thousand_joins_and_leaves() {
    let server = gateway().await;
    let at = server.local_addr();
    // The first rounds warm what is kept for good: buffers, pools, the allocator.
    for round in 0..25 {
        come_and_go(at, round).await;
    }
    empty(at).await;
    let (files, alive, memory) = (open_files(), tasks(), resident_kib());
    for round in 25..275 {
        come_and_go(at, round).await;
    }
    empty(at).await;
    // Closed connections of the HTTP side end a little later than their last answer.
    for _ in 0..100 {
        if open_files() <= files && tasks() <= alive {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(open_files() <= files, "{} open files, {files} before", open_files());
    assert!(tasks() <= alive, "{} tasks, {alive} before", tasks());
    let grown = resident_kib().saturating_sub(memory);
    assert!(grown < 4096, "{grown} KiB more than before 1,000 joins");
    println!("after 1,000 joins: {} files, {} tasks, {grown} KiB more", open_files(), tasks());
    server.stop().await;
}
