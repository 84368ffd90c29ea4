//! MKI and change of keys, and the two ways to encrypt header extensions.

use tombolo_crypto::CryptoProvider;
use tombolo_srtp::{
    Config, Cryptex, InboundContext, KeyError, MAX_KEYS, MasterKey, OutboundContext, Profile, ProtectError,
    UnprotectError,
};

use super::support::{protect, unprotect};

/// Key material of one byte, for any profile.
struct Material {
    profile: Profile,
    key: Vec<u8>,
    salt: Vec<u8>,
    mki: Vec<u8>,
}

impl Material {
    fn new(profile: Profile, byte: u8, mki: &[u8]) -> Self {
        let (key, salt) = (vec![byte; profile.key_len()], vec![byte + 100; profile.salt_len()]);
        Self { profile, key, salt, mki: mki.to_vec() }
    }

    fn master(&self) -> MasterKey<'_> {
        MasterKey::new(self.profile, &self.key, &self.salt).with_mki(&self.mki)
    }

    fn session(&self, config: &Config) -> (OutboundContext, InboundContext) {
        let provider = CryptoProvider::default();
        (
            OutboundContext::new(&provider, &self.master(), config).expect("lengths of the profile"),
            InboundContext::new(&provider, &self.master(), config).expect("lengths of the profile"),
        )
    }
}

fn packet(first: u8, seq: u16, rest: &[u8]) -> Vec<u8> {
    let [high, low] = seq.to_be_bytes();
    let header = [first, 96, high, low, 0, 0, 0, 1, 0, 0, 0, 9];
    [&header, rest, b"a payload that is hidden"].concat()
}

fn report() -> Vec<u8> {
    vec![0x81, 206, 0, 2, 0, 0, 0, 9, 0, 0, 0, 2]
}

/// RFC 3711 §3.1 and RFC 7714 §8.1: in front of an HMAC, behind the tag of an AEAD; it costs its length and no more, and
/// it is not authenticated, but another one names no key.
#[test]
fn the_mki_stands_where_the_profile_has_it() {
    for profile in Profile::ALL {
        let config = Config::default();
        let (mut outbound, mut inbound) = Material::new(profile, 1, b"key 1").session(&config);
        let (mut without, _) = Material::new(profile, 1, b"").session(&config);
        for packet in [packet(0x80, 1, &[]), report()] {
            let sealed = protect(&mut outbound, &packet).unwrap();
            let bare = protect(&mut without, &packet).unwrap();
            let behind = match (profile, packet[1]) {
                (Profile::Aes128CmHmacSha1_32, 96) => 4,
                (Profile::Aes128CmHmacSha1_80 | Profile::Aes128CmHmacSha1_32, _) => 10,
                _ => 0,
            };
            let (head, tail) = bare.split_at(bare.len() - behind);
            assert_eq!(sealed, [head, b"key 1", tail].concat(), "{profile:?}");
            let mut other = sealed.clone();
            other[head.len() + 4] ^= 1;
            assert_eq!(unprotect(&mut inbound, &other), Err(UnprotectError::UnknownKey));
            assert!(unprotect(&mut inbound, &bare).is_err());
            for cut in 3..sealed.len() {
                assert!(unprotect(&mut inbound, &[&sealed[..2], &sealed[cut..]].concat()).is_err());
            }
            assert_eq!(unprotect(&mut inbound, &sealed), Ok(packet));
        }
    }
}

/// A second key comes beside the first, both are taken for a while, the first goes; the rollover counter and the replay
/// list go on (RFC 3711 §3.3.1), and so does the SRTCP index (§3.4).
#[test]
fn keys_change_by_mki_without_losing_state() {
    let provider = CryptoProvider::default();
    for profile in Profile::ALL {
        let (old, new) = (Material::new(profile, 1, b"1"), Material::new(profile, 2, b"2"));
        let config = Config::default().rtp_lifetime_packets(3);
        let (mut outbound, mut inbound) = old.session(&config);
        let before = [65_535, 0, 1].map(|seq| protect(&mut outbound, &packet(0x80, seq, &[])).unwrap());
        let report_before = protect(&mut outbound, &report()).unwrap();
        assert_eq!(protect(&mut outbound, &packet(0x80, 2, &[])), Err(ProtectError::Lifetime));
        assert!(unprotect(&mut inbound, &before[0]).is_ok());
        assert!(unprotect(&mut inbound, &report_before).is_ok());

        outbound.rekey(&provider, &new.master()).unwrap();
        let after = [2, 3].map(|seq| protect(&mut outbound, &packet(0x80, seq, &[])).unwrap());
        let report_after = protect(&mut outbound, &report()).unwrap();
        assert_eq!(protect(&mut outbound, &packet(0x80, 1, &[])), Err(ProtectError::IndexUsed));

        assert_eq!(unprotect(&mut inbound, &after[0]), Err(UnprotectError::UnknownKey));
        inbound.add_key(&provider, &new.master()).unwrap();
        // The rollover counter is 1 by now: only who has kept it opens these.
        assert!(unprotect(&mut inbound, &after[0]).is_ok());
        assert!(unprotect(&mut inbound, &before[1]).is_ok());
        assert_eq!(unprotect(&mut inbound, &before[0]), Err(UnprotectError::Replayed));
        assert!(unprotect(&mut inbound, &report_after).is_ok());
        assert_eq!(unprotect(&mut inbound, &report_before), Err(UnprotectError::Replayed));

        assert!(inbound.remove_key(b"1"));
        assert_eq!(unprotect(&mut inbound, &before[2]), Err(UnprotectError::UnknownKey));
        assert!(unprotect(&mut inbound, &after[1]).is_ok());
        assert!(!inbound.remove_key(b"1") && !inbound.remove_key(b"2"), "the only one stays");
        assert_eq!(inbound.sources(), 1);
    }
}

