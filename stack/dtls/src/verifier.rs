//! Who else may decide about a certificate than its fingerprint.

use std::fmt;
use std::time::Instant;

use crate::alert::AlertDescription;
use crate::connection::Role;

/// The certificates that a peer shows.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ShownChain<'a> {
    /// In DER, the peer's own first, as they came: at least one. That the peer has the key is verified by the handshake itself.
    pub certificates: &'a [&'a [u8]],
    /// Whose they are.
    pub of: Role,
    /// The name that the server was asked for ([`crate::ConfigBuilder::server_name`]); of a client none is known.
    pub name: Option<&'a [u8]>,
}

/// Decides whether a peer's certificate is good: by a chain to an authority, by a list, by whatever there is.
pub trait CertificateVerifier: fmt::Debug + Send + Sync {
    /// Accepts a chain, or says with what alert the connection ends: unknown_ca, bad_certificate, certificate_expired,
    /// certificate_revoked, certificate_unknown. Called while a datagram is handled: it should not block. A verifier
    /// that looks at validity knows the wall clock of `now` by a [`tombolo_net::Epoch`].
    ///
    /// # Errors
    /// The alert, which the peer is told.
    fn verify(&self, chain: &ShownChain<'_>, now: Instant) -> Result<(), AlertDescription>;
}
