//! The cipher suites, and the keys that come of a base key (RFC 9605 §4.4, §4.5).

use subtle::ConstantTimeEq;
use tombolo_crypto::{
    AeadAlgorithm, AeadKey, CM_IV_LEN, CryptoError, CryptoProvider, CtrKey, Digest, HashAlgorithm, NONCE_LEN,
    TAG_LEN,
};
use zeroize::Zeroizing;

use super::OpenError;

/// Bytes that AES in counter mode can take before the upper half of the 32-bit block number changes.
const CTR_CHUNK: usize = 1 << 20;

/// How frames are encrypted. The numbers are IANA's; those from 6 on are of draft-barnes-sframe-iana-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names say what they are: cipher, MAC, bits of the tag")]
pub enum Suite {
    Aes128CtrHmacSha256Tag80 = 1,
    Aes128CtrHmacSha256Tag64 = 2,
    Aes128CtrHmacSha256Tag32 = 3,
    Aes128GcmSha256 = 4,
    Aes256GcmSha512 = 5,
    Aes256CtrHmacSha512Tag80 = 6,
    Aes256CtrHmacSha512Tag64 = 7,
    Aes256CtrHmacSha512Tag32 = 8,
}

impl Suite {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Aes128CtrHmacSha256Tag80,
        Self::Aes128CtrHmacSha256Tag64,
        Self::Aes128CtrHmacSha256Tag32,
        Self::Aes128GcmSha256,
        Self::Aes256GcmSha512,
        Self::Aes256CtrHmacSha512Tag80,
        Self::Aes256CtrHmacSha512Tag64,
        Self::Aes256CtrHmacSha512Tag32,
    ];

    /// Bytes of the tag behind the encrypted bytes: 4 to 16.
    #[must_use]
    pub const fn tag_len(self) -> usize {
        match self {
            Self::Aes128CtrHmacSha256Tag80 | Self::Aes256CtrHmacSha512Tag80 => 10,
            Self::Aes128CtrHmacSha256Tag64 | Self::Aes256CtrHmacSha512Tag64 => 8,
            Self::Aes128CtrHmacSha256Tag32 | Self::Aes256CtrHmacSha512Tag32 => 4,
            Self::Aes128GcmSha256 | Self::Aes256GcmSha512 => TAG_LEN,
        }
    }

    const fn hash(self) -> HashAlgorithm {
        match self {
            Self::Aes128CtrHmacSha256Tag80
            | Self::Aes128CtrHmacSha256Tag64
            | Self::Aes128CtrHmacSha256Tag32
            | Self::Aes128GcmSha256 => HashAlgorithm::Sha256,
            _ => HashAlgorithm::Sha512,
        }
    }

    /// The AEAD, and the bytes of its key; `None`: AES in counter mode with HMAC.
    const fn aead(self) -> Option<AeadAlgorithm> {
        match self {
            Self::Aes128GcmSha256 => Some(AeadAlgorithm::Aes128Gcm),
            Self::Aes256GcmSha512 => Some(AeadAlgorithm::Aes256Gcm),
            _ => None,
        }
    }

    /// Bytes of the key of AES in counter mode.
    const fn ctr_key_len(self) -> usize {
        match self.hash() {
            HashAlgorithm::Sha256 => 16,
            _ => 32,
        }
    }
}

enum Keys {
    Aead(Box<dyn AeadKey>),
    CtrHmac { ctr: Box<dyn CtrKey>, auth: Digest },
}

/// What frames are encrypted with under one key id.
pub(super) struct Cipher {
    suite: Suite,
    provider: CryptoProvider,
    keys: Keys,
    salt: Digest,
}