/// Without MKI the new key takes the old one's place.
#[test]
fn keys_are_replaced_without_losing_state() {
    let provider = CryptoProvider::default();
    for profile in Profile::ALL {
        let (old, new) = (Material::new(profile, 1, b""), Material::new(Profile::AeadAes256Gcm, 2, b""));
        let (mut outbound, mut inbound) = old.session(&Config::default());
        let before = [65_534, 65_535, 0].map(|seq| protect(&mut outbound, &packet(0x80, seq, &[])).unwrap());
        assert!(unprotect(&mut inbound, &before[0]).is_ok());
        assert!(unprotect(&mut inbound, &before[2]).is_ok());
        outbound.rekey(&provider, &new.master()).unwrap();
        inbound.rekey(&provider, &new.master()).unwrap();
        let after = protect(&mut outbound, &packet(0x80, 1, &[])).unwrap();
        assert!(unprotect(&mut inbound, &after).is_ok());
        assert!(unprotect(&mut inbound, &before[1]).is_err());
        assert_eq!(unprotect(&mut inbound, &after), Err(UnprotectError::Replayed));
    }
}

#[test]
fn keys_that_cannot_be_told_apart_are_refused() {
    let provider = CryptoProvider::default();
    let profile = Profile::AeadAes128Gcm;
    let (_, mut inbound) = Material::new(profile, 1, b"").session(&Config::default());
    for mki in [&b""[..], b"1"] {
        let key = Material::new(profile, 2, mki);
        assert_eq!(inbound.add_key(&provider, &key.master()), Err(KeyError::Mki), "{mki:?}");
    }
    let (_, mut inbound) = Material::new(profile, 1, b"1").session(&Config::default());
    for (profile, mki) in
        [(profile, &b"1"[..]), (profile, b"22"), (profile, b""), (Profile::AeadAes256Gcm, b"2")]
    {
        let key = Material::new(profile, 2, mki);
        assert_eq!(inbound.add_key(&provider, &key.master()), Err(KeyError::Mki), "{profile:?} {mki:?}");
    }
    for number in 2..=MAX_KEYS as u8 {
        inbound.add_key(&provider, &Material::new(profile, number, &[number]).master()).unwrap();
    }
    let one_more = Material::new(profile, 100, b"x");
    assert_eq!(inbound.add_key(&provider, &one_more.master()), Err(KeyError::TooMany));
}

/// RFC 6904 §3.1: the chosen values are hidden, in both forms of RFC 8285, and nothing else; they are authenticated as
/// they stand in the packet.
#[test]
fn chosen_values_are_encrypted() {
    let one_byte = [0xbe, 0xde, 0, 3, 0x12, 1, 2, 3, 0, 0x21, 4, 5, 0x30, 6, 0, 0];
    let two_byte = [0x10, 0x07, 0, 3, 1, 3, 1, 2, 3, 0, 2, 1, 4, 3, 0, 0];
    for profile in Profile::ALL {
        let material = Material::new(profile, 1, b"");
        let config = Config::default().encrypted_extensions(&[1, 3]);
        let (mut outbound, mut inbound) = material.session(&config);
        let (_, mut ignorant) = material.session(&Config::default());
        for (seq, extension, hidden) in
            [(1, &one_byte, vec![17, 18, 19, 25]), (2, &two_byte, vec![18, 19, 20])]
        {
            let plain = packet(0x90, seq, extension);
            let sealed = protect(&mut outbound, &plain).unwrap();
            let changed: Vec<usize> = (0..28).filter(|&at| sealed[at] != plain[at]).collect();
            assert_eq!(changed, hidden, "{profile:?}");
            for at in 12..28 {
                let mut flipped = sealed.clone();
                flipped[at] ^= 1;
                assert!(unprotect(&mut inbound, &flipped).is_err(), "{profile:?}, byte {at}");
            }
            let seen = unprotect(&mut ignorant, &sealed).unwrap();
            assert_eq!((&seen[..28], &seen[28..]), (&sealed[..28], &plain[28..]));
            assert_eq!(unprotect(&mut inbound, &sealed), Ok(plain));
        }
        let without = packet(0x80, 3, &[]);
        let sealed = protect(&mut outbound, &without).unwrap();
        assert_eq!(unprotect(&mut inbound, &sealed), Ok(without));
    }
}

