use tombolo_net::Seed;

use super::hex;
use crate::{AuthError, CryptoError, CryptoProvider, SignatureScheme};

/// The key of RFC 6979 §A.2.5 as PKCS#8.
const PRIVATE_KEY: &str = "308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420
    c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721 a144034200";
const PUBLIC_KEY: &str = "04 60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6
    7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";
/// Its signature of "sample" with SHA-256 as DER.
const SIGNATURE: &str = "3046 022100 efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716
    022100 f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";

const ECDSA: SignatureScheme = SignatureScheme::EcdsaSecp256r1Sha256;

pub(super) fn check(provider: &CryptoProvider) {
    let (public, signature) = (hex(PUBLIC_KEY), hex(SIGNATURE));
    assert_eq!((provider.verify)(ECDSA, &public, b"sample", &signature), Ok(()), "RFC 6979 A.2.5");
    assert_eq!((provider.verify)(ECDSA, &public, b"simple", &signature), Err(AuthError), "other message");
    for at in 0..signature.len() {
        let mut forged = signature.clone();
        forged[at] ^= 1;
        assert_eq!((provider.verify)(ECDSA, &public, b"sample", &forged), Err(AuthError), "byte {at}");
    }
    let mut off_curve = public.clone();
    off_curve[64] ^= 1;
    for key in [&off_curve[..], &public[1..], &[]] {
        assert_eq!((provider.verify)(ECDSA, key, b"sample", &signature), Err(AuthError), "bad public key");
    }
    let mut cut = private_key();
    cut.truncate(60);
    assert_eq!((provider.signer)(&cut).map(|_| ()), Err(CryptoError::Malformed), "cut private key");
    assert!(provider.verifies.contains(&ECDSA));
    check_pair(provider, provider);
}

pub(super) fn check_pair(one: &CryptoProvider, other: &CryptoProvider) {
    let signer = (one.signer)(&private_key()).expect("PKCS#8 key");
    assert_eq!(signer.schemes(), [ECDSA]);
    assert_eq!(signer.public_key(), hex(PUBLIC_KEY), "public key");
    let signature = signer.sign(ECDSA, b"message").expect("signature");
    let public = hex(PUBLIC_KEY);
    assert_eq!((other.verify)(ECDSA, &public, b"message", &signature), Ok(()), "the other's signature");
    assert_eq!((other.verify)(ECDSA, &public, b"massage", &signature), Err(AuthError), "other message");

    let mut random = Seed::from_number(3).rng();
    let generated = (one.generate_key)(&mut random).expect("key pair");
    let signer = (other.signer)(&generated).expect("the other's PKCS#8 key");
    let signature = signer.sign(ECDSA, b"message").expect("signature");
    let verified = (one.verify)(ECDSA, signer.public_key(), b"message", &signature);
    assert_eq!(verified, Ok(()), "signature with a generated key");
}

fn private_key() -> Vec<u8> {
    [hex(PRIVATE_KEY), hex(PUBLIC_KEY)].concat()
}

#[cfg(test)]
mod tests {
    use super::{SIGNATURE, private_key};
    use crate::conformance::hex;

    #[test]
    fn rust_crypto_signs_as_rfc_6979_does() {
        let signer = (crate::rust_crypto::provider().signer)(&private_key()).unwrap();
        assert_eq!(signer.sign(super::ECDSA, b"sample").unwrap(), hex(SIGNATURE));
    }
}
