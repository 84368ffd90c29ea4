//! All the randomness that a machine has.

use std::fmt;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng};

/// The generator that a [`Seed`] becomes: ChaCha20.
pub type Rng = ChaCha20Rng;

/// 32 bytes from which a protocol machine draws every value that an attacker could guess.
///
/// A driver takes it from the operating system; a test makes it from a number, and then the same inputs
/// give the same bytes out. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed(pub [u8; 32]);

impl Seed {
    /// A seed for tests: reproducible and worthless to an attacker's victim.
    #[must_use]
    pub fn from_number(number: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        Self(bytes)
    }

    /// The generator of this seed.
    #[must_use]
    pub fn rng(&self) -> Rng {
        Rng::from_seed(self.0)
    }

    /// Draws the seed of a machine that the owner of `rng` composes.
    #[must_use]
    pub fn fork(rng: &mut Rng) -> Self {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_a_fork_other_ones() {
        let (mut a, mut b) = (Seed::from_number(7).rng(), Seed::from_number(7).rng());
        assert_eq!(a.next_u64(), b.next_u64());
        let fork = Seed::fork(&mut a);
        assert_ne!(fork, Seed::from_number(7));
        assert_eq!(fork, Seed::fork(&mut b));
    }
}