/// An extension that is longer than the mask is refused on both sides, and not taken half hidden.
#[test]
fn an_extension_too_long_for_its_mask_is_refused() {
    let material = Material::new(Profile::AeadAes128Gcm, 1, b"");
    let (mut outbound, mut inbound) = material.session(&Config::default().encrypted_extensions(&[1]));
    let (mut careless, _) = material.session(&Config::default());
    let extension = [&[0xbe, 0xde, 2, 0][..], &[0; 2048]].concat();
    let long = packet(0x90, 1, &extension);
    assert_eq!(protect(&mut outbound, &long), Err(ProtectError::Extension));
    let sealed = protect(&mut careless, &long).unwrap();
    assert_eq!(unprotect(&mut inbound, &sealed), Err(UnprotectError::Malformed));
}

/// RFC 9335 §5: who must have it takes nothing else, who may takes both, and a packet without anything to hide is the
/// same for all.
#[test]
fn cryptex_is_taken_as_configured() {
    let extension = [0xbe, 0xde, 0, 1, 0x11, 1, 2, 0];
    for profile in Profile::ALL {
        let material = Material::new(profile, 1, b"mki");
        let modes = [Cryptex::Off, Cryptex::On, Cryptex::Required];
        for (sender, receiver) in modes.iter().flat_map(|s| modes.map(|r| (*s, r))) {
            let (mut outbound, _) = material.session(&Config::default().cryptex(sender));
            let (_, mut inbound) = material.session(&Config::default().cryptex(receiver));
            let bare = packet(0x80, 1, &[]);
            let sealed = protect(&mut outbound, &bare).unwrap();
            assert_eq!(unprotect(&mut inbound, &sealed), Ok(bare), "{sender:?} {receiver:?}");
            for (seq, plain) in [
                (2, packet(0x90, 2, &extension)),
                (3, packet(0x92, 3, &[&[1, 2, 3, 4, 5, 6, 7, 8][..], &extension].concat())),
                (4, packet(0x81, 4, &[1, 2, 3, 4])),
            ] {
                let sealed = protect(&mut outbound, &plain).unwrap();
                let opened = unprotect(&mut inbound, &sealed);
                if sender == Cryptex::Off {
                    let expected = match receiver {
                        Cryptex::Required => Err(UnprotectError::ClearHeader),
                        Cryptex::Off | Cryptex::On => Ok(plain),
                    };
                    assert_eq!(opened, expected, "{seq} {sender:?} {receiver:?}");
                } else if receiver == Cryptex::Off {
                    // With the wrong idea of what is encrypted an AEAD fails, and an HMAC does not show it.
                    assert_ne!(opened, Ok(plain), "{seq} {sender:?} {receiver:?}");
                } else {
                    let mut expected = plain;
                    if seq == 4 {
                        expected.splice(16..16, [0xbe, 0xde, 0, 0]);
                        expected[0] |= 0x10;
                    }
                    assert_eq!(opened, Ok(expected), "{seq} {sender:?} {receiver:?}");
                }
            }
        }
    }
}

/// Every bit of a cryptex packet with sources is authenticated, and a failure leaves no state.
#[test]
fn changed_cryptex_packets_do_not_come_through() {
    for profile in Profile::ALL {
        let config = Config::default().cryptex(Cryptex::On);
        let (mut outbound, mut inbound) = Material::new(profile, 1, b"").session(&config);
        let rest = [1, 2, 3, 4, 5, 6, 7, 8, 0xbe, 0xde, 0, 1, 0x11, 1, 2, 0];
        let plain = packet(0x92, 1, &rest);
        let sealed = protect(&mut outbound, &plain).unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(unprotect(&mut inbound, &flipped).is_err(), "{profile:?}, bit {bit}");
        }
        assert_eq!(inbound.sources(), 0);
        assert_eq!(unprotect(&mut inbound, &sealed), Ok(plain));
    }
}

/// RFC 9335 §5.1: only extensions of RFC 8285 can be marked; others are refused rather than sent in the clear. With no
/// room for the extension that sources need, the packet stays as it was.
#[test]
fn cryptex_refuses_what_it_cannot_mark() {
    let config = Config::default().cryptex(Cryptex::On);
    let (mut outbound, _) = Material::new(Profile::AeadAes128Gcm, 1, b"").session(&config);
    for kind in [[0x12, 0x34], [0x10, 0x01], [0xc0, 0xde]] {
        let plain = packet(0x90, 1, &[kind[0], kind[1], 0, 1, 1, 2, 3, 4]);
        let mut buf = [&plain[..], &[0; 30]].concat();
        assert_eq!(outbound.protect_rtp(&mut buf, plain.len()), Err(ProtectError::Extension));
        assert_eq!(buf[..plain.len()], plain);
    }
    let plain = packet(0x81, 1, &[1, 2, 3, 4]);
    let mut buf = [&plain[..], &[0; 19]].concat();
    assert_eq!(outbound.protect_rtp(&mut buf, plain.len()), Err(ProtectError::NoRoom));
    assert_eq!(buf[..plain.len()], plain);
    assert_eq!(outbound.sources(), 0);
}
