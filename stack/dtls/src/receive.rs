//! What comes in: datagrams, records, fragments, messages, alerts.
//!
//! In epoch 0 anybody can have sent anything, so only a whole, well-formed handshake message in its turn has an
//! effect; all else is counted and dropped. After the handshake nothing of epoch 0 has any effect.

use std::time::Instant;

use tombolo_net::FiveTuple;
use tracing::trace;

use crate::alert::{Alert, AlertDescription};
use crate::codec::Reader;
use crate::connection::{ALERT_GRACE, Connection, Role, State};
use crate::error::{DecodeError, FailReason, PeerError};
use crate::event::Event;
use crate::fragment::{Fragment, HandshakeType, Inserted, Message};
use crate::handshake::Handshake;
use crate::handshake::message::Body;
use crate::handshake::{APPLICATION_EPOCH, HANDSHAKE_EPOCH};
use crate::queue::Form;
use crate::record::{
    ContentType, Header, MAX_CONTENT_LEN, MAX_SEALED_LEN, OpenError, Opened, Record, RecordNumber,
};
use crate::stats::DropReason;
use crate::version::{ProtocolVersion, VERSION_1_0, VERSION_1_2};

/// How many records may fail to authenticate over the life of a connection (RFC 9147 §4.5.3).
const MAX_UNAUTHENTIC: u64 = 1 << 36;

impl Connection {
    /// Takes a datagram, which is decrypted in place. What is not understood is dropped and counted.
    pub fn handle_datagram(&mut self, now: Instant, path: FiveTuple, data: &mut [u8]) {
        self.stats.datagrams_received += 1;
        trace!(%path, bytes = data.len(), "DTLS datagram");
        self.arrival = Some(path);
        let mut rest = data;
        while !rest.is_empty() {
            if matches!(self.state, State::Closed) {
                return self.stats.count_drop(DropReason::Closed);
            }
            let Some((record, tail)) = Record::split(rest, self.records.ids().ours.len()) else {
                return self.stats.count_drop(DropReason::Malformed);
            };
            self.handle_record(now, record);
            rest = tail;
        }
    }

    fn handle_record(&mut self, now: Instant, record: Record<'_>) {
        match record {
            Record::Long(header, body) => match (header.number.epoch, header.version) {
                (0, VERSION_1_0 | VERSION_1_2) => self.handle_unprotected(now, header, body),
                (1, VERSION_1_2) if self.version != Some(ProtocolVersion::Dtls13) => {
                    self.handle_protected(now, Form::Long(header), body);
                }
                _ => self.stats.count_drop(DropReason::Unknown),
            },
            Record::WithId(record) if self.version != Some(ProtocolVersion::Dtls13) => {
                self.handle_protected(now, Form::WithId, record);
            }
            Record::Unified(record) if self.may_be_1_3() => self.handle_protected(now, Form::Unified, record),
            Record::WithId(_) | Record::Unified(_) => self.stats.count_drop(DropReason::Unknown),
        }
    }

    fn may_be_1_3(&self) -> bool {
        self.version.unwrap_or(self.config.max_version) == ProtocolVersion::Dtls13
    }

    fn handle_unprotected(&mut self, now: Instant, header: Header, body: &[u8]) {
        if !matches!(self.state, State::Handshaking(_)) {
            return self.stats.count_drop(DropReason::Unprotected);
        }
        match header.content_type {
            ContentType::HANDSHAKE => self.handle_fragments(now, header.number, body),
            ContentType::ALERT => self.handle_rumour(now, body),
            // Each record names its epoch; this adds nothing.
            ContentType::CHANGE_CIPHER_SPEC => {}
            ContentType::APPLICATION_DATA => self.stats.count_drop(DropReason::Unprotected),
            _ => self.stats.count_drop(DropReason::Unknown),
        }
    }

