//! The bodies of handshake messages (RFC 5246 §7.4, RFC 6347 §4.2.1, RFC 8422 §5; RFC 8446 §4, RFC 9147 §5.3).

use crate::codec::{Reader, put_u16, put_vec8, put_vec16, put_vec24, u16_list};
use crate::error::DecodeError;
use crate::extension::{Extensions, Place};
use crate::fragment::HandshakeType;
use crate::handshake::psk::{PskClientExchange, PskServerExchange};

/// The random of a HelloRetryRequest: SHA-256 of its name (RFC 8446 §4.1.3).
pub(crate) const RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// `ECCurveType` named_curve.
pub(crate) const NAMED_CURVE: u8 = 3;

/// ClientHello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientHello {
    pub(crate) version: u16,
    pub(crate) random: [u8; 32],
    pub(crate) session_id: Vec<u8>,
    pub(crate) cookie: Vec<u8>,
    pub(crate) cipher_suites: Vec<u16>,
    pub(crate) compression_methods: Vec<u8>,
    pub(crate) extensions: Extensions,
}

impl ClientHello {
    fn decode(mut reader: Reader<'_>) -> Result<Self, DecodeError> {
        let version = reader.u16()?;
        let random = reader.array()?;
        let session_id = short(reader.vec8()?, 32)?.to_vec();
        let cookie = reader.vec8()?.to_vec();
        let cipher_suites = u16_list(reader.vec16()?)?;
        let compression_methods = reader.vec8()?.to_vec();
        if cipher_suites.is_empty() || compression_methods.is_empty() {
            return Err(DecodeError::BadLength);
        }
        let extensions = Extensions::decode_optional(reader, Place::ClientHello)?;
        Ok(Self { version, random, session_id, cookie, cipher_suites, compression_methods, extensions })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        put_u16(&mut out, self.version);
        out.extend_from_slice(&self.random);
        put_vec8(&mut out, |out| out.extend_from_slice(&self.session_id));
        put_vec8(&mut out, |out| out.extend_from_slice(&self.cookie));
        put_vec16(&mut out, |out| self.cipher_suites.iter().for_each(|suite| put_u16(out, *suite)));
        put_vec8(&mut out, |out| out.extend_from_slice(&self.compression_methods));
        self.extensions.encode(Place::ClientHello, &mut out);
        out
    }
}

/// ServerHello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerHello {
    pub(crate) version: u16,
    pub(crate) random: [u8; 32],
    pub(crate) session_id: Vec<u8>,
    pub(crate) cipher_suite: u16,
    pub(crate) compression_method: u8,
    pub(crate) extensions: Extensions,
}

impl ServerHello {
    fn decode(mut reader: Reader<'_>) -> Result<Self, DecodeError> {
        let version = reader.u16()?;
        let random = reader.array()?;
        let session_id = short(reader.vec8()?, 32)?.to_vec();
        let cipher_suite = reader.u16()?;
        let compression_method = reader.u8()?;
        let extensions = Extensions::decode_optional(reader, Self::place(&random))?;
        Ok(Self { version, random, session_id, cipher_suite, compression_method, extensions })
    }

    fn place(random: &[u8; 32]) -> Place {
        if *random == RETRY_RANDOM { Place::HelloRetryRequest } else { Place::ServerHello }
    }

    /// Whether this is a HelloRetryRequest.
    pub(crate) fn is_retry(&self) -> bool {
        self.random == RETRY_RANDOM
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        put_u16(&mut out, self.version);
        out.extend_from_slice(&self.random);
        put_vec8(&mut out, |out| out.extend_from_slice(&self.session_id));
        put_u16(&mut out, self.cipher_suite);
        out.push(self.compression_method);
        self.extensions.encode(Self::place(&self.random), &mut out);
        out
    }
}

/// ServerKeyExchange of ECDHE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerKeyExchange<'a> {
    pub(crate) group: u16,
    pub(crate) share: &'a [u8],
    /// The bytes of `ServerECDHParams`, which are signed.
    pub(crate) params: &'a [u8],
    pub(crate) signature: DigitallySigned<'a>,
}

