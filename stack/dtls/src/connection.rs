//! The machine: verbs, polls, timers and what ends it. What comes in is in `receive.rs`.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tombolo_net::{FiveTuple, Rng, Seed, Transmit};
use tracing::debug;

use crate::ack::PendingAcks;
use crate::alert::{Alert, AlertDescription};
use crate::config::Config;
use crate::connection_id::Whereabouts;
use crate::error::{FailReason, PeerError, UseError};
use crate::event::Event;
use crate::fingerprint::Fingerprint;
use crate::flight::Flight;
use crate::fragment::Reassembler;
use crate::handshake::client::AwaitServerHello;
use crate::handshake::server::AwaitClientHello;
use crate::handshake::server13::AwaitSecondClientHello;
use crate::handshake::{Context, Handshake};
use crate::identity::PeerIdentity;
use crate::key_update::KeyUpdate;
use crate::listener::Proven;
use crate::queue::{DatagramQueue, Held, Sealed};
use crate::record::{ContentType, MAX_CONTENT_LEN, RecordLayer};
use crate::session::{MAX_EXPORT_LEN, Parameters, Session};
use crate::stats::Stats;
use crate::transcript::Transcript;
use crate::version::ProtocolVersion;

/// How long a handshake without progress goes on after an alert that anyone may have sent.
pub(crate) const ALERT_GRACE: Duration = Duration::from_secs(1);

/// Which side of the handshake this is: `a=setup:active` is the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Sends the ClientHello.
    Client,
    /// Waits for it.
    Server,
}

impl Role {
    /// The other one.
    pub(crate) const fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// Where the connection stands.
pub(crate) enum State {
    /// The handshake runs.
    Handshaking(Box<Handshake>),
    /// The handshake is complete, and the fingerprints are not here yet.
    Unverified,
    /// Complete and verified.
    Connected,
    /// Over.
    Closed,
}

/// One DTLS association.
///
/// After any input or verb, call [`Connection::poll_transmit`] until `None`, [`Connection::poll_event`] until
/// `None`, then [`Connection::poll_timeout`].
///
/// A client sends its first flight as soon as it has a path. All that is kept for a peer is bounded, whether it has proved
/// itself or not: 32 KiB of handshake fragments, 16 KiB of early records, 16 KiB of early application data. With what there is
/// to tell of them, and with our own messages, a flood of fragments makes a connection hold 64 KiB at most, and with the longest
/// messages that are taken in DTLS 1.2 a handshake holds 192 KiB.
pub struct Connection {
    pub(crate) config: Arc<Config>,
    pub(crate) role: Role,
    pub(crate) rng: Rng,
    pub(crate) state: State,
    /// Once it is agreed on.
    pub(crate) version: Option<ProtocolVersion>,
    /// Once the handshake is complete.
    pub(crate) session: Option<Session>,
    pub(crate) path: Option<FiveTuple>,
    /// The path of the datagram that is handled, or was last.
    pub(crate) arrival: Option<FiveTuple>,
    pub(crate) moved: Whereabouts,
    pub(crate) records: RecordLayer,
    pub(crate) reassembler: Reassembler,
    pub(crate) transcript: Transcript,
    pub(crate) flight: Flight,
    pub(crate) identity: PeerIdentity,
    /// The message whose repetition shows that the peer lacks our flight.
    pub(crate) repeat_trigger: Option<u16>,
    /// Whether the record that is being handled made us send a flight.
    pub(crate) answered: bool,
    /// What the peer is to be told of the records that came.
    pub(crate) acks: PendingAcks,
    pub(crate) key_update: KeyUpdate,
    /// An alert that is not authenticated, and when it is believed.
    pub(crate) rumour: Option<(AlertDescription, Instant)>,
    pub(crate) sealed: Sealed,
    pub(crate) held: Held,
    pub(crate) outgoing: DatagramQueue,
    pub(crate) events: VecDeque<Event>,
    pub(crate) stats: Stats,
}

impl Connection {
    /// A new association; nothing is sent before [`Connection::set_path`].
    #[must_use]
    pub fn new(config: Arc<Config>, role: Role, seed: &Seed, now: Instant) -> Self {
        let mut connection = Self::idle(config, role, seed);
        let handshake = match role {
            Role::Client => AwaitServerHello::start(&mut connection.context(now)).map(Handshake::ServerHello),
            Role::Server => Ok(Handshake::ClientHello(AwaitClientHello)),
        };
        connection.start(handshake);
        connection
    }

