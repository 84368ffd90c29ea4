use tombolo_net::Seed;

use super::hex;
use crate::{CryptoError, CryptoProvider, KeyExchangeGroup};

const GROUPS: [KeyExchangeGroup; 2] = [KeyExchangeGroup::X25519, KeyExchangeGroup::Secp256r1];

/// Points of small order on Curve25519 (RFC 7748 §6.1 asks that their all-zero secret is refused).
const LOW_ORDER: [&str; 5] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

pub(super) fn check(provider: &CryptoProvider) {
    check_pair(provider, provider);
    let mut random = Seed::from_number(2).rng();
    for point in LOW_ORDER {
        let exchange = (provider.key_exchange)(KeyExchangeGroup::X25519, &mut random).expect("X25519");
        let refused = exchange.agree(&hex(point)).map(|_| ());
        assert_eq!(refused, Err(CryptoError::Malformed), "low-order share {point}");
    }
    for group in GROUPS {
        let good = (provider.key_exchange)(group, &mut random).expect("key pair").public_share().to_vec();
        let mut bad_shares = vec![vec![], good[1..].to_vec(), [&good[..], &[0]].concat()];
        if group == KeyExchangeGroup::Secp256r1 {
            let mut off_curve = good.clone();
            off_curve[64] ^= 1;
            let mut hybrid = good.clone();
            hybrid[0] = 6;
            let compressed = [&[2], &good[1..33]].concat();
            bad_shares.extend([off_curve, hybrid, compressed, vec![0], vec![0; 65]]);
        }
        for share in bad_shares {
            let exchange = (provider.key_exchange)(group, &mut random).expect("key pair");
            let refused = exchange.agree(&share).map(|_| ());
            assert_eq!(refused, Err(CryptoError::Malformed), "{group:?} share {share:02x?}");
        }
    }
}

pub(super) fn check_pair(one: &CryptoProvider, other: &CryptoProvider) {
    let mut random = Seed::from_number(1).rng();
    for group in GROUPS {
        let a = (one.key_exchange)(group, &mut random).expect("key pair");
        let b = (other.key_exchange)(group, &mut random).expect("key pair");
        let (share_a, share_b) = (a.public_share().to_vec(), b.public_share().to_vec());
        assert_ne!(share_a, share_b, "{group:?}: key pairs differ");
        let secret_a = a.agree(&share_b).expect("agreement");
        let secret_b = b.agree(&share_a).expect("agreement");
        assert_eq!(secret_a, secret_b, "{group:?}");
        assert_eq!(secret_a.len(), 32, "{group:?}");
    }
}
