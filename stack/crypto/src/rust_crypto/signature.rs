use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{DerSignature, SigningKey, VerifyingKey};
use p256::elliptic_curve::Generate;
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use zeroize::Zeroizing;

use crate::{AuthError, CryptoError, RandomSource, SignatureScheme, Signer};

enum Key {
    P256(SigningKey),
    P384(p384::ecdsa::SigningKey),
}

struct RustCryptoSigner {
    key: Key,
    public: Vec<u8>,
}

impl Signer for RustCryptoSigner {
    fn schemes(&self) -> &[SignatureScheme] {
        match self.key {
            Key::P256(_) => &[SignatureScheme::EcdsaSecp256r1Sha256],
            Key::P384(_) => &[SignatureScheme::EcdsaSecp384r1Sha384],
        }
    }

    fn public_key(&self) -> &[u8] {
        &self.public
    }

    fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let malformed = |_| CryptoError::Malformed;
        match (&self.key, scheme) {
            (Key::P256(key), SignatureScheme::EcdsaSecp256r1Sha256) => {
                let signature: DerSignature = key.try_sign(message).map_err(malformed)?;
                Ok(signature.as_bytes().to_vec())
            }
            (Key::P384(key), SignatureScheme::EcdsaSecp384r1Sha384) => {
                let signature: p384::ecdsa::DerSignature = key.try_sign(message).map_err(malformed)?;
                Ok(signature.as_bytes().to_vec())
            }
            _ => Err(CryptoError::Unsupported),
        }
    }
}

pub(super) fn signer(pkcs8_der: &[u8]) -> Result<Box<dyn Signer>, CryptoError> {
    if let Ok(key) = SigningKey::from_pkcs8_der(pkcs8_der) {
        let public = key.verifying_key().to_sec1_point(false).as_bytes().to_vec();
        return Ok(Box::new(RustCryptoSigner { key: Key::P256(key), public }));
    }
    let key = p384::ecdsa::SigningKey::from_pkcs8_der(pkcs8_der).map_err(|_| CryptoError::Malformed)?;
    let public = key.verifying_key().to_sec1_point(false).as_bytes().to_vec();
    Ok(Box::new(RustCryptoSigner { key: Key::P384(key), public }))
}

pub(super) fn generate_key(random: RandomSource<'_>) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let key = p256::SecretKey::generate_from_rng(random);
    let document = key.to_pkcs8_der().map_err(|_| CryptoError::Malformed)?;
    Ok(document.to_bytes())
}

pub(super) fn verify(
    scheme: SignatureScheme,
    public_key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), AuthError> {
    match scheme {
        SignatureScheme::EcdsaSecp256r1Sha256 => {
            let key = VerifyingKey::from_sec1_bytes(public_key).map_err(|_| AuthError)?;
            let signature = DerSignature::try_from(signature).map_err(|_| AuthError)?;
            key.verify(message, &signature).map_err(|_| AuthError)
        }
        SignatureScheme::EcdsaSecp384r1Sha384 => {
            let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(public_key).map_err(|_| AuthError)?;
            let signature = p384::ecdsa::DerSignature::try_from(signature).map_err(|_| AuthError)?;
            key.verify(message, &signature).map_err(|_| AuthError)
        }
        _ => Err(AuthError),
    }
}
