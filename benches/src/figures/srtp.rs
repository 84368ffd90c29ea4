//! SRTP of 1200-byte packets, beside peers and beside the ciphers alone.

use std::hint::black_box;
use std::rc::Rc;

use tombolo_crypto::{AeadAlgorithm, CryptoProvider};
use tombolo_srtp::Profile;

use super::{Contest, Figure, Work};
use crate::scenarios;

/// Bytes of the RTP packet.
const LEN: usize = 1200;
const HEADER: usize = 12;
/// Packets that are protected in advance; after them a receiver starts anew.
const POOL: usize = 2048;

pub(super) fn figures() -> Vec<Figure> {
    let contests = [
        ("srtp-gcm-protect", Profile::AeadAes128Gcm, true),
        ("srtp-gcm-unprotect", Profile::AeadAes128Gcm, false),
        ("srtp-cm-protect", Profile::Aes128CmHmacSha1_80, true),
        ("srtp-cm-unprotect", Profile::Aes128CmHmacSha1_80, false),
    ];
    let figures = contests.into_iter().map(|(name, profile, protect)| {
        let ours = scenarios::find(name).expect("a scenario").prepare();
        let mut others = vec![("limit", limit(profile, protect))];
        others.extend(peers::all(profile, protect));
        Contest { name, ours, others }.nanoseconds()
    });
    figures.flatten().collect()
}

/// The ciphers on the same bytes, without a protocol around them.
fn limit(profile: Profile, protect: bool) -> Work {
    let provider = CryptoProvider::default();
    let mut buf = vec![7; LEN + 16];
    match profile {
        Profile::AeadAes128Gcm => {
            let key = (provider.aead)(AeadAlgorithm::Aes128Gcm, &[1; 16]).expect("a key of 16 bytes");
            if protect {
                return Box::new(move || {
                    let (header, payload) = buf[..LEN].split_at_mut(HEADER);
                    black_box(key.seal_in_place(&[3; 12], header, payload));
                });
            }
            let tag = {
                let (header, payload) = buf[..LEN].split_at_mut(HEADER);
                key.seal_in_place(&[3; 12], header, payload)
            };
            buf[LEN..].copy_from_slice(&tag);
            let mut packets = arrivals(&buf);
            Box::new(move || {
                buf.copy_from_slice(&packets());
                let (header, payload) = buf.split_at_mut(HEADER);
                assert!(key.open_in_place(&[3; 12], header, payload).is_ok());
            })
        }
        _ => {
            let ctr = (provider.aes_ctr)(&[1; 16]).expect("a key of 16 bytes");
            let mac = (provider.hmac_sha1)(&[2; 20]);
            let mut packets = (!protect).then(|| arrivals(&buf));
            Box::new(move || {
                if let Some(packets) = &mut packets {
                    buf.copy_from_slice(&packets());
                }
                ctr.apply_keystream(&[3; 16], &mut buf[HEADER..LEN]);
                black_box(mac.sign(&[&buf[..LEN], &[0; 4]]));
            })
        }
    }
}

/// Copies of a packet in as much memory as the contenders' packets take, in turn.
fn arrivals(packet: &[u8]) -> impl FnMut() -> Rc<[u8]> + use<> {
    let packets: Vec<Rc<[u8]>> = (0..POOL).map(|_| packet.into()).collect();
    let mut next = 0;
    move || {
        next = (next + 1) % POOL;
        Rc::clone(&packets[next])
    }
}

#[cfg(not(feature = "peers"))]
mod peers {
    use super::{Profile, Work};

    /// Nobody.
    pub(super) fn all(_profile: Profile, _protect: bool) -> Vec<(&'static str, Work)> {
        Vec::new()
    }
}

#[cfg(feature = "peers")]
mod peers {
    use super::{LEN, POOL, Profile, Work, black_box};

    const KEY: [u8; 16] = [1; 16];
    const SALT: [u8; 14] = [2; 14];
    /// As wide as ours.
    const WINDOW: usize = 1024;

    pub(super) fn all(profile: Profile, protect: bool) -> Vec<(&'static str, Work)> {
        if protect {
            vec![("rtc-srtp", rtc::protect(profile)), ("webrtc-srtp", webrtc::protect(profile))]
        } else {
            vec![("rtc-srtp", rtc::unprotect(profile)), ("webrtc-srtp", webrtc::unprotect(profile))]
        }
    }

    fn packet() -> Vec<u8> {
        let mut packet = vec![7; LEN];
        put_header(&mut packet, 0);
        packet
    }

    fn put_header(packet: &mut [u8], seq: u16) {
        let [high, low] = seq.to_be_bytes();
        packet[..12].copy_from_slice(&[0x80, 96, high, low, 0, 0, 0, 1, 0, 0, 0, 9]);
    }

    macro_rules! peer {
        ($name:ident, $krate:ident, |$key:ident, $salt:ident, $profile:ident, $options:ident| $new:expr) => {
            mod $name {
                use $krate::context::Context;
                use $krate::option::srtp_replay_protection;
                use $krate::protection_profile::ProtectionProfile;

                use super::{KEY, POOL, Profile, SALT, WINDOW, Work, black_box, packet, put_header};

                fn context(profile: Profile) -> Context {
                    let ($key, $salt) = (&KEY, &SALT[..profile.salt_len()]);
                    let $profile = match profile {
                        Profile::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
                        _ => ProtectionProfile::Aes128CmHmacSha1_80,
                    };
                    let $options = Some(srtp_replay_protection(WINDOW));
                    $new.expect("lengths of the profile")
                }

                pub(super) fn protect(profile: Profile) -> Work {
                    let mut context = context(profile);
                    let mut packet = packet();
                    let mut seq = 0u16;
                    Box::new(move || {
                        put_header(&mut packet, seq);
                        seq = seq.wrapping_add(1);
                        black_box(context.encrypt_rtp(&packet).expect("a good packet"));
                    })
                }

                pub(super) fn unprotect(profile: Profile) -> Work {
                    let mut sender = context(profile);
                    let mut packet = packet();
                    let pool: Vec<Vec<u8>> = (0..POOL)
                        .map(|seq| {
                            put_header(&mut packet, seq as u16);
                            sender.encrypt_rtp(&packet).expect("a good packet").to_vec()
                        })
                        .collect();
                    let (mut receiver, mut next) = (context(profile), 0);
                    Box::new(move || {
                        if next == POOL {
                            (receiver, next) = (context(profile), 0);
                        }
                        black_box(receiver.decrypt_rtp(&pool[next]).expect("a good packet"));
                        next += 1;
                    })
                }
            }
        };
    }

    peer!(rtc, rtc_srtp, |key, salt, profile, options| {
        let provider = rtc_crypto::default_provider().expect("a provider");
        Context::new(key, salt, profile, options, None, provider.crypto())
    });
    peer!(webrtc, webrtc_srtp, |key, salt, profile, options| Context::new(key, salt, profile, options, None));
}
