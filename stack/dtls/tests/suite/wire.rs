//! Datagrams by hand: a pair of peers that are driven flight by flight, and records taken apart and made.

use std::time::{Duration, Instant};

use tombolo_crypto::HashAlgorithm;
use tombolo_dtls::{Config, Role};
use tombolo_netsim::Machine;

use crate::peer::{Peer, path};

pub(crate) const HANDSHAKE: u8 = 22;

/// Two peers without a network between them: the test carries the datagrams.
pub(crate) struct Direct {
    pub(crate) client: Peer,
    pub(crate) server: Peer,
    pub(crate) now: Instant,
}

impl Direct {
    pub(crate) fn new(client: Config, server: Config) -> Self {
        let fingerprint =
            |config: &Config| config.certificate().fingerprint(HashAlgorithm::Sha256).expect("SHA-256");
        let (of_client, of_server) = (fingerprint(&client), fingerprint(&server));
        let mut direct = Self::strangers(client, server);
        let now = direct.now;
        direct.client.connection.set_remote_fingerprints(now, vec![of_server]);
        direct.server.connection.set_remote_fingerprints(now, vec![of_client]);
        direct
    }

    /// The same without fingerprints.
    pub(crate) fn strangers(client: Config, server: Config) -> Self {
        let (client, server) = (Peer::new(client, Role::Client, 1), Peer::new(server, Role::Server, 2));
        Self { client, server, now: tombolo_netsim::start() }
    }

    fn peer(&mut self, client: bool) -> &mut Peer {
        if client { &mut self.client } else { &mut self.server }
    }

    /// All datagrams that a side has to send now.
    pub(crate) fn poll_flight(&mut self, from_client: bool) -> Vec<Vec<u8>> {
        let now = self.now;
        let peer = self.peer(from_client);
        let mut datagrams = Vec::new();
        loop {
            let mut datagram = Vec::new();
            match peer.poll_transmit(now, &mut datagram) {
                Some(_) => datagrams.push(datagram),
                None => return datagrams,
            }
        }
    }

    pub(crate) fn deliver(&mut self, to_client: bool, datagram: &[u8]) {
        let now = self.now;
        let role = if to_client { Role::Client } else { Role::Server };
        self.peer(to_client).handle_datagram(now, path(role), &mut datagram.to_vec());
    }

    /// Carries flights to and fro until nobody has anything to say; `change` may alter each datagram on its way.
    pub(crate) fn run(&mut self, mut change: impl FnMut(bool, Vec<u8>) -> Vec<u8>) {
        for flight in 0..20 {
            let from_client = flight % 2 == 0;
            for datagram in self.poll_flight(from_client) {
                let datagram = change(from_client, datagram);
                self.deliver(!from_client, &datagram);
            }
        }
    }

    /// Lets time pass at once: what is due then is due, and stays to be sent.
    pub(crate) fn pass(&mut self, duration: Duration) {
        self.now += duration;
        let now = self.now;
        self.client.handle_timeout(now);
        self.server.handle_timeout(now);
    }

    /// Lets time pass for both, with nothing arriving.
    pub(crate) fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        for peer in [&mut self.client, &mut self.server] {
            while let Some(at) = peer.poll_timeout().filter(|at| *at <= end) {
                peer.handle_timeout(at);
                while peer.poll_transmit(at, &mut Vec::new()).is_some() {}
            }
        }
        self.now = end;
    }
}

/// A record as it stands in a datagram. One of 1.3 has the content type 0x20, two bits of its epoch, and is all body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) content_type: u8,
    pub(crate) epoch: u16,
    pub(crate) sequence: u64,
    pub(crate) body: Vec<u8>,
}

impl Record {
    pub(crate) fn split(mut datagram: &[u8]) -> Vec<Self> {
        let mut records = Vec::new();
        while !datagram.is_empty() {
            if datagram[0] & 0xe0 == 0x20 {
                // A record of 1.3, kept whole. What is sent here has a number of two bytes and a length.
                assert_eq!(datagram[0] & 0x1c, 0x0c, "the form of the header");
                let len = 5 + usize::from(u16::from_be_bytes([datagram[3], datagram[4]]));
                let epoch = u16::from(datagram[0] & 3);
                records.push(Self { content_type: 0x20, epoch, sequence: 0, body: datagram[..len].to_vec() });
                datagram = &datagram[len..];
                continue;
            }
            let number = u64::from_be_bytes(datagram[3..11].try_into().expect("8 bytes"));
            let len = usize::from(u16::from_be_bytes([datagram[11], datagram[12]]));
            records.push(Self {
                content_type: datagram[0],
                epoch: (number >> 48) as u16,
                sequence: number & 0xffff_ffff_ffff,
                body: datagram[13..13 + len].to_vec(),
            });
            datagram = &datagram[13 + len..];
        }
        records
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        if self.content_type == 0x20 {
            return self.body.clone();
        }
        let number = u64::from(self.epoch) << 48 | self.sequence;
        let len = (self.body.len() as u16).to_be_bytes();
        [&[self.content_type, 0xfe, 0xfd][..], &number.to_be_bytes(), &len, &self.body].concat()
    }
}

/// A fragment of a handshake message in a record of epoch 0.
pub(crate) fn fragment(msg_type: u8, seq: u16, body: &[u8], offset: usize, end: usize) -> Record {
    let u24 = |value: usize| (value as u32).to_be_bytes()[1..].to_vec();
    let mut content = vec![msg_type];
    content.extend(u24(body.len()));
    content.extend(seq.to_be_bytes());
    content.extend(u24(offset));
    content.extend(u24(end - offset));
    content.extend(&body[offset..end]);
    Record { content_type: HANDSHAKE, epoch: 0, sequence: 1000 + u64::from(seq), body: content }
}

/// Changes the body of the messages of one type, which come in one plaintext record each.
pub(crate) fn change_message(
    datagram: &[u8],
    msg_type: u8,
    mut change: impl FnMut(Vec<u8>) -> Vec<u8>,
) -> Vec<u8> {
    let change_record = |record: Record| {
        if record.content_type != HANDSHAKE || record.epoch != 0 || record.body[0] != msg_type {
            return record.encode();
        }
        let seq = u16::from_be_bytes([record.body[4], record.body[5]]);
        let body = change(record.body[12..].to_vec());
        Record { sequence: record.sequence, ..fragment(msg_type, seq, &body, 0, body.len()) }.encode()
    };
    Record::split(datagram).into_iter().flat_map(change_record).collect()
}
