//! `application/trickle-ice-sdpfrag` (RFC 8840 §9): the body of a WHIP or WHEP `PATCH`.

/// What one fragment carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SdpFragment {
    /// `a=ice-ufrag`, at session level or in the first media section that has one.
    pub ufrag: Option<String>,
    /// `a=ice-pwd`, likewise.
    pub pwd: Option<String>,
    /// The candidates, in order.
    pub candidates: Vec<FragmentCandidate>,
    /// Whether `a=end-of-candidates` stands anywhere.
    pub end_of_candidates: bool,
}

/// A candidate and the media section it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FragmentCandidate {
    /// `a=mid` of the section.
    pub mid: Option<String>,
    /// The candidate, starting with `candidate:`.
    pub candidate: String,
}

/// Why a text is no fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FragmentError {
    /// A line is not of the form `x=value`.
    #[error("line {line} is not of the form x=value")]
    BadLine {
        /// From 1.
        line: usize,
    },
    /// Neither credentials nor candidates nor an end of candidates.
    #[error("the fragment carries nothing")]
    Empty,
    /// More candidates than anybody has.
    #[error("more than 100 candidates")]
    TooMany,
}

/// The most candidates that one fragment may carry.
pub const MAX_CANDIDATES: usize = 100;

impl SdpFragment {
    /// Reads a fragment. Attributes that have no meaning here are passed over.
    ///
    /// # Errors
    /// [`FragmentError`] with the line that is wrong.
    pub fn parse(text: &str) -> Result<Self, FragmentError> {
        let mut fragment = Self::default();
        let mut mid = None;
        for (index, line) in text.lines().enumerate() {
            let line = line.trim_end();
            if line.is_empty() {
                continue;
            }
            let Some((kind, value)) = line.split_once('=').filter(|(kind, _)| kind.len() == 1) else {
                return Err(FragmentError::BadLine { line: index + 1 });
            };
            match (kind, value.split_once(':')) {
                ("m", _) => mid = None,
                ("a", Some(("mid", value))) => mid = Some(value.to_owned()),
                ("a", Some(("ice-ufrag", value))) => {
                    fragment.ufrag.get_or_insert_with(|| value.to_owned());
                }
                ("a", Some(("ice-pwd", value))) => {
                    fragment.pwd.get_or_insert_with(|| value.to_owned());
                }
                ("a", Some(("candidate", _))) => {
                    if fragment.candidates.len() == MAX_CANDIDATES {
                        return Err(FragmentError::TooMany);
                    }
                    fragment
                        .candidates
                        .push(FragmentCandidate { mid: mid.clone(), candidate: value.to_owned() });
                }
                ("a", None) if value == "end-of-candidates" => fragment.end_of_candidates = true,
                _ => {}
            }
        }
        let carries =
            fragment.ufrag.is_some() || !fragment.candidates.is_empty() || fragment.end_of_candidates;
        if carries { Ok(fragment) } else { Err(FragmentError::Empty) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAGMENT: &str = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
        a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw\r\n\
        a=end-of-candidates\r\n";

    #[test]
    fn a_fragment_as_clients_send_it_is_read_whole() {
        let fragment = SdpFragment::parse(FRAGMENT).unwrap();
        assert_eq!(fragment.ufrag.as_deref(), Some("EsAw"));
        assert_eq!(fragment.pwd.as_deref(), Some("P2uYro0UCOQ4zxjKXaWCBui1"));
        assert!(fragment.end_of_candidates);
        let [candidate] = fragment.candidates.as_slice() else { panic!("{:?}", fragment.candidates) };
        assert_eq!(candidate.mid.as_deref(), Some("0"));
        assert!(candidate.candidate.starts_with("candidate:1387637174 1 udp"));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        assert_eq!(SdpFragment::parse("a=ice-ufrag:x\nnonsense"), Err(FragmentError::BadLine { line: 2 }));
        assert_eq!(SdpFragment::parse("{\"candidate\":1}"), Err(FragmentError::BadLine { line: 1 }));
        assert_eq!(SdpFragment::parse("a=mid:0"), Err(FragmentError::Empty));
        let many = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\n".repeat(101);
        assert_eq!(SdpFragment::parse(&many), Err(FragmentError::TooMany));
    }
}
