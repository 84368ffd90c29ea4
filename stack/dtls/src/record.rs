//! The record layer (RFC 6347 §4.1, RFC 5288 for the cipher).
//!
//! ```text
//! [ type 1 | version 2 | epoch 2 | sequence 6 | length 2 | body ]
//! body in epoch 0: the plaintext
//! body in epoch 1: [ explicit nonce 8 | ciphertext | tag 16 ]
//! ```
//!
//! The nonce is the salt of the key block and then epoch and sequence number, so it cannot repeat under one key.

use tombolo_crypto::{AeadKey, NONCE_LEN, TAG_LEN};

use crate::replay::ReplayWindow;

/// Bytes of a record header.
pub(crate) const HEADER_LEN: usize = 13;
const EXPLICIT_NONCE_LEN: usize = 8;
/// The highest record sequence number.
const MAX_SEQUENCE: u64 = (1 << 48) - 1;
/// The wire value of DTLS 1.2.
pub(crate) const VERSION_1_2: u16 = 0xfefd;
/// The wire value of DTLS 1.0, which first records of a handshake carry for old peers' sake.
pub(crate) const VERSION_1_0: u16 = 0xfeff;

/// The content type of a record. Unknown ones are kept, to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContentType(pub(crate) u8);

impl ContentType {
    pub(crate) const CHANGE_CIPHER_SPEC: Self = Self(20);
    pub(crate) const ALERT: Self = Self(21);
    pub(crate) const HANDSHAKE: Self = Self(22);
    pub(crate) const APPLICATION_DATA: Self = Self(23);
}

/// A record header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) content_type: ContentType,
    pub(crate) version: u16,
    pub(crate) epoch: u16,
    /// 48 bits.
    pub(crate) sequence: u64,
}

impl Header {
    /// Cuts the first record off a datagram: header, body, and the bytes after it. `None` when no whole record
    /// stands there.
    pub(crate) fn split(data: &mut [u8]) -> Option<(Self, &mut [u8], &mut [u8])> {
        let (head, tail) = data.split_first_chunk_mut::<HEADER_LEN>()?;
        let [content_type, v0, v1, e0, e1, s0, s1, s2, s3, s4, s5, l0, l1] = *head;
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        let (body, rest) = tail.split_at_mut_checked(len)?;
        let header = Self {
            content_type: ContentType(content_type),
            version: u16::from_be_bytes([v0, v1]),
            epoch: u16::from_be_bytes([e0, e1]),
            sequence: u64::from_be_bytes([0, 0, s0, s1, s2, s3, s4, s5]),
        };
        Some((header, body, rest))
    }

    fn encode(self, len: usize) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0] = self.content_type.0;
        bytes[1..3].copy_from_slice(&self.version.to_be_bytes());
        bytes[3..11].copy_from_slice(&self.number());
        bytes[11..].copy_from_slice(&(len as u16).to_be_bytes());
        bytes
    }

    /// Epoch and sequence number as one 8-byte number.
    fn number(self) -> [u8; 8] {
        (u64::from(self.epoch) << 48 | self.sequence).to_be_bytes()
    }

    /// The associated data of RFC 5246 §6.2.3.3.
    fn associated_data(self, len: usize) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..8].copy_from_slice(&self.number());
        bytes[8] = self.content_type.0;
        bytes[9..11].copy_from_slice(&self.version.to_be_bytes());
        bytes[11..].copy_from_slice(&(len as u16).to_be_bytes());
        bytes
    }
}

/// One direction's record protection: an AEAD with a 4-byte salt and an 8-byte explicit nonce.
pub(crate) struct Cipher {
    key: Box<dyn AeadKey>,
    salt: [u8; 4],
}

impl Cipher {
    pub(crate) fn new(key: Box<dyn AeadKey>, salt: [u8; 4]) -> Self {
        Self { key, salt }
    }

    fn nonce(&self, explicit: [u8; EXPLICIT_NONCE_LEN]) -> [u8; NONCE_LEN] {
        let mut nonce = [0; NONCE_LEN];
        nonce[..4].copy_from_slice(&self.salt);
        nonce[4..].copy_from_slice(&explicit);
        nonce
    }
}

