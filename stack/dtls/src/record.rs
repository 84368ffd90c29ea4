//! The record layer (RFC 6347 §4.1, RFC 9147 §4): headers, epochs, numbers. What protects a record is in `cipher.rs`.
//!
//! ```text
//! epoch 0, and all of 1.2   [ type 1 | version 2 | epoch 2 | sequence 6 | length 2 | body ]
//! 1.3 from epoch 2 on       [ 001CSLEE 1 | sequence 1 or 2 | length 0 or 2 | body ]
//! ```
//!
//! In the header of 1.3, C says that a connection id follows (see `connection_id.rs`), S that the sequence number
//! has two bytes, L that there is a length, and EE are the low bits of the epoch. The sequence number is masked. What
//! is sent always has S and L.

use std::collections::VecDeque;

use tombolo_crypto::TAG_LEN;

use crate::cipher::{Cipher, EXPLICIT_NONCE_LEN, mask, text_len};
use crate::connection_id::{ConnectionIds, MAX_PEER_ID_LEN, associated_data};
use crate::error::PeerError;
use crate::replay::ReplayWindow;
use crate::version::VERSION_1_2;

/// Bytes of a record header of epoch 0 and of 1.2.
pub(crate) const HEADER_LEN: usize = 13;
/// Bytes of a record header of 1.3 as it is sent here.
const UNIFIED_LEN: usize = 5;
/// The most bytes of content in a record (RFC 5246 §6.2.1, RFC 8446 §5.2).
pub(crate) const MAX_CONTENT_LEN: usize = 1 << 14;
/// The most bytes of what protects them, beside the header (RFC 5246 §6.2.3).
pub(crate) const MAX_SEALED_LEN: usize = MAX_CONTENT_LEN + 2048;
/// The highest record sequence number.
const MAX_SEQUENCE: u64 = (1 << 48) - 1;
/// How many epochs back a read key is kept: so few that the two bits of a header name one of them.
const KEPT_EPOCHS: u64 = 4;

/// The first three bits of a header of 1.3.
const UNIFIED: u8 = 0b0010_0000;
const CONNECTION_ID: u8 = 0b0001_0000;
const LONG_SEQUENCE: u8 = 0b0000_1000;
const LENGTH: u8 = 0b0000_0100;
const EPOCH_BITS: u8 = 0b0000_0011;

/// The content type of a record. Unknown ones are kept, to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContentType(pub(crate) u8);

impl ContentType {
    pub(crate) const CHANGE_CIPHER_SPEC: Self = Self(20);
    pub(crate) const ALERT: Self = Self(21);
    pub(crate) const HANDSHAKE: Self = Self(22);
    pub(crate) const APPLICATION_DATA: Self = Self(23);
    pub(crate) const WITH_ID: Self = Self(25);
    pub(crate) const ACK: Self = Self(26);
}

/// The number of a record within a connection and direction (RFC 9147 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RecordNumber {
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
}

/// A record header of epoch 0 or of 1.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) content_type: ContentType,
    pub(crate) version: u16,
    pub(crate) number: RecordNumber,
}

