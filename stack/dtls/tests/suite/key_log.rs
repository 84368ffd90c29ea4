//! The key log: what is logged opens what was sent.

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tombolo_crypto::{AeadAlgorithm, CryptoProvider, HashAlgorithm};
use tombolo_dtls::{CipherSuite, KeyLog, LoggedSecret, ProtocolVersion};
use tombolo_netsim::{Pair, Side};

use crate::peer::{Peer, config, connect, pair_of};

#[derive(Debug, Default)]
struct Lines(Mutex<Vec<String>>);

impl KeyLog for Lines {
    fn log(&self, secret: &LoggedSecret<'_>) {
        self.0.lock().expect("no panic holds it").push(secret.to_string());
    }
}

impl Lines {
    fn sorted(&self) -> Vec<String> {
        let mut lines = self.0.lock().expect("no panic holds it").clone();
        lines.sort();
        lines
    }
}

/// A connection that has said something each way, and what each side has logged.
fn logged(version: ProtocolVersion, connection_id_len: Option<usize>) -> (Pair<Peer, Peer>, [Arc<Lines>; 2]) {
    let logs = [Arc::new(Lines::default()), Arc::new(Lines::default())];
    let build = |seed: u64, log: &Arc<Lines>| {
        let suites = vec![CipherSuite::Aes128GcmSha256, CipherSuite::EcdheEcdsaAes128GcmSha256];
        let builder = config(version, seed).cipher_suites(suites).key_log(log.clone());
        let builder = match connection_id_len {
            Some(len) => builder.connection_id_len(len),
            None => builder,
        };
        builder.build().expect("settings")
    };
    let mut pair = pair_of(build(1, &logs[0]), build(2, &logs[1]), 1);
    connect(&mut pair);
    let now = pair.now();
    pair.a.connection.write(now, b"what the client says").expect("write");
    pair.b.connection.write(now, b"what the server says").expect("write");
    pair.run_for(Duration::from_millis(100));
    (pair, logs)
}

fn hex(digits: &str) -> Vec<u8> {
    let digit = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal");
    (0..digits.len()).step_by(2).map(digit).collect()
}

/// HKDF-Expand-Label of DTLS 1.3 with SHA-256, for 32 bytes at most (RFC 8446 §7.1, RFC 9147 §5.9).
fn expand(secret: &[u8], label: &str, len: u8) -> Vec<u8> {
    let label = format!("dtls13{label}");
    let info = [&[0, len, label.len() as u8][..], label.as_bytes(), &[0, 1]].concat();
    let provider = tombolo_crypto::rust_crypto::provider();
    let out = (provider.hmac)(HashAlgorithm::Sha256, secret, &[&info]).expect("HMAC");
    out[..usize::from(len)].to_vec()
}

/// Opens a record of 1.3 that has number 0, with nothing but a traffic secret.
fn open(secret: &[u8], record: &[u8]) -> Option<Vec<u8>> {
    // Records of 1.3 start so, with a number of two bytes and a length; those of 1.3 after the handshake are alone.
    if record[0] & 0xfc != 0x2c || record.len() < 5 + 16 {
        return None;
    }
    let provider = CryptoProvider::default();
    let aes = AeadAlgorithm::Aes128Gcm;
    let (mut header, mut body) = (record[..5].to_vec(), record[5..].to_vec());
    let mask =
        (provider.mask)(aes, &expand(secret, "sn", 16)).expect("key").mask(body[..16].try_into().ok()?);
    header[1] ^= mask[0];
    header[2] ^= mask[1];
    let nonce = expand(secret, "iv", 12);
    let mut nonce: [u8; 12] = nonce.try_into().ok()?;
    nonce[10] ^= header[1];
    nonce[11] ^= header[2];
    let key = (provider.aead)(aes, &expand(secret, "key", 16)).expect("key");
    let len = key.open_in_place(&nonce, &header, &mut body).ok()?;
    Some(body[..len - 1].to_vec())
}

