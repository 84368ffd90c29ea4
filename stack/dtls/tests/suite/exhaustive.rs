//! Each datagram of each flight lost, doubled, and overtaken by those after it: all of them, one after the other, in both
//! versions, for long and short datagrams, with and without a second hello (DTLS-14, DTLS-16).

use std::time::{Duration, Instant};

use tombolo_crypto::{CryptoProvider, KeyExchangeGroup};
use tombolo_dtls::{Config, ProtocolVersion, Role};
use tombolo_netsim::Machine;

use crate::peer::{certificate, for_both_versions, path};
use crate::wire::Direct;

/// One way.
const LATENCY: Duration = Duration::from_millis(5);
/// Longer than anything that is not lost is on its way.
const DELAY: Duration = Duration::from_millis(12);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Nothing,
    Lost,
    Doubled,
    /// It comes after those that are sent later.
    Late,
    /// It comes on time and late.
    Repeated,
}

/// A network with one thing wrong with one datagram.
struct Run {
    direct: Direct,
    /// When, to whom, and what arrives.
    under_way: Vec<(Instant, bool, Vec<u8>)>,
    /// Datagrams sent by the server and by the client.
    sent: [usize; 2],
}

impl Run {
    fn new(client: &Config, server: &Config) -> Self {
        Self { direct: Direct::new(client.clone(), server.clone()), under_way: Vec::new(), sent: [0; 2] }
    }

    /// Takes what both have to send; `what` happens to the datagram of this number and sender.
    fn collect(&mut self, what: What, victim: (bool, usize)) {
        for from_client in [true, false] {
            for datagram in self.direct.poll_flight(from_client) {
                let number = self.sent[usize::from(from_client)];
                self.sent[usize::from(from_client)] += 1;
                let what = if (from_client, number) == victim { what } else { What::Nothing };
                let on_time = self.direct.now + LATENCY;
                let arrivals = match what {
                    What::Nothing => vec![on_time],
                    What::Lost => vec![],
                    What::Doubled => vec![on_time, on_time],
                    What::Late => vec![on_time + DELAY],
                    What::Repeated => vec![on_time, on_time + DELAY],
                };
                self.under_way.extend(arrivals.into_iter().map(|at| (at, !from_client, datagram.clone())));
            }
        }
    }

    /// Lets both speak until they have nothing to say and nothing to wait for.
    fn run(&mut self, what: What, victim: (bool, usize)) {
        for _ in 0..10_000 {
            self.collect(what, victim);
            let timeouts = [self.direct.client.poll_timeout(), self.direct.server.poll_timeout()];
            let arrivals = self.under_way.iter().map(|(at, ..)| *at);
            let Some(next) = arrivals.chain(timeouts.into_iter().flatten()).min() else { return };
            self.direct.now = next.max(self.direct.now);
            let now = self.direct.now;
            let first = self.under_way.iter().position(|(at, ..)| *at <= now);
            if let Some(index) = first {
                let (_, to_client, datagram) = self.under_way.remove(index);
                self.direct.deliver(to_client, &datagram);
            } else {
                self.direct.client.handle_timeout(now);
                self.direct.server.handle_timeout(now);
            }
        }
        panic!("no end: {what:?} {victim:?}");
    }
}

fn config(version: ProtocolVersion, mtu: usize, seed: u64, groups: Option<&[KeyExchangeGroup]>) -> Config {
    let builder = Config::builder(certificate(&CryptoProvider::default(), seed));
    let builder = match groups {
        Some(groups) => builder.groups(groups.to_vec()),
        None => builder,
    };
    builder.versions(version, version).mtu(mtu).build().expect("settings")
}

