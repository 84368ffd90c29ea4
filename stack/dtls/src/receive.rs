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
use crate::error::{FailReason, PeerError};
use crate::event::Event;
use crate::fragment::{Fragment, HandshakeType, Inserted, Message};
use crate::handshake::Handshake;
use crate::handshake::message::Body;
use crate::record::{ContentType, Header, OpenError, VERSION_1_0, VERSION_1_2};
use crate::stats::DropReason;

impl Connection {
    /// Takes a datagram, which is decrypted in place. What is not understood is dropped and counted.
    pub fn handle_datagram(&mut self, now: Instant, path: FiveTuple, data: &mut [u8]) {
        self.stats.datagrams_received += 1;
        trace!(%path, bytes = data.len(), "DTLS datagram");
        let mut rest = data;
        while !rest.is_empty() {
            if matches!(self.state, State::Closed) {
                return self.stats.count_drop(DropReason::Closed);
            }
            let Some((header, body, tail)) = Header::split(rest) else {
                return self.stats.count_drop(DropReason::Malformed);
            };
            self.handle_record(now, header, body);
            rest = tail;
        }
    }

    fn handle_record(&mut self, now: Instant, header: Header, body: &mut [u8]) {
        match (header.epoch, header.version) {
            (0, VERSION_1_0 | VERSION_1_2) => self.handle_unprotected(now, header.content_type, body),
            (1, VERSION_1_2) => self.handle_protected(now, header, body),
            _ => self.stats.count_drop(DropReason::Unknown),
        }
    }

