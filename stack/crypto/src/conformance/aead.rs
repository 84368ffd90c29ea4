use super::{array, hex};
use crate::{AeadAlgorithm, AuthError, CryptoError, CryptoProvider};

struct Vector {
    name: &'static str,
    algorithm: AeadAlgorithm,
    key: &'static str,
    nonce: &'static str,
    aad: &'static str,
    plaintext: &'static str,
    ciphertext: &'static str,
    tag: &'static str,
}

const GCM_PLAINTEXT: &str = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72
    1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";
const GCM_AAD: &str = "feedfacedeadbeeffeedfacedeadbeefabaddad2";

const VECTORS: &[Vector] = &[
    Vector {
        name: "GCM specification, test case 1",
        algorithm: AeadAlgorithm::Aes128Gcm,
        key: "00000000000000000000000000000000",
        nonce: "000000000000000000000000",
        aad: "",
        plaintext: "",
        ciphertext: "",
        tag: "58e2fccefa7e3061367f1d57a4e7455a",
    },
    Vector {
        name: "GCM specification, test case 4",
        algorithm: AeadAlgorithm::Aes128Gcm,
        key: "feffe9928665731c6d6a8f9467308308",
        nonce: "cafebabefacedbaddecaf888",
        aad: GCM_AAD,
        plaintext: GCM_PLAINTEXT,
        ciphertext: "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e
            21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091",
        tag: "5bc94fbc3221a5db94fae95ae7121a47",
    },
    Vector {
        name: "GCM specification, test case 16",
        algorithm: AeadAlgorithm::Aes256Gcm,
        key: "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
        nonce: "cafebabefacedbaddecaf888",
        aad: GCM_AAD,
        plaintext: GCM_PLAINTEXT,
        ciphertext: "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa
            8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
        tag: "76fc6ece0f4e1768cddf8853bb2d551b",
    },
    Vector {
        name: "RFC 8439 §2.8.2",
        algorithm: AeadAlgorithm::ChaCha20Poly1305,
        key: "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
        nonce: "070000004041424344454647",
        aad: "50515253c0c1c2c3c4c5c6c7",
        plaintext: "4c616469657320616e642047656e746c656d656e206f662074686520636c6173
            73206f66202739393a204966204920636f756c64206f6666657220796f75206f
            6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73
            637265656e20776f756c642062652069742e",
        ciphertext: "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6
            3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36
            92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc
            3ff4def08e4b7a9de576d26586cec64b6116",
        tag: "1ae10b594f09e26a7e902ecbd0600691",
    },
];

pub(super) fn check(provider: &CryptoProvider) {
    for vector in VECTORS {
        let name = vector.name;
        if !provider.aeads.contains(&vector.algorithm) {
            continue;
        }
        let key = (provider.aead)(vector.algorithm, &hex(vector.key)).expect(name);
        let (nonce, aad) = (array(vector.nonce), hex(vector.aad));
        let (plaintext, tag) = (hex(vector.plaintext), hex(vector.tag));
        let mut buffer = plaintext.clone();
        assert_eq!(key.seal_in_place(&nonce, &aad, &mut buffer)[..], tag, "{name}: tag");
        assert_eq!(buffer, hex(vector.ciphertext), "{name}: ciphertext");

        let sealed = [buffer, tag].concat();
        let mut opened = sealed.clone();
        assert_eq!(key.open_in_place(&nonce, &aad, &mut opened), Ok(plaintext.len()), "{name}: open");
        assert_eq!(opened[..plaintext.len()], plaintext, "{name}: plaintext");

        for at in 0..sealed.len() {
            let mut forged = sealed.clone();
            forged[at] ^= 1;
            assert_eq!(key.open_in_place(&nonce, &aad, &mut forged), Err(AuthError), "{name}: byte {at}");
        }
        let mut whole = sealed.clone();
        assert_eq!(key.open_in_place(&nonce, b"?", &mut whole), Err(AuthError), "{name}: aad");
        for len in 0..16 {
            let mut short = vec![0; len];
            assert_eq!(key.open_in_place(&nonce, &aad, &mut short), Err(AuthError), "{name}: {len} bytes");
        }
        let wrong_length = (provider.aead)(vector.algorithm, &hex(vector.key)[1..]).map(|_| ());
        assert_eq!(wrong_length, Err(CryptoError::Malformed), "{name}: key length");
    }
}

pub(super) fn check_pair(one: &CryptoProvider, other: &CryptoProvider) {
    for algorithm in one.aeads.iter().copied().filter(|algorithm| other.aeads.contains(algorithm)) {
        let key = vec![7; algorithm.key_len()];
        let sealer = (one.aead)(algorithm, &key).expect("an AEAD");
        let opener = (other.aead)(algorithm, &key).expect("an AEAD");
        for len in 0..200 {
            let plaintext: Vec<u8> = (0..len).collect();
            let mut buffer = plaintext.clone();
            let tag = sealer.seal_in_place(&[9; 12], b"aad", &mut buffer);
            buffer.extend_from_slice(&tag);
            assert_eq!(
                opener.open_in_place(&[9; 12], b"aad", &mut buffer),
                Ok(plaintext.len()),
                "{len} bytes"
            );
            assert_eq!(buffer[..plaintext.len()], plaintext, "{len} bytes");
        }
    }
}