impl<'a> ServerKeyExchange<'a> {
    fn decode(mut reader: Reader<'a>) -> Result<Self, DecodeError> {
        let whole = reader.rest();
        if reader.u8()? != NAMED_CURVE {
            return Err(DecodeError::BadValue);
        }
        let group = reader.u16()?;
        let share = reader.vec8()?;
        let params = &whole[..whole.len() - reader.rest().len()];
        Ok(Self { group, share, params, signature: DigitallySigned::decode(reader)? })
    }

    /// `ServerECDHParams`.
    pub(crate) fn encode_params(group: u16, share: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        out.push(NAMED_CURVE);
        put_u16(&mut out, group);
        put_vec8(&mut out, |out| out.extend_from_slice(share));
        out
    }
}

/// A signature and its scheme: what CertificateVerify consists of, and ServerKeyExchange ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DigitallySigned<'a> {
    pub(crate) scheme: u16,
    pub(crate) signature: &'a [u8],
}

impl<'a> DigitallySigned<'a> {
    fn decode(mut reader: Reader<'a>) -> Result<Self, DecodeError> {
        let scheme = reader.u16()?;
        let signature = reader.vec16()?;
        reader.finish()?;
        Ok(Self { scheme, signature })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_u16(out, self.scheme);
        put_vec16(out, |out| out.extend_from_slice(self.signature));
    }
}

/// CertificateRequest. The names of authorities mean nothing where certificates are self-signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CertificateRequest {
    pub(crate) certificate_types: Vec<u8>,
    pub(crate) signature_schemes: Vec<u16>,
}

impl CertificateRequest {
    fn decode(mut reader: Reader<'_>) -> Result<Self, DecodeError> {
        let certificate_types = reader.vec8()?.to_vec();
        let signature_schemes = u16_list(reader.vec16()?)?;
        let mut authorities = Reader::new(reader.vec16()?);
        while !authorities.is_empty() {
            authorities.vec16()?;
        }
        reader.finish()?;
        Ok(Self { certificate_types, signature_schemes })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_vec8(&mut out, |out| out.extend_from_slice(&self.certificate_types));
        put_vec16(&mut out, |out| self.signature_schemes.iter().for_each(|scheme| put_u16(out, *scheme)));
        put_vec16(&mut out, |_| {});
        out
    }
}

/// Certificate, the leaf first.
pub(crate) fn encode_certificate<'a>(certificates: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    put_vec24(&mut out, |out| {
        certificates.for_each(|der| put_vec24(out, |out| out.extend_from_slice(der)));
    });
    out
}

/// The certificates of the chain, the leaf first.
fn decode_certificate(mut reader: Reader<'_>) -> Result<Vec<&[u8]>, DecodeError> {
    let mut chain = Reader::new(reader.vec24()?);
    reader.finish()?;
    let mut certificates = Vec::new();
    while !chain.is_empty() {
        certificates.push(chain.vec24()?);
    }
    Ok(certificates)
}

/// Certificate of 1.3, in the handshake, the leaf first.
pub(crate) fn encode_certificate_1_3<'a>(certificates: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    put_vec8(&mut out, |_| {});
    put_vec24(&mut out, |out| {
        for der in certificates {
            put_vec24(out, |out| out.extend_from_slice(der));
            put_vec16(out, |_| {});
        }
    });
    out
}

/// The certificates of a chain of 1.3, the leaf first. The context is that of a handshake: empty.
fn decode_certificate_1_3(mut reader: Reader<'_>) -> Result<Vec<&[u8]>, DecodeError> {
    if !reader.vec8()?.is_empty() {
        return Err(DecodeError::BadValue);
    }
    let mut chain = Reader::new(reader.vec24()?);
    reader.finish()?;
    let mut certificates = Vec::new();
    while !chain.is_empty() {
        certificates.push(chain.vec24()?);
        let mut extensions = Reader::new(chain.vec16()?);
        while !extensions.is_empty() {
            extensions.u16()?;
            extensions.vec16()?;
        }
    }
    Ok(certificates)
}

/// CertificateRequest of 1.3, in the handshake.
pub(crate) fn encode_certificate_request_1_3(signature_schemes: Vec<u16>) -> Vec<u8> {
    let mut out = Vec::new();
    put_vec8(&mut out, |_| {});
    let extensions = Extensions { signature_schemes: Some(signature_schemes), ..Extensions::default() };
    extensions.encode(Place::CertificateRequest, &mut out);
    out
}

