use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::{CryptoError, Digest, HashAlgorithm, HashContext};

#[derive(Clone)]
struct Context<H>(H);

impl<H> HashContext for Context<H>
where
    H: sha2::Digest + Clone + Send + Sync + 'static,
{
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn finish(&self) -> Digest {
        Digest::new(&self.0.clone().finalize())
    }

    fn fork(&self) -> Box<dyn HashContext> {
        Box::new(self.clone())
    }
}

pub(super) fn hash(algorithm: HashAlgorithm) -> Result<Box<dyn HashContext>, CryptoError> {
    Ok(match algorithm {
        HashAlgorithm::Sha256 => Box::new(Context(Sha256::new())),
        HashAlgorithm::Sha384 => Box::new(Context(Sha384::new())),
        HashAlgorithm::Sha512 => Box::new(Context(Sha512::new())),
    })
}

fn mac<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Result<Digest, CryptoError> {
    let mut mac = <M as KeyInit>::new_from_slice(key).map_err(|_| CryptoError::Malformed)?;
    for part in parts {
        mac.update(part);
    }
    Ok(Digest::new(&mac.finalize().into_bytes()))
}

pub(super) fn hmac(algorithm: HashAlgorithm, key: &[u8], parts: &[&[u8]]) -> Result<Digest, CryptoError> {
    match algorithm {
        HashAlgorithm::Sha256 => mac::<Hmac<Sha256>>(key, parts),
        HashAlgorithm::Sha384 => mac::<Hmac<Sha384>>(key, parts),
        HashAlgorithm::Sha512 => mac::<Hmac<Sha512>>(key, parts),
    }
}