/// In 1.3 each direction's secrets open its records, after a change of keys too; both sides log the same.
#[test]
fn the_secrets_of_1_3_open_the_records() {
    let (mut pair, logs) = logged(ProtocolVersion::Dtls13, None);
    let now = pair.now();
    pair.a.connection.update_keys(now, true).expect("connected");
    pair.run_for(Duration::from_secs(1));
    let records_before = pair.records().to_vec();
    pair.clear_records();
    let now = pair.now();
    pair.a.connection.write(now, b"what the client says later").expect("write");
    pair.run_for(Duration::from_secs(1));
    let lines = logs[0].sorted();
    assert_eq!(lines, logs[1].sorted());
    let labels: Vec<&str> = lines.iter().filter_map(|line| line.split(' ').next()).collect();
    let expected = [
        "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
        "CLIENT_TRAFFIC_SECRET_0",
        "CLIENT_TRAFFIC_SECRET_1",
        "EXPORTER_SECRET",
        "SERVER_HANDSHAKE_TRAFFIC_SECRET",
        "SERVER_TRAFFIC_SECRET_0",
        "SERVER_TRAFFIC_SECRET_1",
    ];
    assert_eq!(labels, expected);
    let secret = |label: &str| {
        let line = lines.iter().find(|line| line.starts_with(label)).expect("logged");
        hex(line.rsplit(' ').next().expect("three words"))
    };
    let says = |secret: &[u8], to: Side, records: &[tombolo_netsim::Record], text: &[u8]| {
        let mut to = records.iter().filter(|record| record.to == to);
        to.any(|record| open(secret, &record.data).as_deref() == Some(text))
    };
    let client = secret("CLIENT_TRAFFIC_SECRET_0");
    assert!(says(&client, Side::B, &records_before, b"what the client says"));
    assert!(says(&secret("SERVER_TRAFFIC_SECRET_0"), Side::A, &records_before, b"what the server says"));
    assert!(!says(&client, Side::B, pair.records(), b"what the client says later"));
    let later = secret("CLIENT_TRAFFIC_SECRET_1");
    assert!(says(&later, Side::B, pair.records(), b"what the client says later"));
}

/// tshark reads a capture of 1.2 with the log, with connection ids too. (Of 1.3 only later versions do.)
#[test]
fn tshark_reads_what_was_said() {
    if Command::new("tshark").arg("--version").output().is_err() {
        println!("skipped: tshark reads what was said: the tshark command is not installed");
        return;
    }
    for connection_id_len in [None, Some(8)] {
        tshark_reads(connection_id_len);
    }
}

fn tshark_reads(connection_id_len: Option<usize>) {
    let (pair, logs) = logged(ProtocolVersion::Dtls12, connection_id_len);
    assert_eq!(logs[0].sorted(), logs[1].sorted());
    let folder = std::env::temp_dir().join(format!("tombolo-dtls-{}-key-log", std::process::id()));
    std::fs::create_dir_all(&folder).expect("temporary folder");
    let (capture, log) = (folder.join("capture.pcap"), folder.join("keys.log"));
    pair.write_pcap(&capture).expect("pcap");
    std::fs::write(&log, logs[0].sorted().join("\n")).expect("log");
    let read = |with_keys: bool| {
        let mut command = Command::new("tshark");
        command.arg("-r").arg(&capture).args([
            "-d",
            "udp.port==2000,dtls",
            "-T",
            "fields",
            "-e",
            "data.data",
        ]);
        if with_keys {
            command.arg("-o").arg(format!("tls.keylog_file:{}", log.display()));
        }
        String::from_utf8_lossy(&command.output().expect("tshark").stdout).into_owned()
    };
    let (read_without, read_with) = (read(false), read(true));
    std::fs::remove_dir_all(&folder).expect("our own folder");
    for text in ["what the client says", "what the server says"] {
        let digits: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert!(read_with.contains(&digits), "{read_with}");
        assert!(!read_without.contains(&digits));
    }
}