/// Why a record was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenError {
    /// There is no key for it yet.
    NoKey,
    /// Its number was seen, or is too old to tell.
    Replayed,
    /// Its tag does not fit.
    Unauthentic,
}

/// The keys and counters of both directions.
#[derive(Default)]
pub(crate) struct RecordLayer {
    /// The next sequence number to write in epochs 0 and 1.
    write_sequences: [u64; 2],
    write_cipher: Option<Cipher>,
    read_cipher: Option<Cipher>,
    window: ReplayWindow,
}

impl RecordLayer {
    /// Installs the keys of epoch 1.
    pub(crate) fn install(&mut self, read: Cipher, write: Cipher) {
        self.read_cipher = Some(read);
        self.write_cipher = Some(write);
    }

    pub(crate) const fn has_keys(&self) -> bool {
        self.read_cipher.is_some()
    }

    /// Forgets the keys of epoch 1.
    pub(crate) fn forget_keys(&mut self) {
        self.read_cipher = None;
        self.write_cipher = None;
    }

    /// How many bytes a record of this epoch has beside its content.
    pub(crate) const fn overhead(epoch: u16) -> usize {
        if epoch == 0 { HEADER_LEN } else { HEADER_LEN + EXPLICIT_NONCE_LEN + TAG_LEN }
    }

    /// Appends one record with the concatenation of `parts` as content, which is shorter than 2¹⁴ bytes. Returns
    /// whether it could: there is no key for the epoch, or its 2⁴⁸ numbers are used up.
    pub(crate) fn write(
        &mut self,
        epoch: u16,
        content_type: ContentType,
        parts: &[&[u8]],
        out: &mut Vec<u8>,
    ) -> bool {
        let cipher = match (epoch, &self.write_cipher) {
            (0, _) => None,
            (1, Some(cipher)) => Some(cipher),
            _ => return false,
        };
        let sequence = self.write_sequences[usize::from(epoch)];
        if sequence > MAX_SEQUENCE {
            return false;
        }
        self.write_sequences[usize::from(epoch)] += 1;
        let header = Header { content_type, version: VERSION_1_2, epoch, sequence };
        let content_len = parts.iter().map(|part| part.len()).sum::<usize>();
        out.extend_from_slice(&header.encode(content_len + Self::overhead(epoch) - HEADER_LEN));
        let explicit = header.number();
        if cipher.is_some() {
            out.extend_from_slice(&explicit);
        }
        let start = out.len();
        for part in parts {
            out.extend_from_slice(part);
        }
        if let Some(cipher) = cipher {
            let aad = header.associated_data(content_len);
            let tag = cipher.key.seal_in_place(&cipher.nonce(explicit), &aad, &mut out[start..]);
            out.extend_from_slice(&tag);
        }
        true
    }

    /// Opens the body of a record of epoch 1 in place. The replay window moves only when it authenticates.
    pub(crate) fn open<'a>(&mut self, header: Header, body: &'a mut [u8]) -> Result<&'a mut [u8], OpenError> {
        let cipher = self.read_cipher.as_ref().ok_or(OpenError::NoKey)?;
        if !self.window.is_new(header.sequence) {
            return Err(OpenError::Replayed);
        }
        let (explicit, sealed) = body.split_first_chunk_mut().ok_or(OpenError::Unauthentic)?;
        let len = sealed.len().checked_sub(TAG_LEN).ok_or(OpenError::Unauthentic)?;
        let aad = header.associated_data(len);
        cipher
            .key
            .open_in_place(&cipher.nonce(*explicit), &aad, sealed)
            .map_err(|_| OpenError::Unauthentic)?;
        self.window.mark(header.sequence);
        Ok(&mut sealed[..len])
    }
}

#[cfg(test)]
mod tests {
    use tombolo_crypto::{AeadAlgorithm, CryptoProvider};

    use super::*;

    fn layer() -> RecordLayer {
        let cipher = || {
            let key = (CryptoProvider::default().aead)(AeadAlgorithm::Aes128Gcm, &[1; 16]).unwrap();
            Cipher::new(key, [2; 4])
        };
        let mut layer = RecordLayer::default();
        layer.install(cipher(), cipher());
        layer
    }