    /// A plaintext alert may be anyone's. It shortens the wait for an answer, no more.
    fn handle_rumour(&mut self, now: Instant, body: &[u8]) {
        let Ok(alert) = Alert::decode(body) else { return self.stats.count_drop(DropReason::Malformed) };
        let ends = alert.fatal || alert.description == AlertDescription::CLOSE_NOTIFY;
        // A server that has not answered yet has nobody to give up on, and in 1.3 a server's alerts are encrypted as soon
        // as its hello has come.
        let encrypts = self.role == Role::Client && self.records.read_epoch() >= HANDSHAKE_EPOCH;
        if ends && self.rumour.is_none() && self.flight.is_launched() && !encrypts {
            self.rumour = Some((alert.description, now + ALERT_GRACE));
        }
    }

    fn handle_protected(&mut self, now: Instant, form: Form, record: &mut [u8]) {
        if record.len() > MAX_SEALED_LEN {
            return self.stats.count_drop(DropReason::Malformed);
        }
        let newest_epoch = self.records.read_epoch();
        let opened = match form {
            Form::Long(header) => self.records.open(header, record),
            Form::WithId => self.records.open_with_id(record),
            Form::Unified => self.records.open_unified(record),
        };
        match opened {
            Ok(opened) => {
                let Opened { content_type, number, is_newest, content } = opened;
                let has_moved = is_newest && number.epoch == newest_epoch;
                if has_moved && matches!(self.state, State::Connected) {
                    self.events.extend(self.moved.notice(self.records.ids(), self.arrival, self.path));
                }
                self.handle_content(now, content_type, number, content);
            }
            Err(OpenError::NoKey) => self.keep_sealed(form, record),
            Err(OpenError::Replayed) => self.stats.count_drop(DropReason::Replayed),
            Err(OpenError::Unauthentic) => {
                self.stats.count_drop(DropReason::Unauthentic);
                if self.stats.dropped(DropReason::Unauthentic) >= MAX_UNAUTHENTIC {
                    self.fail(FailReason::Exhausted);
                }
            }
            Err(OpenError::NoContentType) => self.fail(PeerError::UnexpectedMessage.into()),
            Err(OpenError::Unknown) => self.stats.count_drop(DropReason::Unknown),
        }
    }

    /// Keeps a record whose key may come.
    fn keep_sealed(&mut self, form: Form, record: &[u8]) {
        if !self.flight.is_launched() || !matches!(self.state, State::Handshaking(_)) {
            self.stats.count_drop(DropReason::Unprotected);
        } else if !self.sealed.push(form, record) {
            self.stats.count_drop(DropReason::BufferFull);
        }
    }

    /// Takes the contents of a record that has authenticated.
    fn handle_content(
        &mut self,
        now: Instant,
        content_type: ContentType,
        number: RecordNumber,
        content: &[u8],
    ) {
        if content.len() > MAX_CONTENT_LEN {
            return self.fail(PeerError::RecordOverflow.into());
        }
        let is_1_3 = self.version == Some(ProtocolVersion::Dtls13);
        match (content_type, &self.state) {
            (ContentType::HANDSHAKE, State::Handshaking(_)) => self.handle_fragments(now, number, content),
            (ContentType::HANDSHAKE, _) if is_1_3 => self.handle_post_handshake(now, number, content),
            (ContentType::HANDSHAKE, _) => self.handle_late_fragments(now, content),
            (ContentType::ALERT, _) => self.handle_alert(content),
            (ContentType::ACK, _) if is_1_3 => self.handle_ack(now, content),
            // RFC 9147 §4.2.1: there is no application data in the epoch of the handshake.
            (ContentType::APPLICATION_DATA, _) if is_1_3 && number.epoch < APPLICATION_EPOCH => {
                self.fail(PeerError::UnexpectedMessage.into());
            }
            (ContentType::APPLICATION_DATA, State::Connected) => {
                self.events.push_back(Event::ApplicationData(content.to_vec()));
            }
            (ContentType::APPLICATION_DATA, _) => {
                if !self.held.push((), content) {
                    self.stats.count_drop(DropReason::BufferFull);
                }
            }
            _ => self.stats.count_drop(DropReason::Unknown),
        }
    }

