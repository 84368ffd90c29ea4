//! What can go wrong in a primitive.

/// The authentication tag, MAC or signature does not fit the data. Says nothing more on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("authentication failed")]
pub struct AuthError;

/// What a backend cannot make of the caller's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CryptoError {
    /// A key, share or signature has the wrong length or encoding, or is not a valid point.
    #[error("malformed key, share or signature")]
    Malformed,
    /// The backend does not have this algorithm.
    #[error("algorithm not supported by this provider")]
    Unsupported,
    /// The operating system gave no randomness.
    #[error("no randomness")]
    NoRandomness,
}
