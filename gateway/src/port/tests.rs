use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::net::UdpSocket;
use tombolo_net::Transmit;

use super::*;

const STUN: [u8; 20] = {
    let mut message = [0; 20];
    message[1] = 1;
    message
};

async fn client() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a loopback socket")
}

fn bound(address: &str) -> (Port, Receiver, SocketAddr) {
    let (port, receiver) = Port::bind(address.parse().expect("an address")).expect("a free port");
    let target = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port.local_addr().port());
    (port, receiver, target)
}

/// Reads until `want` WebRTC datagrams have come; each with its path.
async fn receive(receiver: &mut Receiver, want: usize) -> Vec<(FiveTuple, Vec<u8>)> {
    let mut got = Vec::new();
    while got.len() < want {
        let batch = tokio::time::timeout(Duration::from_secs(5), receiver.recv())
            .await
            .expect("datagrams within 5 s")
            .expect("a working socket");
        batch.for_each(|path, _, bytes| got.push((path, bytes.to_vec())));
    }
    got
}

#[tokio::test]
async fn a_dual_stack_port_shows_ipv4_paths_and_answers_from_the_address_that_was_asked() {
    let (port, mut receiver, target) = bound("[::]:0");
    let client = client().await;
    let asked = SocketAddr::new(Ipv4Addr::new(127, 0, 0, 2).into(), target.port());
    client.send_to(&STUN, asked).await.expect("sent");
    let (path, bytes) = receive(&mut receiver, 1).await.remove(0);
    assert_eq!(bytes, STUN);
    assert_eq!(path.local, asked, "the local address is the one that the datagram came to");
    assert_eq!(path.remote, client.local_addr().expect("bound"));

    port.send_all(&[Transmit::datagram(path, 3)], b"abc");
    let mut buffer = [0; 64];
    let (len, from) = client.recv_from(&mut buffer).await.expect("an answer");
    assert_eq!((&buffer[..len], from), (&b"abc"[..], asked));
}

#[tokio::test]
async fn a_run_of_equal_datagrams_arrives_as_single_datagrams_in_order() {
    let (port, mut receiver, target) = bound("127.0.0.1:0");
    let client = client().await;
    client.send_to(&STUN, target).await.expect("sent");
    let (path, _) = receive(&mut receiver, 1).await.remove(0);
    let sizes = [900, 900, 900, 300, 900, 1100];
    let mut bytes = Vec::new();
    let mut transmits = Vec::new();
    for (index, size) in sizes.iter().enumerate() {
        bytes.extend(std::iter::repeat_n(index as u8, *size));
        transmits.push(Transmit::datagram(path, *size));
    }
    port.send_all(&transmits, &bytes);
    let mut buffer = [0; 2000];
    for (index, size) in sizes.iter().enumerate() {
        let len = client.recv(&mut buffer).await.expect("a datagram");
        assert_eq!((len, buffer[0]), (*size, index as u8));
    }
    assert_eq!(port.stats().webrtc_sent, sizes.len() as u64);
}

#[tokio::test]
async fn a_flood_of_junk_is_counted_and_the_others_are_served() {
    let (port, mut receiver, target) = bound("127.0.0.1:0");
    let (attacker, client) = (client().await, client().await);
    let mut served = 0;
    for round in 0..50_u8 {
        for byte in 4..=19 {
            attacker.send_to(&[byte; 100], target).await.expect("sent");
        }
        attacker.send_to(&[], target).await.expect("sent");
        client.send_to(&[&STUN[..], &[round]].concat(), target).await.expect("sent");
        let got = receive(&mut receiver, 1).await;
        assert_eq!(got[0].1.last(), Some(&round));
        served += got.len();
    }
    assert_eq!(served, 50);
    let stats = port.stats();
    assert_eq!(stats.dropped_unknown, 50 * 17);
    assert_eq!(stats.webrtc_received, 50);
    assert_eq!(stats.quic_received, 0);
}

#[tokio::test]
async fn quic_that_nobody_reads_is_dropped_and_counted_and_webrtc_goes_on() {
    let (port, mut receiver, target) = bound("127.0.0.1:0");
    let client = client().await;
    let quic = vec![0xc3; 1200];
    for _ in 0..40 {
        for _ in 0..50 {
            client.send_to(&quic, target).await.expect("sent");
        }
        client.send_to(&STUN, target).await.expect("sent");
        assert_eq!(receive(&mut receiver, 1).await.len(), 1);
    }
    let stats = port.stats();
    assert_eq!(stats.quic_received, 2000);
    assert!(stats.dropped_quic_overflow > 200, "{stats:?}");
    assert_eq!(stats.webrtc_received, 40);
}
