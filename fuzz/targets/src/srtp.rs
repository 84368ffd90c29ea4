//! SRTP: nothing that is not sealed with the key is opened, and nothing of it leaves a trace.

use tombolo_crypto::CryptoProvider;
use tombolo_srtp::{Config, InboundContext, MAX_OVERHEAD, OutboundContext, Profile};

const RTP: [u8; 20] = [0x80, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 7, 1, 2, 3, 4, 5, 6, 7, 8];

/// Any bytes as SRTP and as SRTCP, and a sealed packet with some of its bytes changed: `[profile | at | with]*`.
pub fn srtp(data: &[u8]) {
    let Some((&first, data)) = data.split_first() else { return };
    let profile = Profile::ALL[usize::from(first) % Profile::ALL.len()];
    let provider = CryptoProvider::default();
    let (key, salt) = (vec![1; profile.key_len()], vec![2; profile.salt_len()]);
    let config = Config::default();
    let mut inbound =
        InboundContext::new(&provider, profile, &key, &salt, &config).expect("the lengths of the profile");
    let mut outbound =
        OutboundContext::new(&provider, profile, &key, &salt, &config).expect("the lengths of the profile");

    let mut sealed = [0; RTP.len() + MAX_OVERHEAD];
    sealed[..RTP.len()].copy_from_slice(&RTP);
    let len = outbound.protect_rtp(&mut sealed, RTP.len()).expect("a whole packet");
    // A fuzzer sees what bytes are compared with, and comes up with the genuine packet.
    if data == &sealed[..len] {
        return;
    }
    assert!(inbound.unprotect_rtp(&mut data.to_vec()).is_err());
    assert!(inbound.unprotect_rtcp(&mut data.to_vec()).is_err());

    let mut changed = sealed[..len].to_vec();
    for edit in data.chunks_exact(2) {
        let at = usize::from(edit[0]) % len;
        changed[at] ^= edit[1];
    }
    if changed != sealed[..len] {
        assert!(inbound.unprotect_rtp(&mut changed).is_err());
    }
    assert_eq!(inbound.sources(), 0, "no state before authentication");
    let opened = inbound.unprotect_rtp(&mut sealed[..len]).expect("the genuine packet");
    assert_eq!(sealed[..opened], RTP);
}
