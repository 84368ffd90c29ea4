use super::*;

/// RFC 9605 appendix C.3, and the same for the suites of draft-barnes-sframe-iana-256: what the inputs that all have in common are sealed to.
const VECTORS: [(Suite, &str); 8] = [
    (
        Suite::Aes128CtrHmacSha256Tag80,
        "9901234567449408b6f490086165b9d6f62b24ae1a59a56486b4ae8ed036b88912e24f11",
    ),
    (Suite::Aes128CtrHmacSha256Tag64, "99012345673f31438db4d09434e43afa0f8a2f00867a2be085046a9f5cb4f101d607"),
    (Suite::Aes128CtrHmacSha256Tag32, "990123456717fc8af28a5a695afcfc6c8df6358a17e26b2fcb3bae32e443"),
    (
        Suite::Aes128GcmSha256,
        "9901234567b7412c2513a1b66dbb48841bbaf17f598751176ad847681a69c6d0b091c07018ce4adb34eb",
    ),
    (
        Suite::Aes256GcmSha512,
        "990123456794f509d36e9beacb0e261d99c7d1e972f1fed787d4049f17ca21353c1cc24d56ceabced279",
    ),
    (
        Suite::Aes256CtrHmacSha512Tag80,
        "9901234567b369e03ec6467ad505ddc84914115069280c5c797555be6e32cde6ac25bc9e",
    ),
    (Suite::Aes256CtrHmacSha512Tag64, "990123456797cb5644d8831ff8bdc080249990b24b569144cab2a87be22c20d97976"),
    (Suite::Aes256CtrHmacSha512Tag32, "9901234567112a94a288b85b49ffef1d279f2830165c39d76cac8884011c"),
];
const KEY_ID: u64 = 0x123;
const COUNTER: u64 = 0x4567;
const BASE_KEY: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const METADATA: &[u8] = b"IETF SFrame WG";
const PLAINTEXT: &[u8] = b"draft-ietf-sframe-enc";

