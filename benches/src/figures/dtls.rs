//! DTLS 1.2 and 1.3: whole handshakes with certificates on both sides and keys for SRTP at the end, both ends in one thread,
//! without loss; records; what an association keeps.

use std::time::Instant;

use tombolo_crypto::{AeadAlgorithm, CryptoProvider, KeyExchangeGroup, TAG_LEN};
use tombolo_dtls::{Event, ProtocolVersion};
use tombolo_net::{FiveTuple, Seed};

use super::{Contender, Contest, Figure, Unit};
use crate::association::{Ends, address};
use crate::scenarios::LONG;

pub(super) fn contests() -> Vec<Contest> {
    let handshakes = |name, version, group| {
        Contest::new(name, Unit::Rate("handshakes/s"), ours(version, group))
            .beside([("limit", public_key_operations(group))])
    };
    let (v12, v13) = (ProtocolVersion::Dtls12, ProtocolVersion::Dtls13);
    let mut contests = vec![
        handshakes("dtls-handshakes", v12, KeyExchangeGroup::X25519).beside(peers::of_1_2()),
        handshakes("dtls13-handshakes", v13, KeyExchangeGroup::X25519).beside(peers::of_1_3()),
        handshakes("dtls13-pq-handshakes", v13, KeyExchangeGroup::X25519MlKem768),
    ];
    contests.extend(records("dtls12", v12));
    contests.extend(records("dtls13", v13));
    contests
}

fn ours(version: ProtocolVersion, group: KeyExchangeGroup) -> Contender {
    let mut ends = Ends::new(version, group);
    Contender::new(move || drop(ends.connect()))
}

/// The public-key operations of a handshake and nothing else: a key exchange, and on each side a signature that the other
/// side verifies.
fn public_key_operations(group: KeyExchangeGroup) -> Contender {
    let provider = CryptoProvider::default();
    let mut rng = Seed::from_number(7).rng();
    let signer = [(); 2].map(|()| {
        let key = (provider.generate_key)(&mut rng).expect("a key");
        (provider.signer)(&key).expect("a signer")
    });
    let message = [7; 130];
    Contender::new(move || {
        let client = (provider.key_exchange)(group, &mut rng).expect("a share");
        let response = provider.respond(group, client.public_share(), &mut rng).expect("a share");
        let secret = client.agree(&response.share).expect("a secret");
        assert_eq!(secret, response.secret);
        for signer in &signer {
            let scheme = signer.schemes()[0];
            let signature = signer.sign(scheme, &message).expect("a signature");
            assert!((provider.verify)(scheme, signer.public_key(), &message, &signature).is_ok());
        }
    })
}

/// A record of 1200 bytes, beside the AEAD alone on what it seals, which is a byte more in 1.3: `protect`, and there and back.
fn records(name: &str, version: ProtocolVersion) -> [Contest; 2] {
    [("protect", false), ("there-and-back", true)].map(|(verb, opens)| {
        Contest::new(format!("{name}-record-{verb}"), Unit::Nanoseconds, record(version, opens))
            .beside([("limit", aead(version, opens))])
    })
}

fn record(version: ProtocolVersion, opens: bool) -> Contender {
    let (mut client, mut server) = Ends::new(version, KeyExchangeGroup::X25519).connect();
    let path = FiveTuple::udp(address(2), address(1));
    let (data, mut buf) = ([7; LONG], Vec::with_capacity(2 * LONG));
    let now = Instant::now();
    Contender::new(move || {
        buf.clear();
        client.write_to(now, &data, &mut buf).expect("an association");
        if opens {
            server.handle_datagram(now, path, &mut buf);
            assert!(matches!(server.poll_event(), Some(Event::ApplicationData(_))));
        }
    })
}

/// What sealing such a record takes, of which nobody makes a copy, and opening it.
fn aead(version: ProtocolVersion, opens: bool) -> Contender {
    let len = if version == ProtocolVersion::Dtls13 { LONG + 1 } else { LONG };
    let key = (CryptoProvider::default().aead)(AeadAlgorithm::Aes128Gcm, &[1; 16]).expect("a key");
    let (header, mut buf) = ([0; 13], vec![7; len + TAG_LEN]);
    Contender::new(move || {
        let tag = key.seal_in_place(&[3; 12], &header, &mut buf[..len]);
        buf[len..].copy_from_slice(&tag);
        if opens {
            assert!(key.open_in_place(&[3; 12], &header, &mut buf).is_ok());
        }
    })
}

