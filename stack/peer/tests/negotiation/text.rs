//! Descriptions as text, made from parts, and connections to give them to.

use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use tombolo::crypto::CryptoProvider;
use tombolo::dtls::Certificate;
use tombolo::net::{Epoch, Seed};
use tombolo::sdp::{Media, SdpError, SessionDescription};
use tombolo::{Config, ConfigBuilder, PeerConnection, SignalingState, Transceiver};

/// What a browser's bundled offer of one microphone and one camera says; [`offer`] joins the parts.
pub(crate) const HEAD: &str = "v=0
o=- 4611731400430051336 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
";

pub(crate) const TRANSPORT: &str = "a=ice-ufrag:abcd
a=ice-pwd:0123456789012345678901
a=ice-options:trickle
a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF
a=setup:actpass
";

pub(crate) const AUDIO: &str = "m=audio 9 UDP/TLS/RTP/SAVPF 111 0
c=IN IP4 0.0.0.0
a=mid:0
a=sendrecv
a=rtcp-mux
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=extmap:7 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:0 PCMU/8000
";

pub(crate) const VIDEO: &str = "m=video 9 UDP/TLS/RTP/SAVPF 96 97
c=IN IP4 0.0.0.0
a=mid:1
a=sendrecv
a=rtcp-mux
a=rtcp-rsize
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=extmap:7 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id
a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id
a=rtpmap:96 VP8/90000
a=rtcp-fb:96 goog-remb
a=rtcp-fb:96 transport-cc
a=rtcp-fb:96 ccm fir
a=rtcp-fb:96 nack
a=rtcp-fb:96 nack pli
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
";

/// A browser's offer. Each section carries the transport, as in every first offer.
pub(crate) fn offer() -> String {
    format!("{HEAD}{AUDIO}{TRANSPORT}{VIDEO}{TRANSPORT}")
}

/// `text` with every `line` left out.
pub(crate) fn without(text: &str, line: &str) -> String {
    assert!(text.contains(line), "{line} is not there");
    text.lines().filter(|found| !found.starts_with(line)).fold(String::new(), |text, line| text + line + "\n")
}

/// `text` with every `from` replaced.
pub(crate) fn with(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from} is not there");
    text.replace(from, to)
}

/// The number of the line of `text` that starts with `start`, from 1.
pub(crate) fn line_of(text: &str, start: &str) -> u32 {
    let index = text.lines().position(|line| line.starts_with(start)).expect("the line");
    index as u32 + 1
}

pub(crate) fn now() -> Instant {
    tombolo_netsim::start()
}

pub(crate) fn certificate() -> Certificate {
    let day = Duration::from_secs(86_400);
    let start = UNIX_EPOCH + 20_000 * day;
    Certificate::self_signed(&CryptoProvider::default(), &Seed::from_number(9), start, start + 14 * day)
        .expect("a certificate")
}

pub(crate) fn connection_with(
    seed: u64,
    configure: impl FnOnce(ConfigBuilder) -> ConfigBuilder,
) -> PeerConnection {
    let config = configure(Config::builder(certificate())).build().expect("a configuration");
    let epoch = Epoch { instant: now(), system: UNIX_EPOCH + Duration::from_secs(1_700_000_000) };
    PeerConnection::new(Arc::new(config), &Seed::from_number(seed), epoch, now())
}

pub(crate) fn connection() -> PeerConnection {
    connection_with(1, |config| config)
}

/// Gives a connection an offer.
pub(crate) fn give(connection: &mut PeerConnection, text: &str) -> Result<(), SdpError> {
    connection.set_remote_description(now(), SessionDescription::offer(text)?)
}

/// Gives a connection an answer.
pub(crate) fn give_answer(connection: &mut PeerConnection, text: &str) -> Result<(), SdpError> {
    connection.set_remote_description(now(), SessionDescription::answer(text)?)
}

/// Creates the answer and sets it.
pub(crate) fn settle(connection: &mut PeerConnection) -> SessionDescription {
    let answer = connection.create_answer().expect("an answer");
    connection.set_local_description(now(), &answer).expect("our own answer");
    answer
}

/// The answer of a fresh connection to `text`.
pub(crate) fn answer(text: &str) -> SessionDescription {
    let mut connection = connection();
    give(&mut connection, text).expect("a good offer");
    settle(&mut connection)
}

/// Creates an offer and sets it.
pub(crate) fn start(connection: &mut PeerConnection) -> SessionDescription {
    let offer = connection.create_offer().expect("an offer");
    connection.set_local_description(now(), &offer).expect("our own offer");
    offer
}

/// Another connection's answer to `offer`.
pub(crate) fn answer_of_peer(offer: &SessionDescription) -> SessionDescription {
    let mut peer = connection_with(2, |config| config);
    give(&mut peer, &offer.to_string()).expect("our own offer");
    settle(&mut peer)
}

/// All that a description could change.
pub(crate) fn snapshot(connection: &PeerConnection) -> (SignalingState, Vec<Transceiver>, Option<String>) {
    let local = connection.local_description().map(|description| description.to_string());
    (connection.signaling_state(), connection.transceivers().to_vec(), local)
}

/// The payload types of a section.
pub(crate) fn formats(media: &Media) -> Vec<&str> {
    media.formats.iter().map(String::as_str).collect()
}
