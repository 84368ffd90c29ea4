//! Hello extensions: supported_groups and ec_point_formats (RFC 8422 §5.1), signature_algorithms (RFC 5246
//! §7.4.1.4.1), use_srtp (RFC 5764 §4.1), extended_master_secret (RFC 7627 §5.1), renegotiation_info (RFC 5746 §3.2)
//! and, read only, supported_versions (RFC 8446 §4.2.1).

use crate::codec::{Reader, put_u16, put_vec8, put_vec16, u16_list};
use crate::error::DecodeError;

const SUPPORTED_GROUPS: u16 = 10;
const EC_POINT_FORMATS: u16 = 11;
const SIGNATURE_ALGORITHMS: u16 = 13;
const USE_SRTP: u16 = 14;
const EXTENDED_MASTER_SECRET: u16 = 23;
const SUPPORTED_VERSIONS: u16 = 43;
const RENEGOTIATION_INFO: u16 = 0xff01;

/// The one point format that there still is.
const UNCOMPRESSED: u8 = 0;

/// Whose hello the extensions stand in: some differ in form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hello {
    Client,
    Server,
}

/// The contents of use_srtp.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UseSrtp {
    pub(crate) profiles: Vec<u16>,
    pub(crate) mki: Vec<u8>,
}

/// The extensions of a hello that mean something to us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extensions {
    pub(crate) groups: Option<Vec<u16>>,
    /// Whether ec_point_formats is there; it always has the uncompressed form.
    pub(crate) point_formats: bool,
    pub(crate) signature_schemes: Option<Vec<u16>>,
    pub(crate) use_srtp: Option<UseSrtp>,
    pub(crate) extended_master_secret: bool,
    pub(crate) renegotiation_info: Option<Vec<u8>>,
    /// Only ever received.
    pub(crate) supported_versions: Option<Vec<u16>>,
    /// The code points of all others.
    pub(crate) others: Vec<u16>,
}

impl Extensions {
    /// Reads the rest of a hello, which may have no extensions at all.
    pub(crate) fn decode(mut reader: Reader<'_>, hello: Hello) -> Result<Self, DecodeError> {
        let mut extensions = Self::default();
        if reader.is_empty() {
            return Ok(extensions);
        }
        let mut list = Reader::new(reader.vec16()?);
        reader.finish()?;
        let mut seen = Vec::new();
        while !list.is_empty() {
            let code = list.u16()?;
            if seen.contains(&code) {
                return Err(DecodeError::BadValue);
            }
            seen.push(code);
            extensions.decode_one(code, list.vec16()?, hello)?;
        }
        Ok(extensions)
    }

    fn decode_one(&mut self, code: u16, body: &[u8], hello: Hello) -> Result<(), DecodeError> {
        let mut reader = Reader::new(body);
        match (code, hello) {
            (SUPPORTED_GROUPS, Hello::Client) => self.groups = Some(u16_list(reader.vec16()?)?),
            (SIGNATURE_ALGORITHMS, Hello::Client) => {
                self.signature_schemes = Some(u16_list(reader.vec16()?)?);
            }
            (SUPPORTED_VERSIONS, Hello::Client) => {
                self.supported_versions = Some(u16_list(reader.vec8()?)?);
            }
            (EC_POINT_FORMATS, _) => {
                if !reader.vec8()?.contains(&UNCOMPRESSED) {
                    return Err(DecodeError::BadValue);
                }
                self.point_formats = true;
            }
            (USE_SRTP, _) => {
                let profiles = u16_list(reader.vec16()?)?;
                self.use_srtp = Some(UseSrtp { profiles, mki: reader.vec8()?.to_vec() });
            }
            (EXTENDED_MASTER_SECRET, _) => self.extended_master_secret = true,
            (RENEGOTIATION_INFO, _) => self.renegotiation_info = Some(reader.vec8()?.to_vec()),
            _ => {
                self.others.push(code);
                return Ok(());
            }
        }
        reader.finish()
    }

    /// Appends the extensions block.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_vec16(out, |out| {
            if let Some(groups) = &self.groups {
                put_extension(out, SUPPORTED_GROUPS, |out| put_list(out, groups));
            }
            if self.point_formats {
                put_extension(out, EC_POINT_FORMATS, |out| put_vec8(out, |out| out.push(UNCOMPRESSED)));
            }
            if let Some(schemes) = &self.signature_schemes {
                put_extension(out, SIGNATURE_ALGORITHMS, |out| put_list(out, schemes));
            }
            if let Some(use_srtp) = &self.use_srtp {
                put_extension(out, USE_SRTP, |out| {
                    put_list(out, &use_srtp.profiles);
                    put_vec8(out, |out| out.extend_from_slice(&use_srtp.mki));
                });
            }
            if self.extended_master_secret {
                put_extension(out, EXTENDED_MASTER_SECRET, |_| {});
            }
            if let Some(info) = &self.renegotiation_info {
                put_extension(out, RENEGOTIATION_INFO, |out| {
                    put_vec8(out, |out| out.extend_from_slice(info));
                });
            }
        });
    }
}

fn put_extension(out: &mut Vec<u8>, code: u16, body: impl FnOnce(&mut Vec<u8>)) {
    put_u16(out, code);
    put_vec16(out, body);
}

fn put_list(out: &mut Vec<u8>, values: &[u16]) {
    put_vec16(out, |out| {
        for value in values {
            put_u16(out, *value);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Extensions {
        Extensions {
            groups: Some(vec![29, 23]),
            point_formats: true,
            signature_schemes: Some(vec![0x0403]),
            use_srtp: Some(UseSrtp { profiles: vec![7, 1], mki: vec![] }),
            extended_master_secret: true,
            renegotiation_info: Some(vec![]),
            supported_versions: None,
            others: vec![],
        }
    }

    #[test]
    fn extensions_come_back() {
        let mut bytes = Vec::new();
        full().encode(&mut bytes);
        assert_eq!(Extensions::decode(Reader::new(&bytes), Hello::Client), Ok(full()));
        let as_server = Extensions::decode(Reader::new(&bytes), Hello::Server).unwrap();
        assert_eq!(as_server.others, [SUPPORTED_GROUPS, SIGNATURE_ALGORITHMS], "not for a server to send");
        let none = Extensions::decode(Reader::new(&[]), Hello::Client);
        assert_eq!(none, Ok(Extensions::default()));
        for len in 1..bytes.len() {
            assert!(Extensions::decode(Reader::new(&bytes[..len]), Hello::Client).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn unknown_extensions_are_kept_and_repeated_ones_refused() {
        let decode = |bytes: &[u8]| Extensions::decode(Reader::new(bytes), Hello::Client);
        let unknown = decode(b"\0\x0b\0\x33\0\x03abc\0\x17\0\0").unwrap();
        assert_eq!(unknown.others, [0x33]);
        assert!(unknown.extended_master_secret);
        assert_eq!(decode(b"\0\x08\0\x17\0\0\0\x17\0\0"), Err(DecodeError::BadValue));
        assert_eq!(decode(b"\0\x05\0\x17\0\x01a"), Err(DecodeError::TrailingBytes));
        assert_eq!(decode(b"\0\x06\0\x0b\0\x02\x01\x01"), Err(DecodeError::BadValue));
        let versions = decode(b"\0\x09\0\x2b\0\x05\x04\xfe\xfc\xfe\xfd").unwrap();
        assert_eq!(versions.supported_versions, Some(vec![0xfefc, 0xfefd]));
    }
}