    /// A server's association with a client that has proved its address. Its hello is still to be handled.
    pub(crate) fn accept(config: Arc<Config>, seed: &Seed, now: Instant, proven: Proven) -> Self {
        let mut connection = Self::idle(config, Role::Server, seed);
        connection.records.start_at(proven.sequence);
        connection.reassembler = Reassembler::starting_at(proven.message_seq);
        connection.flight.start_at(proven.message_seq);
        let handshake = match proven.retried {
            None => Ok(Handshake::ClientHello(AwaitClientHello)),
            Some((random, first, request)) => {
                AwaitSecondClientHello::resume(random, &first, &request, &mut connection.context(now))
            }
        };
        connection.start(handshake);
        connection
    }

    /// An association without a handshake.
    fn idle(config: Arc<Config>, role: Role, seed: &Seed) -> Self {
        let flight = Flight::new(config.retransmission, config.mtu);
        Self {
            config,
            role,
            rng: seed.rng(),
            state: State::Closed,
            version: None,
            session: None,
            path: None,
            arrival: None,
            moved: Whereabouts::default(),
            records: RecordLayer::default(),
            reassembler: Reassembler::default(),
            transcript: Transcript::default(),
            flight,
            identity: PeerIdentity::default(),
            repeat_trigger: None,
            answered: false,
            acks: PendingAcks::default(),
            key_update: KeyUpdate::default(),
            rumour: None,
            sealed: Sealed::default(),
            held: Held::default(),
            outgoing: DatagramQueue::default(),
            events: VecDeque::new(),
            stats: Stats::default(),
        }
    }

    fn start(&mut self, handshake: Result<Handshake, FailReason>) {
        match handshake {
            Ok(handshake) => self.state = State::Handshaking(Box::new(handshake)),
            Err(reason) => self.end(Event::Failed(reason)),
        }
    }

    /// What the handshake states work on.
    pub(crate) fn context(&mut self, now: Instant) -> Context<'_> {
        Context {
            config: &self.config,
            role: self.role,
            now,
            rng: &mut self.rng,
            transcript: &mut self.transcript,
            flight: &mut self.flight,
            records: &mut self.records,
            identity: &mut self.identity,
            version: &mut self.version,
            launched: false,
        }
    }

    /// Our role.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Sets the path that datagrams go out on. Datagrams are taken from any path: whether a path may be listened to
    /// is for ICE to say, and the records authenticate themselves.
    pub const fn set_path(&mut self, path: FiveTuple) {
        self.path = Some(path);
    }

    /// Tells the round-trip time of the path, where it is known (ICE measures it): a flight is first repeated after
    /// one and a half of it, if that is longer than the configured time.
    pub fn set_round_trip_time(&mut self, rtt: Duration) {
        self.flight.set_round_trip_time(rtt);
    }

    /// Tells which certificates the peer may have, as they were signalled. They may come before, during or after the
    /// handshake; without them, and without a [`crate::CertificateVerifier`], nothing is exported or delivered. A later call replaces the earlier fingerprints, and
    /// a certificate that does not match them ends the connection at any time.
    pub fn set_remote_fingerprints(&mut self, _now: Instant, fingerprints: Vec<Fingerprint>) {
        if matches!(self.state, State::Closed) {
            return;
        }
        self.identity.expect(fingerprints);
        self.verify_peer();
    }

    /// The peer's certificate in DER, once it has come. It is the peer's only after [`Event::Connected`].
    #[must_use]
    pub fn remote_certificate(&self) -> Option<&[u8]> {
        self.identity.certificate()
    }

    /// What the handshake has agreed on, from [`Event::Connected`] to the end.
    #[must_use]
    pub fn parameters(&self) -> Option<&Parameters> {
        let session = self.session.as_ref().filter(|_| matches!(self.state, State::Connected));
        session.map(|session| &session.parameters)
    }

    /// Fills `out`, of 8160 bytes at most, with keying material (RFC 5705, RFC 8446 §7.5). In DTLS 1.2 an empty context
    /// is another one than none; in 1.3 they are the same.
    ///
    /// # Errors
    /// [`UseError`] when the connection is not up, `out` is too long or the crypto provider fails.
    pub fn export_keying_material(
        &self,
        label: &[u8],
        context: Option<&[u8]>,
        out: &mut [u8],
    ) -> Result<(), UseError> {
        self.check_is_up()?;
        if out.len() > MAX_EXPORT_LEN {
            return Err(UseError::TooLong { max: MAX_EXPORT_LEN });
        }
        let session = self.session.as_ref().ok_or(UseError::NotConnected)?;
        Ok(session.export(label, context, out)?)
    }

