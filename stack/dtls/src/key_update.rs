//! After the handshake of DTLS 1.3: acknowledgements, new keys, tickets that are passed over (RFC 9147 §7, §8).
//!
//! ```text
//! IDLE --update_keys, or the peer asks--> SENT --acknowledged--> IDLE, and we write in the next epoch
//!   `--our last flight is not acknowledged yet--> WANTED --it is--> SENT
//! ```

use std::time::Instant;

use crate::ack;
use crate::codec::Reader;
use crate::config::Config;
use crate::connection::{Connection, Role, State};
use crate::error::{FailReason, PeerError, UseError};
use crate::flight::Acknowledged;
use crate::fragment::{Fragment, HandshakeType, Inserted, Message};
use crate::handshake::message::{Body, encode_key_update};
use crate::handshake::{APPLICATION_EPOCH, CLIENT_TRAFFIC, HANDSHAKE_EPOCH, SERVER_TRAFFIC};
use crate::record::{ContentType, MAX_CONTENT_LEN, RecordNumber};
use crate::schedule::TrafficSecret;
use crate::session::Session;
use crate::stats::DropReason;
use crate::version::ProtocolVersion;

/// The last epoch. RFC 9147 §4.2.1 goes further, but has 16 bits for it elsewhere (erratum 8050).
const MAX_EPOCH: u64 = 0xffff;

/// Where the change of our write key stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum KeyUpdate {
    #[default]
    Idle,
    /// It waits for our last flight to be acknowledged.
    Wanted { request: bool },
    /// It waits to be acknowledged: until then the old key is written with.
    Sent,
}

impl Connection {
    /// Changes the key that we write with, and with `request` asks the peer to do the same. DTLS 1.3 alone. It happens by
    /// itself too, after [`crate::ConfigBuilder::key_update_after`] records. A second call before the first is
    /// acknowledged changes nothing.
    ///
    /// # Errors
    /// [`UseError::NotConnected`], [`UseError::Closed`], or [`UseError::Version`] when the version is 1.2.
    pub fn update_keys(&mut self, _now: Instant, request: bool) -> Result<(), UseError> {
        self.check_is_up()?;
        if self.version != Some(ProtocolVersion::Dtls13) {
            return Err(UseError::Version);
        }
        self.want_key_update(request);
        Ok(())
    }

    pub(crate) fn want_key_update(&mut self, request: bool) {
        if self.key_update != KeyUpdate::Idle {
            return;
        }
        if self.flight.is_launched() {
            self.key_update = KeyUpdate::Wanted { request };
            return;
        }
        if !self.flight.has_numbers() {
            return self.fail(FailReason::Exhausted);
        }
        self.flight.prepare();
        let epoch = self.records.write_epoch();
        self.flight.push(epoch, HandshakeType::KEY_UPDATE, encode_key_update(request), |_| {});
        self.flight.launch(true);
        self.key_update = KeyUpdate::Sent;
    }

    /// Takes an ACK, which has authenticated.
    pub(crate) fn handle_ack(&mut self, now: Instant, content: &[u8]) {
        let numbers = match ack::decode(content) {
            Ok(numbers) => numbers,
            Err(error) => return self.fail(PeerError::Malformed(error).into()),
        };
        let is_handshaking = matches!(self.state, State::Handshaking(_));
        match self.flight.acknowledge(&numbers) {
            Acknowledged::Nothing => {}
            Acknowledged::All if !is_handshaking => self.flight_has_arrived(),
            // During the handshake the timer goes on even when nothing is left to be repeated: an answer is to come.
            Acknowledged::Part | Acknowledged::All => {
                self.flight.progress();
                self.repeat_flight(now);
            }
        }
    }

    /// Our last flight, or our KeyUpdate, is acknowledged.
    fn flight_has_arrived(&mut self) {
        self.flight.abandon();
        self.repeat_trigger = None;
        let was = std::mem::take(&mut self.key_update);
        if was == KeyUpdate::Sent
            && let Err(error) = self.write_with_next_key()
        {
            return self.fail(error);
        }
        self.records.retire_write();
        if let KeyUpdate::Wanted { request } = was {
            self.want_key_update(request);
        }
    }

    fn write_with_next_key(&mut self) -> Result<(), FailReason> {
        if self.records.write_epoch() >= MAX_EPOCH {
            return Err(FailReason::Exhausted);
        }
        if let Some(secrets) = self.session.as_mut().and_then(Session::of_1_3) {
            secrets.write = secrets.write.next()?;
            let ours = if self.role == Role::Client { CLIENT_TRAFFIC } else { SERVER_TRAFFIC };
            let epoch = self.records.write_epoch() + 1;
            log_next(&self.config, &secrets.write, ours, epoch, &secrets.client_random);
            self.records.install_write(epoch, secrets.write.cipher()?);
        }
        Ok(())
    }

