//! SRTP of packets of sound and of pictures, each profile, beside peers and beside the ciphers alone.

use std::hint::black_box;
use std::rc::Rc;

use tombolo_crypto::{AeadAlgorithm, CryptoProvider};
use tombolo_srtp::Profile;

use super::{Contender, Contest, Unit};
use crate::scenarios::{self, FAN_OUT, LONG, SHORT};

const HEADER: usize = 12;
/// Packets that are protected in advance; after them a receiver starts anew.
const POOL: usize = 2048;

const PROFILES: [(&str, Profile); 4] = [
    ("gcm", Profile::AeadAes128Gcm),
    ("gcm256", Profile::AeadAes256Gcm),
    ("cm", Profile::Aes128CmHmacSha1_80),
    ("cm32", Profile::Aes128CmHmacSha1_32),
];

/// What is done to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Protect,
    Unprotect,
    /// Protection of one packet for many receivers, a packet each.
    Batch,
}

pub(super) fn contests() -> Vec<Contest> {
    let ways = [("protect", Way::Protect), ("unprotect", Way::Unprotect), ("batch", Way::Batch)];
    let lengths = [(LONG, ""), (SHORT, "-160")];
    let all = lengths.iter().flat_map(|length| PROFILES.map(|profile| (*length, profile)));
    all.flat_map(|(length, profile)| ways.map(|way| contest(length, profile, way))).collect()
}

