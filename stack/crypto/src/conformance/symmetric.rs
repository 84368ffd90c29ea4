use super::{array, hex};
use crate::{AuthError, CM_IV_LEN, CM_LANES, CmJob, CryptoError, CryptoProvider, CtrKey, seal_batch};

pub(super) fn check(provider: &CryptoProvider) {
    aes_cm(provider);
    key_stream_of_rfc_3711(provider);
    hmac_sha1(provider);
    both_in_turns(provider);
    in_a_batch(provider);
}

/// Name, key, what stays of the counter block, the key stream's first blocks.
const CM_VECTORS: &[(&str, &str, &str, &str)] = &[
    (
        "RFC 3711 §B.2",
        "2b7e151628aed2a6abf7158809cf4f3c",
        "f0f1f2f3f4f5f6f7f8f9fafbfcfd",
        "e03ead0935c95e80e166b16dd92b4eb4d23513162b02d0f72a43a2fe4a5f97ab41e95b3bb0a2e8dd477901e4fca894c0",
    ),
    (
        "RFC 6188 §7.1",
        "57f82fe3613fd170a85ec93c40b1f0922ec4cb0dc025b58272147cc438944a98",
        "f0f1f2f3f4f5f6f7f8f9fafbfcfd",
        "92bdd28a93c3f52511c677d08b5515a49da71b2378a854f67050756ded165bac63c4868b7096d88421b563b8c94c9a31",
    ),
    (
        "AESAVS, VarTxt 128, count 0",
        "00000000000000000000000000000000",
        "8000000000000000000000000000",
        "3ad78e726c1ec02b7ebfe92b23d9ec34",
    ),
    (
        "AESAVS, VarTxt 256, count 0",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "8000000000000000000000000000",
        "ddc6bf790c15760d8d9aeb6f9a75fd4e",
    ),
];

fn aes_cm(provider: &CryptoProvider) {
    for (name, key, iv, expected) in CM_VECTORS {
        let expected = hex(expected);
        let alone = (provider.aes_cm)(&hex(key)).expect(name);
        let with_mac: Box<dyn CtrKey> = (provider.aes_cm_hmac_sha1)(&hex(key), &[8; 20]).expect(name);
        for key in [alone, with_mac] {
            let mut buffer = vec![0; expected.len()];
            key.apply_keystream(&array(iv), &mut buffer);
            assert_eq!(buffer, expected, "{name}");
            key.apply_keystream(&array(iv), &mut buffer);
            assert_eq!(buffer, vec![0; expected.len()], "{name}: and back");
            let mut prefix = [0; 5];
            key.apply_keystream(&array(iv), &mut prefix);
            assert_eq!(prefix, expected[..5], "{name}: part of a block");
        }
    }
    for len in [0, 15, 17, 31, 33] {
        let refused = (provider.aes_cm)(&vec![0; len]).map(|_| ());
        assert_eq!(refused, Err(CryptoError::Malformed), "AES key of {len} bytes");
        let refused = (provider.aes_cm_hmac_sha1)(&vec![0; len], &[0; 20]).map(|_| ());
        assert_eq!(refused, Err(CryptoError::Malformed), "AES key of {len} bytes, with HMAC");
    }
}

/// RFC 3711 Appendix B.2: the counter runs past 16 bits.
fn key_stream_of_rfc_3711(provider: &CryptoProvider) {
    let key = (provider.aes_cm)(&hex("2b7e151628aed2a6abf7158809cf4f3c")).expect("AES-128-CM");
    let mut stream = vec![0; 0xff02 * 16];
    key.apply_keystream(&array("f0f1f2f3f4f5f6f7f8f9fafbfcfd"), &mut stream);
    let first = "e03ead0935c95e80e166b16dd92b4eb4 d23513162b02d0f72a43a2fe4a5f97ab
        41e95b3bb0a2e8dd477901e4fca894c0";
    let last = "ec8cdf7398607cb0f2d21675ea9ea1e4 362b7c3c6773516318a077d7fc5073ae
        6a2cc3787889374fbeb4c81b17ba6c44";
    assert_eq!(stream[..48], hex(first), "RFC 3711 B.2, first blocks");
    assert_eq!(stream[0xfeff * 16..], hex(last), "RFC 3711 B.2, last blocks");
}

