//! What differs in DTLS 1.2 with pre-shared keys (RFC 5489 §2): the two messages of the key exchange.
//!
//! ```text
//! client                                             server
//!                                              <-  ServerHello
//! AwaitPskExchange                                 ServerKeyExchange   the hint and a share, not signed
//! AwaitServerHelloDone                             ServerHelloDone
//!          ClientKeyExchange                   ->              AwaitClientKeyExchange   the identity and a share
//! ```

use rand_core::Rng as _;
use zeroize::Zeroizing;

use crate::codec::{Reader, put_vec8, put_vec16};
use crate::error::{DecodeError, FailReason, PeerError};
use crate::fragment::{HandshakeType, Message};
use crate::handshake::client::AwaitServerHelloDone;
use crate::handshake::message::{Body, NAMED_CURVE, ServerKeyExchange};
use crate::handshake::server::{AwaitClientFinished, AwaitClientKeyExchange};
use crate::handshake::{Context, Handshake, Negotiated};
use crate::keys::Sender;
use crate::psk::{MAX_IDENTITY_LEN, premaster};

/// Bytes of the key that an unknown identity gets.
const UNKNOWN_KEY_LEN: usize = 32;

/// ServerKeyExchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PskServerExchange<'a> {
    pub(crate) hint: &'a [u8],
    pub(crate) group: u16,
    pub(crate) share: &'a [u8],
}

impl PskServerExchange<'_> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        put_vec16(&mut out, |out| out.extend_from_slice(self.hint));
        out.extend_from_slice(&ServerKeyExchange::encode_params(self.group, self.share));
        out
    }
}

/// ClientKeyExchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PskClientExchange<'a> {
    pub(crate) identity: &'a [u8],
    pub(crate) share: &'a [u8],
}

impl PskClientExchange<'_> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        put_vec16(&mut out, |out| out.extend_from_slice(self.identity));
        put_vec8(&mut out, |out| out.extend_from_slice(self.share));
        out
    }
}

impl<'a> Body<'a> {
    /// Decodes a message of a handshake with pre-shared keys.
    pub(crate) fn decode_with_psk(
        msg_type: HandshakeType,
        epoch: u64,
        body: &'a [u8],
    ) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let decoded = match msg_type {
            HandshakeType::SERVER_KEY_EXCHANGE => {
                let hint = reader.vec16()?;
                if reader.u8()? != NAMED_CURVE {
                    return Err(DecodeError::BadValue);
                }
                Self::PskServerExchange(PskServerExchange {
                    hint,
                    group: reader.u16()?,
                    share: reader.vec8()?,
                })
            }
            HandshakeType::CLIENT_KEY_EXCHANGE => {
                let identity = reader.vec16()?;
                Self::PskClientExchange(PskClientExchange { identity, share: reader.vec8()? })
            }
            _ => return Self::decode(msg_type, epoch, body),
        };
        reader.finish()?;
        Ok(decoded)
    }
}

/// ServerHello is here.
pub(crate) struct AwaitPskExchange {
    pub(crate) negotiated: Negotiated,
}

impl AwaitPskExchange {
    pub(crate) fn handle(
        self,
        exchange: &PskServerExchange<'_>,
        message: &Message,
        context: &mut Context<'_>,
    ) -> Result<Handshake, FailReason> {
        let Self { mut negotiated } = self;
        let config = context.config;
        let (_, group) = config
            .groups()
            .find(|(id, group)| *id == exchange.group && group.is_symmetric())
            .ok_or(PeerError::IllegalParameter)?;
        let keys = config.pre_shared_keys.as_ref().ok_or(PeerError::NoPreSharedKey)?;
        let identity = keys.identity(exchange.hint).filter(|identity| identity.len() <= MAX_IDENTITY_LEN);
        let identity = identity.ok_or(PeerError::NoPreSharedKey)?;
        let key = keys.key(&identity).map(Zeroizing::new).filter(|key| u16::try_from(key.len()).is_ok());
        let key = key.ok_or(PeerError::NoPreSharedKey)?;
        let ours = (config.provider.key_exchange)(group, context.rng)?;
        let answer = PskClientExchange { identity: &identity, share: ours.public_share() }.encode();
        let exchanged = ours.agree(exchange.share).map_err(|_| PeerError::IllegalParameter)?;
        context.transcript.add(&message.whole());
        // It proves that it is who it is to be with its Finished.
        context.identity.trust();
        negotiated.parameters.group = group;
        negotiated.parameters.psk_identity = Some(identity);
        let premaster = premaster(&exchanged, &key);
        Ok(Handshake::ServerHelloDone(AwaitServerHelloDone {
            negotiated,
            key_exchange: answer,
            premaster,
            scheme: None,
        }))
    }
}

impl AwaitClientKeyExchange {
    /// Takes the client's identity. One that is not known gets a random key, which no client has: from without that is no
    /// different from a wrong key (RFC 4279 §2).
    pub(crate) fn handle_psk(
        self,
        exchange: &PskClientExchange<'_>,
        message: &Message,
        context: &mut Context<'_>,
    ) -> Result<Handshake, FailReason> {
        let Self { mut negotiated, exchange: ours, .. } = self;
        let keys = context.config.pre_shared_keys.as_ref().ok_or(PeerError::NoPreSharedKey)?;
        let exchanged = ours.agree(exchange.share).map_err(|_| PeerError::IllegalParameter)?;
        let mut key = Zeroizing::new(vec![0; UNKNOWN_KEY_LEN]);
        context.rng.fill_bytes(&mut key);
        let known = Some(exchange.identity).filter(|identity| identity.len() <= MAX_IDENTITY_LEN);
        let known = known.and_then(|identity| keys.key(identity)).map(Zeroizing::new);
        if let Some(known) = known.filter(|key| u16::try_from(key.len()).is_ok()) {
            key = known;
            negotiated.parameters.psk_identity = Some(exchange.identity.to_vec());
        }
        context.transcript.add(&message.whole());
        let secrets = context.derive_secrets(&negotiated, &premaster(&exchanged, &key), Sender::Server)?;
        Ok(Handshake::ClientFinished(AwaitClientFinished { negotiated, secrets }))
    }
}
