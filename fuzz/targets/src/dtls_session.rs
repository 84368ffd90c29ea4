//! DTLS from both ends: an association under any order of operations, on a network that does anything to datagrams.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tombolo_crypto::{HashAlgorithm, KeyExchangeGroup};
use tombolo_dtls::{Config, Connection, Event, Heard, Listener, ProtocolVersion, Role};
use tombolo_net::{FiveTuple, Seed};
use tombolo_netsim::start;

/// Operations of one input at most.
const MAX_OPERATIONS: usize = 200;
/// Datagrams under way in one direction at most; the oldest are lost.
const MAX_UNDER_WAY: usize = 64;

/// The configurations: versions, groups and lengths of datagrams.
fn config(choice: u8) -> Arc<Config> {
    static CONFIGS: OnceLock<Vec<Arc<Config>>> = OnceLock::new();
    let make = || {
        use ProtocolVersion::{Dtls12, Dtls13};
        let (x25519, p256) = (KeyExchangeGroup::X25519, KeyExchangeGroup::Secp256r1);
        let mut all = Vec::new();
        for (lowest, highest) in [(Dtls12, Dtls12), (Dtls13, Dtls13), (Dtls12, Dtls13)] {
            for groups in [vec![x25519], vec![x25519, p256], vec![p256]] {
                for mtu in [256, 1200] {
                    let builder = Config::builder(crate::dtls::config().certificate().clone())
                        .provider(tombolo_crypto::rust_crypto::provider())
                        .versions(lowest, highest)
                        .groups(groups.clone())
                        .mtu(mtu)
                        .key_update_after(20);
                    all.push(Arc::new(builder.build().expect("a valid configuration")));
                }
            }
        }
        all
    };
    let all = CONFIGS.get_or_init(make);
    all[usize::from(choice) % all.len()].clone()
}

fn path(role: Role) -> FiveTuple {
    let (client, server) = (([192, 0, 2, 1], 1).into(), ([192, 0, 2, 2], 2).into());
    if role == Role::Client { FiveTuple::udp(client, server) } else { FiveTuple::udp(server, client) }
}

/// One side, and what it has been told.
#[derive(Default)]
struct End {
    /// A server behind a [`Listener`] has none at first.
    connection: Option<Connection>,
    /// What is on its way to it.
    under_way: VecDeque<Vec<u8>>,
    written: Vec<Vec<u8>>,
    received: Vec<Vec<u8>>,
    is_connected: bool,
    has_ended: bool,
}

impl End {
    fn new(connection: Option<Connection>) -> Self {
        Self { connection, ..Self::default() }
    }

    fn collect_events(&mut self) {
        while let Some(event) = self.connection.as_mut().and_then(Connection::poll_event) {
            assert!(!self.has_ended, "{event:?} after the end");
            match event {
                Event::Connected { .. } => {
                    assert!(!self.is_connected, "connected twice");
                    self.is_connected = true;
                }
                Event::ApplicationData(data) => {
                    assert!(self.is_connected, "data before the connection");
                    self.received.push(data);
                }
                _ => self.has_ended = true,
            }
        }
    }
}

struct Session {
    /// Client and server.
    ends: [End; 2],
    listener: Option<Listener>,
    now: Instant,
    is_spoilt: bool,
}

fn trusting(mut connection: Connection) -> Connection {
    let fingerprint =
        crate::dtls::config().certificate().fingerprint(HashAlgorithm::Sha256).expect("SHA-256");
    connection.set_remote_fingerprints(start(), vec![fingerprint]);
    connection
}

impl Session {
    fn new(client: u8, server: u8, listens: bool) -> Self {
        let make = |choice, role, seed| {
            let mut connection = Connection::new(config(choice), role, &Seed::from_number(seed), start());
            connection.set_path(path(role));
            trusting(connection)
        };
        let listener = listens.then(|| Listener::new(config(server), &Seed::from_number(3), start()));
        let own = (!listens).then(|| make(server, Role::Server, 2));
        let ends = [End::new(Some(make(client, Role::Client, 1))), End::new(own)];
        Self { ends, listener, now: start(), is_spoilt: false }
    }

    /// Takes what an end has to send.
    fn poll(&mut self, from: usize) {
        let mut out = Vec::new();
        while self.ends[from]
            .connection
            .as_mut()
            .is_some_and(|connection| connection.poll_transmit(self.now, &mut out).is_some())
        {
            self.send(from, std::mem::take(&mut out));
        }
        self.ends[from].collect_events();
    }

    fn send(&mut self, from: usize, datagram: Vec<u8>) {
        let to = &mut self.ends[1 - from].under_way;
        if to.len() == MAX_UNDER_WAY {
            to.pop_front();
        }
        to.push_back(datagram);
    }

