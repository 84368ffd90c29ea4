//! Per-packet operations allocate nothing, whatever the backend.

use tombolo_crypto::{AeadAlgorithm, CryptoProvider, ring, rust_crypto};

fn allocations(work: impl FnOnce()) -> u64 {
    allocation_counter::measure(work).count_total
}

fn check(provider: &CryptoProvider) {
    let name = provider.name;
    for algorithm in [AeadAlgorithm::Aes128Gcm, AeadAlgorithm::Aes256Gcm] {
        let key = (provider.aead)(algorithm, &vec![1; algorithm.key_len()]).expect("AES-GCM");
        let mut buffer = [0; 1216];
        let count = allocations(|| {
            for _ in 0..100 {
                let (text, tag) = buffer.split_at_mut(1200);
                tag.copy_from_slice(&key.seal_in_place(&[3; 12], b"header", text));
                assert_eq!(key.open_in_place(&[3; 12], b"header", &mut buffer), Ok(1200));
            }
        });
        assert_eq!(count, 0, "{name} {algorithm:?}");
    }
    let ctr = (provider.aes_ctr)(&[1; 16]).expect("AES-CTR");
    let mac = (provider.hmac_sha1)(&[1; 20]);
    let mut buffer = [0; 1200];
    let count = allocations(|| {
        for _ in 0..100 {
            ctr.apply_keystream(&[2; 16], &mut buffer);
            let tag = mac.sign(&[&buffer, &[0; 4]]);
            buffer[..20].copy_from_slice(&tag);
        }
    });
    assert_eq!(count, 0, "{name} AES-CTR and HMAC-SHA1");
}

#[test]
fn ring_allocates_nothing_per_packet() {
    check(&ring::provider());
}

#[test]
fn rust_crypto_allocates_nothing_per_packet() {
    check(&rust_crypto::provider());
}
