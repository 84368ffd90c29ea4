//! Trickle fragments, `application/trickle-ice-sdpfrag` (RFC 8840 §9), as WHIP and WHEP carry them in PATCH.

use super::error::{SdpError, SdpReason};
use super::line::{MAX_SDP_BYTES, line_at, lines};

/// A fragment: credentials of an ICE generation, and candidates by section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fragment {
    /// `a=ice-ufrag`, of the session or the first section that has it.
    pub ice_ufrag: Option<String>,
    /// `a=ice-pwd`, as above. A changed one asks for an ICE restart.
    pub ice_pwd: Option<String>,
    /// The sections; candidates before the first `m=` stand in one without a mid.
    pub media: Vec<FragmentMedia>,
    /// `a=end-of-candidates` before the first `m=`: for all sections.
    pub end_of_candidates: bool,
}

/// The part of a fragment that concerns one section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FragmentMedia {
    /// `a=mid`.
    pub mid: Option<String>,
    /// The values of `a=candidate`, from `candidate:` on. They are not judged here: an unusable one must be skipped
    /// (RFC 9725), not refuse the others.
    pub candidates: Vec<String>,
    /// `a=end-of-candidates`.
    pub end_of_candidates: bool,
}

impl Fragment {
    /// Reads a fragment.
    ///
    /// # Errors
    /// The line that is wrong: no line of the form `x=value`, or one with impossible credentials.
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        if text.len() > MAX_SDP_BYTES {
            return Err(SdpError::new(line_at(text, MAX_SDP_BYTES), SdpReason::TooLong));
        }
        let mut fragment = Self::default();
        let mut in_media = false;
        for line in lines(text) {
            let line = line?;
            if line.kind == b'm' {
                in_media = true;
                fragment.media.push(FragmentMedia::default());
                continue;
            }
            if line.kind != b'a' {
                continue;
            }
            let (name, value) = line.value.split_once(':').unwrap_or((line.value, ""));
            fragment
                .attribute(in_media, name.trim_end(), value.trim_start())
                .map_err(|reason| SdpError::new(line.number, reason))?;
        }
        Ok(fragment)
    }

    fn attribute(&mut self, in_media: bool, name: &str, value: &str) -> Result<(), SdpReason> {
        match name {
            "ice-ufrag" | "ice-pwd" => {
                let (slot, min, reason) = match name {
                    "ice-ufrag" => (&mut self.ice_ufrag, 4, SdpReason::IceUfrag),
                    _ => (&mut self.ice_pwd, 22, SdpReason::IcePwd),
                };
                if !(min..=256).contains(&value.len()) {
                    return Err(reason);
                }
                slot.get_or_insert_with(|| value.to_owned());
            }
            "end-of-candidates" if !in_media => self.end_of_candidates = true,
            "mid" | "candidate" | "end-of-candidates" => {
                if self.media.is_empty() {
                    self.media.push(FragmentMedia::default());
                }
                let Some(media) = self.media.last_mut() else { return Ok(()) };
                match name {
                    "mid" => media.mid = Some(value.to_owned()),
                    "candidate" => media.candidates.push(format!("candidate:{value}")),
                    _ => media.end_of_candidates = true,
                }
            }
            _ => {}
        }
        Ok(())
    }
}