/// A record as it is cut off a datagram.
#[derive(Debug)]
pub(crate) enum Record<'a> {
    /// With a long header, and its body.
    Long(Header, &'a mut [u8]),
    /// Of 1.2 with a connection id, with its header.
    WithId(&'a mut [u8]),
    /// Of 1.3, with its header.
    Unified(&'a mut [u8]),
}

impl<'a> Record<'a> {
    /// Cuts the first record off a datagram: it, and the bytes after it. `None` when no whole record stands there. Ids in the
    /// records are `id_len` bytes long.
    pub(crate) fn split(data: &'a mut [u8], id_len: usize) -> Option<(Self, &'a mut [u8])> {
        if data.first()? & 0b1110_0000 == UNIFIED {
            let len = unified_len(data, id_len)?;
            let (record, rest) = data.split_at_mut_checked(len)?;
            return Some((Self::Unified(record), rest));
        }
        if id_len > 0 && data.first() == Some(&ContentType::WITH_ID.0) {
            let (record, rest) = data.split_at_mut_checked(long_len_with_id(data, id_len)?)?;
            return Some((Self::WithId(record), rest));
        }
        let (header, body, rest) = Header::split(data)?;
        Some((Self::Long(header, body), rest))
    }
}

/// How long the record of 1.2 with an id is that `data` starts with.
fn long_len_with_id(data: &[u8], id_len: usize) -> Option<usize> {
    let length_at = HEADER_LEN - 2 + id_len;
    let length = data.get(length_at..length_at + 2)?;
    Some(length_at + 2 + usize::from(u16::from_be_bytes([length[0], length[1]])))
}

/// How long the record of 1.3 is that `data` starts with: without a length in it, it goes to the end.
fn unified_len(data: &[u8], id_len: usize) -> Option<usize> {
    let flags = data.first()?;
    let has_id = flags & CONNECTION_ID != 0;
    let length_at = 1 + if has_id { id_len } else { 0 } + if flags & LONG_SEQUENCE == 0 { 1 } else { 2 };
    // With an id that was not agreed on the header cannot be read: the record is as long as the datagram, and is dropped.
    if flags & LENGTH == 0 || has_id && id_len == 0 {
        return Some(data.len());
    }
    let length = data.get(length_at..length_at + 2)?;
    Some(length_at + 2 + usize::from(u16::from_be_bytes([length[0], length[1]])))
}

impl Header {
    /// Cuts a record off: header, body, and the bytes after it.
    pub(crate) fn split(data: &mut [u8]) -> Option<(Self, &mut [u8], &mut [u8])> {
        let (head, tail) = data.split_first_chunk_mut()?;
        let (header, len) = Self::decode(head);
        let (body, rest) = tail.split_at_mut_checked(len)?;
        Some((header, body, rest))
    }

    /// The header, and the length of the body after it.
    pub(crate) const fn decode(head: &[u8; HEADER_LEN]) -> (Self, usize) {
        let [content_type, v0, v1, e0, e1, s0, s1, s2, s3, s4, s5, l0, l1] = *head;
        let header = Self {
            content_type: ContentType(content_type),
            version: u16::from_be_bytes([v0, v1]),
            number: RecordNumber {
                epoch: u16::from_be_bytes([e0, e1]) as u64,
                sequence: u64::from_be_bytes([0, 0, s0, s1, s2, s3, s4, s5]),
            },
        };
        (header, u16::from_be_bytes([l0, l1]) as usize)
    }

    pub(crate) fn encode(self, len: usize) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0] = self.content_type.0;
        bytes[1..3].copy_from_slice(&self.version.to_be_bytes());
        bytes[3..11].copy_from_slice(&self.joined_number().to_be_bytes());
        bytes[11..].copy_from_slice(&(len as u16).to_be_bytes());
        bytes
    }

    /// Epoch and sequence number as one 8-byte number.
    const fn joined_number(self) -> u64 {
        self.number.epoch << 48 | self.number.sequence
    }

    /// The associated data of RFC 5246 §6.2.3.3.
    fn associated_data(self, len: usize) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..8].copy_from_slice(&self.joined_number().to_be_bytes());
        bytes[8] = self.content_type.0;
        bytes[9..11].copy_from_slice(&self.version.to_be_bytes());
        bytes[11..].copy_from_slice(&(len as u16).to_be_bytes());
        bytes
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
    /// It has authenticated, but has no content type (RFC 8446 §5.4).
    NoContentType,
    /// It is of a form that was not agreed on.
    Unknown,
}

/// A record that has authenticated.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Opened<'a> {
    pub(crate) content_type: ContentType,
    pub(crate) number: RecordNumber,
    /// Whether none of a higher number came in this epoch before.
    pub(crate) is_newest: bool,
    pub(crate) content: &'a mut [u8],
}

struct WriteEpoch {
    epoch: u64,
    next_sequence: u64,
    /// `None` in epoch 0.
    cipher: Option<Cipher>,
}

struct ReadEpoch {
    epoch: u64,
    cipher: Cipher,
    window: ReplayWindow,
}