fn providers() -> [CryptoProvider; 2] {
    [tombolo_crypto::ring::provider(), tombolo_crypto::rust_crypto::provider()]
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn pair(suite: Suite) -> (Sealer, Opener) {
    let provider = CryptoProvider::default();
    let mut opener = Opener::new(provider, suite);
    opener.add_key(KEY_ID, &BASE_KEY).unwrap();
    (Sealer::new(provider, suite, KEY_ID, &BASE_KEY).unwrap(), opener)
}

/// SFRAME-03: every suite, with every backend, byte for byte and back.
#[test]
fn frames_are_those_of_the_rfc() {
    for provider in providers() {
        for (suite, ciphertext) in VECTORS {
            let mut sealer = Sealer::new(provider, suite, KEY_ID, &BASE_KEY).unwrap();
            sealer.counter = Some(COUNTER);
            let mut sealed = b"before".to_vec();
            let header = sealer.seal(METADATA, PLAINTEXT, &mut sealed).unwrap();
            assert_eq!(header, Header { key_id: KEY_ID, counter: COUNTER });
            assert_eq!(sealed[6..], bytes(ciphertext), "{suite:?} of {}", provider.name);
            let mut opener = Opener::new(provider, suite);
            opener.add_key(KEY_ID, &BASE_KEY).unwrap();
            let mut opened = b"before".to_vec();
            assert_eq!(opener.open(METADATA, &sealed[6..], &mut opened), Ok(header));
            assert_eq!(opened[6..], *PLAINTEXT);
        }
    }
}

/// SFRAME-04: a changed bit anywhere, other metadata, another key, and nothing is handed out.
#[test]
fn what_is_not_authentic_is_refused_and_leaves_nothing() {
    for suite in Suite::ALL {
        let (mut sealer, mut opener) = pair(suite);
        let mut sealed = Vec::new();
        sealer.seal(METADATA, PLAINTEXT, &mut sealed).unwrap();
        let mut out = vec![7];
        let mut refused = |metadata: &[u8], sealed: &[u8]| {
            let error = opener.open(metadata, sealed, &mut out).unwrap_err();
            assert_eq!(out, [7]);
            error
        };
        for bit in 0..sealed.len() * 8 {
            sealed[bit / 8] ^= 1 << (bit % 8);
            let error = refused(METADATA, &sealed);
            if bit >= 32 {
                assert_eq!(error, OpenError::Authentication);
            }
            sealed[bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(refused(b"IETF", &sealed), OpenError::Authentication);
        for end in 0..sealed.len() {
            refused(METADATA, &sealed[..end]);
        }
        assert!(opener.open(METADATA, &sealed, &mut out).is_ok());
        assert_eq!(opener.open(METADATA, &sealed, &mut out), Err(OpenError::Replayed));
    }
}

/// SFRAME-05: no counter is used twice under a key, not even the last one.
#[test]
fn counters_are_used_once() {
    let (mut sealer, _) = pair(Suite::Aes128GcmSha256);
    let mut out = Vec::new();
    let counters: Vec<_> = (0..3).map(|_| sealer.seal(&[], b"x", &mut out).unwrap().counter).collect();
    assert_eq!(counters, [0, 1, 2]);
    sealer.counter = Some(u64::MAX);
    assert_eq!(sealer.seal(&[], b"x", &mut out).map(|header| header.counter), Ok(u64::MAX));
    let len = out.len();
    assert_eq!(sealer.seal(&[], b"x", &mut out), Err(SealError::Exhausted));
    assert_eq!(out.len(), len);
    assert_eq!(sealer.set_key(KEY_ID, &[9; 16]), Err(KeyError::Used));
    sealer.set_key(KEY_ID + 1, &[9; 16]).unwrap();
    assert_eq!(sealer.seal(&[], b"x", &mut out), Ok(Header { key_id: KEY_ID + 1, counter: 0 }));
}

#[test]
fn keys_come_and_go() {
    let (mut sealer, mut opener) = pair(Suite::Aes128CtrHmacSha256Tag80);
    let (mut first, mut second, mut out) = (Vec::new(), Vec::new(), Vec::new());
    sealer.seal(&[], b"one", &mut first).unwrap();
    sealer.set_key(5, b"another").unwrap();
    sealer.seal(&[], b"two", &mut second).unwrap();
    assert_eq!(opener.open(&[], &second, &mut out), Err(OpenError::UnknownKey(5)));
    assert_eq!(opener.add_key(KEY_ID, b"x"), Err(KeyError::Used));
    opener.add_key(5, b"another").unwrap();
    assert!(opener.open(&[], &second, &mut out).is_ok() && opener.open(&[], &first, &mut out).is_ok());
    assert_eq!(out, b"twoone");
    assert!(opener.remove_key(KEY_ID) && !opener.remove_key(KEY_ID));
    let mut opener = Opener::new(CryptoProvider::default(), Suite::Aes128GcmSha256);
    for key_id in 0..MAX_KEYS as u64 {
        opener.add_key(key_id, b"x").unwrap();
    }
    assert_eq!(opener.add_key(u64::MAX, b"x"), Err(KeyError::TooMany));
}

/// The number of an AES block has 32 bits, of which the primitive counts 16: frames of more than a megabyte change the rest.
#[test]
fn large_frames_do_not_repeat_their_key_stream() {
    let (mut sealer, mut opener) = pair(Suite::Aes128CtrHmacSha256Tag80);
    let frame = vec![0; (2 << 20) + 100];
    let mut sealed = Vec::new();
    sealer.seal(&[], &frame, &mut sealed).unwrap();
    let at = |offset: usize| &sealed[3 + offset..][..64];
    assert_ne!(at(0), at(1 << 20));
    assert_ne!(at(0), at(2 << 20));
    let mut opened = Vec::new();
    opener.open(&[], &sealed, &mut opened).unwrap();
    assert_eq!(opened, frame);
}

#[test]
fn an_empty_frame_is_one_too() {
    for suite in Suite::ALL {
        let (mut sealer, mut opener) = pair(suite);
        let (mut sealed, mut opened) = (Vec::new(), Vec::new());
        sealer.seal(b"meta", &[], &mut sealed).unwrap();
        assert!(opener.open(b"meta", &sealed, &mut opened).is_ok() && opened.is_empty());
    }
}
