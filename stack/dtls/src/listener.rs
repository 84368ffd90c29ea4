//! A server that is reached without ICE: nothing is kept for a client before it has proved its address with a cookie
//! (RFC 6347 §4.2.1, RFC 9147 §5.1).
//!
//! ```text
//! client                                  Listener
//!   ClientHello                     ->      keeps nothing
//!                                   <-    HelloVerifyRequest (1.2), HelloRetryRequest (1.3), or an alert
//!   ClientHello with the cookie     ->      makes a Connection
//! ```
//!
//! A cookie of 1.3 needs the hash of the first hello, and a hello with a post-quantum share comes in two datagrams. So the
//! parts of [`MAX_PARTIALS`] hellos of [`MAX_HELLO_LEN`] bytes are kept, for all clients together; a newer one takes the
//! place of the oldest. A client that starts with [`crate::ConfigBuilder::no_first_shares`] does not depend on them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use tombolo_net::{FiveTuple, Rng, Seed, Transmit};
use tracing::{debug, trace};

use crate::alert::Alert;
use crate::codec::{Reader, put_u16, put_vec8};
use crate::config::Config;
use crate::connection::Connection;
use crate::cookie::{CookieKeys, FirstHello, HelloStart};
use crate::error::PeerError;
use crate::fragment::{Fragment, HandshakeType, Message, Reassembler};
use crate::handshake::message::{Body, ClientHello};
use crate::handshake::server::choose_version;
use crate::handshake::server13;
use crate::record::{ContentType, Header, RecordNumber};
use crate::transcript::Transcript;
use crate::version::{ProtocolVersion, VERSION_1_0, VERSION_1_2};

/// How many hellos that come in parts are kept.
const MAX_PARTIALS: usize = 16;
/// The longest hello that is taken in parts.
const MAX_HELLO_LEN: usize = 4096;
/// How many bytes an answer may have for each one that came, before the address is proved (RFC 9147 §5.1 has no number; this
/// is that of RFC 9000 §8.1).
const MAX_AMPLIFICATION: usize = 3;

/// What came of a datagram.
#[derive(Debug)]
#[non_exhaustive]
pub enum Heard {
    /// Nothing: it is a part of a hello, or junk.
    Nothing,
    /// An answer to send, whose bytes were appended. Nothing is kept for this client.
    Answer(Transmit),
    /// The client has proved its address, and this is its connection, which has heard the datagram. What comes on its path from
    /// now on is for it.
    Connection(Box<Connection>),
}

/// A server's ear for clients that have no connection yet.
///
/// It keeps 80 KiB at most, whoever speaks to it, and no answer of it is longer than three times what it answers.
pub struct Listener {
    config: Arc<Config>,
    rng: Rng,
    keys: CookieKeys,
    partials: VecDeque<PartialHello>,
}

struct PartialHello {
    path: FiveTuple,
    message_seq: u16,
    length: usize,
    parts: Reassembler,
}

/// A hello, whole or its first part, and the record that it came in.
#[derive(Clone, Copy)]
struct Heading<'a> {
    number: RecordNumber,
    message_seq: u16,
    body: &'a [u8],
}

/// What a connection starts from when the cookie was good.
pub(crate) struct Proven {
    /// The number of the record with the hello: the answer starts with the same (RFC 6347 §4.2.1, RFC 9147 §5.1).
    pub(crate) sequence: u64,
    pub(crate) message_seq: u16,
    /// In 1.3, the random of both hellos, what was told of the first one, and the request that answered it.
    pub(crate) retried: Option<([u8; 32], FirstHello, Vec<u8>)>,
}

impl Listener {
    /// A listener whose connections have this configuration.
    #[must_use]
    pub fn new(config: Arc<Config>, seed: &Seed, now: Instant) -> Self {
        let mut rng = seed.rng();
        let keys = CookieKeys::new(&mut rng, now);
        Self { config, rng, keys, partials: VecDeque::new() }
    }