    #[test]
    fn records_of_both_epochs_come_back_from_one_datagram() {
        let mut layer = layer();
        let mut data = Vec::new();
        assert!(layer.write(0, ContentType::HANDSHAKE, &[b"ab", b"c"], &mut data));
        assert!(layer.write(1, ContentType::APPLICATION_DATA, &[b"secret"], &mut data));
        assert_eq!(data.len(), RecordLayer::overhead(0) + 3 + RecordLayer::overhead(1) + 6);
        let (header, body, rest) = Header::split(&mut data).unwrap();
        assert_eq!((header.epoch, header.content_type, &*body), (0, ContentType::HANDSHAKE, &b"abc"[..]));
        let (header, body, rest) = Header::split(rest).unwrap();
        assert_eq!((header.epoch, header.sequence, rest.len()), (1, 0, 0));
        assert_eq!(layer.open(header, body).unwrap(), b"secret");
    }

    #[test]
    fn epoch_2_and_an_epoch_without_key_cannot_be_written() {
        let mut data = Vec::new();
        assert!(!layer().write(2, ContentType::ALERT, &[], &mut data));
        assert!(!RecordLayer::default().write(1, ContentType::ALERT, &[], &mut data));
        assert!(data.is_empty());
    }

    /// DTLS-13: a forged number does not move the window, an exact replay is refused.
    #[test]
    fn the_window_moves_only_for_authentic_records() {
        let mut layer = layer();
        let mut records = [const { Vec::new() }; 3];
        for record in &mut records {
            assert!(layer.write(1, ContentType::APPLICATION_DATA, &[b"x"], record));
        }
        let mut forged = records[0].clone();
        forged[5..11].fill(0xff);
        let (header, body, _) = Header::split(&mut forged).unwrap();
        assert_eq!(header.sequence, MAX_SEQUENCE);
        assert_eq!(layer.open(header, body), Err(OpenError::Unauthentic));
        for record in &records {
            for (attempt, expected) in [Ok(1), Err(OpenError::Replayed)].into_iter().enumerate() {
                let mut data = record.clone();
                let (header, body, _) = Header::split(&mut data).unwrap();
                assert_eq!(layer.open(header, body).map(|text| text.len()), expected, "attempt {attempt}");
            }
        }
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let mut layer = layer();
        let mut record = Vec::new();
        assert!(layer.write(1, ContentType::APPLICATION_DATA, &[b"hello"], &mut record));
        // The epoch at 3 and 4 and the length at 11 and 12 are the business of the caller and of `split`.
        for at in (0..record.len()).filter(|at| !matches!(at, 11 | 12)) {
            let mut data = record.clone();
            data[at] ^= 1;
            let (header, body, _) = Header::split(&mut data).unwrap();
            assert_eq!(layer.open(header, body), Err(OpenError::Unauthentic), "byte {at}");
        }
        for len in 0..record.len() {
            assert!(Header::split(&mut record[..len].to_vec()).is_none(), "{len} bytes are no record");
        }
        for body_len in 0..24 {
            let header =
                Header { content_type: ContentType::ALERT, version: VERSION_1_2, epoch: 1, sequence: 9 };
            assert_eq!(layer.open(header, &mut vec![0; body_len]), Err(OpenError::Unauthentic));
        }
    }

    /// CVE-2026-26014: no two records of a key share a nonce, and the nonce is epoch and sequence number.
    #[test]
    fn the_explicit_nonce_is_epoch_and_sequence() {
        let mut layer = layer();
        for sequence in 0..1000u64 {
            let mut record = Vec::new();
            assert!(layer.write(1, ContentType::APPLICATION_DATA, &[b""], &mut record));
            assert_eq!(record[13..21], (1 << 48 | sequence).to_be_bytes());
        }
        layer.write_sequences[1] = MAX_SEQUENCE + 1;
        assert!(!layer.write(1, ContentType::ALERT, &[b""], &mut Vec::new()), "numbers never wrap");
    }
}