/// The keys and counters of both directions, of the few epochs that are in use at a time.
pub(crate) struct RecordLayer {
    /// In order, the current one last.
    write: VecDeque<WriteEpoch>,
    /// In order, the current one last.
    read: VecDeque<ReadEpoch>,
    ids: ConnectionIds,
    /// What unencrypted records are headed with.
    plain_version: u16,
}

impl Default for RecordLayer {
    fn default() -> Self {
        let write = VecDeque::from([WriteEpoch { epoch: 0, next_sequence: 0, cipher: None }]);
        Self { write, read: VecDeque::new(), ids: ConnectionIds::default(), plain_version: VERSION_1_2 }
    }
}

impl RecordLayer {
    /// Starts the numbers of epoch 0, before anything is written.
    pub(crate) fn start_at(&mut self, sequence: u64) {
        if let Some(first) = self.write.front_mut() {
            first.next_sequence = sequence;
        }
    }

    /// Puts ids into the encrypted records from now on.
    pub(crate) fn use_ids(&mut self, ids: ConnectionIds) {
        self.ids = ids;
    }

    /// Takes what the peer says of further ids.
    pub(crate) fn take_new_ids(&mut self, ids: &[&[u8]], immediate: bool) -> Result<(), PeerError> {
        self.ids.take_new(ids, immediate)
    }

    /// Sets the version in the headers of unencrypted records.
    pub(crate) const fn say_version(&mut self, version: u16) {
        self.plain_version = version;
    }

    /// The ids in use.
    pub(crate) const fn ids(&self) -> &ConnectionIds {
        &self.ids
    }

    /// Installs the key that is written with from now on; those before stay, for what is sent again.
    pub(crate) fn install_write(&mut self, epoch: u64, cipher: Cipher) {
        self.write.push_back(WriteEpoch { epoch, next_sequence: 0, cipher: Some(cipher) });
    }

    /// Installs a key to read with. Those of four epochs before and earlier go.
    pub(crate) fn install_read(&mut self, epoch: u64, cipher: Cipher) {
        self.read.retain(|kept| kept.epoch + KEPT_EPOCHS > epoch);
        self.read.push_back(ReadEpoch { epoch, cipher, window: ReplayWindow::default() });
    }

    /// Forgets the write keys of all but the current epoch: nothing of theirs is sent again.
    pub(crate) fn retire_write(&mut self) {
        self.write.drain(..self.write.len().saturating_sub(1));
    }

    /// The epoch that is written in now.
    pub(crate) fn write_epoch(&self) -> u64 {
        self.write.back().map_or(0, |current| current.epoch)
    }

    /// The newest epoch that can be read; 0 without keys.
    pub(crate) fn read_epoch(&self) -> u64 {
        self.read.back().map_or(0, |current| current.epoch)
    }

    /// How many records were written in the current epoch.
    pub(crate) fn written(&self) -> u64 {
        self.write.back().map_or(0, |current| current.next_sequence)
    }

    /// Forgets all keys.
    pub(crate) fn forget_keys(&mut self) {
        self.read.clear();
        self.write.retain(|kept| kept.cipher.is_none());
    }

    /// How many bytes a record of this epoch has beside its content.
    pub(crate) fn overhead(&self, epoch: u64) -> usize {
        match self.write.iter().find(|kept| kept.epoch == epoch).and_then(|kept| kept.cipher.as_ref()) {
            None => HEADER_LEN,
            Some(cipher) if cipher.mask_key().is_some() => UNIFIED_LEN + self.ids.theirs.len() + 1 + TAG_LEN,
            Some(cipher) => HEADER_LEN + cipher.explicit_len() + TAG_LEN + self.id_overhead(),
        }
    }

    /// The most that any record has beside its content.
    pub(crate) const fn max_overhead(&self) -> usize {
        HEADER_LEN + EXPLICIT_NONCE_LEN + TAG_LEN + self.id_overhead()
    }

    /// What an id of the peer adds to a record of 1.2: itself, and the content type inside.
    const fn id_overhead(&self) -> usize {
        match self.ids.theirs.len() {
            0 => 0,
            len => len + 1,
        }
    }