    /// Whether a datagram may open a connection. Where there is one on its path, this tells whether the client may have
    /// started anew (RFC 6347 §4.2.8, RFC 9147 §5.11): what does is for the listener, and the old connection ends when the
    /// new one is connected.
    #[must_use]
    pub fn may_open(datagram: &[u8]) -> bool {
        let is_handshake = datagram.first() == Some(&ContentType::HANDSHAKE.0);
        let first_epoch = datagram.get(3..5) == Some(&[0, 0]);
        is_handshake && first_epoch && datagram.get(13) == Some(&HandshakeType::CLIENT_HELLO.0)
    }

    /// Takes a datagram from a path without a connection. An answer is appended to `out`.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        path: FiveTuple,
        datagram: &[u8],
        out: &mut Vec<u8>,
    ) -> Heard {
        self.keys.rotate(&mut self.rng, now);
        let Some((number, fragment)) = first_fragment(datagram) else { return Heard::Nothing };
        let heading = Heading { number, message_seq: fragment.message_seq, body: fragment.bytes };
        if fragment.offset == 0
            && let Some(proven) = self.prove(path, heading)
        {
            return self.accept(now, path, proven, datagram.to_vec());
        }
        let start = out.len();
        let answered = if fragment.bytes.len() == fragment.length {
            self.answer(path, heading, out)
        } else {
            let Some(message) = self.collect(path, fragment) else { return Heard::Nothing };
            let whole = Heading { body: &message.body, ..heading };
            if let Some(proven) = self.prove(path, whole) {
                return self.accept(now, path, proven, whole_datagram(number, &message));
            }
            self.answer(path, whole, out)
        };
        if !answered || out.len() - start > MAX_AMPLIFICATION * datagram.len() {
            out.truncate(start);
            return Heard::Nothing;
        }
        trace!(%path, bytes = out.len() - start, "DTLS listener answers");
        Heard::Answer(Transmit::datagram(path, out.len() - start))
    }

    /// Looks for a good cookie.
    fn prove(&self, path: FiveTuple, heading: Heading<'_>) -> Option<Proven> {
        let start = HelloStart::decode(heading.body).ok()?;
        let provider = &self.config.provider;
        let proven =
            |retried| Proven { sequence: heading.number.sequence, message_seq: heading.message_seq, retried };
        if !start.cookie_1_2.is_empty() {
            let good = self.keys.is_good_1_2(provider, path.remote, &start);
            return good.then(|| proven(None));
        }
        let cookie = start.cookie_1_3?;
        let first = self.keys.open_1_3(provider, path.remote, &start.random, cookie)?;
        let request = server13::retry_request(first.suite, first.asked.then_some(first.group), Some(cookie));
        Some(proven(Some((start.random, first, request))))
    }

    fn accept(&mut self, now: Instant, path: FiveTuple, proven: Proven, mut datagram: Vec<u8>) -> Heard {
        self.partials.retain(|partial| partial.path != path);
        let seed = Seed::fork(&mut self.rng);
        debug!(%path, "DTLS client has proved its address");
        let mut connection = Connection::accept(self.config.clone(), &seed, now, proven);
        connection.set_path(path);
        connection.handle_datagram(now, path, &mut datagram);
        Heard::Connection(Box::new(connection))
    }

    /// Keeps a part of a hello. Gives the hello when it is whole.
    fn collect(&mut self, path: FiveTuple, fragment: Fragment<'_>) -> Option<Message> {
        if fragment.length > MAX_HELLO_LEN {
            return None;
        }
        let (message_seq, length) = (fragment.message_seq, fragment.length);
        let is_same = |partial: &PartialHello| {
            partial.path == path && partial.message_seq == message_seq && partial.length == length
        };
        let at = self.partials.iter().position(is_same).unwrap_or_else(|| {
            if self.partials.len() == MAX_PARTIALS {
                self.partials.pop_front();
            }
            let parts = Reassembler::starting_at(message_seq);
            self.partials.push_back(PartialHello { path, message_seq, length, parts });
            self.partials.len() - 1
        });
        let partial = self.partials.get_mut(at)?;
        partial.parts.insert(0, fragment);
        let message = partial.parts.pop()?;
        self.partials.remove(at);
        Some(message)
    }

    /// Answers a hello without a good cookie. `false`: it is nothing that is answered.
    fn answer(&self, path: FiveTuple, heading: Heading<'_>, out: &mut Vec<u8>) -> bool {
        let decoded = Body::decode(HandshakeType::CLIENT_HELLO, 0, heading.body);
        let (Ok(Body::ClientHello(hello)), Ok(start)) = (decoded, HelloStart::decode(heading.body)) else {
            return false;
        };
        match self.request(path, &hello, start, heading) {
            Ok(Some((msg_type, body))) => {
                let message = Message { msg_type, message_seq: heading.message_seq, epoch: 0, body };
                out.extend_from_slice(&whole_datagram(heading.number, &message));
                true
            }
            Ok(None) => false,
            Err(error) => {
                let alert = Alert::fatal(error.alert()).encode();
                let header =
                    Header { content_type: ContentType::ALERT, version: VERSION_1_2, number: heading.number };
                out.extend_from_slice(&header.encode(alert.len()));
                out.extend_from_slice(&alert);
                true
            }
        }
    }

    /// The message that asks for the hello again. `None`: the crypto provider fails.
    fn request(
        &self,
        path: FiveTuple,
        hello: &ClientHello,
        start: HelloStart<'_>,
        heading: Heading<'_>,
    ) -> Result<Option<(HandshakeType, Vec<u8>)>, PeerError> {
        let provider = &self.config.provider;
        // Here a cookie of 1.2 that is not good any more is as none.
        if choose_version(hello, &self.config)? == ProtocolVersion::Dtls12 {
            let Ok(cookie) = self.keys.make_1_2(provider, path.remote, &start) else { return Ok(None) };
            let mut body = Vec::new();
            // RFC 6347 §4.2.1: that of DTLS 1.0, whatever is spoken later.
            put_u16(&mut body, VERSION_1_0);
            put_vec8(&mut body, |out| out.extend_from_slice(&cookie));
            return Ok(Some((HandshakeType::HELLO_VERIFY_REQUEST, body)));
        }
        // RFC 9147 §5.1: the client is to start anew without the cookie.
        if hello.extensions.cookie.is_some() {
            return Err(PeerError::IllegalParameter);
        }
        let choice = server13::choose(hello, &self.config)?;
        let suite = choice.parameters.cipher_suite;
        let mut transcript = Transcript::default();
        let first = Fragment {
            msg_type: HandshakeType::CLIENT_HELLO,
            length: heading.body.len(),
            message_seq: heading.message_seq,
            offset: 0,
            bytes: heading.body,
        };
        transcript.add(&first);
        let hashed = transcript
            .start_1_3(provider, suite.hash())
            .and_then(|()| transcript.hash(provider, suite.hash()));
        let Ok(hash) = hashed else { return Ok(None) };
        let asked = choice.share.is_none();
        let first = FirstHello { asked, suite, group: choice.group, hash };
        let Ok(cookie) = self.keys.make_1_3(provider, path.remote, &start.random, &first) else {
            return Ok(None);
        };
        let request = server13::retry_request(suite, asked.then_some(choice.group), Some(&cookie));
        Ok(Some((HandshakeType::SERVER_HELLO, request)))
    }
}

/// The first fragment of a datagram, if it is one of a ClientHello.
fn first_fragment(datagram: &[u8]) -> Option<(RecordNumber, Fragment<'_>)> {
    let (head, tail) = datagram.split_first_chunk()?;
    let (header, len) = Header::decode(head);
    let body = tail.get(..len)?;
    let is_plain = header.number.epoch == 0 && matches!(header.version, VERSION_1_0 | VERSION_1_2);
    if !is_plain || header.content_type != ContentType::HANDSHAKE {
        return None;
    }
    let fragment = Fragment::decode(&mut Reader::new(body)).ok()?;
    (fragment.msg_type == HandshakeType::CLIENT_HELLO).then_some((header.number, fragment))
}

/// A message as one fragment in one record.
fn whole_datagram(number: RecordNumber, message: &Message) -> Vec<u8> {
    let header = Header { content_type: ContentType::HANDSHAKE, version: VERSION_1_2, number };
    let fragment = message.whole();
    let fragment_header = fragment.header();
    let len = fragment_header.len() + fragment.bytes.len();
    [&header.encode(len)[..], &fragment_header, fragment.bytes].concat()
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").field("partials", &self.partials.len()).finish_non_exhaustive()
    }
}
