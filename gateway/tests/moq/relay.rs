//! A road between a client and the gateway, with a rate, a queue and outages.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Both directions of the road for one client.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    down: Arc<AtomicBool>,
    lost: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Relay {
    /// A road to `gateway` whose way to the client carries `rate_bps` and queues up to `queue` datagrams.
    pub(crate) async fn open(gateway: SocketAddr, rate_bps: u64, queue: usize) -> Self {
        let near = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("bound"));
        let far = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("bound"));
        far.connect(gateway).await.expect("connected");
        let address = near.local_addr().expect("bound");
        let (down, lost) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let task = tokio::spawn(carry(near, far, rate_bps, queue, Arc::clone(&down), Arc::clone(&lost)));
        Self { address, down, lost, task }
    }

    /// Nothing passes for a while.
    pub(crate) async fn outage(&self, duration: Duration) {
        self.down.store(true, Ordering::SeqCst);
        tokio::time::sleep(duration).await;
        self.down.store(false, Ordering::SeqCst);
    }

    /// How many datagrams did not pass.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(
    near: Arc<UdpSocket>,
    far: Arc<UdpSocket>,
    rate_bps: u64,
    queue: usize,
    down: Arc<AtomicBool>,
    lost: Arc<AtomicU64>,
) {
    let (queued, mut waiting) = mpsc::channel::<(Vec<u8>, SocketAddr)>(queue);
    let out = Arc::clone(&near);
    let sender = async move {
        let mut free = Instant::now();
        while let Some((bytes, client)) = waiting.recv().await {
            tokio::time::sleep_until(free).await;
            let _ = out.send_to(&bytes, client).await;
            let takes = Duration::from_nanos(bytes.len() as u64 * 8 * 1_000_000_000 / rate_bps);
            free = free.max(Instant::now() - Duration::from_millis(5)) + takes;
        }
    };
    let receiver = async move {
        let mut client = None;
        let (mut up, mut back) = (vec![0; 2048], vec![0; 2048]);
        loop {
            tokio::select! {
                Ok((len, from)) = near.recv_from(&mut up) => {
                    client = Some(from);
                    if down.load(Ordering::SeqCst) {
                        lost.fetch_add(1, Ordering::SeqCst);
                    } else {
                        let _ = far.send(&up[..len]).await;
                    }
                }
                Ok(len) = far.recv(&mut back) => {
                    let Some(client) = client else { continue };
                    let sent = !down.load(Ordering::SeqCst)
                        && queued.try_send((back[..len].to_vec(), client)).is_ok();
                    if !sent {
                        lost.fetch_add(1, Ordering::SeqCst);
                    }
                }
            }
        }
    };
    tokio::join!(sender, receiver);
}