    fn deliver(&mut self, to: usize, mut datagram: Vec<u8>) {
        let path = path(if to == 0 { Role::Client } else { Role::Server });
        match (&mut self.ends[to].connection, &mut self.listener) {
            (Some(connection), _) => connection.handle_datagram(self.now, path, &mut datagram),
            (None, Some(listener)) => {
                let mut answer = Vec::new();
                match listener.handle_datagram(self.now, path, &datagram, &mut answer) {
                    Heard::Answer(_) => {
                        assert!(answer.len() <= 3 * datagram.len(), "no amplification");
                        self.send(to, answer);
                    }
                    Heard::Connection(connection) => self.ends[to].connection = Some(trusting(*connection)),
                    _ => {}
                }
            }
            (None, None) => {}
        }
        self.poll(to);
    }

    /// Lets the next deadline of anybody pass. `false`: there is none.
    fn wait(&mut self) -> bool {
        let deadlines =
            self.ends.iter().filter_map(|end| end.connection.as_ref().and_then(Connection::poll_timeout));
        let Some(next) = deadlines.min() else { return false };
        self.now = self.now.max(next);
        self.time_passes();
        true
    }

    fn time_passes(&mut self) {
        for end in 0..2 {
            if let Some(connection) = &mut self.ends[end].connection {
                connection.handle_timeout(self.now);
            }
            self.poll(end);
        }
    }

    /// One operation, and whose.
    fn operate(&mut self, [what, which, how]: [u8; 3]) {
        let end = usize::from(what >> 7);
        let at = usize::from(which) % self.ends[end].under_way.len().max(1);
        match what & 0x0f {
            // Most of all the network does its work, in any order.
            0..=5 => {
                if let Some(datagram) = self.ends[end].under_way.remove(at) {
                    self.deliver(end, datagram);
                }
            }
            6 => drop(self.ends[end].under_way.remove(at)),
            7 => {
                if let Some(datagram) = self.ends[end].under_way.get(at).cloned() {
                    self.deliver(end, datagram);
                }
            }
            8 => {
                if let Some(datagram) = self.ends[end].under_way.get_mut(at) {
                    self.is_spoilt = true;
                    let at = usize::from(how) * datagram.len() / 256;
                    datagram[at] ^= which | 1;
                }
            }
            9 => {
                let text = vec![how; 1 + usize::from(which) * 4];
                let now = self.now;
                if let Some(connection) = &mut self.ends[end].connection
                    && connection.write(now, &text).is_ok()
                {
                    self.ends[end].written.push(text);
                }
            }
            10 => {
                let now = self.now;
                if let Some(connection) = &mut self.ends[end].connection {
                    let asked = connection.update_keys(now, how & 1 != 0);
                    assert!(asked.is_err() || self.ends[end].is_connected);
                }
            }
            11 if how == 0 => {
                self.is_spoilt = true;
                let now = self.now;
                self.ends[end].connection.iter_mut().for_each(|connection| connection.close(now));
            }
            12 => {
                self.now += Duration::from_millis(u64::from(how));
                self.time_passes();
            }
            _ => drop(self.wait()),
        }
        self.poll(end);
    }

    /// The network is good from now on. Both come to an end, or to rest.
    fn settle(&mut self) {
        for _ in 0..2_000 {
            let next = (0..2).find_map(|end| Some((end, self.ends[end].under_way.pop_front()?)));
            match next {
                Some((end, datagram)) => self.deliver(end, datagram),
                None if self.wait() => {}
                None => return,
            }
        }
        panic!("no end");
    }
}

/// `[client's config | server's config | listens | [what | which | how]*]`. Nothing is delivered that was not written, nor twice;
/// nothing happens after the end; everything comes to rest; and where nothing was spoilt and the two have something in common, either
/// both are connected or time has run out.
pub fn dtls_session(data: &[u8]) {
    let [client, server, listens, operations @ ..] = data else { return };
    let mut session = Session::new(*client, *server, listens & 1 != 0);
    (0..2).for_each(|end| session.poll(end));
    let (operations, _) = operations.as_chunks::<3>();
    for operation in operations.iter().take(MAX_OPERATIONS) {
        session.operate(*operation);
    }
    session.settle();
    for (receiver, sender) in [(0, 1), (1, 0)] {
        let mut left = session.ends[sender].written.clone();
        for data in &session.ends[receiver].received {
            let at = left.iter().position(|written| written == data);
            left.swap_remove(at.expect("what was written, once"));
        }
    }
    let [client, server] = &session.ends;
    if !session.is_spoilt && !client.has_ended && !server.has_ended && server.connection.is_some() {
        assert!(client.is_connected && server.is_connected, "both are connected");
    }
}
