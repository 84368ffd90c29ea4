//! Per-packet operations allocate nothing, whatever the backend.

use tombolo_crypto::{CM_LANES, CmJob, CryptoProvider, ring, rust_crypto, seal_batch};

fn allocations(work: impl FnOnce()) -> u64 {
    allocation_counter::measure(work).count_total
}

fn check(provider: &CryptoProvider) {
    let name = provider.name;
    for algorithm in provider.aeads.iter().copied() {
        let key = (provider.aead)(algorithm, &vec![1; algorithm.key_len()]).expect("an AEAD");
        let mask = (provider.mask)(algorithm, &vec![1; algorithm.key_len()]).expect("a mask key");
        let mut buffer = [0; 1216];
        let count = allocations(|| {
            for _ in 0..100 {
                let (text, tag) = buffer.split_at_mut(1200);
                tag.copy_from_slice(&key.seal_in_place(&[3; 12], b"header", text));
                assert_eq!(mask.mask(&[3; 16]), mask.mask(&[3; 16]));
                assert_eq!(key.open_in_place(&[3; 12], b"header", &mut buffer), Ok(1200));
            }
        });
        assert_eq!(count, 0, "{name} {algorithm:?}");
    }
    let key = (provider.aes_cm_hmac_sha1)(&[1; 16], &[1; 20]).expect("AES-CM");
    let mut buffers = [[0; 1200]; CM_LANES];
    let count = allocations(|| {
        for _ in 0..100 {
            let mac = key.seal(&[2; 14], &mut buffers[0], 12, [0; 4]);
            assert_eq!(key.open(&[2; 14], &mut buffers[0], 12, [0; 4], &mac[..10]), Ok(()));
            let mut jobs = buffers.each_mut().map(|packet| {
                let (iv, trailer) = ([3; 14], [0; 4]);
                Some(CmJob { key: &*key, iv, packet, clear_len: 12, trailer, mac: [0; 20] })
            });
            seal_batch(&mut jobs);
        }
    });
    assert_eq!(count, 0, "{name} AES-CM and HMAC-SHA1");
}

#[test]
fn ring_allocates_nothing_per_packet() {
    check(&ring::provider());
}

#[test]
fn rust_crypto_allocates_nothing_per_packet() {
    check(&rust_crypto::provider());
}
