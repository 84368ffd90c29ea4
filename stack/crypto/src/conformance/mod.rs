//! The suite that every backend passes: vectors of the RFCs, refusals, and exchanges with another backend.
//!
//! It is a part of the library so that the author of a backend outside this crate can run it from a test.

mod aead;
mod hash;
mod key_exchange;
mod mask;
mod signature;
mod symmetric;

use crate::CryptoProvider;

/// Runs every check of one backend. AEADs, groups and schemes that the backend does not list are skipped.
///
/// # Panics
/// At the first check that fails, with its name.
pub fn check(provider: &CryptoProvider) {
    aead::check(provider);
    symmetric::check(provider);
    hash::check(provider);
    key_exchange::check(provider);
    mask::check(provider);
    signature::check(provider);
}

/// Checks that two backends understand each other: agreements reach one secret, each verifies the other's
/// signatures, each opens what the other sealed.
///
/// # Panics
/// At the first check that fails, with its name.
pub fn check_pair(one: &CryptoProvider, other: &CryptoProvider) {
    aead::check_pair(one, other);
    key_exchange::check_pair(one, other);
    signature::check_pair(one, other);
}

/// Bytes from hexadecimal digits; blanks are skipped.
pub(crate) fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).expect("invariant: the vectors of this module are hexadecimal") as u8)
        .collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// A hexadecimal vector of exactly `N` bytes.
pub(crate) fn array<const N: usize>(digits: &str) -> [u8; N] {
    hex(digits).try_into().expect("invariant: the vectors of this module have their length")
}

#[cfg(test)]
mod tests {
    use super::{check, check_pair};
    use crate::{ring, rust_crypto};

    #[test]
    fn ring_conforms() {
        check(&ring::provider());
    }

    #[test]
    fn rust_crypto_conforms() {
        check(&rust_crypto::provider());
    }

    #[test]
    fn the_backends_understand_each_other() {
        check_pair(&ring::provider(), &rust_crypto::provider());
        check_pair(&rust_crypto::provider(), &ring::provider());
    }
}