fn contest(
    (len, suffix): (usize, &str),
    (name, profile): (&'static str, Profile),
    (verb, way): (&str, Way),
) -> Contest {
    let figure = format!("srtp-{name}-{verb}{suffix}");
    let operations = if way == Way::Batch { FAN_OUT as u64 } else { 1 };
    let ours = scenarios::find(&figure).expect("a scenario").prepare();
    Contest::new(figure, Unit::Nanoseconds, Contender::of(ours, operations))
        .beside([("limit", Contender::new(limit(profile, way, len)))])
        .beside(peers::all(name, profile, way, len))
}

/// The ciphers on the same bytes, one after the other, without a protocol around them.
fn limit(profile: Profile, way: Way, len: usize) -> Box<dyn FnMut()> {
    let provider = CryptoProvider::default();
    let mut buf = vec![7; len + 16];
    let aead = match profile {
        Profile::AeadAes128Gcm => Some(AeadAlgorithm::Aes128Gcm),
        Profile::AeadAes256Gcm => Some(AeadAlgorithm::Aes256Gcm),
        _ => None,
    };
    let Some(aead) = aead else {
        let key = (provider.aes_cm_hmac_sha1)(&[1; 16], &[2; 20]).expect("a key of 16 bytes");
        if way != Way::Unprotect {
            return Box::new(move || {
                key.apply_keystream(&[3; 14], &mut buf[HEADER..len]);
                black_box(key.sign(&buf[..len], [0; 4]));
            });
        }
        // Nobody decrypts what is not known to be authentic.
        let mut packets = arrivals(&buf);
        return Box::new(move || {
            buf.copy_from_slice(&packets());
            black_box(key.sign(&buf[..len], [0; 4]));
            key.apply_keystream(&[3; 14], &mut buf[HEADER..len]);
        });
    };
    let key = (provider.aead)(aead, &vec![1; aead.key_len()]).expect("a key of its length");
    if way != Way::Unprotect {
        return Box::new(move || {
            let (header, payload) = buf[..len].split_at_mut(HEADER);
            black_box(key.seal_in_place(&[3; 12], header, payload));
        });
    }
    let tag = {
        let (header, payload) = buf[..len].split_at_mut(HEADER);
        key.seal_in_place(&[3; 12], header, payload)
    };
    buf[len..].copy_from_slice(&tag);
    let mut packets = arrivals(&buf);
    Box::new(move || {
        buf.copy_from_slice(&packets());
        let (header, payload) = buf.split_at_mut(HEADER);
        assert!(key.open_in_place(&[3; 12], header, payload).is_ok());
    })
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
    use super::{Contender, Profile, Way};

    /// Nobody.
    pub(super) fn all(_: &str, _: Profile, _: Way, _: usize) -> Vec<(&'static str, Contender)> {
        Vec::new()
    }
}

#[cfg(feature = "peers")]
mod peers {
    use super::{Contender, POOL, Profile, Way, black_box};

    const KEY: [u8; 32] = [1; 32];
    const SALT: [u8; 14] = [2; 14];
    /// As wide as ours.
    const WINDOW: usize = 1024;

    pub(super) fn all(name: &str, profile: Profile, way: Way, len: usize) -> Vec<(&'static str, Contender)> {
        let (rtc, webrtc) = if way == Way::Unprotect {
            (rtc::unprotect(profile, len), webrtc::unprotect(profile, len))
        } else {
            (rtc::protect(profile, len), webrtc::protect(profile, len))
        };
        let verb = if way == Way::Unprotect { "unprotect" } else { "protect" };
        let libsrtp = std::env::var_os("TOMBOLO_LIBSRTP")
            .and_then(|path| Contender::program(&path, &[name, &len.to_string(), verb]));
        let mut all = vec![("rtc-srtp", rtc), ("webrtc-srtp", webrtc)];
        all.extend(libsrtp.map(|contender| ("libsrtp", contender)));
        if way != Way::Unprotect {
            all.extend(str0m::protect(profile, len).map(|contender| ("str0m", contender)));
        }
        all
    }

    fn packet(len: usize) -> Vec<u8> {
        let mut packet = vec![7; len];
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

                use super::{Contender, KEY, POOL, Profile, SALT, WINDOW, black_box, packet, put_header};

                pub(super) fn context(profile: Profile) -> Context {
                    let ($key, $salt) = (&KEY[..profile.key_len()], &SALT[..profile.salt_len()]);
                    let $profile = match profile {
                        Profile::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
                        Profile::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
                        Profile::Aes128CmHmacSha1_32 => ProtectionProfile::Aes128CmHmacSha1_32,
                        _ => ProtectionProfile::Aes128CmHmacSha1_80,
                    };
                    let $options = Some(srtp_replay_protection(WINDOW));
                    $new.expect("lengths of the profile")
                }

                pub(super) fn protect(profile: Profile, len: usize) -> Contender {
                    let mut context = context(profile);
                    let mut packet = packet(len);
                    let mut seq = 0u16;
                    Contender::new(move || {
                        put_header(&mut packet, seq);
                        seq = seq.wrapping_add(1);
                        black_box(context.encrypt_rtp(&packet).expect("a good packet"));
                    })
                }

                pub(super) fn unprotect(profile: Profile, len: usize) -> Contender {
                    let mut sender = context(profile);
                    let mut packet = packet(len);
                    let pool: Vec<Vec<u8>> = (0..POOL)
                        .map(|seq| {
                            put_header(&mut packet, seq as u16);
                            sender.encrypt_rtp(&packet).expect("a good packet").to_vec()
                        })
                        .collect();
                    let (mut receiver, mut next) = (context(profile), 0);
                    let mut received = vec![0; pool[0].len()];
                    Contender::new(move || {
                        if next == POOL {
                            (receiver, next) = (context(profile), 0);
                        }
                        received.copy_from_slice(&pool[next]);
                        black_box(receiver.decrypt_rtp(&received).expect("a good packet"));
                        next += 1;
                    })
                }

                /// They understand ours and we theirs, with every profile.
                #[test]
                fn it_agrees() {
                    use tombolo_srtp::{Config, InboundContext, MAX_OVERHEAD, MasterKey, OutboundContext};

                    let provider = tombolo_crypto::CryptoProvider::default();
                    for profile in Profile::ALL {
                        let (key, salt) = (&KEY[..profile.key_len()], &SALT[..profile.salt_len()]);
                        let master = MasterKey::new(profile, key, salt);
                        let config = Config::default();
                        let mut ours = OutboundContext::new(&provider, &master, &config).expect("a key");
                        let mut opens = InboundContext::new(&provider, &master, &config).expect("a key");
                        let plain = packet(200);
                        let mut buf = [&plain[..], &[0; MAX_OVERHEAD]].concat();
                        let len = ours.protect_rtp(&mut buf, plain.len()).expect("a new packet");
                        let theirs = context(profile).encrypt_rtp(&plain).expect("a good packet");
                        assert_eq!(buf[..len], theirs[..], "{profile:?}");
                        let opened = context(profile).decrypt_rtp(&buf[..len]).expect("a good packet");
                        assert_eq!(opened[..], plain, "{profile:?}");
                        assert_eq!(opens.unprotect_rtp(&mut buf[..len]), Ok(plain.len()));
                    }
                }
            }
        };
    }

    peer!(rtc, rtc_srtp, |key, salt, profile, options| {
        let provider = rtc_crypto::default_provider().expect("a provider");
        Context::new(key, salt, profile, options, None, provider.crypto())
    });
    peer!(webrtc, webrtc_srtp, |key, salt, profile, options| Context::new(key, salt, profile, options, None));

    /// `str0m` has no SRTP in its API. What it makes packets with for its own tests protects them, and writes the header and
    /// clears a buffer of 1500 bytes before that; nothing there unprotects.
    mod str0m {
        use str0m::_internal_test_exports::TestSrtp;
        use str0m::config::KeyingMaterial;
        use str0m::crypto::dtls::SrtpProfile;
        use str0m::rtp::{ExtensionMap, RtpHeader};

        use super::{Contender, KEY, Profile, SALT, black_box, packet};

        fn context(profile: Profile) -> Option<TestSrtp> {
            let theirs = match profile {
                Profile::Aes128CmHmacSha1_80 => SrtpProfile::AES128_CM_SHA1_80,
                Profile::AeadAes128Gcm => SrtpProfile::AEAD_AES_128_GCM,
                Profile::AeadAes256Gcm => SrtpProfile::AEAD_AES_256_GCM,
                _ => return None,
            };
            let (key, salt) = (&KEY[..profile.key_len()], &SALT[..profile.salt_len()]);
            let keys = KeyingMaterial::new(&[key, key, salt, salt].concat());
            Some(TestSrtp::new(&str0m::crypto::from_feature_flags(), theirs, &keys))
        }

        fn header(seq: u64) -> RtpHeader {
            RtpHeader {
                payload_type: 96.into(),
                sequence_number: seq as u16,
                timestamp: 1,
                ssrc: 9.into(),
                has_extension: false,
                ..RtpHeader::default()
            }
        }

        pub(super) fn protect(profile: Profile, len: usize) -> Option<Contender> {
            let mut context = context(profile)?;
            let (packet, extensions) = (packet(len), ExtensionMap::empty());
            let mut seq = 0;
            Some(Contender::new(move || {
                seq += 1;
                black_box(context.protect(header(seq), seq, &packet[12..], &extensions));
            }))
        }

        /// It protects as the others do.
        #[test]
        fn it_agrees() {
            for profile in Profile::ALL {
                let Some(mut context) = context(profile) else { continue };
                let plain = packet(200);
                let theirs = context.protect(header(0), 0, &plain[12..], &ExtensionMap::empty());
                let others = super::rtc::context(profile).encrypt_rtp(&plain).expect("a good packet");
                assert_eq!(theirs, others[..], "{profile:?}");
            }
        }
    }
}
