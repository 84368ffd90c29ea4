//! Secrets for whoever debugs: lines of the SSLKEYLOGFILE format, with which Wireshark reads a capture
//! (draft-ietf-tls-keylogfile).

use std::fmt;

/// Takes the secrets of connections. Whoever has them can read all that was sent: for debugging alone.
pub trait KeyLog: fmt::Debug + Send + Sync {
    /// Takes one secret: `CLIENT_RANDOM` with the master secret of DTLS 1.2; in 1.3 `CLIENT_HANDSHAKE_TRAFFIC_SECRET`,
    /// `SERVER_HANDSHAKE_TRAFFIC_SECRET`, `CLIENT_TRAFFIC_SECRET_0`, `SERVER_TRAFFIC_SECRET_0` with higher numbers after
    /// each change of keys, and `EXPORTER_SECRET`. Called while the connection handles a datagram: it should not block.
    fn log(&self, secret: &LoggedSecret<'_>);
}

/// A secret to be logged. `Display` writes its line, without an end of line; `Debug` does not show the secret.
#[derive(Clone, Copy)]
pub struct LoggedSecret<'a> {
    label: &'a str,
    /// How often the secret has changed, for labels that end with it.
    generation: Option<u64>,
    client_random: &'a [u8; 32],
    secret: &'a [u8],
}

impl<'a> LoggedSecret<'a> {
    pub(crate) const fn new(label: &'a str, client_random: &'a [u8; 32], secret: &'a [u8]) -> Self {
        Self { label, generation: None, client_random, secret }
    }

    /// A traffic secret that was changed so many times.
    pub(crate) const fn of_generation(self, generation: u64) -> Self {
        Self { generation: Some(generation), ..self }
    }

    /// The random of the ClientHello, by which a capture's handshake is known.
    #[must_use]
    pub const fn client_random(&self) -> &'a [u8; 32] {
        self.client_random
    }
}

impl fmt::Display for LoggedSecret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label)?;
        if let Some(generation) = self.generation {
            write!(f, "_{generation}")?;
        }
        for bytes in [&self.client_random[..], self.secret] {
            f.write_str(" ")?;
            bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        }
        Ok(())
    }
}

impl fmt::Debug for LoggedSecret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoggedSecret").field("label", &self.label).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_one_line() {
        let secret = LoggedSecret::new("CLIENT_TRAFFIC_SECRET", &[0xab; 32], &[0, 0x12]).of_generation(3);
        assert_eq!(secret.to_string(), format!("CLIENT_TRAFFIC_SECRET_3 {} 0012", "ab".repeat(32)));
        assert!(!format!("{secret:?}").contains("12"));
    }
}
