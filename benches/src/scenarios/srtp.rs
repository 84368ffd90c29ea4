//! SRTP of a 1200-byte packet, with each profile and with null ciphers.

use tombolo_crypto::CryptoProvider;
use tombolo_srtp::{Config, InboundContext, MAX_OVERHEAD, OutboundContext, Profile};

use super::{Scenario, Work, null_provider};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::new("srtp-gcm-protect", || protect(CryptoProvider::default(), Profile::AeadAes128Gcm)),
    Scenario::new("srtp-gcm-unprotect", || unprotect(CryptoProvider::default(), Profile::AeadAes128Gcm)),
    Scenario::new("srtp-cm-protect", || protect(CryptoProvider::default(), Profile::Aes128CmHmacSha1_80)),
    Scenario::new("srtp-cm-unprotect", || unprotect(CryptoProvider::default(), Profile::Aes128CmHmacSha1_80)),
    Scenario::new("srtp-null-protect", || protect(null_provider(), Profile::AeadAes128Gcm)),
    Scenario::new("srtp-null-unprotect", || unprotect(null_provider(), Profile::AeadAes128Gcm)),
];

/// Bytes of the RTP packet.
const LEN: usize = 1200;
/// Packets that are protected in advance; after them the receiver starts anew.
const POOL: usize = 2048;

const KEY: [u8; 16] = [1; 16];
const SALT: [u8; 14] = [2; 14];

fn outbound(provider: &CryptoProvider, profile: Profile) -> OutboundContext {
    OutboundContext::new(provider, profile, &KEY, &SALT[..profile.salt_len()], &Config::default())
        .expect("lengths of the profile")
}

fn inbound(provider: &CryptoProvider, profile: Profile) -> InboundContext {
    InboundContext::new(provider, profile, &KEY, &SALT[..profile.salt_len()], &Config::default())
        .expect("lengths of the profile")
}

fn put_header(buf: &mut [u8], seq: u16) {
    let [high, low] = seq.to_be_bytes();
    buf[..12].copy_from_slice(&[0x80, 96, high, low, 0, 0, 0, 1, 0, 0, 0, 9]);
}

fn protect(provider: CryptoProvider, profile: Profile) -> Work {
    let mut context = outbound(&provider, profile);
    let mut buf = vec![7; LEN + MAX_OVERHEAD];
    let mut seq = 0u16;
    Box::new(move || {
        put_header(&mut buf, seq);
        seq = seq.wrapping_add(1);
        context.protect_rtp(&mut buf, LEN).expect("a new packet");
    })
}

/// Copies a protected packet, as a receive call does, and opens it.
fn unprotect(provider: CryptoProvider, profile: Profile) -> Work {
    let mut sender = outbound(&provider, profile);
    let mut buf = vec![7; LEN + MAX_OVERHEAD];
    let pool: Vec<Vec<u8>> = (0..POOL)
        .map(|seq| {
            put_header(&mut buf, seq as u16);
            buf[12..].fill(7);
            let len = sender.protect_rtp(&mut buf, LEN).expect("a new packet");
            buf[..len].to_vec()
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
        assert_eq!(context.unprotect_rtp(&mut buf[..packet.len()]), Ok(LEN));
    })
}