    pub(crate) const fn check_is_up(&self) -> Result<(), UseError> {
        match self.state {
            State::Connected => Ok(()),
            State::Closed => Err(UseError::Closed),
            State::Handshaking(_) | State::Unverified => Err(UseError::NotConnected),
        }
    }

    /// The connection id that encrypted records to us carry, if they do, once the hellos have agreed on it. Unique as far as
    /// random bytes are.
    #[must_use]
    pub fn connection_id(&self) -> Option<&[u8]> {
        let id = &self.records.ids().ours[..];
        (!id.is_empty()).then_some(id)
    }

    /// The most bytes that [`Connection::write`] takes at once.
    #[must_use]
    pub fn max_write_len(&self) -> usize {
        (self.config.mtu - self.records.max_overhead()).min(MAX_CONTENT_LEN)
    }

    /// Sends application data as one record in one datagram.
    ///
    /// # Errors
    /// [`UseError`] when the connection is not up, the data does not fit one datagram, or 256 KiB wait to be polled.
    pub fn write(&mut self, _now: Instant, data: &[u8]) -> Result<(), UseError> {
        self.check_may_write(data)?;
        if !self.outgoing.has_room(data.len() + self.records.max_overhead()) {
            return Err(UseError::QueueFull);
        }
        let mut written = None;
        let records = &mut self.records;
        let epoch = records.write_epoch();
        self.outgoing.push(|out| written = records.write(epoch, ContentType::APPLICATION_DATA, &[data], out));
        written.ok_or(UseError::Closed)?;
        self.renew_keys();
        Ok(())
    }

    /// Sends application data past the queue: the datagram is appended to `out`, to be sent at once. It overtakes what waits
    /// to be polled, and saves a copy.
    ///
    /// # Errors
    /// [`UseError`] when the connection is not up, has no path, or the data does not fit one datagram.
    pub fn write_to(&mut self, _now: Instant, data: &[u8], out: &mut Vec<u8>) -> Result<Transmit, UseError> {
        self.check_may_write(data)?;
        let path = self.path.ok_or(UseError::NotConnected)?;
        let start = out.len();
        let epoch = self.records.write_epoch();
        let written = self.records.write(epoch, ContentType::APPLICATION_DATA, &[data], out);
        written.ok_or(UseError::Closed)?;
        self.stats.datagrams_sent += 1;
        self.renew_keys();
        Ok(Transmit::datagram(path, out.len() - start))
    }

    fn check_may_write(&self, data: &[u8]) -> Result<(), UseError> {
        self.check_is_up()?;
        let max = self.max_write_len();
        if data.len() > max { Err(UseError::TooLong { max }) } else { Ok(()) }
    }

    /// Asks for other keys when these have sealed as much as they should.
    fn renew_keys(&mut self) {
        let is_1_3 = self.version == Some(ProtocolVersion::Dtls13);
        if is_1_3 && self.records.written() >= self.config.key_update_after {
            self.want_key_update(false);
        }
    }

    /// Ends the association with close_notify.
    pub fn close(&mut self, _now: Instant) {
        if !matches!(self.state, State::Closed) {
            self.send_alert(Alert::warning(AlertDescription::CLOSE_NOTIFY));
            self.end(Event::Closed);
        }
    }