/// The bytes that one side of an association keeps once it is up, of the 16 KiB that it may.
pub(super) fn kept() -> Vec<Figure> {
    let versions = [("dtls12", ProtocolVersion::Dtls12), ("dtls13", ProtocolVersion::Dtls13)];
    let figure = |(name, version)| {
        let mut ends = Ends::new(version, KeyExchangeGroup::X25519);
        let mut kept = None;
        drop(ends.connect());
        let counted = allocation_counter::measure(|| kept = Some(ends.connect()));
        let both = counted.bytes_current as f64 + std::mem::size_of_val(&kept) as f64;
        let (ours, theirs) = (both / 2.0, 16.0 * 1024.0);
        let name = format!("{name}-association-bytes");
        Figure { name, ours, unit: "bytes", peer: "limit", theirs, ratio: ours / theirs }
    };
    versions.map(figure).into()
}

#[cfg(not(feature = "peers"))]
mod peers {
    use crate::figures::Contender;

    /// Nobody.
    pub(super) fn of_1_2() -> Vec<(&'static str, Contender)> {
        Vec::new()
    }

    /// Nobody.
    pub(super) fn of_1_3() -> Vec<(&'static str, Contender)> {
        Vec::new()
    }
}

#[cfg(feature = "peers")]
mod peers {
    use std::sync::Arc;
    use std::time::Instant;

    use dimpl::{Dtls, DtlsCertificate};
    use rtc_dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig};
    use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
    use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
    use rtc_shared::TransportProtocol;

    use crate::association::address;
    use crate::figures::Contender;

    pub(super) fn of_1_2() -> Vec<(&'static str, Contender)> {
        vec![("dimpl", dimpl(Dtls::new_12)), ("rtc-dtls", rtc())]
    }

    pub(super) fn of_1_3() -> Vec<(&'static str, Contender)> {
        vec![("dimpl", dimpl(Dtls::new_13))]
    }

    fn dimpl(make: fn(Arc<dimpl::Config>, DtlsCertificate, Instant) -> Dtls) -> Contender {
        use dimpl::{Config, NamedGroup, Output, certificate};

        let config = Config::builder().use_server_cookie(false).kx_groups(&[NamedGroup::X25519]).build();
        let config = Arc::new(config.expect("a good configuration"));
        let certificates =
            [(); 2].map(|()| certificate::generate_self_signed_certificate().expect("a certificate"));
        let mut buf = vec![0; 4096];
        Contender::new(move || {
            let now = Instant::now();
            let mut ends = [0, 1].map(|end| {
                let mut dtls = make(Arc::clone(&config), certificates[end].clone(), now);
                dtls.set_active(end == 0);
                dtls.handle_timeout(now).expect("a handshake");
                dtls
            });
            let mut keys = [false; 2];
            for end in (0..12).map(|turn| turn % 2) {
                let mut packets = Vec::new();
                loop {
                    match ends[end].poll_output(&mut buf) {
                        Output::Packet(packet) => packets.push(packet.to_vec()),
                        Output::Timeout(_) => break,
                        Output::KeyingMaterial(..) => keys[end] = true,
                        _ => {}
                    }
                }
                for packet in packets {
                    ends[1 - end].handle_packet(&packet).expect("a handshake");
                }
                if keys == [true; 2] {
                    return;
                }
            }
            panic!("dimpl: no handshake");
        })
    }

    fn rtc_config(is_client: bool) -> Arc<HandshakeConfig> {
        let provider = rtc_crypto::default_provider().expect("a provider");
        let names = vec!["peer".to_owned()];
        let certificate = rtc_dtls::crypto::Certificate::generate_self_signed(names, provider.crypto());
        let config = ConfigBuilder::default()
            .with_crypto_provider(provider)
            .with_certificates(vec![certificate.expect("a certificate")])
            .with_srtp_protection_profiles(vec![SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm])
            .with_client_auth(ClientAuthType::RequireAnyClientCert)
            .with_extended_master_secret(ExtendedMasterSecretType::Require)
            .with_insecure_skip_verify(true)
            .build(is_client, is_client.then(|| address(2)));
        Arc::new(config.expect("a good configuration"))
    }

    fn rtc() -> Contender {
        let (client_config, server_config) = (rtc_config(true), rtc_config(false));
        Contender::new(move || {
            let now = Instant::now();
            let mut client = Endpoint::new(address(1), TransportProtocol::UDP, None);
            let mut server =
                Endpoint::new(address(2), TransportProtocol::UDP, Some(Arc::clone(&server_config)));
            client.connect(now, address(2), Arc::clone(&client_config), None).expect("a handshake");
            let mut complete = 0;
            let mut carry = |from: &mut Endpoint, port: u16, to: &mut Endpoint| {
                let mut moved = false;
                while let Some(transmit) = from.poll_transmit() {
                    let events = to.read(now, address(port), None, transmit.message).expect("a handshake");
                    let done = |event: &&EndpointEvent| matches!(event, EndpointEvent::HandshakeComplete);
                    complete += events.iter().filter(done).count();
                    moved = true;
                }
                moved
            };
            while carry(&mut client, 1, &mut server) | carry(&mut server, 2, &mut client) {}
            assert_eq!(complete, 2, "rtc-dtls: no handshake");
        })
    }
}
