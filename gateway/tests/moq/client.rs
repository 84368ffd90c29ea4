//! A client made of `moq-net` over WebTransport or raw QUIC, which checks the certificate by its hash as a
//! browser does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use moq_net::{Timescale, Timestamp, broadcast, group, origin, track};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use tombolo_gateway::certificate::CertificateHash;
use web_transport_quinn::Session;
use web_transport_quinn::proto::ConnectRequest;

use crate::{Gateway, soon};

/// How a client comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    WebTransport(&'static str),
    RawQuic(&'static str),
}

/// A connected client.
pub(crate) struct Client {
    pub(crate) publish: origin::Producer,
    pub(crate) subscribe: origin::Consumer,
    _session: moq_net::Session,
    pub(crate) transport: Session,
    _endpoint: quinn::Endpoint,
}

/// A QUIC connection to the gateway, and the endpoint that it needs.
pub(crate) async fn quic(gateway: &Gateway, alpn: &str) -> (quinn::Endpoint, quinn::Connection) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let hashes = gateway.server.certificates().hashes();
    let verifier = Arc::new(ByHash { hashes, provider: Arc::clone(&provider) });
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    tls.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).expect("a QUIC configuration");
    let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().expect("an address")).expect("bound");
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
    let connecting = endpoint.connect(gateway.address, "localhost").expect("connecting");
    let connection = soon("QUIC handshake", connecting).await.expect("connected");
    (endpoint, connection)
}

impl Client {
    pub(crate) async fn connect(gateway: &Gateway, over: Over, path: &str) -> Self {
        let (publish, driver) = origin::Producer::new(origin::Config::new(moq_net::Hop::random()));
        tokio::spawn(moq_net::time::run(driver));
        let (subscribe, driver) = origin::Producer::new(origin::Config::new(moq_net::Hop::random()));
        tokio::spawn(moq_net::time::run(driver));
        let mut client = moq_net::Client::new().with_publisher(&publish).with_subscriber(subscribe.clone());
        let (endpoint, transport) = match over {
            Over::WebTransport(protocol) => {
                let (endpoint, connection) = quic(gateway, web_transport_quinn::ALPN).await;
                let url: url::Url = format!("https://localhost{path}").parse().expect("a URL");
                let request = ConnectRequest::new(url).with_protocol(protocol);
                let session = soon("CONNECT", Session::connect(connection, request)).await.expect("accepted");
                (endpoint, session)
            }
            Over::RawQuic(alpn) => {
                let (endpoint, connection) = quic(gateway, alpn).await;
                client = client.with_path(path);
                (endpoint, Session::raw(connection))
            }
        };
        let connecting = client.connect(Instant::now(), transport.clone());
        let (session, driver) = soon("MoQ handshake", connecting).await.expect("a session");
        tokio::spawn(moq_net::time::run(driver));
        Self {
            publish,
            subscribe: subscribe.consume().with_hidden(true),
            _session: session,
            transport,
            _endpoint: endpoint,
        }
    }

    /// Waits for a broadcast.
    pub(crate) async fn broadcast(&self, path: &str) -> broadcast::Consumer {
        soon(path, self.subscribe.routed_broadcast(path)).await.expect("a broadcast")
    }
}

/// Subscribes to a track from its newest group on.
pub(crate) async fn track(broadcast: &broadcast::Consumer, name: &str) -> track::Ordered {
    let subscription = track::Subscription::default().with_max_age(Duration::from_secs(1));
    let subscribing = broadcast.track(name).expect("a track").subscribe(subscription);
    soon(name, subscribing).await.expect("subscribed").ordered()
}

/// The next group's first frame.
pub(crate) async fn first_frame(track: &mut track::Ordered) -> (group::Consumer, Bytes) {
    let mut group = soon("group", track.next_group()).await.expect("no error").expect("a group");
    let frame = soon("frame", group.read_frame()).await.expect("no error").expect("a frame");
    (group, frame.payload)
}

/// A publisher of one broadcast with a picture in VP8 and sound, as any hang client would make it.
pub(crate) struct Publisher {
    _broadcast: broadcast::Producer,
    pub(crate) catalog: track::Producer,
    pub(crate) video: track::Producer,
    pub(crate) audio: track::Producer,
    group: Option<group::Producer>,
}

impl Publisher {
    pub(crate) fn new(client: &Client, path: &str, catalog_json: &'static str) -> Self {
        let broadcast = client.publish.create_broadcast(path).expect("a new broadcast");
        let info = || track::Info::default().with_timescale(Timescale::MICRO);
        let mut catalog = broadcast.create_track("catalog.json", info()).expect("a new track");
        let video = broadcast.create_track("video", info()).expect("a new track");
        let audio = broadcast.create_track("audio", info()).expect("a new track");
        catalog.write_frame(Timestamp::now(), catalog_json.as_bytes()).expect("written");
        broadcast.announce(origin::Route::default()).expect("announced");
        Self { _broadcast: broadcast, catalog, video, audio, group: None }
    }

    /// Writes a picture; a keyframe begins a new group.
    pub(crate) fn picture(&mut self, media_time_us: u64, keyframe: bool, data: &[u8]) {
        if keyframe || self.group.is_none() {
            if let Some(group) = self.group.take() {
                group.finish().expect("finished");
            }
            self.group = Some(self.video.append_group().expect("a group"));
        }
        let time = Timestamp::from_micros(media_time_us).expect("a timestamp");
        let group = self.group.as_mut().expect("a group");
        group.write_frame(time, wrap(media_time_us, data)).expect("written");
    }

    /// Writes a packet of sound.
    pub(crate) fn sound(&mut self, media_time_us: u64, data: &[u8]) {
        let time = Timestamp::from_micros(media_time_us).expect("a timestamp");
        self.audio.write_frame(time, wrap(media_time_us, data)).expect("written");
    }
}

/// The `legacy` container, always in the longest form.
pub(crate) fn wrap(media_time_us: u64, data: &[u8]) -> Bytes {
    let mut out = (media_time_us | 0xc000_0000_0000_0000).to_be_bytes().to_vec();
    out.extend_from_slice(data);
    out.into()
}

/// Timestamp and data.
pub(crate) fn unwrap(frame: &[u8]) -> (u64, &[u8]) {
    let (head, tail) = frame.split_at(1 << (frame[0] >> 6));
    let value = head.iter().skip(1).fold(u64::from(head[0] & 0x3f), |sum, byte| sum << 8 | u64::from(*byte));
    (value, tail)
}

/// Trusts exactly the certificates whose hashes it was given.
#[derive(Debug)]
struct ByHash {
    hashes: Vec<CertificateHash>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ByHash {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let hash = ring::digest::digest(&ring::digest::SHA256, certificate);
        if self.hashes.iter().any(|known| known.0 == hash.as_ref()) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::General("the certificate has another hash".to_owned()))
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("QUIC has no TLS 1.2".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
