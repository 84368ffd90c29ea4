//! Clients that hold TCP connections and make nothing of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tombolo_gateway::config::Options;

use super::support::{Signaling, gateway_with, request};

/// Nothing here takes longer on a machine that is not stuck.
const LONG: Duration = Duration::from_secs(20);

/// Sends `start` and then one byte of `rest` now and again until the server closes; returns what it said.
async fn drip(server: SocketAddr, start: &str, rest: u8) -> String {
    let mut stream = TcpStream::connect(server).await.unwrap();
    stream.write_all(start.as_bytes()).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let dripping = tokio::spawn(async move {
        while writer.write_all(&[rest]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut said = Vec::new();
    // A server that closes with something unread makes the client's next read an error.
    let _ = tokio::time::timeout(LONG, reader.read_to_end(&mut said)).await.expect("the server closes");
    dripping.abort();
    String::from_utf8(said).unwrap()
}

/// Silence, half a handshake, half a head and half a body: each is given up, and nobody else waits for it.
#[tokio::test]
async fn a_request_that_does_not_come_in_time_is_given_up() {
    let server = gateway_with(Options { request_timeout_ms: Some(300), ..Options::default() }).await;
    let address = server.local_addr();
    let silent = [&[][..], &[22], &[22, 3, 1, 2]].map(|start| async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(start).await.unwrap();
        let closed = tokio::time::timeout(LONG, stream.read(&mut [0; 1])).await.expect("the server closes");
        assert_eq!(closed.unwrap(), 0);
    });
    let silent = silent.map(tokio::spawn);
    let head = tokio::spawn(drip(address, "GET /healthz HTTP/1.1\r\nx-slow: ", b'a'));
    let body = tokio::spawn(drip(
        address,
        "POST /whip/demo HTTP/1.1\r\nhost: here\r\ncontent-type: application/sdp\r\ncontent-length: 9000\r\n\r\n",
        b'v',
    ));
    assert_eq!(request(address, "GET", "/healthz", &[], b"").await.status, 200);
    for silent in silent {
        silent.await.unwrap();
    }
    assert_eq!(head.await.unwrap(), "");
    let answer = body.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("in time"), "{answer:?}");
    server.stop().await;
}

/// WebSockets have no end of their own: they outlast the time that a request has, and count as long as they are open.
#[tokio::test]
async fn connections_are_bounded_and_one_that_ends_makes_room() {
    let options = Options { max_connections: Some(3), request_timeout_ms: Some(300), ..Options::default() };
    let server = gateway_with(options).await;
    let address = server.local_addr();
    let mut sockets = Vec::new();
    for n in 0..3 {
        sockets.push(Signaling::join(address, "demo", &format!("p{n}")).await);
    }
    tokio::time::sleep(Duration::from_millis(600)).await;
    let mut refused = TcpStream::connect(address).await.unwrap();
    let closed = tokio::time::timeout(LONG, refused.read(&mut [0; 1])).await.expect("closed at once");
    assert!(matches!(closed, Ok(0) | Err(_)));
    drop(sockets.pop());
    let metrics = tokio::time::timeout(LONG, async {
        loop {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let get = b"GET /metrics HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n";
            let mut said = String::new();
            let written = stream.write_all(get).await;
            if written.is_ok() && stream.read_to_string(&mut said).await.is_ok() && !said.is_empty() {
                return said;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let metrics = metrics.await.expect("there is room again");
    assert!(metrics.contains("tombolo_http_connections 3"), "{metrics}");
    assert!(!metrics.contains("tombolo_http_connections_refused_total 0"), "{metrics}");
    drop(sockets);
    server.stop().await;
}

/// An operator's certificate in files, and the roots of a client that trusts it.
fn certificate_files(folder: &std::path::Path) -> (Options, rustls::RootCertStore) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.join("chain.pem"), folder.join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    (Options { tls_certificate: Some(certificate), tls_key: Some(key), ..Options::default() }, roots)
}

/// Browsers give the camera to pages of other machines only over TLS; what has no TLS is served as before.
#[tokio::test]
async fn the_same_port_speaks_http_and_https() {
    let folder = std::env::temp_dir().join(format!("tombolo-https-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (options, roots) = certificate_files(&folder);
    let server = gateway_with(options).await;
    std::fs::remove_dir_all(&folder).unwrap();
    let address = server.local_addr();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        let stream = TcpStream::connect(address).await.unwrap();
        let name = "localhost".try_into().unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        let get = b"GET /healthz HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n";
        stream.write_all(get).await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        assert!(said.starts_with("HTTP/1.1 200 "), "{version:?}: {said:?}");
    }
    assert_eq!(request(address, "GET", "/healthz", &[], b"").await.status, 200);
    server.stop().await;
}