impl Cipher {
    /// Derives key and salt (RFC 9605 §4.4.2).
    pub(super) fn new(
        provider: CryptoProvider,
        suite: Suite,
        key_id: u64,
        base_key: &[u8],
    ) -> Result<Self, CryptoError> {
        let hash = suite.hash();
        let secret = (provider.hmac)(hash, &[], &[base_key])?;
        let expand = |name: &[u8], out: &mut [u8]| -> Result<(), CryptoError> {
            let (key_id, number) = (key_id.to_be_bytes(), (suite as u16).to_be_bytes());
            let mut before = Digest::new(&[]);
            for (count, chunk) in (1_u8..).zip(out.chunks_mut(hash.output_len())) {
                let parts = [&before[..], b"SFrame 1.0 Secret ", name, b" ", &key_id, &number, &[count]];
                before = (provider.hmac)(hash, &secret, &parts)?;
                chunk.copy_from_slice(&before[..chunk.len()]);
            }
            Ok(())
        };
        let mut salt = [0; NONCE_LEN];
        expand(b"salt", &mut salt)?;
        let mut key = Zeroizing::new([0; 96]);
        let keys = match suite.aead() {
            Some(algorithm) => {
                let key = &mut key[..algorithm.key_len()];
                expand(b"key", key)?;
                Keys::Aead((provider.aead)(algorithm, key)?)
            }
            None => {
                let ctr_len = suite.ctr_key_len();
                let key = &mut key[..ctr_len + hash.output_len()];
                expand(b"key", key)?;
                Keys::CtrHmac { ctr: (provider.aes_cm)(&key[..ctr_len])?, auth: Digest::new(&key[ctr_len..]) }
            }
        };
        Ok(Self { suite, provider, keys, salt: Digest::new(&salt) })
    }

    pub(super) const fn tag_len(&self) -> usize {
        self.suite.tag_len()
    }

    /// Encrypts what stands in `out` from `at` on, and appends the tag.
    pub(super) fn seal(
        &self,
        counter: u64,
        aad: &[u8],
        out: &mut Vec<u8>,
        at: usize,
    ) -> Result<(), CryptoError> {
        let nonce = self.nonce(counter);
        match &self.keys {
            Keys::Aead(key) => {
                let tag = key.seal_in_place(&nonce, aad, &mut out[at..]);
                out.extend_from_slice(&tag);
            }
            Keys::CtrHmac { ctr, auth } => {
                apply_ctr(&**ctr, &nonce, &mut out[at..]);
                let tag = self.tag(auth, &nonce, aad, &out[at..])?;
                out.extend_from_slice(&tag[..self.tag_len()]);
            }
        }
        Ok(())
    }

    /// Decrypts `[ciphertext | tag]` in place; the bytes of the plaintext, with which it begins.
    pub(super) fn open(&self, counter: u64, aad: &[u8], in_out: &mut [u8]) -> Result<usize, OpenError> {
        let nonce = self.nonce(counter);
        let len = in_out.len().checked_sub(self.tag_len()).ok_or(OpenError::Malformed)?;
        match &self.keys {
            Keys::Aead(key) => key.open_in_place(&nonce, aad, in_out).map_err(|_| OpenError::Authentication),
            Keys::CtrHmac { ctr, auth } => {
                let (data, shown) = in_out.split_at_mut(len);
                let tag = self.tag(auth, &nonce, aad, data).map_err(|_| OpenError::Authentication)?;
                if !bool::from(tag[..shown.len()].ct_eq(shown)) {
                    return Err(OpenError::Authentication);
                }
                apply_ctr(&**ctr, &nonce, data);
                Ok(len)
            }
        }
    }

    /// RFC 9605 §4.4.3: the salt, with the counter in its last eight bytes.
    fn nonce(&self, counter: u64) -> [u8; NONCE_LEN] {
        let mut nonce = [0; NONCE_LEN];
        nonce[4..].copy_from_slice(&counter.to_be_bytes());
        nonce.iter_mut().zip(&self.salt[..]).for_each(|(byte, salt)| *byte ^= salt);
        nonce
    }

    /// RFC 9605 §4.5.1, before it is cut.
    fn tag(&self, auth: &Digest, nonce: &[u8], aad: &[u8], data: &[u8]) -> Result<Digest, CryptoError> {
        let lengths = [aad.len(), data.len(), self.tag_len()].map(|len| (len as u64).to_be_bytes());
        (self.provider.hmac)(self.suite.hash(), auth, &[lengths.as_flattened(), nonce, aad, data])
    }
}

/// AES in counter mode, whose block number begins at zero behind the nonce.
fn apply_ctr(key: &dyn CtrKey, nonce: &[u8; NONCE_LEN], data: &mut [u8]) {
    for (upper, chunk) in (0_u16..).zip(data.chunks_mut(CTR_CHUNK)) {
        let mut iv = [0; CM_IV_LEN];
        iv[..NONCE_LEN].copy_from_slice(nonce);
        iv[NONCE_LEN..].copy_from_slice(&upper.to_be_bytes());
        key.apply_keystream(&iv, chunk);
    }
}