/// KeyUpdate.
pub(crate) fn encode_key_update(request: bool) -> Vec<u8> {
    vec![u8::from(request)]
}

/// Checks the form of a NewSessionTicket, whose contents are of no use here.
fn decode_ticket(mut reader: Reader<'_>) -> Result<(), DecodeError> {
    reader.array::<8>()?;
    reader.vec8()?;
    reader.vec16()?;
    reader.vec16()?;
    reader.finish()
}

/// NewConnectionId (RFC 9147 §9).
fn decode_new_ids(mut reader: Reader<'_>) -> Result<Body<'_>, DecodeError> {
    let mut list = Reader::new(reader.vec16()?);
    let immediate = match reader.u8()? {
        0 => true,
        1 => false,
        _ => return Err(DecodeError::BadValue),
    };
    reader.finish()?;
    let mut ids = Vec::new();
    while !list.is_empty() {
        ids.push(list.vec8()?);
    }
    Ok(Body::NewConnectionId { ids, immediate })
}

/// ClientKeyExchange of ECDHE.
pub(crate) fn encode_client_key_exchange(share: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(share.len() + 1);
    put_vec8(&mut out, |out| out.extend_from_slice(share));
    out
}

/// A decoded handshake message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body<'a> {
    ClientHello(ClientHello),
    ServerHello(ServerHello),
    /// The cookie.
    HelloVerifyRequest(&'a [u8]),
    /// The certificates, the leaf first.
    Certificate(Vec<&'a [u8]>),
    ServerKeyExchange(ServerKeyExchange<'a>),
    /// ServerKeyExchange with pre-shared keys.
    PskServerExchange(PskServerExchange<'a>),
    /// ClientKeyExchange with pre-shared keys.
    PskClientExchange(PskClientExchange<'a>),
    CertificateRequest(CertificateRequest),
    ServerHelloDone,
    CertificateVerify(DigitallySigned<'a>),
    /// The share.
    ClientKeyExchange(&'a [u8]),
    /// The verify data.
    Finished(&'a [u8]),
    EncryptedExtensions(Extensions),
    /// CertificateRequest of 1.3: what it says stands in the extensions.
    CertificateRequestOf13(Extensions),
    NewSessionTicket,
    /// Whether the peer asks us to update our keys too.
    KeyUpdate(bool),
    /// The peer would like more ids for its records to us.
    RequestConnectionId,
    /// More ids for our records to the peer.
    NewConnectionId {
        /// In the peer's order.
        ids: Vec<&'a [u8]>,
        /// Whether one of them is to be used from now on, or they are kept for later.
        immediate: bool,
    },
    /// A type that no state of ours expects.
    Other,
}

impl<'a> Body<'a> {
    /// Decodes a message that came in `epoch`: those from epoch 2 on have the forms of 1.3.
    pub(crate) fn decode(msg_type: HandshakeType, epoch: u64, body: &'a [u8]) -> Result<Self, DecodeError> {
        if epoch < 2 { Self::decode_1_2(msg_type, body) } else { Self::decode_1_3(msg_type, body) }
    }

    fn decode_1_3(msg_type: HandshakeType, body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        Ok(match msg_type {
            HandshakeType::ENCRYPTED_EXTENSIONS => {
                Self::EncryptedExtensions(Extensions::decode(reader, Place::EncryptedExtensions)?)
            }
            HandshakeType::CERTIFICATE => Self::Certificate(decode_certificate_1_3(reader)?),
            HandshakeType::CERTIFICATE_REQUEST => {
                if !reader.vec8()?.is_empty() {
                    return Err(DecodeError::BadValue);
                }
                Self::CertificateRequestOf13(Extensions::decode(reader, Place::CertificateRequest)?)
            }
            HandshakeType::CERTIFICATE_VERIFY => Self::CertificateVerify(DigitallySigned::decode(reader)?),
            HandshakeType::FINISHED => Self::Finished(body),
            HandshakeType::NEW_SESSION_TICKET => {
                decode_ticket(reader)?;
                Self::NewSessionTicket
            }
            HandshakeType::REQUEST_CONNECTION_ID => {
                reader.u8()?;
                reader.finish()?;
                Self::RequestConnectionId
            }
            HandshakeType::NEW_CONNECTION_ID => decode_new_ids(reader)?,
            HandshakeType::KEY_UPDATE => {
                let request = match reader.u8()? {
                    0 => false,
                    1 => true,
                    _ => return Err(DecodeError::BadValue),
                };
                reader.finish()?;
                Self::KeyUpdate(request)
            }
            _ => Self::Other,
        })
    }

    /// The hellos of both versions, and the messages of 1.2.
    fn decode_1_2(msg_type: HandshakeType, body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        Ok(match msg_type {
            HandshakeType::CLIENT_HELLO => Self::ClientHello(ClientHello::decode(reader)?),
            HandshakeType::SERVER_HELLO => Self::ServerHello(ServerHello::decode(reader)?),
            HandshakeType::HELLO_VERIFY_REQUEST => {
                reader.u16()?;
                let cookie = reader.vec8()?;
                reader.finish()?;
                Self::HelloVerifyRequest(cookie)
            }
            HandshakeType::CERTIFICATE => Self::Certificate(decode_certificate(reader)?),
            HandshakeType::SERVER_KEY_EXCHANGE => Self::ServerKeyExchange(ServerKeyExchange::decode(reader)?),
            HandshakeType::CERTIFICATE_REQUEST => {
                Self::CertificateRequest(CertificateRequest::decode(reader)?)
            }
            HandshakeType::SERVER_HELLO_DONE => {
                reader.finish()?;
                Self::ServerHelloDone
            }
            HandshakeType::CERTIFICATE_VERIFY => Self::CertificateVerify(DigitallySigned::decode(reader)?),
            HandshakeType::CLIENT_KEY_EXCHANGE => {
                let share = reader.vec8()?;
                reader.finish()?;
                Self::ClientKeyExchange(share)
            }
            HandshakeType::FINISHED => Self::Finished(body),
            _ => Self::Other,
        })
    }
}

fn short(bytes: &[u8], max: usize) -> Result<&[u8], DecodeError> {
    if bytes.len() <= max { Ok(bytes) } else { Err(DecodeError::BadLength) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::VERSION_1_2;

    /// Decodes `bytes`, and refuses every cut and every extended form of them.
    fn decode_strictly(msg_type: HandshakeType, bytes: &[u8]) -> Body<'_> {
        for len in 0..bytes.len() {
            assert!(Body::decode(msg_type, 0, &bytes[..len]).is_err(), "{msg_type:?} of {len} bytes");
        }
        let extended = [bytes, &[0]].concat();
        assert!(Body::decode(msg_type, 0, &extended).is_err(), "{msg_type:?} with a trailing byte");
        Body::decode(msg_type, 0, bytes).unwrap()
    }

    #[test]
    fn hellos_come_back() {
        let hello = ClientHello {
            version: VERSION_1_2,
            random: [1; 32],
            session_id: vec![2; 32],
            cookie: vec![3; 20],
            cipher_suites: vec![0xc02b, 0xc02f],
            compression_methods: vec![0],
            extensions: Extensions { extended_master_secret: true, codes: vec![23], ..Extensions::default() },
        };
        let bytes = hello.encode();
        assert_eq!(
            Body::decode(HandshakeType::CLIENT_HELLO, 0, &bytes),
            Ok(Body::ClientHello(hello.clone()))
        );
        let without_extensions = &bytes[..bytes.len() - 6];
        assert!(
            Body::decode(HandshakeType::CLIENT_HELLO, 0, without_extensions).is_ok(),
            "RFC 5246 §7.4.1.2"
        );
        for len in (0..bytes.len()).filter(|len| *len != without_extensions.len()) {
            assert!(Body::decode(HandshakeType::CLIENT_HELLO, 0, &bytes[..len]).is_err(), "{len} bytes");
        }
        let no_suites = ClientHello { cipher_suites: vec![], ..hello.clone() }.encode();
        assert_eq!(Body::decode(HandshakeType::CLIENT_HELLO, 0, &no_suites), Err(DecodeError::BadLength));
        let long_id = ClientHello { session_id: vec![0; 33], ..hello }.encode();
        assert_eq!(Body::decode(HandshakeType::CLIENT_HELLO, 0, &long_id), Err(DecodeError::BadLength));

        let hello = ServerHello {
            version: VERSION_1_2,
            random: [1; 32],
            session_id: vec![],
            cipher_suite: 0xc02b,
            compression_method: 0,
            extensions: Extensions {
                renegotiation_info: Some(vec![]),
                codes: vec![0xff01],
                ..Extensions::default()
            },
        };
        let bytes = hello.encode();
        assert_eq!(Body::decode(HandshakeType::SERVER_HELLO, 0, &bytes), Ok(Body::ServerHello(hello)));
    }

    #[test]
    fn other_messages_come_back() {
        let bytes = encode_certificate(std::iter::once(&b"der"[..]));
        assert_eq!(decode_strictly(HandshakeType::CERTIFICATE, &bytes), Body::Certificate(vec![b"der"]));
        let chain = b"\0\0\x08\0\0\x01a\0\0\x01b";
        assert_eq!(decode_strictly(HandshakeType::CERTIFICATE, chain), Body::Certificate(vec![b"a", b"b"]));
        assert_eq!(decode_strictly(HandshakeType::CERTIFICATE, b"\0\0\0"), Body::Certificate(vec![]));

        let params = ServerKeyExchange::encode_params(29, b"share");
        let mut bytes = params.clone();
        let signature = DigitallySigned { scheme: 0x0403, signature: b"sig" };
        signature.encode(&mut bytes);
        let expected = ServerKeyExchange { group: 29, share: b"share", params: &params, signature };
        let decoded = decode_strictly(HandshakeType::SERVER_KEY_EXCHANGE, &bytes);
        assert_eq!(decoded, Body::ServerKeyExchange(expected));
        bytes[0] = 1;
        let explicit_curve = Body::decode(HandshakeType::SERVER_KEY_EXCHANGE, 0, &bytes);
        assert_eq!(explicit_curve, Err(DecodeError::BadValue));

        let request = CertificateRequest { certificate_types: vec![64], signature_schemes: vec![0x0403] };
        let bytes = request.encode();
        let decoded = decode_strictly(HandshakeType::CERTIFICATE_REQUEST, &bytes);
        assert_eq!(decoded, Body::CertificateRequest(request.clone()));
        let with_authority = [&bytes[..bytes.len() - 2], b"\0\x03\0\x01a"].concat();
        let decoded = decode_strictly(HandshakeType::CERTIFICATE_REQUEST, &with_authority);
        assert_eq!(decoded, Body::CertificateRequest(request));

        let mut bytes = Vec::new();
        signature.encode(&mut bytes);
        let decoded = decode_strictly(HandshakeType::CERTIFICATE_VERIFY, &bytes);
        assert_eq!(decoded, Body::CertificateVerify(signature));
        let bytes = encode_client_key_exchange(b"share");
        let decoded = decode_strictly(HandshakeType::CLIENT_KEY_EXCHANGE, &bytes);
        assert_eq!(decoded, Body::ClientKeyExchange(b"share"));
        let decoded = decode_strictly(HandshakeType::HELLO_VERIFY_REQUEST, b"\xfe\xff\x02ab");
        assert_eq!(decoded, Body::HelloVerifyRequest(b"ab"));
        assert_eq!(decode_strictly(HandshakeType::SERVER_HELLO_DONE, b""), Body::ServerHelloDone);
        assert_eq!(Body::decode(HandshakeType(99), 0, b"x"), Ok(Body::Other));
    }

    #[test]
    fn messages_of_1_3_come_back() {
        let strictly = |msg_type: HandshakeType, bytes: &[u8]| {
            for len in 0..bytes.len() {
                assert!(Body::decode(msg_type, 2, &bytes[..len]).is_err(), "{msg_type:?} of {len} bytes");
            }
            let extended = [bytes, &[0]].concat();
            assert!(Body::decode(msg_type, 2, &extended).is_err(), "{msg_type:?} with a trailing byte");
        };
        let bytes = encode_certificate_1_3(std::iter::once(&b"der"[..]));
        strictly(HandshakeType::CERTIFICATE, &bytes);
        assert_eq!(Body::decode(HandshakeType::CERTIFICATE, 2, &bytes), Ok(Body::Certificate(vec![b"der"])));
        let chain = b"\0\0\0\x11\0\0\x01a\0\x05\0\x05\0\x01x\0\0\x01b\0\0";
        let decoded = Body::decode(HandshakeType::CERTIFICATE, 2, chain);
        assert_eq!(decoded, Ok(Body::Certificate(vec![b"a", b"b"])));
        let none = Body::decode(HandshakeType::CERTIFICATE, 2, b"\0\0\0\0");
        assert_eq!(none, Ok(Body::Certificate(vec![])));
        let with_context = Body::decode(HandshakeType::CERTIFICATE, 2, b"\x01x\0\0\0");
        assert_eq!(with_context, Err(DecodeError::BadValue));

        let bytes = encode_certificate_request_1_3(vec![0x0403, 0x0804]);
        strictly(HandshakeType::CERTIFICATE_REQUEST, &bytes);
        let decoded = Body::decode(HandshakeType::CERTIFICATE_REQUEST, 2, &bytes).unwrap();
        let Body::CertificateRequestOf13(extensions) = decoded else { panic!("{decoded:?}") };
        assert_eq!(extensions.signature_schemes, Some(vec![0x0403, 0x0804]));

        for request in [false, true] {
            let bytes = encode_key_update(request);
            strictly(HandshakeType::KEY_UPDATE, &bytes);
            assert_eq!(Body::decode(HandshakeType::KEY_UPDATE, 3, &bytes), Ok(Body::KeyUpdate(request)));
        }
        assert_eq!(Body::decode(HandshakeType::KEY_UPDATE, 3, &[2]), Err(DecodeError::BadValue));
        let ids = b"\0\x06\x02ab\x02cd\x01";
        strictly(HandshakeType::NEW_CONNECTION_ID, ids);
        let decoded = Body::decode(HandshakeType::NEW_CONNECTION_ID, 3, ids);
        assert_eq!(decoded, Ok(Body::NewConnectionId { ids: vec![b"ab", b"cd"], immediate: false }));
        let unknown_usage = Body::decode(HandshakeType::NEW_CONNECTION_ID, 3, b"\0\0\x02");
        assert_eq!(unknown_usage, Err(DecodeError::BadValue));
        strictly(HandshakeType::REQUEST_CONNECTION_ID, &[3]);
        let ticket = b"\0\0\0\x01\0\0\0\x02\x01n\0\x02tt\0\0";
        strictly(HandshakeType::NEW_SESSION_TICKET, ticket);
        let decoded = Body::decode(HandshakeType::NEW_SESSION_TICKET, 3, ticket);
        assert_eq!(decoded, Ok(Body::NewSessionTicket));
        strictly(HandshakeType::ENCRYPTED_EXTENSIONS, b"\0\x04\0\x00\0\0");
        assert_eq!(Body::decode(HandshakeType::SERVER_HELLO, 2, b""), Ok(Body::Other), "never encrypted");
    }

    /// The random of a HelloRetryRequest is a hash, and decides how its extensions are read.
    #[test]
    fn a_retry_request_is_known_by_its_random() {
        let provider = tombolo_crypto::CryptoProvider::default();
        let mut hash = (provider.hash)(tombolo_crypto::HashAlgorithm::Sha256).unwrap();
        hash.update(b"HelloRetryRequest");
        assert_eq!(hash.finish()[..], RETRY_RANDOM);
        let retry = ServerHello {
            version: VERSION_1_2,
            random: RETRY_RANDOM,
            session_id: vec![],
            cipher_suite: 0x1301,
            compression_method: 0,
            extensions: Extensions { cookie: Some(vec![7]), codes: vec![44], ..Extensions::default() },
        };
        let bytes = retry.encode();
        let decoded = Body::decode(HandshakeType::SERVER_HELLO, 0, &bytes);
        assert_eq!(decoded, Ok(Body::ServerHello(retry.clone())));
        assert!(retry.is_retry());
    }
}
