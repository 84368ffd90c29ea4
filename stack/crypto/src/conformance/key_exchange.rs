use tombolo_net::{Rng, Seed};

use super::hex;
use crate::{CryptoError, CryptoProvider, KeyExchangeGroup};

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
    for group in provider.groups.iter().copied() {
        let good = (provider.key_exchange)(group, &mut random).expect("key pair").public_share().to_vec();
        let mut bad_shares = vec![vec![], good[1..].to_vec(), [&good[..], &[0]].concat()];
        if group == KeyExchangeGroup::X25519MlKem768 {
            bad_shares.extend([vec![0; 1120 - 32], [vec![7; 1088], hex(LOW_ORDER[0])].concat()]);
        }
        if matches!(group, KeyExchangeGroup::Secp256r1 | KeyExchangeGroup::Secp384r1) {
            let mut off_curve = good.clone();
            *off_curve.last_mut().expect("a point") ^= 1;
            let mut hybrid = good.clone();
            hybrid[0] = 6;
            let compressed = [&[2], &good[1..1 + good.len() / 2]].concat();
            bad_shares.extend([off_curve, hybrid, compressed, vec![0], vec![0; good.len()]]);
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
    let both = |group: &KeyExchangeGroup| other.groups.contains(group);
    for group in one.groups.iter().copied().filter(both) {
        check_response(one, other, group, &mut random);
        if !group.is_symmetric() {
            continue;
        }
        let a = (one.key_exchange)(group, &mut random).expect("key pair");
        let b = (other.key_exchange)(group, &mut random).expect("key pair");
        let (share_a, share_b) = (a.public_share().to_vec(), b.public_share().to_vec());
        assert_ne!(share_a, share_b, "{group:?}: key pairs differ");
        let secret_a = a.agree(&share_b).expect("agreement");
        let secret_b = b.agree(&share_a).expect("agreement");
        assert_eq!(secret_a, secret_b, "{group:?}");
        let len = if group == KeyExchangeGroup::Secp384r1 { 48 } else { 32 };
        assert_eq!(secret_a.len(), len, "{group:?}");
    }
}

/// One side answers the other's share; what is not a share of an initiator is refused.
fn check_response(one: &CryptoProvider, other: &CryptoProvider, group: KeyExchangeGroup, random: &mut Rng) {
    let initiator = (one.key_exchange)(group, random).expect("key pair");
    let share = initiator.public_share().to_vec();
    let response = other.respond(group, &share, random).expect("a response");
    let secret = initiator.agree(&response.share).expect("agreement");
    assert_eq!(secret, response.secret, "{group:?}");
    if group == KeyExchangeGroup::X25519MlKem768 {
        assert_eq!((share.len(), response.share.len(), secret.len()), (1216, 1120, 64));
        // FIPS 203 §7.2: a coefficient of 4095 is not less than the modulus.
        let not_reduced = [&[0xff; 3][..], &share[3..]].concat();
        let low_order = [&share[..1184], &hex(LOW_ORDER[0])].concat();
        for bad in [&share[1..], &not_reduced, &low_order, &[]] {
            let refused = other.respond(group, bad, random).map(|_| ());
            assert_eq!(refused, Err(CryptoError::Malformed), "share of {} bytes", bad.len());
        }
    }
}
