//! The one thing that is read in a certificate: its public key (RFC 5280 §4.1).
//!
//! Certificates are identified by their fingerprint, so names, validity and extensions mean nothing here.

use crate::codec::Reader;
use crate::error::DecodeError;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT_IDENTIFIER: u8 = 0x06;
const EXPLICIT_0: u8 = 0xa0;

/// id-ecPublicKey, RFC 5480 §2.1.1.
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// secp256r1, RFC 5480 §2.1.1.1.
const SECP256R1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// secp384r1, RFC 5480 §2.1.1.1.
const SECP384R1: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
/// rsaEncryption, RFC 3279 §2.3.1.
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// id-Ed25519, RFC 8410 §3.
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

/// A kind of key that is supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    P256,
    P384,
    Rsa,
    Ed25519,
}

/// The public key of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicKey {
    /// `None` for kinds that are not supported.
    pub(crate) kind: Option<KeyKind>,
    /// The contents of the BIT STRING.
    pub(crate) bytes: Vec<u8>,
}

impl PublicKey {
    /// Reads the key of a certificate in DER.
    pub(crate) fn of_certificate(certificate: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(certificate);
        let mut certificate = Reader::new(element(&mut reader, SEQUENCE)?);
        reader.finish()?;
        let mut tbs = Reader::new(element(&mut certificate, SEQUENCE)?);
        if tbs.rest().first() == Some(&EXPLICIT_0) {
            element(&mut tbs, EXPLICIT_0)?;
        }
        element(&mut tbs, INTEGER)?;
        // Signature algorithm, issuer, validity, subject.
        for _ in 0..4 {
            element(&mut tbs, SEQUENCE)?;
        }
        let mut info = Reader::new(element(&mut tbs, SEQUENCE)?);
        let mut algorithm = Reader::new(element(&mut info, SEQUENCE)?);
        let kind = match element(&mut algorithm, OBJECT_IDENTIFIER)? {
            EC_PUBLIC_KEY => match element(&mut algorithm, OBJECT_IDENTIFIER)? {
                SECP256R1 => Some(KeyKind::P256),
                SECP384R1 => Some(KeyKind::P384),
                _ => None,
            },
            RSA_ENCRYPTION => Some(KeyKind::Rsa),
            ED25519 => Some(KeyKind::Ed25519),
            _ => None,
        };
        let bits = element(&mut info, BIT_STRING)?;
        let [0, bytes @ ..] = bits else { return Err(DecodeError::BadValue) };
        Ok(Self { kind, bytes: bytes.to_vec() })
    }
}

/// The contents of the next DER element, which has this tag.
fn element<'a>(reader: &mut Reader<'a>, tag: u8) -> Result<&'a [u8], DecodeError> {
    if reader.u8()? != tag {
        return Err(DecodeError::BadValue);
    }
    let len = match reader.u8()? {
        len @ 0..=0x7f => usize::from(len),
        0x81 => usize::from(reader.u8()?),
        0x82 => usize::from(reader.u16()?),
        0x83 => reader.u24()?,
        _ => return Err(DecodeError::BadLength),
    };
    reader.take(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::tests::certificate;

    #[test]
    fn the_key_of_a_certificate_is_found_and_no_cut_one_panics() {
        let certificate = certificate(1);
        let key = PublicKey::of_certificate(certificate.der()).unwrap();
        assert_eq!(key.kind, Some(KeyKind::P256));
        assert_eq!(key.bytes, certificate.signer().public_key());
        let der = certificate.der();
        for len in 0..der.len() {
            assert!(PublicKey::of_certificate(&der[..len]).is_err(), "{len} bytes");
        }
        for at in 0..der.len() {
            let mut changed = der.to_vec();
            changed[at] = !changed[at];
            let _ = PublicKey::of_certificate(&changed);
        }
        assert!(PublicKey::of_certificate(&[der, &[0]].concat()).is_err(), "trailing byte");
    }
}
