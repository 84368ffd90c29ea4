//! Handshakes on a clean network: backends, groups, profiles, the end.

use crate::peer::{certificate, config, connect, for_both_versions, pair, pair_of, talk};
use tombolo_crypto::CryptoProvider;
use tombolo_dtls::{Config, Event, ProtocolVersion, SrtpProfileId, UseError};

fn client_and_server_connect_and_talk(version: ProtocolVersion) {
    let mut pair = pair(version, 1);
    connect(&mut pair);
    assert_eq!(pair.a.srtp().expect("keys").profile, SrtpProfileId::AEAD_AES_128_GCM);
    talk(&mut pair);
    assert_eq!(pair.a.connection.poll_timeout(), None);
    assert_eq!(pair.b.connection.poll_timeout(), None);
}

fn either_backend_understands_either(version: ProtocolVersion) {
    let providers = [tombolo_crypto::ring::provider(), tombolo_crypto::rust_crypto::provider()];
    let config = |provider: &CryptoProvider, seed| {
        let builder = Config::builder(certificate(provider, seed)).provider(*provider);
        builder.versions(version, version).build().expect("settings")
    };
    for client in &providers {
        for server in &providers {
            let mut pair = pair_of(config(client, 1), config(server, 2), 3);
            connect(&mut pair);
            talk(&mut pair);
        }
    }
}

fn the_same_seeds_give_the_same_bytes(version: ProtocolVersion) {
    let run = |seed| {
        let mut pair = pair(version, seed);
        connect(&mut pair);
        talk(&mut pair);
        pair.records().iter().map(|record| record.data.clone()).collect::<Vec<_>>()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

fn the_servers_preference_chooses_the_srtp_profile(version: ProtocolVersion) {
    let cm = SrtpProfileId::AES128_CM_HMAC_SHA1_80;
    let gcm = SrtpProfileId::AEAD_AES_128_GCM;
    let (gcm_256, cm_32) = (SrtpProfileId::AEAD_AES_256_GCM, SrtpProfileId::AES128_CM_HMAC_SHA1_32);
    let cases: [(&[_], &[_], _); 10] = [
        (&[cm_32, cm, gcm_256], &[gcm, gcm_256, cm, cm_32], Some(gcm_256)),
        (&[cm_32, cm], &[gcm, gcm_256, cm, cm_32], Some(cm)),
        (&[cm_32], &[gcm, gcm_256, cm, cm_32], Some(cm_32)),
        (&[gcm_256], &[gcm_256], Some(gcm_256)),
        (&[gcm_256, cm_32], &[gcm, cm], None),
        (&[cm, gcm], &[gcm, cm], Some(gcm)),
        (&[gcm, cm], &[cm, gcm], Some(cm)),
        (&[cm], &[gcm, cm], Some(cm)),
        (&[cm], &[gcm], None),
        (&[], &[gcm], None),
    ];
    for (client, server, expected) in cases {
        let client = config(version, 1).srtp_profiles(client.to_vec()).build().expect("settings");
        let server = config(version, 2).srtp_profiles(server.to_vec()).build().expect("settings");
        let mut pair = pair_of(client, server, 3);
        connect(&mut pair);
        assert_eq!(pair.a.srtp().map(|keys| keys.profile), expected);
        let (key, salt) = expected.and_then(SrtpProfileId::key_and_salt_len).unwrap_or_default();
        let keys = pair.a.srtp().map(|keys| (keys.local_key.len(), keys.remote_salt.len()));
        assert_eq!(keys.unwrap_or_default(), (key, salt));
    }
}

/// By default the AEADs come before the others, on both sides: who offers any, all or all but one of the profiles gets
/// the first of these.
fn the_default_profiles_prefer_the_aeads(version: ProtocolVersion) {
    let order = [
        SrtpProfileId::AEAD_AES_128_GCM,
        SrtpProfileId::AEAD_AES_256_GCM,
        SrtpProfileId::AES128_CM_HMAC_SHA1_80,
        SrtpProfileId::AES128_CM_HMAC_SHA1_32,
    ];
    for offered in (0..order.len()).flat_map(|from| [order[from..].to_vec(), vec![order[from]]]) {
        for client_decides in [true, false] {
            let narrow = config(version, 1).srtp_profiles(offered.clone()).build().expect("settings");
            let default = config(version, 2).build().expect("settings");
            let mut pair =
                if client_decides { pair_of(narrow, default, 3) } else { pair_of(default, narrow, 3) };
            connect(&mut pair);
            for peer in [&pair.a, &pair.b] {
                assert_eq!(peer.srtp().map(|keys| keys.profile), Some(offered[0]));
            }
        }
    }
}

fn close_ends_both_sides_once(version: ProtocolVersion) {
    let mut pair = pair(version, 1);
    connect(&mut pair);
    let now = pair.now();
    pair.b.connection.close(now);
    pair.b.connection.close(now);
    assert!(pair.run_until(|a, _| a.events.contains(&Event::Closed)));
    pair.run_for(std::time::Duration::from_secs(60));
    for peer in [&mut pair.a, &mut pair.b] {
        assert_eq!(peer.events.iter().filter(|event| **event == Event::Closed).count(), 1);
        assert_eq!(peer.failure(), None);
        assert_eq!(peer.connection.write(now, b"x"), Err(UseError::Closed));
        assert_eq!(peer.connection.poll_timeout(), None);
    }
}

fn writes_are_refused_when_they_cannot_be_sent(version: ProtocolVersion) {
    let mut pair = pair(version, 1);
    let now = pair.now();
    assert_eq!(pair.a.connection.write(now, b"x"), Err(UseError::NotConnected));
    connect(&mut pair);
    let max = pair.a.connection.max_write_len();
    let now = pair.now();
    assert_eq!(pair.a.connection.write(now, &vec![0; max + 1]), Err(UseError::TooLong { max }));
    let mut accepted = 0;
    let full = loop {
        match pair.a.connection.write(now, &vec![0; max]) {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(full, UseError::QueueFull);
    assert!(pair.run_until(|_, b| b.received().len() == accepted));
    assert!(pair.records().iter().all(|record| record.data.len() <= 1200));
}

for_both_versions!(
    client_and_server_connect_and_talk,
    either_backend_understands_either,
    the_same_seeds_give_the_same_bytes,
    the_servers_preference_chooses_the_srtp_profile,
    the_default_profiles_prefer_the_aeads,
    close_ends_both_sides_once,
    writes_are_refused_when_they_cannot_be_sent,
);