    /// Takes an alert that has authenticated.
    fn handle_alert(&mut self, content: &[u8]) {
        let alert = match Alert::decode(content) {
            Ok(alert) => alert,
            Err(DecodeError::BadValue) => return self.fail(PeerError::IllegalParameter.into()),
            Err(error) => return self.fail(PeerError::Malformed(error).into()),
        };
        let is_1_3 = self.version == Some(ProtocolVersion::Dtls13);
        match (alert.description, &self.state) {
            (AlertDescription::CLOSE_NOTIFY, State::Unverified | State::Connected) => {
                self.send_alert(Alert::warning(AlertDescription::CLOSE_NOTIFY));
                self.end(Event::Closed);
            }
            // RFC 8446 §6: in 1.3 the level of an alert says nothing.
            (description, _)
                if alert.fatal
                    || description == AlertDescription::CLOSE_NOTIFY
                    || is_1_3 && description != AlertDescription::USER_CANCELED =>
            {
                self.fail(FailReason::PeerAlert(description));
            }
            // Warnings say nothing that would need an answer.
            _ => {}
        }
    }

    /// Takes the handshake fragments of one record while the handshake runs.
    fn handle_fragments(&mut self, now: Instant, number: RecordNumber, body: &[u8]) {
        let mut reader = Reader::new(body);
        let (mut taken, mut is_new) = (true, false);
        self.answered = false;
        while !reader.is_empty() {
            let Ok(fragment) = Fragment::decode(&mut reader) else {
                return self.stats.count_drop(DropReason::Malformed);
            };
            if !self.fits_epoch(&fragment, number.epoch) {
                // Encrypted it is the peer's own, and nothing that could still be right.
                if number.epoch > 0 && !self.reassembler.is_old(fragment.message_seq) {
                    return self.fail(PeerError::UnexpectedMessage.into());
                }
                self.stats.count_drop(DropReason::OutOfPlace);
                taken = false;
                continue;
            }
            match self.reassembler.insert(number.epoch, fragment) {
                Inserted::Kept => is_new = true,
                Inserted::Replaced => {
                    self.stats.count_drop(DropReason::OutOfPlace);
                    is_new = true;
                }
                Inserted::Old => self.handle_repetition(now, fragment),
                Inserted::Full => {
                    self.stats.count_drop(DropReason::BufferFull);
                    taken = false;
                }
            }
        }
        if is_new {
            self.process_messages(now);
        }
        if taken {
            self.owe_ack(now, number);
        }
    }

    /// Whether a message of this type, as far as it is new, may come in this epoch.
    fn fits_epoch(&self, fragment: &Fragment<'_>, epoch: u64) -> bool {
        match fragment.msg_type {
            // It has no place in a handshake (RFC 5246 §7.4.1.1).
            HandshakeType::HELLO_REQUEST => false,
            // Where 1.3 has keys, nothing new comes without.
            HandshakeType::CLIENT_HELLO | HandshakeType::SERVER_HELLO => {
                let has_keys = self.records.read_epoch() >= HANDSHAKE_EPOCH;
                epoch == 0 && (!has_keys || self.reassembler.is_old(fragment.message_seq))
            }
            _ if self.version == Some(ProtocolVersion::Dtls13) => epoch == HANDSHAKE_EPOCH,
            // Finished is the one encrypted message of 1.2.
            HandshakeType::FINISHED => epoch == 1,
            _ => epoch == 0,
        }
    }

    /// Notes that a record of the peer's flight was taken. It is acknowledged unless our own flight answers it.
    fn owe_ack(&mut self, now: Instant, number: RecordNumber) {
        // A server never acknowledges what may be anyone's: its own hello answers the client's.
        if self.answered || number.epoch == 0 && self.role == Role::Server {
            return;
        }
        self.acks.add(number);
        if matches!(self.state, State::Handshaking(_)) && self.records.read_epoch() >= HANDSHAKE_EPOCH {
            self.acks.schedule(now + self.flight.ack_delay());
        }
    }