    /// Appends one record with the concatenation of `parts` as content, which is not longer than
    /// [`MAX_CONTENT_LEN`]. `None`: there
    /// is no key for the epoch, or its 2⁴⁸ numbers are used up.
    pub(crate) fn write(
        &mut self,
        epoch: u64,
        content_type: ContentType,
        parts: &[&[u8]],
        out: &mut Vec<u8>,
    ) -> Option<RecordNumber> {
        let current = self.write.iter_mut().rev().find(|kept| kept.epoch == epoch)?;
        let number = RecordNumber { epoch, sequence: current.next_sequence };
        if number.sequence > MAX_SEQUENCE {
            return None;
        }
        current.next_sequence += 1;
        match &current.cipher {
            Some(cipher) if cipher.mask_key().is_some() => {
                write_unified(cipher, number, &self.ids.theirs, content_type, parts, out);
            }
            Some(cipher) if !self.ids.theirs.is_empty() => {
                write_with_id(cipher, number, &self.ids.theirs, content_type, parts, out);
            }
            Some(cipher) => {
                let header = Header { content_type, version: VERSION_1_2, number };
                write_long(Some(cipher), header, parts, out);
            }
            None => {
                let header = Header { content_type, version: self.plain_version, number };
                write_long(None, header, parts, out);
            }
        }
        Some(number)
    }

    /// Opens a record of 1.2 in place. The replay window moves only when it authenticates.
    pub(crate) fn open<'a>(&mut self, header: Header, body: &'a mut [u8]) -> Result<Opened<'a>, OpenError> {
        let number = header.number;
        let kept =
            self.read.iter_mut().find(|kept| kept.epoch == number.epoch && kept.cipher.mask_key().is_none());
        let kept = kept.ok_or(OpenError::NoKey)?;
        if !kept.window.is_new(number.sequence) {
            return Err(OpenError::Replayed);
        }
        let (explicit, sealed) =
            body.split_at_mut_checked(kept.cipher.explicit_len()).ok_or(OpenError::Unauthentic)?;
        // The sender chooses the explicit nonce; ours is the record's number, another's may be anything.
        let nonce = match *explicit {
            [a, b, c, d, e, f, g, h] => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            _ => header.joined_number(),
        };
        let len = text_len(sealed.len()).ok_or(OpenError::Unauthentic)?;
        let has_id = header.content_type == ContentType::WITH_ID;
        // RFC 9146 §3: where ids are agreed on, encrypted records carry them.
        if has_id == self.ids.ours.is_empty() {
            return Err(OpenError::Unknown);
        }
        let opened = if has_id {
            let (aad, aad_len) = associated_data(header, &self.ids.ours, len);
            kept.cipher.open(nonce, &aad[..aad_len], sealed)
        } else {
            kept.cipher.open(nonce, &header.associated_data(len), sealed)
        };
        let content = opened.ok_or(OpenError::Unauthentic)?;
        let is_newest = kept.window.is_newest(number.sequence);
        kept.window.mark(number.sequence);
        if has_id {
            return unwrap_inner(content, number, is_newest);
        }
        Ok(Opened { content_type: header.content_type, number, is_newest, content })
    }

    /// Opens a record of 1.2 with an id in place: header and body.
    pub(crate) fn open_with_id<'a>(&mut self, record: &'a mut [u8]) -> Result<Opened<'a>, OpenError> {
        let id_at = HEADER_LEN - 2;
        let id_end = id_at + self.ids.ours.len();
        let (head, body) = record.split_at_mut_checked(id_end + 2).ok_or(OpenError::Unauthentic)?;
        if head[id_at..id_end] != self.ids.ours[..] {
            return Err(OpenError::Unknown);
        }
        let mut plain = [0; HEADER_LEN];
        plain[..id_at].copy_from_slice(&head[..id_at]);
        plain[id_at..].copy_from_slice(&head[id_end..]);
        let (header, _) = Header::decode(&plain);
        if header.version != VERSION_1_2 {
            return Err(OpenError::Unknown);
        }
        self.open(header, body)
    }

    /// Opens a record of 1.3 in place: header and body.
    pub(crate) fn open_unified<'a>(&mut self, record: &'a mut [u8]) -> Result<Opened<'a>, OpenError> {
        let flags = *record.first().ok_or(OpenError::Unauthentic)?;
        let id_len = self.ids.ours.len();
        let id = if flags & CONNECTION_ID == 0 { &[] } else { record.get(1..1 + id_len).unwrap_or(&[]) };
        // RFC 9147 §9: where ids are agreed on, records carry them, and nowhere else.
        if id != self.ids.ours || flags & CONNECTION_ID != 0 && id_len == 0 {
            return Err(OpenError::Unknown);
        }
        let fits = |kept: &&mut ReadEpoch| {
            kept.cipher.mask_key().is_some()
                && kept.epoch & u64::from(EPOCH_BITS) == u64::from(flags & EPOCH_BITS)
        };
        let kept = self.read.iter_mut().rev().find(fits).ok_or(OpenError::NoKey)?;
        let sequence_len = if flags & LONG_SEQUENCE == 0 { 1 } else { 2 };
        let sequence_at = 1 + id_len;
        let header_len = sequence_at + sequence_len + if flags & LENGTH == 0 { 0 } else { 2 };
        let (header, sealed) = record.split_at_mut_checked(header_len).ok_or(OpenError::Unauthentic)?;
        let masks = kept.cipher.mask_key().and_then(|key| mask(key, sealed)).ok_or(OpenError::Unauthentic)?;
        let low = unmask(&mut header[sequence_at..sequence_at + sequence_len], masks);
        let sequence = kept.window.expand(low, 8 * sequence_len as u32);
        if sequence > MAX_SEQUENCE {
            return Err(OpenError::Unauthentic);
        }
        if !kept.window.is_new(sequence) {
            return Err(OpenError::Replayed);
        }
        let text = kept.cipher.open(sequence, header, sealed).ok_or(OpenError::Unauthentic)?;
        let is_newest = kept.window.is_newest(sequence);
        kept.window.mark(sequence);
        let number = RecordNumber { epoch: kept.epoch, sequence };
        unwrap_inner(text, number, is_newest)
    }
}

