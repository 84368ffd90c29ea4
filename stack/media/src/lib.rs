//! Media files: what is sent can come from a file, and what is received can be recorded.
//!
//! Readers take any [`std::io::Read`], writers any [`std::io::Write`]; nothing here opens a file or has a clock. A file
//! is as hostile as a packet: lengths in it are never believed before the bytes came, and what is kept of it has a
//! bound ([`MAX_FRAME_BYTES`]).
//!
//! | module | what | from |
//! |---|---|---|
//! | [`ivf`] | VP8, VP9 and AV1 frames, read and written | the format of libvpx |
//! | [`ogg`] | Opus packets, read and written | RFC 3533, RFC 7845 |
//! | [`annex_b`] | H.264 and H.265 access units, read and written | ITU-T H.264 and H.265, Annex B |
//! | [`wav`] | PCM and G.711 sound, read and written | RIFF WAVE |
//! | [`mp4`] | recordings of several tracks, written in fragments | ISO/IEC 14496-12, with the atoms of `mp4-atom` |

pub mod annex_b;
pub mod ivf;
pub mod mp4;
pub mod ogg;
pub mod wav;

use std::io::{self, Read};

/// Most bytes of one frame, packet or NAL unit that a reader takes, and of what a writer holds back: 16 MiB.
pub const MAX_FRAME_BYTES: usize = 16 << 20;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The source failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The file ends before what it announces.
    #[error("the file ends before what it announces")]
    Truncated,
    /// The file is of another kind, or a field has a value that the format forbids.
    #[error("not a good file of its kind")]
    Malformed,
    /// A frame is larger than [`MAX_FRAME_BYTES`].
    #[error("a frame is too large")]
    TooLarge,
    /// The file is good, but of a sort that is not read here.
    #[error("a sort of file that is not read")]
    Unsupported,
}

/// Why something cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The sink failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The frame, or a field of the header, cannot be expressed in the format.
    #[error("not to be expressed in the format")]
    Unfit,
    /// The frame is not later than the one before it.
    #[error("times must go upwards")]
    Order,
}

/// Reads `len` bytes. Memory grows with what came, not with what was announced.
fn read_bytes(source: &mut impl Read, len: usize) -> Result<Vec<u8>, ReadError> {
    if len > MAX_FRAME_BYTES {
        return Err(ReadError::TooLarge);
    }
    let mut bytes = Vec::new();
    source.take(len as u64).read_to_end(&mut bytes)?;
    if bytes.len() == len { Ok(bytes) } else { Err(ReadError::Truncated) }
}

/// Reads exactly `N` bytes.
fn read_array<const N: usize>(source: &mut impl Read) -> Result<[u8; N], ReadError> {
    read_array_or_end(source)?.ok_or(ReadError::Truncated)
}

/// Reads exactly `N` bytes, or `None` at the end of the file.
fn read_array_or_end<const N: usize>(source: &mut impl Read) -> Result<Option<[u8; N]>, ReadError> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        match source.read(&mut bytes[filled..]) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(ReadError::Truncated),
            Ok(len) => filled += len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Some(bytes))
}

/// Passes over `len` bytes.
fn skip(source: &mut impl Read, len: u64) -> Result<(), ReadError> {
    let skipped = io::copy(&mut source.take(len), &mut io::sink())?;
    if skipped == len { Ok(()) } else { Err(ReadError::Truncated) }
}
