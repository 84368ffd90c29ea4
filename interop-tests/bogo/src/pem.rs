//! PEM and base64 (RFC 4648 §4, RFC 7468), as far as the runner's files have them.

/// The value of a digit of base64.
fn digit(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

/// Decodes base64. White space and padding are passed over.
pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0_u32, 0);
    for byte in text.bytes().filter(|byte| !byte.is_ascii_whitespace() && *byte != b'=') {
        bits = bits << 6 | digit(byte)?;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    Some(out)
}

/// The contents of all blocks with this label, in order.
pub(crate) fn blocks(text: &str, label: &str) -> Vec<Vec<u8>> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    text.split(&begin).skip(1).filter_map(|rest| base64(rest.split(&end).next()?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_rfc_4648() {
        for (text, bytes) in [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYmE=", "fooba")]
        {
            assert_eq!(base64(text), Some(bytes.as_bytes().to_vec()));
        }
        assert_eq!(base64("+/8A"), Some(vec![0xfb, 0xff, 0]));
        assert_eq!(base64("?"), None);
    }

    #[test]
    fn blocks_of_one_label() {
        let text = "-----BEGIN A-----\nZm9v\n-----END A-----\n-----BEGIN B-----\nZg==\n-----END B-----\n\
                    -----BEGIN A-----\nZm9v\nZg==\n-----END A-----\n";
        assert_eq!(blocks(text, "A"), [b"foo".to_vec(), b"foof".to_vec()]);
        assert_eq!(blocks(text, "B"), [b"f".to_vec()]);
    }
}