/// Takes the padding and the content type off, which stand behind the content.
fn unwrap_inner(text: &mut [u8], number: RecordNumber, is_newest: bool) -> Result<Opened<'_>, OpenError> {
    let end = text.iter().rposition(|byte| *byte != 0).ok_or(OpenError::NoContentType)?;
    let content_type = ContentType(text[end]);
    Ok(Opened { content_type, number, is_newest, content: &mut text[..end] })
}

/// Takes the mask off the sequence number and returns it.
fn unmask(sequence: &mut [u8], masks: [u8; 2]) -> u64 {
    let mut low = 0;
    for (byte, mask) in sequence.iter_mut().zip(masks) {
        *byte ^= mask;
        low = low << 8 | u64::from(*byte);
    }
    low
}

fn write_long(cipher: Option<&Cipher>, header: Header, parts: &[&[u8]], out: &mut Vec<u8>) {
    let content_len = parts.iter().map(|part| part.len()).sum::<usize>();
    let extra = cipher.map_or(0, |cipher| cipher.explicit_len() + TAG_LEN);
    out.extend_from_slice(&header.encode(content_len + extra));
    let explicit = header.joined_number().to_be_bytes();
    out.extend_from_slice(&explicit[..cipher.map_or(0, Cipher::explicit_len)]);
    let start = out.len();
    parts.iter().for_each(|part| out.extend_from_slice(part));
    if let Some(cipher) = cipher {
        cipher.seal(header.joined_number(), &header.associated_data(content_len), out, start);
    }
}

/// A record of 1.2 with an id.
fn write_with_id(
    cipher: &Cipher,
    number: RecordNumber,
    id: &[u8],
    content_type: ContentType,
    parts: &[&[u8]],
    out: &mut Vec<u8>,
) {
    let header = Header { content_type: ContentType::WITH_ID, version: VERSION_1_2, number };
    let inner_len = parts.iter().map(|part| part.len()).sum::<usize>() + 1;
    let head = header.encode(inner_len + cipher.explicit_len() + TAG_LEN);
    let (head, length) = head.split_at(HEADER_LEN - 2);
    [head, id, length].iter().for_each(|part| out.extend_from_slice(part));
    let explicit = header.joined_number().to_be_bytes();
    out.extend_from_slice(&explicit[..cipher.explicit_len()]);
    let start = out.len();
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out.push(content_type.0);
    let (aad, aad_len) = associated_data(header, id, inner_len);
    cipher.seal(header.joined_number(), &aad[..aad_len], out, start);
}

