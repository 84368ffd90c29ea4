//! Splitting a description into numbered lines.

use super::error::{SdpError, SdpReason};

/// The most bytes of a description that are looked at: 512 KiB, a hundred sections of a browser with all its
/// codecs.
pub const MAX_SDP_BYTES: usize = 512 * 1024;

/// One line: its number from 1, its type letter and its value without surrounding white space.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    pub(super) number: u32,
    pub(super) kind: u8,
    pub(super) value: &'a str,
}

/// The lines of `text`, with either line end, empty ones left out.
pub(super) fn lines(text: &str) -> impl Iterator<Item = Result<Line<'_>, SdpError>> {
    (1u32..).zip(text.split('\n')).filter_map(|(number, raw)| {
        let raw = raw.trim_end();
        if raw.is_empty() {
            return None;
        }
        let line = match raw.split_at_checked(2) {
            Some((head, value)) if head.as_bytes()[1] == b'=' && head.as_bytes()[0].is_ascii_alphabetic() => {
                Ok(Line { number, kind: head.as_bytes()[0], value: value.trim_start() })
            }
            _ => Err(SdpError::new(number, SdpReason::NotALine)),
        };
        Some(line)
    })
}

/// The line at which `text` crosses `limit` bytes.
pub(super) fn line_at(text: &str, limit: usize) -> u32 {
    let newlines = text.bytes().take(limit).filter(|&byte| byte == b'\n').count();
    u32::try_from(newlines).unwrap_or(u32::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_line_ends_and_a_missing_last_one() {
        for text in ["v=0\r\na=b \r\n", "v=0\na=b", "\nv=0\r\n\r\na= b"] {
            let lines: Vec<_> = lines(text).map(Result::unwrap).map(|line| (line.kind, line.value)).collect();
            assert_eq!(lines, [(b'v', "0"), (b'a', "b")]);
        }
    }

    #[test]
    fn a_line_without_a_type_is_named() {
        for bad in ["v=0\nhello", "v=0\n=x", "v=0\n1=x", "v=0\né=x", "v=0\n  a=b"] {
            let error = lines(bad).find_map(Result::err);
            assert_eq!(error, Some(SdpError::new(2, SdpReason::NotALine)), "{bad}");
        }
    }
}
