//! Names of channels and participants.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest name, in bytes.
pub const MAX_NAME_LEN: usize = 64;

/// The name of a channel or of a participant: 1 to 64 of `A–Z a–z 0–9 . _ -`, not starting with a dot.
///
/// The alphabet is what survives unescaped in a URL path, a MoQ broadcast path, a log line and a metric label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// Why a text is no [`Name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// It is empty.
    #[error("a name cannot be empty")]
    Empty,
    /// It has more than 64 bytes.
    #[error("a name has at most 64 characters")]
    TooLong,
    /// It starts with a dot: such names are the gateway's own.
    #[error("a name cannot start with a dot")]
    LeadingDot,
    /// It has a character outside the alphabet.
    #[error("a name has only letters, digits, '.', '_' and '-'; {0:?} is none of them")]
    BadCharacter(char),
}

impl Name {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if let Some(bad) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')))
        {
            return Err(NameError::BadCharacter(bad));
        }
        if text.len() > MAX_NAME_LEN {
            return Err(NameError::TooLong);
        }
        if text.starts_with('.') {
            return Err(NameError::LeadingDot);
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_pass() {
        for text in ["a", "robot-7", "Stand_up.2026", &"x".repeat(64)] {
            assert_eq!(text.parse::<Name>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn every_bad_name_is_told_why() {
        assert_eq!("".parse::<Name>(), Err(NameError::Empty));
        assert_eq!("x".repeat(65).parse::<Name>(), Err(NameError::TooLong));
        assert_eq!(".gateway".parse::<Name>(), Err(NameError::LeadingDot));
        assert_eq!("a/b".parse::<Name>(), Err(NameError::BadCharacter('/')));
        assert_eq!("é".parse::<Name>(), Err(NameError::BadCharacter('é')));
    }
}