fn write_unified(
    cipher: &Cipher,
    number: RecordNumber,
    id: &[u8],
    content_type: ContentType,
    parts: &[&[u8]],
    out: &mut Vec<u8>,
) {
    let at = out.len();
    let sealed_len = parts.iter().map(|part| part.len()).sum::<usize>() + 1 + TAG_LEN;
    let flags = UNIFIED | LONG_SEQUENCE | LENGTH | number.epoch as u8 & EPOCH_BITS;
    let [s0, s1] = (number.sequence as u16).to_be_bytes();
    let [l0, l1] = (sealed_len as u16).to_be_bytes();
    let mut header = [0; UNIFIED_LEN + MAX_PEER_ID_LEN];
    let header_len = UNIFIED_LEN + id.len();
    header[0] = if id.is_empty() { flags } else { flags | CONNECTION_ID };
    header[1..1 + id.len()].copy_from_slice(id);
    header[1 + id.len()..header_len].copy_from_slice(&[s0, s1, l0, l1]);
    out.extend_from_slice(&header[..header_len]);
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out.push(content_type.0);
    cipher.seal(number.sequence, &header[..header_len], out, at + header_len);
    let (header, sealed) = out[at..].split_at_mut(header_len);
    if let Some(masks) = cipher.mask_key().and_then(|key| mask(key, sealed)) {
        unmask(&mut header[1 + id.len()..3 + id.len()], masks);
    }
}

#[cfg(test)]
mod tests {
    use tombolo_crypto::{AeadAlgorithm, CryptoProvider};

    use super::*;

    const AEADS: [AeadAlgorithm; 3] =
        [AeadAlgorithm::Aes128Gcm, AeadAlgorithm::Aes256Gcm, AeadAlgorithm::ChaCha20Poly1305];

    fn cipher(algorithm: AeadAlgorithm, is_1_3: bool) -> Cipher {
        let provider = CryptoProvider::default();
        let key = (provider.aead)(algorithm, &vec![1; algorithm.key_len()]).unwrap();
        if is_1_3 {
            let mask = (provider.mask)(algorithm, &vec![3; algorithm.key_len()]).unwrap();
            Cipher::new_1_3(key, [2; 12], mask)
        } else {
            Cipher::new_1_2(algorithm, key, &vec![2; crate::cipher::iv_len_1_2(algorithm)])
        }
    }

    fn layer_of(algorithm: AeadAlgorithm, epoch: u64, is_1_3: bool) -> RecordLayer {
        let mut layer = RecordLayer::default();
        layer.install_write(epoch, cipher(algorithm, is_1_3));
        layer.install_read(epoch, cipher(algorithm, is_1_3));
        layer
    }

    fn layer() -> RecordLayer {
        layer_of(AeadAlgorithm::Aes128Gcm, 1, false)
    }

    /// One layer of 1.2, epoch 1, and one of 1.3, epoch 2, for each AEAD.
    fn layers() -> impl Iterator<Item = (u64, RecordLayer)> {
        AEADS.into_iter().flat_map(|aead| [(1, layer_of(aead, 1, false)), (2, layer_of(aead, 2, true))])
    }