    /// Acts on the deadlines that have passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some((description, at)) = self.rumour
            && now >= at
        {
            return self.fail(FailReason::PeerAlert(description));
        }
        self.write_acks(now);
        match self.flight.handle_timeout(now) {
            Ok(repeats) => self.stats.retransmissions += u64::from(repeats),
            Err(_) => self.fail(FailReason::Timeout),
        }
    }

    /// The next datagram to send, appended to `out`.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        self.write_acks(now);
        let path = self.path?;
        let start = out.len();
        if !self.flight.write(now, &mut self.records, out) && !self.outgoing.pop(out) {
            return None;
        }
        self.stats.datagrams_sent += 1;
        Some(Transmit::datagram(path, out.len() - start))
    }

    /// What has happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`Connection::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let rumour = self.rumour.map(|(_, at)| at);
        [self.flight.deadline(), rumour, self.acks.deadline()].into_iter().flatten().min()
    }

    /// The counters.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Both Finished messages are verified.
    pub(crate) fn complete(&mut self, now: Instant, session: Session) {
        self.rumour = None;
        self.reassembler.clear();
        self.transcript = Transcript::default();
        match (session.parameters.version, self.role) {
            // The server has our last flight, or it could not have ended the handshake.
            (ProtocolVersion::Dtls12, Role::Client) => {
                self.repeat_trigger = None;
                self.flight.abandon();
            }
            // Our last flight is repeated on demand.
            (ProtocolVersion::Dtls12, Role::Server) => self.flight.stop_timer(),
            // Our last flight is repeated until it is acknowledged.
            (ProtocolVersion::Dtls13, Role::Client) => {}
            // The client has our flight, and is to know that we have its own.
            (ProtocolVersion::Dtls13, Role::Server) => {
                self.repeat_trigger = None;
                self.flight.abandon();
                self.records.retire_write();
                self.acks.schedule(now);
            }
        }
        self.session = Some(session);
        self.state = State::Unverified;
        self.verify_peer();
    }

    /// Compares certificate and fingerprints once both are here; connects when the handshake is complete too.
    fn verify_peer(&mut self) {
        match self.identity.check(&self.config.provider) {
            Ok(true) => {}
            Ok(false) => return,
            Err(reason) => return self.fail(reason),
        }
        if matches!(self.state, State::Unverified) {
            self.state = State::Connected;
            self.connect();
        }
    }

    fn connect(&mut self) {
        let is_client = self.role == Role::Client;
        let exported = self.session.as_ref().map(|session| session.export_srtp(is_client));
        let srtp = match exported.transpose() {
            Ok(keys) => keys.flatten(),
            Err(error) => return self.fail(error.into()),
        };
        debug!(role = ?self.role, parameters = ?self.parameters(), "DTLS connected");
        self.events.push_back(Event::Connected { srtp });
        while let Some(((), data)) = self.held.pop() {
            self.events.push_back(Event::ApplicationData(data));
        }
    }

    /// Ends the connection, telling the peer why where that is for it to know.
    pub(crate) fn fail(&mut self, reason: FailReason) {
        if !matches!(self.state, State::Closed) {
            self.end_with(reason);
        }
    }

    /// The same, for a connection whose state was taken out.
    pub(crate) fn end_with(&mut self, reason: FailReason) {
        debug!(role = ?self.role, %reason, "DTLS failed");
        if let Some(description) = self.alert_for(reason) {
            self.send_alert(Alert::fatal(description));
        }
        self.end(Event::Failed(reason));
    }

    /// The alert of a reason, which in one case has a name of its own in 1.3.
    fn alert_for(&self, reason: FailReason) -> Option<AlertDescription> {
        match (reason, self.version) {
            (FailReason::Peer(PeerError::NoCertificate), Some(ProtocolVersion::Dtls13)) => {
                Some(AlertDescription::CERTIFICATE_REQUIRED)
            }
            _ => reason.alert(),
        }
    }

    /// Forgets everything but the alert that is still to go out.
    pub(crate) fn end(&mut self, event: Event) {
        self.state = State::Closed;
        self.session = None;
        self.flight.abandon();
        self.acks.clear();
        self.rumour = None;
        self.records.forget_keys();
        self.reassembler = Reassembler::default();
        self.transcript = Transcript::default();
        self.sealed.clear();
        self.held.clear();
        self.events.push_back(event);
    }

    /// Queues an alert in the epoch that our current flight ends in, or in 1.3 in the newest one. Alerts are not repeated.
    pub(crate) fn send_alert(&mut self, alert: Alert) {
        let epoch = match self.version {
            Some(ProtocolVersion::Dtls13) => self.records.write_epoch(),
            _ => self.flight.epoch(),
        };
        let content = alert.encode();
        let has_room = self.outgoing.has_room(content.len() + self.records.max_overhead());
        let records = &mut self.records;
        if has_room {
            self.outgoing.push(|out| {
                records.write(epoch, ContentType::ALERT, &[&content], out);
            });
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Handshaking(_) => "Handshaking",
            State::Unverified => "Unverified",
            State::Connected => "Connected",
            State::Closed => "Closed",
        };
        f.debug_struct("Connection").field("role", &self.role).field("state", &state).finish_non_exhaustive()
    }
}