    fn handle_unprotected(&mut self, now: Instant, content_type: ContentType, body: &[u8]) {
        if !matches!(self.state, State::Handshaking(_)) {
            return self.stats.count_drop(DropReason::Unprotected);
        }
        match content_type {
            ContentType::HANDSHAKE => self.handle_fragments(now, 0, body),
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
        // A server that has not answered yet has nobody to give up on.
        if ends && self.rumour.is_none() && self.flight.is_launched() {
            self.rumour = Some((alert.description, now + ALERT_GRACE));
        }
    }

    fn handle_protected(&mut self, now: Instant, header: Header, body: &mut [u8]) {
        match self.records.open(header, body) {
            Ok(content) => self.handle_content(now, header.content_type, content),
            Err(OpenError::NoKey) if !self.flight.is_launched() => {
                self.stats.count_drop(DropReason::Unprotected);
            }
            Err(OpenError::NoKey) => {
                if !self.sealed.push(header, body) {
                    self.stats.count_drop(DropReason::BufferFull);
                }
            }
            Err(OpenError::Replayed) => self.stats.count_drop(DropReason::Replayed),
            Err(OpenError::Unauthentic) => self.stats.count_drop(DropReason::Unauthentic),
        }
    }

    /// Takes the contents of a record that has authenticated.
    fn handle_content(&mut self, now: Instant, content_type: ContentType, content: &[u8]) {
        match (content_type, &self.state) {
            (ContentType::HANDSHAKE, State::Handshaking(_)) => self.handle_fragments(now, 1, content),
            (ContentType::HANDSHAKE, _) => self.handle_late_fragments(now, content),
            (ContentType::ALERT, _) => self.handle_alert(content),
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

    fn handle_alert(&mut self, content: &[u8]) {
        let Ok(alert) = Alert::decode(content) else { return self.stats.count_drop(DropReason::Malformed) };
        match (alert.description, &self.state) {
            (AlertDescription::CLOSE_NOTIFY, State::Unverified(_) | State::Connected) => {
                self.send_alert(Alert::warning(AlertDescription::CLOSE_NOTIFY));
                self.end(Event::Closed);
            }
            (description, _) if alert.fatal || description == AlertDescription::CLOSE_NOTIFY => {
                self.fail(FailReason::PeerAlert(description));
            }
            // Warnings say nothing that would need an answer.
            _ => {}
        }
    }

    /// Takes the handshake fragments of one record while the handshake runs.
    fn handle_fragments(&mut self, now: Instant, epoch: u16, body: &[u8]) {
        let mut reader = Reader::new(body);
        while !reader.is_empty() {
            let Ok(fragment) = Fragment::decode(&mut reader) else {
                return self.stats.count_drop(DropReason::Malformed);
            };
            // Finished is the one encrypted message; a HelloRequest has no place in a handshake (RFC 5246 §7.4.1.1).
            let encrypted = fragment.msg_type == HandshakeType::FINISHED;
            if encrypted != (epoch == 1) || fragment.msg_type == HandshakeType::HELLO_REQUEST {
                self.stats.count_drop(DropReason::OutOfPlace);
                continue;
            }
            match self.reassembler.insert(epoch, fragment) {
                Inserted::Kept => self.process_messages(now),
                Inserted::Replaced => {
                    self.stats.count_drop(DropReason::OutOfPlace);
                    self.process_messages(now);
                }
                Inserted::Old => self.handle_repetition(now, fragment),
                Inserted::Full => self.stats.count_drop(DropReason::BufferFull),
            }
            if !matches!(self.state, State::Handshaking(_)) {
                return;
            }
        }
    }

    /// The end of the peer's flight before ours, once more: it may lack ours.
    fn handle_repetition(&mut self, now: Instant, fragment: Fragment<'_>) {
        self.stats.count_drop(DropReason::OutOfPlace);
        if self.repeat_trigger == Some(fragment.message_seq) && fragment.is_last() && self.flight.repeat(now)
        {
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
                (HandshakeType::FINISHED, Role::Server) => self.handle_repetition(now, fragment),
                // RFC 8827 §6.5: no renegotiation. One answer for the first fragment.
                (HandshakeType::HELLO_REQUEST, Role::Client)
                | (HandshakeType::CLIENT_HELLO, Role::Server)
                    if fragment.offset == 0 =>
                {
                    self.send_alert(Alert::warning(AlertDescription::NO_RENEGOTIATION));
                }
                _ => self.stats.count_drop(DropReason::OutOfPlace),
            }
        }
    }

    /// Processes the messages that are whole and in turn.
    fn process_messages(&mut self, now: Instant) {
        while matches!(self.state, State::Handshaking(_)) {
            let Some(message) = self.reassembler.pop() else { return };
            match Body::decode(message.msg_type, &message.body) {
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
        let had_keys = self.records.has_keys();
        let mut context = self.context();
        let result = handshake.handle(body, message, &mut context);
        let launched = context.launched;
        match result {
            Ok(Handshake::Complete(complete)) => {
                self.repeat_trigger = Some(message.message_seq);
                return self.complete(complete);
            }
            Ok(next) => self.state = State::Handshaking(Box::new(next)),
            Err(reason) => return self.end_with(reason),
        }
        self.rumour = None;
        self.flight.progress();
        if launched {
            self.repeat_trigger = Some(message.message_seq);
        }
        if !had_keys && self.records.has_keys() {
            self.open_sealed(now);
        }
    }

    /// Opens what came before the keys.
    fn open_sealed(&mut self, now: Instant) {
        while let Some((header, mut body)) = self.sealed.pop() {
            if matches!(self.state, State::Closed) {
                return;
            }
            self.handle_protected(now, header, &mut body);
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

    fn connected(now: Instant) -> [Connection; 2] {
        let peer = |role, own, other| {
            let config = Config::builder(certificate(own)).build().unwrap();
            let mut connection = Connection::new(Arc::new(config), role, &Seed::from_number(own), now);
            connection.set_path(path());
            let fingerprint = certificate(other).fingerprint(HashAlgorithm::Sha256).unwrap();
            connection.set_remote_fingerprints(now, vec![fingerprint]);
            connection
        };
        let mut peers = [peer(Role::Client, 1, 2), peer(Role::Server, 2, 1)];
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
        from.outgoing.push(|out| assert!(records.write(1, content_type, &[content], out)));
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
            assert_eq!((header.epoch, header.content_type), (1, ContentType::ALERT));
            let content = asking.records.open(header, body).unwrap();
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

    #[test]
    fn other_authenticated_records_after_the_handshake() {
        let now = now();
        let [mut client, mut server] = connected(now);
        let harmless: [(ContentType, Vec<u8>); 6] = [
            (ContentType::ALERT, vec![1, 90]),
            (ContentType::ALERT, vec![2]),
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