    fn read_with_next_key(&mut self) -> Result<(), FailReason> {
        if self.records.read_epoch() >= MAX_EPOCH {
            return Err(PeerError::UnexpectedMessage.into());
        }
        if let Some(secrets) = self.session.as_mut().and_then(Session::of_1_3) {
            secrets.read = secrets.read.next()?;
            let theirs = if self.role == Role::Client { SERVER_TRAFFIC } else { CLIENT_TRAFFIC };
            let epoch = self.records.read_epoch() + 1;
            log_next(&self.config, &secrets.read, theirs, epoch, &secrets.client_random);
            self.records.install_read(epoch, secrets.read.cipher()?);
        }
        Ok(())
    }

    /// Takes the handshake fragments of a record of 1.3 after the handshake.
    pub(crate) fn handle_post_handshake(&mut self, now: Instant, number: RecordNumber, content: &[u8]) {
        let mut reader = Reader::new(content);
        while !reader.is_empty() && !matches!(self.state, State::Closed) {
            let fragment = match Fragment::decode(&mut reader) {
                Ok(fragment) => fragment,
                Err(error) => return self.fail(PeerError::Malformed(error).into()),
            };
            if self.reassembler.is_old(fragment.message_seq) {
                self.handle_old_message(now, number, fragment);
            } else if number.epoch < APPLICATION_EPOCH {
                // The handshake is over: nothing new comes in its epoch.
                return self.fail(PeerError::UnexpectedMessage.into());
            } else if self.reassembler.insert(number.epoch, fragment) == Inserted::Full {
                self.stats.count_drop(DropReason::BufferFull);
            } else {
                self.acks.add(number);
                self.acks.schedule(now + self.flight.ack_delay());
                self.process_post_handshake(now);
            }
        }
    }

    /// A repetition: the peer lacks our answer, which is our last flight or an ACK.
    fn handle_old_message(&mut self, now: Instant, number: RecordNumber, fragment: Fragment<'_>) {
        if number.epoch == HANDSHAKE_EPOCH && self.role == Role::Client {
            return self.handle_repetition(now, fragment);
        }
        self.stats.count_drop(DropReason::OutOfPlace);
        self.acks.add(number);
        self.acks.schedule(now);
    }

    fn process_post_handshake(&mut self, now: Instant) {
        while let Some(message) = self.reassembler.pop() {
            self.acks.schedule(now);
            if let Err(reason) = self.process_one(&message) {
                return self.fail(reason);
            }
        }
    }

    fn process_one(&mut self, message: &Message) -> Result<(), FailReason> {
        let body =
            Body::decode(message.msg_type, message.epoch, &message.body).map_err(PeerError::Malformed)?;
        match body {
            // The peer is to write with the keys of one epoch after the other.
            Body::KeyUpdate(request) if message.epoch == self.records.read_epoch() => {
                self.read_with_next_key()?;
                if request {
                    self.want_key_update(false);
                }
                Ok(())
            }
            // RFC 9147 §9: who has no id in its records neither asks for one nor is given one.
            Body::RequestConnectionId if !self.records.ids().ours.is_empty() => Ok(()),
            Body::NewConnectionId { ids, immediate } if !self.records.ids().theirs.is_empty() => {
                Ok(self.records.take_new_ids(&ids, immediate)?)
            }
            // Nothing is resumed.
            Body::NewSessionTicket if self.role == Role::Client => Ok(()),
            _ => Err(PeerError::UnexpectedMessage.into()),
        }
    }

    /// Queues the ACKs that are due.
    pub(crate) fn write_acks(&mut self, now: Instant) {
        let epoch = self.records.write_epoch();
        if self.version != Some(ProtocolVersion::Dtls13) || epoch < HANDSHAKE_EPOCH {
            return;
        }
        let overhead = self.records.overhead(epoch);
        for body in self.acks.take(now, self.flight.mtu().min(MAX_CONTENT_LEN) - overhead) {
            let records = &mut self.records;
            if self.outgoing.has_room(body.len() + overhead) {
                self.outgoing.push(|out| {
                    records.write(epoch, ContentType::ACK, &[&body], out);
                });
            }
        }
    }
}

/// Tells the key log the secret of an epoch after a change of keys.
fn log_next(config: &Config, secret: &TrafficSecret, label: &str, epoch: u64, client_random: &[u8; 32]) {
    if let Some(log) = &config.key_log {
        log.log(&secret.logged(label, client_random).of_generation(epoch - APPLICATION_EPOCH));
    }
}
