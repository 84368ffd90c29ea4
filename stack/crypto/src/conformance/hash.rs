use super::hex;
use crate::{CryptoProvider, HashAlgorithm};

/// FIPS 180-4 examples: the hash of "abc".
const ABC: [(HashAlgorithm, &str); 3] = [
    (HashAlgorithm::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
        HashAlgorithm::Sha384,
        "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed
         8086072ba1e7cc2358baeca134c825a7",
    ),
    (
        HashAlgorithm::Sha512,
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a
         2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
    ),
];

/// RFC 4231 §4.2: test case 1.
const HI_THERE: [(HashAlgorithm, &str); 3] = [
    (HashAlgorithm::Sha256, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    (
        HashAlgorithm::Sha384,
        "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59c
         faea9ea9076ede7f4af152e8b2fa9cb6",
    ),
    (
        HashAlgorithm::Sha512,
        "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde
         daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
    ),
];

pub(super) fn check(provider: &CryptoProvider) {
    for (algorithm, digest) in ABC {
        let mut context = (provider.hash)(algorithm).expect("SHA-2");
        context.update(b"a");
        let mut fork = context.fork();
        context.update(b"b");
        context.update(b"c");
        assert_eq!(context.finish()[..], hex(digest), "{algorithm:?} of abc");
        assert_eq!(context.finish()[..], hex(digest), "{algorithm:?}: finishing does not end it");
        fork.update(b"bc");
        assert_eq!(fork.finish()[..], hex(digest), "{algorithm:?} of a fork");
        assert_eq!(fork.finish().len(), algorithm.output_len(), "{algorithm:?}: length");
    }
    for (algorithm, mac) in HI_THERE {
        let made = (provider.hmac)(algorithm, &[0x0b; 20], &[b"Hi ", b"", b"There"]).expect("HMAC");
        assert_eq!(made[..], hex(mac), "RFC 4231 case 1, {algorithm:?}");
    }
    let made = (provider.hmac)(HashAlgorithm::Sha256, b"Jefe", &[b"what do ya want for nothing?"]);
    let mac = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    assert_eq!(made.expect("HMAC")[..], hex(mac), "RFC 4231 case 2");
    let data: &[u8] = b"Test Using Larger Than Block-Size Key - Hash Key First";
    let made = (provider.hmac)(HashAlgorithm::Sha256, &[0xaa; 131], &[data]);
    let mac = "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54";
    assert_eq!(made.expect("HMAC")[..], hex(mac), "RFC 4231 case 6");
}