    /// The end of the peer's flight before ours, once more: it may lack ours.
    pub(crate) fn handle_repetition(&mut self, now: Instant, fragment: Fragment<'_>) {
        self.stats.count_drop(DropReason::OutOfPlace);
        if self.repeat_trigger == Some(fragment.message_seq) && fragment.is_last() {
            self.repeat_flight(now);
        }
    }

    /// Sends again what the peer lacks of our flight, but not too often.
    pub(crate) fn repeat_flight(&mut self, now: Instant) {
        if self.flight.repeat(now) {
            self.stats.retransmissions += 1;
        }
    }

    /// Takes handshake fragments after the handshake: the repetition of a Finished, or the wish to renegotiate.
    fn handle_late_fragments(&mut self, now: Instant, content: &[u8]) {
        let mut reader = Reader::new(content);
        while !reader.is_empty() {
            let Ok(fragment) = Fragment::decode(&mut reader) else {
                return self.stats.count_drop(DropReason::Malformed);
            };
            match (fragment.msg_type, self.role) {
                (HandshakeType::FINISHED, Role::Server) if self.reassembler.is_old(fragment.message_seq) => {
                    self.handle_repetition(now, fragment);
                }
                // RFC 8827 §6.5: no renegotiation. One answer for the first fragment.
                (HandshakeType::HELLO_REQUEST, Role::Client)
                | (HandshakeType::CLIENT_HELLO, Role::Server)
                    if fragment.offset == 0 =>
                {
                    self.send_alert(Alert::warning(AlertDescription::NO_RENEGOTIATION));
                }
                (HandshakeType::HELLO_REQUEST | HandshakeType::CLIENT_HELLO, _) => {
                    self.stats.count_drop(DropReason::OutOfPlace);
                }
                _ if self.reassembler.is_old(fragment.message_seq) => {
                    self.stats.count_drop(DropReason::OutOfPlace);
                }
                _ => return self.fail(PeerError::UnexpectedMessage.into()),
            }
        }
    }

    /// Processes the messages that are whole and in turn.
    fn process_messages(&mut self, now: Instant) {
        while matches!(self.state, State::Handshaking(_)) {
            let Some(message) = self.reassembler.pop() else { return };
            // A handshake ends with Finished. What came encrypted to stand behind it is the peer's own.
            if message.msg_type == HandshakeType::FINISHED && self.reassembler.has_encrypted() {
                return self.fail(PeerError::UnexpectedMessage.into());
            }
            let decode = match self.config.pre_shared_keys {
                None => Body::decode,
                Some(_) => Body::decode_with_psk,
            };
            match decode(message.msg_type, message.epoch, &message.body) {
                Ok(body) => self.process_message(now, body, &message),
                // Not authenticated: it may be anyone's, and the true message may still come.
                Err(_) if message.epoch == 0 => {
                    self.reassembler.unpop();
                    return self.stats.count_drop(DropReason::Malformed);
                }
                Err(error) => return self.fail(PeerError::Malformed(error).into()),
            }
        }
    }

    fn process_message(&mut self, now: Instant, body: Body<'_>, message: &Message) {
        let handshake = match std::mem::replace(&mut self.state, State::Closed) {
            State::Handshaking(handshake) => handshake,
            other => return self.state = other,
        };
        let read_epoch = self.records.read_epoch();
        let mut context = self.context(now);
        let result = handshake.handle(body, message, &mut context);
        if context.launched {
            self.repeat_trigger = Some(message.message_seq);
            self.answered = true;
            self.acks.clear();
        }
        match result {
            Ok(Handshake::Complete(session)) => {
                self.repeat_trigger = Some(message.message_seq);
                self.complete(now, session);
                return self.open_sealed(now);
            }
            Ok(next) => self.state = State::Handshaking(Box::new(next)),
            Err(reason) => return self.end_with(reason),
        }
        self.rumour = None;
        self.flight.progress();
        if self.records.read_epoch() > read_epoch {
            self.open_sealed(now);
        }
    }

