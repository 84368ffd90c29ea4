use super::{array, hex};
use crate::{CryptoError, CryptoProvider};

pub(super) fn check(provider: &CryptoProvider) {
    aes_ctr(provider);
    key_stream_of_rfc_3711(provider);
    hmac_sha1(provider);
}

/// Name, key, first counter block, plaintext, ciphertext.
const CTR_VECTORS: &[(&str, &str, &str, &str, &str)] = &[
    (
        "RFC 3686 §6, test vector 1",
        "ae6852f8121067cc4bf7a5765577f39e",
        "00000030000000000000000000000001",
        "53696e676c6520626c6f636b206d7367",
        "e4095d4fb7a7b3792d6175a3261311b8",
    ),
    (
        "RFC 3686 §6, test vector 2",
        "7e24067817fae0d743d6ce1f32539163",
        "006cb6dbc0543b59da48d90b00000001",
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "5104a106168a72d9790d41ee8edad388eb2e1efc46da57c8fce630df9141be28",
    ),
    (
        "NIST SP 800-38A F.5.5",
        "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
        "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
        "6bc1bee22e409f96e93d7e117393172a",
        "601ec313775789a5b7a7f504bbf3d228",
    ),
];

fn aes_ctr(provider: &CryptoProvider) {
    for (name, key, iv, plaintext, ciphertext) in CTR_VECTORS {
        let key = (provider.aes_ctr)(&hex(key)).expect(name);
        let mut buffer = hex(plaintext);
        key.apply_keystream(&array(iv), &mut buffer);
        assert_eq!(buffer, hex(ciphertext), "{name}");
        key.apply_keystream(&array(iv), &mut buffer);
        assert_eq!(buffer, hex(plaintext), "{name}: and back");
        let mut prefix = hex(plaintext)[..5].to_vec();
        key.apply_keystream(&array(iv), &mut prefix);
        assert_eq!(prefix, hex(ciphertext)[..5], "{name}: part of a block");
    }
    for len in [0, 15, 17, 31, 33] {
        let refused = (provider.aes_ctr)(&vec![0; len]).map(|_| ());
        assert_eq!(refused, Err(CryptoError::Malformed), "AES key of {len} bytes");
    }
}

/// RFC 3711 Appendix B.2: the counter runs past 16 bits.
fn key_stream_of_rfc_3711(provider: &CryptoProvider) {
    let key = (provider.aes_ctr)(&hex("2b7e151628aed2a6abf7158809cf4f3c")).expect("AES-128-CTR");
    let mut stream = vec![0; 0xff02 * 16];
    key.apply_keystream(&array("f0f1f2f3f4f5f6f7f8f9fafbfcfd0000"), &mut stream);
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
        let key = (provider.hmac_sha1)(key);
        assert_eq!(key.sign(&[data])[..], hex(mac), "{name}");
        let (head, tail) = data.split_at(3);
        assert_eq!(key.sign(&[head, &[], tail])[..], hex(mac), "{name}: in parts, and a second time");
    }
}