fn hmac_sha1(provider: &CryptoProvider) {
    let large: &[u8] = b"Test Using Larger Than Block-Size Key - Hash Key First";
    let vectors: [(&str, &[u8], &[u8], &str); 4] = [
        ("RFC 2202 §3 case 1", &[0x0b; 20], b"Hi There", "b617318655057264e28bc0b6fb378c8ef146be00"),
        (
            "RFC 2202 §3 case 2",
            b"Jefe",
            b"what do ya want for nothing?",
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
        ),
        ("RFC 2202 §3 case 3", &[0xaa; 20], &[0xdd; 50], "125d7342b9ac11cd91a39af48aa17b4f63f175d3"),
        ("RFC 2202 §3 case 6", &[0xaa; 80], large, "aa4ae5e15272d00e95705637ce8a3b55ed402112"),
    ];
    for (name, key, data, mac) in vectors {
        let key = (provider.aes_cm_hmac_sha1)(&[0; 16], key).expect(name);
        let (message, trailer) = data.split_last_chunk().expect(name);
        assert_eq!(key.sign(message, *trailer)[..], hex(mac), "{name}");
        assert_eq!(key.sign(message, *trailer)[..], hex(mac), "{name}: a second time");
    }
}

/// [`crate::CmHmacKey::seal`] and [`crate::CmHmacKey::open`] are encryption and MAC, at every length and start; a packet whose
/// tag does not fit is left as it is.
fn both_in_turns(provider: &CryptoProvider) {
    let (iv, trailer) = ([9; CM_IV_LEN], [1, 2, 3, 4]);
    for key_len in [16, 32] {
        let key = (provider.aes_cm_hmac_sha1)(&vec![7; key_len], &[8; 20]).expect("AES-CM");
        let alone = (provider.aes_cm)(&vec![7; key_len]).expect("AES-CM");
        for len in (0..600_usize).chain(1500..1700) {
            let clear_len = len.min([0, 12, 20, 64, 71, 400][len % 6]);
            let plaintext: Vec<u8> = (0..len).map(|at| at as u8).collect();
            let mut expected = plaintext.clone();
            alone.apply_keystream(&iv, &mut expected[clear_len..]);
            let mac = key.sign(&expected, trailer);
            let mut packet = plaintext.clone();
            assert_eq!(key.seal(&iv, &mut packet, clear_len, trailer), mac, "{len} bytes: MAC");
            assert_eq!(packet, expected, "{len} bytes: ciphertext");
            for tag_len in [0, 4, 10, 20] {
                let mut tag = mac[..tag_len].to_vec();
                for at in 0..tag_len {
                    tag[at] ^= 1 << (len % 8);
                    let mut packet = expected.clone();
                    assert_eq!(key.verify(&packet, trailer, &tag), Err(AuthError), "{len} bytes: byte {at}");
                    let opened = key.open(&iv, &mut packet, clear_len, trailer, &tag);
                    assert_eq!(opened, Err(AuthError), "{len} bytes: byte {at} of the tag");
                    assert_eq!(packet, expected, "{len} bytes: as before");
                    tag[at] = mac[at];
                }
                let mut packet = expected.clone();
                assert_eq!(key.verify(&packet, trailer, &tag), Ok(()), "{len} bytes: tag of {tag_len}");
                assert_eq!(key.open(&iv, &mut packet, clear_len, trailer, &tag), Ok(()), "{len} bytes");
                assert_eq!(packet, plaintext, "{len} bytes: plaintext");
            }
            let long = [&mac[..], &[0]].concat();
            assert_eq!(key.verify(&expected, trailer, &long), Err(AuthError), "a tag longer than the MAC");
        }
    }
}

/// [`seal_batch`] encrypts and then signs, for every choice of lanes.
fn in_a_batch(provider: &CryptoProvider) {
    let keys: [_; CM_LANES] = std::array::from_fn(|lane| {
        (provider.aes_cm_hmac_sha1)(&[lane as u8; 16], &[lane as u8 + 1; 20]).expect("AES-CM")
    });
    let plain = |lane: usize| vec![lane as u8; 100 + lane * 37];
    for chosen in 0..1 << CM_LANES {
        let mut packets: [Vec<u8>; CM_LANES] = std::array::from_fn(plain);
        let mut places = packets.each_mut().map(Some);
        let mut jobs: [_; CM_LANES] = std::array::from_fn(|lane| {
            let packet = places[lane].take().filter(|_| chosen >> lane & 1 == 1)?;
            let (iv, trailer) = ([lane as u8; CM_IV_LEN], [lane as u8; 4]);
            Some(CmJob { key: &*keys[lane], iv, packet, clear_len: 12, trailer, mac: [0; 20] })
        });
        seal_batch(&mut jobs);
        let macs = jobs.map(|job| job.map(|job| job.mac));
        for (lane, (packet, mac)) in packets.iter().zip(macs).enumerate() {
            let mut expected = plain(lane);
            if let Some(mac) = mac {
                keys[lane].apply_keystream(&[lane as u8; CM_IV_LEN], &mut expected[12..]);
                let alone = keys[lane].sign(&expected, [lane as u8; 4]);
                assert_eq!(mac, alone, "lane {lane} of {chosen:04b}: MAC");
            }
            assert_eq!(*packet, expected, "lane {lane} of {chosen:04b}");
        }
    }
}
