//! DTLS: any records to a fresh connection, and a handshake whose datagrams are changed on the way.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use tombolo_crypto::HashAlgorithm;
use tombolo_dtls::{Certificate, Config, Connection, Event, Role};
use tombolo_net::{FiveTuple, Seed};
use tombolo_netsim::start;

/// Datagrams of one handshake at most.
const MAX_DATAGRAMS: usize = 100;

/// One certificate and the deterministic provider, so that an input does the same each time.
pub(crate) fn config() -> Arc<Config> {
    static CONFIG: OnceLock<Arc<Config>> = OnceLock::new();
    let make = || {
        let provider = tombolo_crypto::rust_crypto::provider();
        let not_before = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let not_after = not_before + Duration::from_secs(86_400);
        let certificate = Certificate::self_signed(&provider, &Seed::from_number(1), not_before, not_after)
            .expect("a certificate");
        Arc::new(Config::builder(certificate).provider(provider).build().expect("a valid configuration"))
    };
    CONFIG.get_or_init(make).clone()
}

fn connection(role: Role, seed: u64) -> Connection {
    let mut connection = Connection::new(config(), role, &Seed::from_number(seed), start());
    connection.set_path(FiveTuple::udp(([192, 0, 2, 1], 1).into(), ([192, 0, 2, 2], 2).into()));
    let fingerprint = config().certificate().fingerprint(HashAlgorithm::Sha256).expect("a fingerprint");
    connection.set_remote_fingerprints(start(), vec![fingerprint]);
    connection
}

fn path() -> FiveTuple {
    FiveTuple::udp(([192, 0, 2, 1], 1).into(), ([192, 0, 2, 2], 2).into())
}

fn sent(connection: &mut Connection) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while all.len() < MAX_DATAGRAMS {
        let mut out = Vec::new();
        if connection.poll_transmit(start(), &mut out).is_none() {
            break;
        }
        all.push(out);
    }
    all
}

/// Any bytes, cut into datagrams (`[length | bytes]*`), to a fresh client and a fresh server: nothing of it connects,
/// and what is answered stays in proportion.
pub fn dtls_records(data: &[u8]) {
    for role in [Role::Client, Role::Server] {
        let mut connection = connection(role, 3);
        let own = sent(&mut connection).len();
        let mut rest = data;
        let mut count = 0;
        while let [len, tail @ ..] = rest {
            let (datagram, tail) = tail.split_at((usize::from(*len) * 8).min(tail.len()));
            rest = tail;
            count += 1;
            connection.handle_datagram(start(), path(), &mut datagram.to_vec());
        }
        let answered = sent(&mut connection).len();
        // A hello with a post-quantum share takes two datagrams.
        assert!(own <= 2 && answered <= 8 * (count + 1), "{answered} answers to {count} datagrams");
        while let Some(event) = connection.poll_event() {
            assert!(
                !matches!(event, Event::Connected { .. } | Event::ApplicationData(_)),
                "{role:?} {event:?}"
            );
        }
    }
}

/// A handshake in which single datagrams are changed, lost, repeated or cut. `[datagram | what | where | how]*`. Whatever
/// happens, nothing panics; and when nothing was touched, both sides connect.
pub fn dtls_handshake(data: &[u8]) {
    let (mut client, mut server) = (connection(Role::Client, 1), connection(Role::Server, 2));
    let mut number = 0_u8;
    let mut touched = false;
    let (mut client_connected, mut server_connected) = (false, false);
    for _ in 0..8 {
        let mut moved = false;
        for (from, to) in [(true, false), (false, true)] {
            let datagrams = sent(if from { &mut client } else { &mut server });
            for mut datagram in datagrams {
                moved = true;
                let edits = data.chunks_exact(4).filter(|edit| edit[0] == number);
                let mut copies = 1;
                for edit in edits {
                    touched = true;
                    copies = tamper(&mut datagram, edit, copies);
                }
                number = number.wrapping_add(1);
                for _ in 0..copies {
                    let receiver = if to { &mut client } else { &mut server };
                    receiver.handle_datagram(start(), path(), &mut datagram.clone());
                }
            }
        }
        client_connected |= has_connected(&mut client);
        server_connected |= has_connected(&mut server);
        if !moved {
            break;
        }
    }
    assert!(touched || (client_connected && server_connected), "an untouched handshake completes");
}

/// Changes a datagram, and tells how many copies of it arrive.
fn tamper(datagram: &mut Vec<u8>, edit: &[u8], copies: usize) -> usize {
    let at = usize::from(edit[2]) * datagram.len() / 256;
    match edit[1] % 5 {
        _ if datagram.is_empty() => return 0,
        0 => datagram[at] ^= edit[3],
        1 => datagram.truncate(at),
        2 => datagram.insert(at, edit[3]),
        3 => return usize::from(edit[3] % 4),
        _ => datagram[at] = edit[3],
    }
    copies
}

fn has_connected(connection: &mut Connection) -> bool {
    std::iter::from_fn(|| connection.poll_event()).any(|event| matches!(event, Event::Connected { .. }))
}
