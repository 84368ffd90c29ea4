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
                Inserted::Old => self.handle_repetition(now, fragment),
                Inserted::Full => self.stats.count_drop(DropReason::BufferFull),
                Inserted::Inconsistent => self.stats.count_drop(DropReason::OutOfPlace),
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
