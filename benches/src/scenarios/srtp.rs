//! SRTP: each profile with a packet of sound and one of pictures, one at a time and in batches, and with null ciphers.

use tombolo_crypto::CryptoProvider;
use tombolo_srtp::{
    Config, InboundContext, MAX_OVERHEAD, MasterKey, OutboundContext, Outgoing, Profile, protect_rtp_batch,
};

use super::{Scenario, Work, null_provider};

/// Bytes of an RTP packet of sound.
pub const SHORT: usize = 160;
/// Bytes of an RTP packet of pictures.
pub const LONG: usize = 1200;
/// Receivers of a packet that is forwarded in one batch.
pub const FAN_OUT: usize = 8;

macro_rules! scenarios {
    ($($profile:literal = $value:expr),*) => {
        &[
            $(
                Scenario::new(concat!("srtp-", $profile, "-protect"), || protect(default(), $value, LONG)),
                Scenario::new(concat!("srtp-", $profile, "-unprotect"), || unprotect(default(), $value, LONG)),
                Scenario::new(concat!("srtp-", $profile, "-batch"), || batch($value, LONG)),
                Scenario::new(concat!("srtp-", $profile, "-protect-160"), || protect(default(), $value, SHORT)),
                Scenario::new(concat!("srtp-", $profile, "-unprotect-160"), || {
                    unprotect(default(), $value, SHORT)
                }),
                Scenario::new(concat!("srtp-", $profile, "-batch-160"), || batch($value, SHORT)),
            )*
            Scenario::new("srtp-null-protect", || protect(null_provider(), Profile::AeadAes128Gcm, LONG)),
            Scenario::new("srtp-null-unprotect", || unprotect(null_provider(), Profile::AeadAes128Gcm, LONG)),
        ]
    };
}

pub(super) const SCENARIOS: &[Scenario] = scenarios![
    "gcm" = Profile::AeadAes128Gcm,
    "gcm256" = Profile::AeadAes256Gcm,
    "cm" = Profile::Aes128CmHmacSha1_80,
    "cm32" = Profile::Aes128CmHmacSha1_32
];

/// Packets that are protected in advance; after them the receiver starts anew.
const POOL: usize = 2048;

const KEY: [u8; 32] = [1; 32];
const SALT: [u8; 14] = [2; 14];

fn default() -> CryptoProvider {
    CryptoProvider::default()
}

fn master(profile: Profile) -> MasterKey<'static> {
    MasterKey::new(profile, &KEY[..profile.key_len()], &SALT[..profile.salt_len()])
}

fn outbound(provider: &CryptoProvider, profile: Profile) -> OutboundContext {
    OutboundContext::new(provider, &master(profile), &Config::default()).expect("lengths of the profile")
}

fn inbound(provider: &CryptoProvider, profile: Profile) -> InboundContext {
    InboundContext::new(provider, &master(profile), &Config::default()).expect("lengths of the profile")
}

fn put_header(buf: &mut [u8], seq: u16) {
    let [high, low] = seq.to_be_bytes();
    buf[..12].copy_from_slice(&[0x80, 96, high, low, 0, 0, 0, 1, 0, 0, 0, 9]);
}

fn protect(provider: CryptoProvider, profile: Profile, len: usize) -> Work {
    let mut context = outbound(&provider, profile);
    let mut buf = vec![7; len + MAX_OVERHEAD];
    let mut seq = 0u16;
    Box::new(move || {
        put_header(&mut buf, seq);
        seq = seq.wrapping_add(1);
        context.protect_rtp(&mut buf, len).expect("a new packet");
    })
}

/// A packet for [`FAN_OUT`] receivers, each with a key of its own.
fn batch(profile: Profile, len: usize) -> Work {
    let mut contexts: [_; FAN_OUT] = std::array::from_fn(|_| outbound(&default(), profile));
    let mut bufs: [_; FAN_OUT] = std::array::from_fn(|_| vec![7; len + MAX_OVERHEAD]);
    let mut seq = 0u16;
    Box::new(move || {
        bufs.iter_mut().for_each(|buf| put_header(buf, seq));
        seq = seq.wrapping_add(1);
        let mut contexts = contexts.iter_mut();
        let mut packets = bufs
            .each_mut()
            .map(|buf| Outgoing::new(contexts.next().expect("as many contexts as buffers"), buf, len));
        protect_rtp_batch(&mut packets);
        assert!(packets.iter().all(|packet| packet.protected().is_ok()));
    })
}

/// Copies a protected packet, as a receive call does, and opens it.
fn unprotect(provider: CryptoProvider, profile: Profile, len: usize) -> Work {
    let mut sender = outbound(&provider, profile);
    let mut buf = vec![7; len + MAX_OVERHEAD];
    let pool: Vec<Vec<u8>> = (0..POOL)
        .map(|seq| {
            put_header(&mut buf, seq as u16);
            buf[12..].fill(7);
            let sealed = sender.protect_rtp(&mut buf, len).expect("a new packet");
            buf[..sealed].to_vec()
        })
        .collect();
    let mut context = inbound(&provider, profile);
    let mut next = 0;
    Box::new(move || {
        if next == POOL {
            (next, context) = (0, inbound(&provider, profile));
        }
        let packet = &pool[next];
        next += 1;
        buf[..packet.len()].copy_from_slice(packet);
        assert_eq!(context.unprotect_rtp(&mut buf[..packet.len()]), Ok(len));
    })
}