    fn open<'a>(layer: &mut RecordLayer, data: &'a mut [u8]) -> Result<Opened<'a>, OpenError> {
        match Record::split(data, 0).expect("a record").0 {
            Record::Long(header, body) => layer.open(header, body),
            Record::Unified(record) => layer.open_unified(record),
            Record::WithId(record) => layer.open_with_id(record),
        }
    }

    #[test]
    fn records_of_all_epochs_come_back_from_one_datagram() {
        for (epoch, mut layer) in layers() {
            let mut data = Vec::new();
            assert!(layer.write(0, ContentType::HANDSHAKE, &[b"ab", b"c"], &mut data).is_some());
            assert!(layer.write(epoch, ContentType::APPLICATION_DATA, &[b"secret"], &mut data).is_some());
            assert_eq!(data.len(), layer.overhead(0) + 3 + layer.overhead(epoch) + 6);
            let (header, body, rest) = Header::split(&mut data).unwrap();
            assert_eq!((header.number.epoch, header.content_type), (0, ContentType::HANDSHAKE));
            assert_eq!(*body, b"abc"[..]);
            let opened = open(&mut layer, rest).unwrap();
            assert_eq!(opened.content, b"secret");
            assert_eq!(opened.content_type, ContentType::APPLICATION_DATA);
            assert_eq!(opened.number, RecordNumber { epoch, sequence: 0 });
        }
    }

    #[test]
    fn an_epoch_without_key_cannot_be_written() {
        let mut data = Vec::new();
        assert!(layer().write(2, ContentType::ALERT, &[], &mut data).is_none());
        assert!(RecordLayer::default().write(1, ContentType::ALERT, &[], &mut data).is_none());
        assert!(data.is_empty());
    }

    /// DTLS-13: a forged number does not move the window, an exact replay is refused.
    #[test]
    fn the_window_moves_only_for_authentic_records() {
        for (epoch, mut layer) in layers() {
            let mut records = [const { Vec::new() }; 3];
            for record in &mut records {
                assert!(layer.write(epoch, ContentType::APPLICATION_DATA, &[b"x"], record).is_some());
            }
            let mut forged = records[0].clone();
            let number = if epoch == 1 { 5..11 } else { 1..3 };
            forged[number].fill(0xff);
            assert_eq!(open(&mut layer, &mut forged).map(|_| ()), Err(OpenError::Unauthentic));
            for record in &records {
                for (attempt, expected) in [Ok(1), Err(OpenError::Replayed)].into_iter().enumerate() {
                    let mut data = record.clone();
                    let opened = open(&mut layer, &mut data).map(|opened| opened.content.len());
                    assert_eq!(opened, expected, "attempt {attempt}");
                }
            }
        }
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let mut layer = layer();
        let mut record = Vec::new();
        assert!(layer.write(1, ContentType::APPLICATION_DATA, &[b"hello"], &mut record).is_some());
        // The epoch at 3 and 4 and the length at 11 and 12 are the business of the caller and of `split`.
        for at in (0..record.len()).filter(|at| !matches!(at, 3 | 4 | 11 | 12)) {
            let mut data = record.clone();
            data[at] ^= 1;
            let (header, body, _) = Header::split(&mut data).unwrap();
            assert_eq!(layer.open(header, body), Err(OpenError::Unauthentic), "byte {at}");
        }
        for len in 0..record.len() {
            assert!(Header::split(&mut record[..len].to_vec()).is_none(), "{len} bytes are no record");
        }
        for body_len in 0..24 {
            let number = RecordNumber { epoch: 1, sequence: 9 };
            let header = Header { content_type: ContentType::ALERT, version: VERSION_1_2, number };
            assert_eq!(layer.open(header, &mut vec![0; body_len]), Err(OpenError::Unauthentic));
        }
    }

    #[test]
    fn every_changed_bit_of_1_3_is_noticed() {
        for aead in AEADS {
            let mut layer = layer_of(aead, 2, true);
            let mut record = Vec::new();
            assert!(layer.write(2, ContentType::APPLICATION_DATA, &[b"hello"], &mut record).is_some());
            for bit in 0..record.len() * 8 {
                let mut data = record.clone();
                data[bit / 8] ^= 1 << (bit % 8);
                let noticed = match Record::split(&mut data, 0) {
                    None => true,
                    Some((Record::Long(header, body), _)) => layer.open(header, body).is_err(),
                    Some((Record::Unified(record), _)) => layer.open_unified(record).is_err(),
                    Some((Record::WithId(record), _)) => layer.open_with_id(record).is_err(),
                };
                assert!(noticed, "bit {bit}");
            }
            for len in 0..record.len() {
                assert!(Record::split(&mut record[..len].to_vec(), 0).is_none(), "{len} bytes are no record");
            }
            for len in 0..30 {
                let mut short = vec![0; len];
                short.iter_mut().take(1).for_each(|flags| *flags = UNIFIED | 2);
                assert!(layer.open_unified(&mut short).is_err(), "{len} bytes");
            }
        }
    }

    /// CVE-2026-26014: no two records of a key share a nonce, and the nonce is epoch and sequence number.
    #[test]
    fn the_explicit_nonce_is_epoch_and_sequence() {
        let mut layer = layer();
        for sequence in 0..1000u64 {
            let mut record = Vec::new();
            assert!(layer.write(1, ContentType::APPLICATION_DATA, &[b""], &mut record).is_some());
            assert_eq!(record[13..21], (1 << 48 | sequence).to_be_bytes());
        }
        layer.write[1].next_sequence = MAX_SEQUENCE + 1;
        assert!(layer.write(1, ContentType::ALERT, &[b""], &mut Vec::new()).is_none(), "numbers never wrap");
    }

    /// RFC 9147 §4: headers with a short number, or without length, padding, and a number that is far on.
    #[test]
    fn other_forms_of_the_header_are_read() {
        let write = |flags: u8, sequence: u64, content: &[u8]| {
            let cipher = cipher(AeadAlgorithm::Aes128Gcm, true);
            let mut record = vec![UNIFIED | flags | 2];
            let low = sequence.to_be_bytes();
            record.extend_from_slice(if flags & LONG_SEQUENCE == 0 { &low[7..] } else { &low[6..] });
            if flags & LENGTH != 0 {
                record.extend_from_slice(&(content.len() as u16 + 16).to_be_bytes());
            }
            let header = record.clone();
            record.extend_from_slice(content);
            cipher.seal(sequence, &header, &mut record, header.len());
            let masks = mask(cipher.mask_key().unwrap(), &record[header.len()..]).unwrap();
            let end = if flags & LONG_SEQUENCE == 0 { 2 } else { 3 };
            unmask(&mut record[1..end], masks);
            record
        };
        let mut layer = layer_of(AeadAlgorithm::Aes128Gcm, 2, true);
        // Each number is within half of what its bits tell of the one before.
        let steps =
            [(0, 3), (LENGTH, 100), (LONG_SEQUENCE, 30_000), (LENGTH | LONG_SEQUENCE, 62_000), (0, 62_100)];
        for (flags, sequence) in steps {
            let mut record = write(flags, sequence, b"data\x17\0\0\0");
            let opened = open(&mut layer, &mut record).expect("a good record");
            assert_eq!(
                (&*opened.content, opened.number.sequence),
                (&b"data"[..], sequence),
                "flags {flags:#x}"
            );
            assert_eq!(opened.content_type, ContentType::APPLICATION_DATA);
        }
        let mut padding_alone = write(0, 62_101, &[0; 5]);
        assert_eq!(open(&mut layer, &mut padding_alone), Err(OpenError::NoContentType));
        let mut with_id = write(CONNECTION_ID, 62_102, b"data\x17");
        assert_eq!(open(&mut layer, &mut with_id), Err(OpenError::Unknown));
    }

    /// An epoch's key goes when its two bits would be another's too.
    #[test]
    fn few_epochs_are_kept() {
        let mut layer = RecordLayer::default();
        for epoch in 2..20 {
            layer.install_read(epoch, cipher(AeadAlgorithm::Aes128Gcm, true));
            layer.install_write(epoch, cipher(AeadAlgorithm::Aes128Gcm, true));
            layer.retire_write();
            assert!(layer.read.len() <= 4 && layer.write.len() == 1);
            let bits: std::collections::BTreeSet<u64> =
                layer.read.iter().map(|kept| kept.epoch % 4).collect();
            assert_eq!(bits.len(), layer.read.len());
        }
        let mut data = Vec::new();
        assert!(layer.write(18, ContentType::ALERT, &[b"?"], &mut data).is_none(), "retired");
        assert!(layer.write(19, ContentType::ALERT, &[b"?"], &mut data).is_some());
        assert_eq!(open(&mut layer, &mut data).unwrap().number.epoch, 19);
    }
}
