//! Whole handshakes of DTLS 1.2 and 1.3 with certificates on both sides and keys for SRTP at the end, both ends in one thread, no loss.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tombolo_crypto::{CryptoProvider, HashAlgorithm, KeyExchangeGroup};
use tombolo_dtls::{Certificate, Config, Connection, Event, Fingerprint, ProtocolVersion, Role};
use tombolo_net::{FiveTuple, Seed};

use super::{Contender, Contest, Unit};

pub(super) fn contests() -> Vec<Contest> {
    let rate = || Unit::Rate("handshakes/s");
    let (v12, v13) = (ProtocolVersion::Dtls12, ProtocolVersion::Dtls13);
    vec![
        Contest::new("dtls-handshakes", rate(), ours(v12, KeyExchangeGroup::X25519)).beside(peers::of_1_2()),
        Contest::new("dtls13-handshakes", rate(), ours(v13, KeyExchangeGroup::X25519))
            .beside(peers::of_1_3()),
        Contest::new("dtls13-pq-handshakes", rate(), ours(v13, KeyExchangeGroup::X25519MlKem768)),
    ]
}

fn address(port: u16) -> SocketAddr {
    ([192, 0, 2, 1], port).into()
}

struct Side {
    config: Arc<Config>,
    fingerprint: Fingerprint,
}

impl Side {
    fn new(seed: u64, version: ProtocolVersion, group: KeyExchangeGroup) -> Self {
        let now = SystemTime::now();
        let (from, to) = (now - Duration::from_secs(3600), now + Duration::from_secs(86_400));
        let certificate =
            Certificate::self_signed(&CryptoProvider::default(), &Seed::from_number(seed), from, to)
                .expect("a certificate");
        let fingerprint = certificate.fingerprint(HashAlgorithm::Sha256).expect("a hash");
        let builder = Config::builder(certificate).versions(version, version).groups(vec![group]);
        Self { config: Arc::new(builder.build().expect("settings")), fingerprint }
    }
}

fn ours(version: ProtocolVersion, group: KeyExchangeGroup) -> Contender {
    let (client_side, server_side) = (Side::new(1, version, group), Side::new(2, version, group));
    let path = FiveTuple::udp(address(1), address(2));
    let mut number = 0;
    let mut buf = Vec::with_capacity(2048);
    Contender::new(move || {
        let now = Instant::now();
        number += 2;
        let connect = |side: &Side, peer: &Side, role, seed| {
            let mut connection =
                Connection::new(Arc::clone(&side.config), role, &Seed::from_number(seed), now);
            connection.set_path(if role == Role::Client { path } else { path.reversed() });
            connection.set_remote_fingerprints(now, vec![peer.fingerprint.clone()]);
            connection
        };
        let mut client = connect(&client_side, &server_side, Role::Client, number);
        let mut server = connect(&server_side, &client_side, Role::Server, number + 1);
        let mut carry = |from: &mut Connection, to: &mut Connection| {
            let mut moved = false;
            loop {
                buf.clear();
                let Some(transmit) = from.poll_transmit(now, &mut buf) else { return moved };
                let segment = transmit.segment_size.unwrap_or(transmit.len).max(1);
                buf.chunks_mut(segment).for_each(|datagram| to.handle_datagram(now, path, datagram));
                moved = true;
            }
        };
        while carry(&mut client, &mut server) | carry(&mut server, &mut client) {}
        for connection in [&mut client, &mut server] {
            let keys = std::iter::from_fn(|| connection.poll_event())
                .any(|event| matches!(event, Event::Connected { srtp: Some(_) }));
            assert!(keys, "a handshake");
        }
    })
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

    use super::address;
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
