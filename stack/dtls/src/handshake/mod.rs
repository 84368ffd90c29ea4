//! The DTLS 1.2 handshake (RFC 6347 §4.2.4, figure 1), one struct per state.
//!
//! ```text
//! client                                             server
//!          ClientHello                         ->              AwaitClientHello
//! AwaitServerHello                [<- HelloVerifyRequest, -> ClientHello with the cookie]
//!                                              <-  ServerHello
//! AwaitServerCertificate                           Certificate
//! AwaitServerKeyExchange                           ServerKeyExchange
//! AwaitCertificateRequest                          CertificateRequest
//! AwaitServerHelloDone                             ServerHelloDone
//!          Certificate                         ->              AwaitClientCertificate
//!          ClientKeyExchange                                   AwaitClientKeyExchange
//!          CertificateVerify                                   AwaitCertificateVerify
//!          [ChangeCipherSpec], Finished                        AwaitClientFinished
//! AwaitServerFinished                          <-  [ChangeCipherSpec], Finished
//! ```
//!
//! A transition consumes the state. An error ends the handshake.
//!
//! Deviation: RFC 6347 §4.1 has ChangeCipherSpec switch the epoch. Here a record's own epoch number does, since it
//! says the same, is authenticated, and cannot be lost apart from the record.

pub(crate) mod client;
pub(crate) mod message;
pub(crate) mod server;

use rand_core::Rng as _;
use tombolo_net::Rng;

use crate::config::Config;
use crate::error::{FailReason, PeerError};
use crate::flight::Flight;
use crate::fragment::{HandshakeType, Message};
use crate::handshake::message::Body;
use crate::identity::PeerIdentity;
use crate::keys::{Secrets, Sender};
use crate::record::RecordLayer;
use crate::srtp::SrtpProfileId;
use crate::suite::{CipherSuite, SCHEMES, scheme_id};
use crate::transcript::Transcript;
use crate::x509::PublicKey;

/// What the states work on.
pub(crate) struct Context<'a> {
    pub(crate) config: &'a Config,
    pub(crate) rng: &'a mut Rng,
    pub(crate) transcript: &'a mut Transcript,
    pub(crate) flight: &'a mut Flight,
    pub(crate) records: &'a mut RecordLayer,
    pub(crate) identity: &'a mut PeerIdentity,
    /// Set when a new flight of ours goes out.
    pub(crate) launched: bool,
}

impl Context<'_> {
    /// Adds a message to our flight and to the transcript.
    fn send(&mut self, epoch: u16, msg_type: HandshakeType, body: Vec<u8>) {
        let message = self.flight.push(epoch, msg_type, body);
        self.transcript.add(&message);
    }

    fn launch(&mut self, awaits_answer: bool) {
        self.flight.launch(awaits_answer);
        self.launched = true;
    }

    fn random(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    /// The schemes that we can verify.
    fn signature_schemes(&self) -> Vec<u16> {
        let verifies = self.config.provider.verifies;
        SCHEMES.iter().filter(|(_, scheme)| verifies.contains(scheme)).map(|(id, _)| *id).collect()
    }

    /// The code point of the scheme that our own key signs with.
    fn own_scheme(&self) -> Result<u16, PeerError> {
        scheme_id(self.config.certificate.signer().scheme()).ok_or(PeerError::SignatureScheme)
    }

    /// Reads the peer's certificate and holds it against the fingerprints, if they are here.
    fn take_certificate(&mut self, leaf: Option<&[u8]>) -> Result<PublicKey, FailReason> {
        let leaf = leaf.ok_or(PeerError::NoCertificate)?;
        self.identity.show(leaf);
        self.identity.check(&self.config.provider)?;
        let key = PublicKey::of_certificate(leaf).map_err(|_| PeerError::BadCertificate)?;
        match key.scheme {
            Some(scheme) if self.config.provider.verifies.contains(&scheme) => Ok(key),
            _ => Err(PeerError::UnsupportedCertificate.into()),
        }
    }

    /// Verifies a handshake signature.
    fn verify(
        &self,
        key: &PublicKey,
        signed: message::DigitallySigned<'_>,
        text: &[u8],
    ) -> Result<(), PeerError> {
        let scheme = key.scheme.ok_or(PeerError::UnsupportedCertificate)?;
        if scheme_id(scheme) != Some(signed.scheme) {
            return Err(PeerError::IllegalParameter);
        }
        (self.config.provider.verify)(scheme, &key.bytes, text, signed.signature)
            .map_err(|_| PeerError::BadSignature)
    }

    /// The extended master secret over the transcript so far, and its keys into the record layer.
    fn derive_secrets(
        &mut self,
        negotiated: &Negotiated,
        premaster: &[u8],
        us: Sender,
    ) -> Result<Secrets, FailReason> {
        let provider = &self.config.provider;
        let session_hash = self.transcript.hash(provider, negotiated.suite.hash())?;
        let Negotiated { suite, client_random, server_random, .. } = *negotiated;
        let secrets =
            Secrets::derive(provider, suite, premaster, &session_hash, client_random, server_random)?;
        let (client, server) = secrets.ciphers()?;
        match us {
            Sender::Client => self.records.install(server, client),
            Sender::Server => self.records.install(client, server),
        }
        Ok(secrets)
    }

    /// Adds our ChangeCipherSpec and Finished.
    fn send_finished(&mut self, secrets: &Secrets, suite: CipherSuite, us: Sender) -> Result<(), FailReason> {
        let hash = self.transcript.hash(&self.config.provider, suite.hash())?;
        let verify_data = secrets.verify_data(us, &hash)?;
        self.flight.push_change_cipher_spec();
        self.send(1, HandshakeType::FINISHED, verify_data.to_vec());
        Ok(())
    }

    /// Checks the peer's Finished against the transcript before it.
    fn check_finished(
        &self,
        secrets: &Secrets,
        suite: CipherSuite,
        peer: Sender,
        shown: &[u8],
    ) -> Result<(), FailReason> {
        let hash = self.transcript.hash(&self.config.provider, suite.hash())?;
        let expected = secrets.verify_data(peer, &hash)?;
        let equal = subtle::ConstantTimeEq::ct_eq(&expected[..], shown);
        if bool::from(equal) { Ok(()) } else { Err(PeerError::BadFinished.into()) }
    }
}