    /// Opens what came before the keys.
    fn open_sealed(&mut self, now: Instant) {
        let mut sealed = std::mem::take(&mut self.sealed);
        while let Some((form, mut record)) = sealed.pop() {
            if matches!(self.state, State::Closed) {
                return;
            }
            self.handle_protected(now, form, &mut record);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use tombolo_crypto::HashAlgorithm;
    use tombolo_net::Seed;

    use super::*;
    use crate::certificate::tests::certificate;
    use crate::config::Config;

    /// Some instant: time does not pass here.
    #[expect(clippy::disallowed_methods, reason = "a starting point for a clock that stands still")]
    fn now() -> Instant {
        Instant::now()
    }

    fn path() -> FiveTuple {
        let address: SocketAddr = ([192, 0, 2, 1], 1).into();
        FiveTuple::udp(address, address)
    }

    fn carry(from: &mut Connection, to: &mut Connection, now: Instant) -> usize {
        let mut count = 0;
        let mut datagram = Vec::new();
        while from.poll_transmit(now, &mut datagram).is_some() {
            to.handle_datagram(now, path(), &mut datagram);
            datagram.clear();
            count += 1;
        }
        count
    }

    fn strangers(now: Instant) -> [Connection; 2] {
        let peer = |role, own, other| {
            let builder = Config::builder(certificate(own));
            let config = builder.versions(ProtocolVersion::Dtls12, ProtocolVersion::Dtls12).build().unwrap();
            let mut connection = Connection::new(Arc::new(config), role, &Seed::from_number(own), now);
            connection.set_path(path());
            let fingerprint = certificate(other).fingerprint(HashAlgorithm::Sha256).unwrap();
            connection.set_remote_fingerprints(now, vec![fingerprint]);
            connection
        };
        [peer(Role::Client, 1, 2), peer(Role::Server, 2, 1)]
    }

    fn connected(now: Instant) -> [Connection; 2] {
        let mut peers = strangers(now);
        for _ in 0..2 {
            let [client, server] = &mut peers;
            carry(client, server, now);
            carry(server, client, now);
        }
        for peer in &mut peers {
            assert!(matches!(peer.poll_event(), Some(Event::Connected { .. })));
        }
        peers
    }

    /// Sends a record of epoch 1 that no connection would send of itself.
    fn send(from: &mut Connection, content_type: ContentType, content: &[u8]) {
        let records = &mut from.records;
        from.outgoing.push(|out| assert!(records.write(1, content_type, &[content], out).is_some()));
    }

    fn message(msg_type: HandshakeType, body: &[u8]) -> Vec<u8> {
        let fragment = Fragment { msg_type, length: body.len(), message_seq: 0, offset: 0, bytes: body };
        [&fragment.header(), body].concat()
    }

    /// DTLS-10: HelloRequest and an inner ClientHello get a warning, no_renegotiation, and nothing else happens.
    #[test]
    fn renegotiation_is_refused() {
        let now = now();
        for (asking, msg_type) in [(1, HandshakeType::HELLO_REQUEST), (0, HandshakeType::CLIENT_HELLO)] {
            let mut peers = connected(now);
            let [one, other] = &mut peers;
            let (asking, asked) = if asking == 0 { (one, other) } else { (other, one) };
            send(asking, ContentType::HANDSHAKE, &message(msg_type, &[]));
            carry(asking, asked, now);
            let mut answer = Vec::new();
            assert!(asked.poll_transmit(now, &mut answer).is_some());
            let (header, body, _) = Header::split(&mut answer).unwrap();
            assert_eq!((header.number.epoch, header.content_type), (1, ContentType::ALERT));
            let content = asking.records.open(header, body).unwrap().content;
            assert_eq!(Alert::decode(content), Ok(Alert::warning(AlertDescription::NO_RENEGOTIATION)));
            assert!(asked.poll_transmit(now, &mut answer).is_none(), "one answer");
            for peer in &mut peers {
                peer.write(now, b"still here").unwrap();
            }
            let [client, server] = &mut peers;
            carry(client, server, now);
            carry(server, client, now);
            for peer in &mut peers {
                assert_eq!(peer.poll_event(), Some(Event::ApplicationData(b"still here".to_vec())));
                assert_eq!(peer.poll_event(), None);
            }
        }
    }

    /// What has authenticated and cannot be right ends the connection, and the peer is told why.
    #[test]
    fn authenticated_nonsense_is_fatal() {
        let now = now();
        let unexpected = |msg_type| {
            let bytes = message(msg_type, b"?");
            // A number that has not been yet.
            [&bytes[..4], &[0, 9], &bytes[6..]].concat()
        };
        let nonsense: [(ContentType, Vec<u8>, PeerError); 5] = [
            (ContentType::ALERT, vec![2], PeerError::Malformed(DecodeError::Truncated)),
            (ContentType::ALERT, vec![66, 80], PeerError::IllegalParameter),
            (ContentType::HANDSHAKE, unexpected(HandshakeType::FINISHED), PeerError::UnexpectedMessage),
            (ContentType::HANDSHAKE, unexpected(HandshakeType::CERTIFICATE), PeerError::UnexpectedMessage),
            (ContentType::APPLICATION_DATA, vec![0; MAX_CONTENT_LEN + 1], PeerError::RecordOverflow),
        ];
        for (content_type, content, error) in nonsense {
            for from in 0..2 {
                let mut peers = connected(now);
                let [one, other] = &mut peers;
                let (asking, asked) = if from == 0 { (one, other) } else { (other, one) };
                send(asking, content_type, &content);
                carry(asking, asked, now);
                assert_eq!(asked.poll_event(), Some(Event::Failed(error.into())));
                carry(asked, asking, now);
                let told = Event::Failed(FailReason::PeerAlert(error.alert()));
                assert_eq!(asking.poll_event(), Some(told), "{error:?}");
            }
        }
    }

    /// Nothing stands behind Finished, though it came before it.
    #[test]
    fn a_handshake_ends_with_finished() {
        let now = now();
        let mut peers = strangers(now);
        let [client, server] = &mut peers;
        carry(client, server, now);
        carry(server, client, now);
        let mut flight = Vec::new();
        assert!(client.poll_transmit(now, &mut flight).is_some());
        let bytes = message(HandshakeType::FINISHED, &[0; 12]);
        send(client, ContentType::HANDSHAKE, &[&bytes[..4], &[0, 5], &bytes[6..]].concat());
        assert_eq!(carry(client, server, now), 1);
        server.handle_datagram(now, path(), &mut flight);
        assert_eq!(server.poll_event(), Some(Event::Failed(PeerError::UnexpectedMessage.into())));
    }

    #[test]
    fn other_authenticated_records_after_the_handshake() {
        let now = now();
        let [mut client, mut server] = connected(now);
        let harmless: [(ContentType, Vec<u8>); 5] = [
            (ContentType::ALERT, vec![1, 90]),
            (ContentType::HANDSHAKE, message(HandshakeType::CERTIFICATE, b"?")),
            (ContentType::HANDSHAKE, b"?".to_vec()),
            (ContentType::CHANGE_CIPHER_SPEC, vec![1]),
            (ContentType(24), b"heartbeat".to_vec()),
        ];
        for (content_type, content) in harmless {
            send(&mut client, content_type, &content);
            assert_eq!(carry(&mut client, &mut server, now), 1);
            assert_eq!(server.poll_event(), None, "{content_type:?} {content:?}");
            assert_eq!(carry(&mut server, &mut client, now), 0);
        }
        send(&mut client, ContentType::ALERT, &[2, 80]);
        carry(&mut client, &mut server, now);
        let told = FailReason::PeerAlert(AlertDescription::INTERNAL_ERROR);
        assert_eq!(server.poll_event(), Some(Event::Failed(told)));
        assert_eq!(carry(&mut server, &mut client, now), 0, "an alert is not answered with one");
        send(&mut client, ContentType::APPLICATION_DATA, b"late");
        carry(&mut client, &mut server, now);
        assert_eq!(server.poll_event(), None);
        assert_eq!(server.stats().dropped(DropReason::Closed), 1);
    }
}
