use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1,
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_ASN1_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256,
    RsaEncoding, RsaKeyPair, UnparsedPublicKey, VerificationAlgorithm,
};

use zeroize::Zeroizing;

use crate::{AuthError, CryptoError, RandomSource, SignatureScheme, Signer};

enum KeyPair {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

struct RingSigner {
    key: KeyPair,
    random: SystemRandom,
}

impl Signer for RingSigner {
    fn schemes(&self) -> &[SignatureScheme] {
        match self.key {
            KeyPair::P256(_) => &[SignatureScheme::EcdsaSecp256r1Sha256],
            KeyPair::P384(_) => &[SignatureScheme::EcdsaSecp384r1Sha384],
            KeyPair::Ed25519(_) => &[SignatureScheme::Ed25519],
            KeyPair::Rsa(_) => &[SignatureScheme::RsaPssRsaeSha256, SignatureScheme::RsaPkcs1Sha256],
        }
    }

    fn public_key(&self) -> &[u8] {
        match &self.key {
            KeyPair::P256(key) | KeyPair::P384(key) => key.public_key().as_ref(),
            KeyPair::Ed25519(key) => key.public_key().as_ref(),
            KeyPair::Rsa(key) => key.public_key().as_ref(),
        }
    }

    fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        if !self.schemes().contains(&scheme) {
            return Err(CryptoError::Unsupported);
        }
        match &self.key {
            KeyPair::P256(key) | KeyPair::P384(key) => {
                let signature = key.sign(&self.random, message).map_err(|_| CryptoError::NoRandomness)?;
                Ok(signature.as_ref().to_vec())
            }
            KeyPair::Ed25519(key) => Ok(key.sign(message).as_ref().to_vec()),
            KeyPair::Rsa(key) => {
                let padding: &dyn RsaEncoding = if scheme == SignatureScheme::RsaPkcs1Sha256 {
                    &RSA_PKCS1_SHA256
                } else {
                    &RSA_PSS_SHA256
                };
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(padding, &self.random, message, &mut signature)
                    .map_err(|_| CryptoError::NoRandomness)?;
                Ok(signature)
            }
        }
    }
}

pub(super) fn signer(pkcs8_der: &[u8]) -> Result<Box<dyn Signer>, CryptoError> {
    let random = SystemRandom::new();
    let ecdsa = |algorithm| EcdsaKeyPair::from_pkcs8(algorithm, pkcs8_der, &random);
    let key = ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING)
        .map(KeyPair::P256)
        .or_else(|_| ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING).map(KeyPair::P384))
        .or_else(|_| Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8_der).map(KeyPair::Ed25519))
        .or_else(|_| RsaKeyPair::from_pkcs8(pkcs8_der).map(KeyPair::Rsa))
        .map_err(|_| CryptoError::Malformed)?;
    Ok(Box::new(RingSigner { key, random }))
}

pub(super) fn generate_key(_random: RandomSource<'_>) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
        .map_err(|_| CryptoError::NoRandomness)?;
    Ok(Zeroizing::new(document.as_ref().to_vec()))
}

pub(super) fn verify(
    scheme: SignatureScheme,
    public_key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), AuthError> {
    let algorithm: &dyn VerificationAlgorithm = match scheme {
        SignatureScheme::EcdsaSecp256r1Sha256 => &ECDSA_P256_SHA256_ASN1,
        SignatureScheme::EcdsaSecp384r1Sha384 => &ECDSA_P384_SHA384_ASN1,
        SignatureScheme::EcdsaSecp256r1Sha384 => &ECDSA_P256_SHA384_ASN1,
        SignatureScheme::EcdsaSecp384r1Sha256 => &ECDSA_P384_SHA256_ASN1,
        SignatureScheme::RsaPkcs1Sha256 => &RSA_PKCS1_2048_8192_SHA256,
        SignatureScheme::RsaPssRsaeSha256 => &RSA_PSS_2048_8192_SHA256,
        SignatureScheme::Ed25519 => &ED25519,
    };
    UnparsedPublicKey::new(algorithm, public_key).verify(message, signature).map_err(|_| AuthError)
}