/// Does all of it for one pair of configurations; returns how many handshakes were made.
fn exhaust(client: &Config, server: &Config) -> usize {
    let mut clean = Run::new(client, server);
    clean.run(What::Nothing, (true, 0));
    check(&mut clean, What::Nothing, (true, 0), [0; 2]);
    let expected = clean.sent;
    let mut runs = 0;
    for from_client in [true, false] {
        for number in 0..expected[usize::from(from_client)] {
            for what in [What::Lost, What::Doubled, What::Late, What::Repeated] {
                let victim = (from_client, number);
                let mut run = Run::new(client, server);
                run.run(what, victim);
                check(&mut run, what, victim, expected);
                runs += 1;
            }
        }
    }
    runs
}

/// Both sides are connected, in little time and with few repetitions, and can talk.
fn check(run: &mut Run, what: What, victim: (bool, usize), expected: [usize; 2]) {
    let name = format!("{what:?} {victim:?}");
    let Direct { client, server, now } = &mut run.direct;
    assert!(
        client.is_connected() && server.is_connected(),
        "{name}: {:?} {:?}",
        client.events,
        server.events
    );
    let elapsed = now.duration_since(tombolo_netsim::start());
    assert!(elapsed < Duration::from_millis(400), "{name}: {elapsed:?}");
    if what != What::Nothing {
        let sent = run.sent[0] + run.sent[1];
        let normal = expected[0] + expected[1];
        // One repetition of one flight from each side, and ACKs.
        assert!(sent <= 2 * normal + 4, "{name}: {sent} datagrams instead of {normal}");
    }
    client.connection.write(*now, b"to the server").expect("write");
    server.connection.write(*now, b"to the client").expect("write");
    for (from_client, text) in [(true, &b"to the server"[..]), (false, b"to the client")] {
        for datagram in run.direct.poll_flight(from_client) {
            run.direct.deliver(!from_client, &datagram);
        }
        let peer = if from_client { &run.direct.server } else { &run.direct.client };
        assert_eq!(peer.received(), [text], "{name}");
    }
}

/// Long and short datagrams, with the default groups.
fn every_datagram_may_be_lost_doubled_or_late(version: ProtocolVersion) {
    let mut runs = 0;
    for mtu in [256, 300, 600, 1200, 1500] {
        runs += exhaust(&config(version, mtu, 1, None), &config(version, mtu, 2, None));
    }
    assert!(runs > 100, "{runs} handshakes");
}

/// With a second hello after HelloRetryRequest in 1.3; in 1.2 the group is of no account.
fn every_datagram_of_other_groups_too(version: ProtocolVersion) {
    use KeyExchangeGroup::{Secp256r1, Secp384r1, X25519};
    let groups: [(&[_], &[_]); 3] =
        [(&[X25519, Secp384r1], &[Secp384r1]), (&[X25519], &[X25519]), (&[Secp256r1, X25519], &[Secp256r1])];
    for (client, server) in groups {
        for mtu in [256, 700] {
            let client = config(version, mtu, 1, Some(client));
            exhaust(&client, &config(version, mtu, 2, Some(server)));
        }
    }
}

/// The order of all datagrams of a flight, each one alone, backwards, without any timer.
fn a_flight_may_come_backwards(version: ProtocolVersion) {
    for mtu in [256, 600, 1200] {
        let (client, server) = (config(version, mtu, 1, None), config(version, mtu, 2, None));
        for backwards in 0..4 {
            let mut direct = Direct::new(client.clone(), server.clone());
            for flight in 0..4 {
                let mut datagrams = direct.poll_flight(flight % 2 == 0);
                if flight == backwards {
                    datagrams.reverse();
                }
                datagrams.iter().for_each(|datagram| direct.deliver(flight % 2 != 0, datagram));
            }
            assert!(
                direct.client.is_connected() && direct.server.is_connected(),
                "flight {backwards} at {mtu}"
            );
        }
    }
    assert_eq!(path(Role::Client), path(Role::Server).reversed());
}

for_both_versions!(
    every_datagram_may_be_lost_doubled_or_late,
    every_datagram_of_other_groups_too,
    a_flight_may_come_backwards,
);
