//! SFrame (RFC 9605): frames that only the ends can read, whoever forwards them.
//!
//! `[header | encrypted frame | tag]`
//!
//! A [`Sealer`] encrypts under one key at a time and numbers what it seals; an [`Opener`] holds the keys of all who send. How
//! keys are agreed on and changed is the application's business: a base key is one sender's, and is used to seal or to open. What
//! goes with a frame in the clear can be authenticated as its metadata.
//!
//! | file | what | RFC 9605 |
//! |---|---|---|
//! | `header` | key id and counter | §4.3 |
//! | `cipher` | suites, derivation of keys, encryption | §4.4, §4.5 |
//! | `replay` | no frame is opened twice | §9.3 |
//!
//! Left out: the derivation of base keys from MLS or by ratchets (§5).

mod cipher;
mod header;
mod replay;

use tombolo_crypto::{CryptoError, CryptoProvider};

pub use cipher::Suite;
pub use header::Header;

use cipher::Cipher;
use replay::ReplayWindow;

/// Why a frame cannot be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// All counters of the key are used up.
    #[error("the key has sealed as many frames as it may")]
    Exhausted,
    /// The backend failed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

/// Why a key is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The key id is in use: under another key, frames would be numbered again from zero.
    #[error("the key id is in use")]
    Used,
    /// There are as many keys as are held at once.
    #[error("too many keys")]
    TooMany,
    /// The backend failed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

/// Why a frame cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It is no SFrame ciphertext: too short, or its header is not in the form it must have.
    #[error("not an SFrame ciphertext")]
    Malformed,
    /// No key with this id is held. It may be kept and tried again when the key comes.
    #[error("no key with the id {0}")]
    UnknownKey(u64),
    /// It was opened before, or is so old that this cannot be told.
    #[error("the frame was seen before")]
    Replayed,
    /// The tag does not fit frame, header and metadata.
    #[error("the frame is not authentic")]
    Authentication,
}

/// Encrypts the frames of one sender.
pub struct Sealer {
    provider: CryptoProvider,
    suite: Suite,
    key_id: u64,
    /// The counter of the next frame; `None` when all are used.
    counter: Option<u64>,
    cipher: Cipher,
    aad: Vec<u8>,
}

impl Sealer {
    /// A sealer with its first key, which nobody else may seal with.
    ///
    /// # Errors
    ///
    /// [`CryptoError`] when the backend lacks the suite.
    pub fn new(
        provider: CryptoProvider,
        suite: Suite,
        key_id: u64,
        base_key: &[u8],
    ) -> Result<Self, CryptoError> {
        let cipher = Cipher::new(provider, suite, key_id, base_key)?;
        Ok(Self { provider, suite, key_id, counter: Some(0), cipher, aad: Vec::new() })
    }

    /// Goes on with another key, which was never used before.
    ///
    /// # Errors
    ///
    /// [`KeyError::Used`] for the key id that is in use.
    pub fn set_key(&mut self, key_id: u64, base_key: &[u8]) -> Result<(), KeyError> {
        if key_id == self.key_id {
            return Err(KeyError::Used);
        }
        self.cipher = Cipher::new(self.provider, self.suite, key_id, base_key)?;
        (self.key_id, self.counter) = (key_id, Some(0));
        Ok(())
    }

    /// Appends the ciphertext of a frame to `out`. `metadata` is authenticated with it, but is not part of it.
    ///
    /// # Errors
    ///
    /// [`SealError`]; nothing is appended then.
    pub fn seal(&mut self, metadata: &[u8], frame: &[u8], out: &mut Vec<u8>) -> Result<Header, SealError> {
        let counter = self.counter.ok_or(SealError::Exhausted)?;
        // A counter is used up by the attempt: never can two frames have the same.
        self.counter = counter.checked_add(1);
        let header = Header { key_id: self.key_id, counter };
        let start = out.len();
        out.reserve(header::MAX_LEN + frame.len() + self.cipher.tag_len());
        header.write(out);
        self.aad.clear();
        self.aad.extend_from_slice(&out[start..]);
        self.aad.extend_from_slice(metadata);
        let at = out.len();
        out.extend_from_slice(frame);
        let sealed = self.cipher.seal(counter, &self.aad, out, at);
        if let Err(error) = sealed {
            out.truncate(start);
            return Err(error.into());
        }
        Ok(header)
    }
}

/// How many keys an [`Opener`] holds unless told otherwise.
const MAX_KEYS: usize = 1024;

/// Decrypts the frames of any number of senders. Each frame is opened once: of the last 1024 counters of a key it knows
/// which it has seen.
pub struct Opener {
    provider: CryptoProvider,
    suite: Suite,
    /// In order of their ids.
    keys: Vec<(u64, Cipher, ReplayWindow)>,
    aad: Vec<u8>,
}

impl Opener {
    /// An opener without keys.
    #[must_use]
    pub const fn new(provider: CryptoProvider, suite: Suite) -> Self {
        Self { provider, suite, keys: Vec::new(), aad: Vec::new() }
    }

    /// Adds a key, which nobody on this side seals with. It holds 1024 at once.
    ///
    /// # Errors
    ///
    /// [`KeyError`]: the id is in use, or there are too many keys.
    pub fn add_key(&mut self, key_id: u64, base_key: &[u8]) -> Result<(), KeyError> {
        let at = self.find(key_id).err().ok_or(KeyError::Used)?;
        if self.keys.len() >= MAX_KEYS {
            return Err(KeyError::TooMany);
        }
        let cipher = Cipher::new(self.provider, self.suite, key_id, base_key)?;
        self.keys.insert(at, (key_id, cipher, ReplayWindow::default()));
        Ok(())
    }

    /// Forgets a key. Whether it was there.
    pub fn remove_key(&mut self, key_id: u64) -> bool {
        let found = self.find(key_id);
        if let Ok(at) = found {
            self.keys.remove(at);
        }
        found.is_ok()
    }

    /// Appends what a ciphertext holds to `out`, and tells who sealed it.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; nothing is appended then.
    pub fn open(
        &mut self,
        metadata: &[u8],
        ciphertext: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Header, OpenError> {
        let (header, len) = Header::parse(ciphertext)?;
        let at = self.find(header.key_id).map_err(|_| OpenError::UnknownKey(header.key_id))?;
        let (_, cipher, window) = &mut self.keys[at];
        if !window.is_new(header.counter) {
            return Err(OpenError::Replayed);
        }
        self.aad.clear();
        self.aad.extend_from_slice(&ciphertext[..len]);
        self.aad.extend_from_slice(metadata);
        let start = out.len();
        out.extend_from_slice(&ciphertext[len..]);
        match cipher.open(header.counter, &self.aad, &mut out[start..]) {
            Ok(opened) => out.truncate(start + opened),
            Err(error) => {
                out.truncate(start);
                return Err(error);
            }
        }
        window.insert(header.counter);
        Ok(header)
    }

    fn find(&self, key_id: u64) -> Result<usize, usize> {
        self.keys.binary_search_by_key(&key_id, |(id, ..)| *id)
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("key_id", &self.key_id).field("counter", &self.counter).finish()
    }
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|(id, ..)| id)).finish()
    }
}

#[cfg(test)]
mod tests;
