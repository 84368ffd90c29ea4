//! The username fragment and password of one side (RFC 8445 §5.3, RFC 8839 §5.4).

use std::fmt;

use rand_core::Rng as _;
use thiserror::Error;
use tombolo_net::Rng;

/// A ufrag and a password. `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    ufrag: String,
    pwd: String,
}

/// Why credentials are unusable.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CredentialsError {
    /// Not 4 to 256 characters.
    #[error("ufrag must have 4 to 256 characters")]
    UfragLength,
    /// Not 22 to 256 characters.
    #[error("password must have 22 to 256 characters")]
    PwdLength,
    /// A character that is none of the grammar's.
    #[error("ufrag or password has a character that is no ice-char")]
    Character,
}

impl Credentials {
    /// What a session description carried (STUN-07).
    ///
    /// # Errors
    /// When a length is outside RFC 8839 §5.4, or a character is impossible.
    pub fn new(ufrag: impl Into<String>, pwd: impl Into<String>) -> Result<Self, CredentialsError> {
        let (ufrag, pwd) = (ufrag.into(), pwd.into());
        if !(4..=256).contains(&ufrag.len()) {
            return Err(CredentialsError::UfragLength);
        }
        if !(22..=256).contains(&pwd.len()) {
            return Err(CredentialsError::PwdLength);
        }
        // Deviation: RFC 8839 §5.4 allows letters, digits, `+` and `/` only; deployed agents also use `-`, `_`, `=`
        // and `#`, and none of them is special in USERNAME.
        let is_ice_char = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_=#".contains(&byte);
        if !ufrag.bytes().chain(pwd.bytes()).all(is_ice_char) {
            return Err(CredentialsError::Character);
        }
        Ok(Self { ufrag, pwd })
    }

    /// Fresh ones: 48 and 144 random bits, where RFC 8445 §5.3 asks for 24 and 128.
    #[must_use]
    pub fn random(rng: &mut Rng) -> Self {
        Self { ufrag: random_text(rng, 8), pwd: random_text(rng, 24) }
    }

    /// The username fragment.
    #[must_use]
    pub fn ufrag(&self) -> &str {
        &self.ufrag
    }

    /// The password.
    #[must_use]
    pub fn pwd(&self) -> &str {
        &self.pwd
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("ufrag", &self.ufrag).finish_non_exhaustive()
    }
}

/// `len` ice-chars, 6 bits each.
fn random_text(rng: &mut Rng, len: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    (0..len).map(|_| char::from(ALPHABET[(rng.next_u32() & 63) as usize])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tombolo_net::Seed;

    /// STUN-07.
    #[test]
    fn lengths_are_those_of_rfc_8839() {
        let pwd = "p".repeat(22);
        for len in [4, 32, 33, 256] {
            assert_eq!(Credentials::new("u".repeat(len), pwd.as_str()).unwrap().ufrag().len(), len);
        }
        for len in [0, 3, 257] {
            assert_eq!(Credentials::new("u".repeat(len), pwd.as_str()), Err(CredentialsError::UfragLength));
        }
        for len in [22, 256] {
            assert_eq!(Credentials::new("ufra", "p".repeat(len)).unwrap().pwd().len(), len);
        }
        for len in [21, 257] {
            assert_eq!(Credentials::new("ufra", "p".repeat(len)), Err(CredentialsError::PwdLength));
        }
        assert_eq!(Credentials::new("uf:a", pwd), Err(CredentialsError::Character));
    }

    #[test]
    fn random_ones_are_valid_differ_and_hide_the_password() {
        let mut rng = Seed::from_number(1).rng();
        let (a, b) = (Credentials::random(&mut rng), Credentials::random(&mut rng));
        assert_ne!((a.ufrag(), a.pwd()), (b.ufrag(), b.pwd()));
        assert!(a.ufrag().len() <= 32);
        assert_eq!(Credentials::new(a.ufrag(), a.pwd()), Ok(a.clone()));
        assert!(!format!("{a:?}").contains(a.pwd()));
    }
}