/// What the hellos agreed on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Negotiated {
    pub(crate) suite: CipherSuite,
    pub(crate) srtp: Option<SrtpProfileId>,
    pub(crate) client_random: [u8; 32],
    pub(crate) server_random: [u8; 32],
}

/// The end of a handshake: both Finished messages are verified.
pub(crate) struct Complete {
    pub(crate) secrets: Secrets,
    pub(crate) srtp: Option<SrtpProfileId>,
}

/// The state of a handshake.
pub(crate) enum Handshake {
    ServerHello(client::AwaitServerHello),
    ServerCertificate(client::AwaitServerCertificate),
    ServerKeyExchange(client::AwaitServerKeyExchange),
    CertificateRequest(client::AwaitCertificateRequest),
    ServerHelloDone(client::AwaitServerHelloDone),
    ServerFinished(client::AwaitServerFinished),
    ClientHello(server::AwaitClientHello),
    ClientCertificate(server::AwaitClientCertificate),
    ClientKeyExchange(server::AwaitClientKeyExchange),
    CertificateVerify(server::AwaitCertificateVerify),
    ClientFinished(server::AwaitClientFinished),
    Complete(Complete),
}

impl Handshake {
    /// Takes the next message of the peer.
    pub(crate) fn handle(
        self,
        body: Body<'_>,
        message: &Message,
        context: &mut Context<'_>,
    ) -> Result<Self, FailReason> {
        match (self, body) {
            (Self::ServerHello(state), Body::HelloVerifyRequest(cookie)) => {
                state.handle_cookie(cookie, context)
            }
            (Self::ServerHello(state), Body::ServerHello(hello)) => state.handle(&hello, message, context),
            (Self::ServerCertificate(state), Body::Certificate(leaf)) => state.handle(leaf, message, context),
            (Self::ServerKeyExchange(state), Body::ServerKeyExchange(exchange)) => {
                state.handle(&exchange, message, context)
            }
            (Self::CertificateRequest(state), Body::CertificateRequest(request)) => {
                state.handle(&request, message, context)
            }
            (Self::CertificateRequest(state), Body::ServerHelloDone) => {
                state.not_asked().handle(message, context)
            }
            (Self::ServerHelloDone(state), Body::ServerHelloDone) => state.handle(message, context),
            (Self::ServerFinished(state), Body::Finished(data)) => state.handle(data, context),
            (Self::ClientHello(state), Body::ClientHello(hello)) => state.handle(&hello, message, context),
            (Self::ClientCertificate(state), Body::Certificate(leaf)) => state.handle(leaf, message, context),
            (Self::ClientKeyExchange(state), Body::ClientKeyExchange(share)) => {
                state.handle(share, message, context)
            }
            (Self::CertificateVerify(state), Body::CertificateVerify(signed)) => {
                state.handle(signed, message, context)
            }
            (Self::ClientFinished(state), Body::Finished(data)) => state.handle(data, message, context),
            _ => Err(PeerError::UnexpectedMessage.into()),
        }
    }
}
