//! Extensions: supported_groups and ec_point_formats (RFC 8422 §5.1), signature_algorithms (RFC 5246 §7.4.1.4.1),
//! use_srtp (RFC 5764 §4.1), extended_master_secret (RFC 7627 §5.1), renegotiation_info (RFC 5746 §3.2), server_name
//! (RFC 6066 §3), ALPN (RFC 7301 §3.1), and of 1.3 supported_versions, cookie and key_share (RFC 8446 §4.2).

use crate::codec::{Reader, put_u16, put_vec8, put_vec16, u16_list};
use crate::error::DecodeError;

pub(crate) const SERVER_NAME: u16 = 0;
pub(crate) const SUPPORTED_GROUPS: u16 = 10;
const EC_POINT_FORMATS: u16 = 11;
const SIGNATURE_ALGORITHMS: u16 = 13;
pub(crate) const USE_SRTP: u16 = 14;
pub(crate) const ALPN: u16 = 16;
const EXTENDED_MASTER_SECRET: u16 = 23;
pub(crate) const CONNECTION_ID: u16 = 54;
pub(crate) const SUPPORTED_VERSIONS: u16 = 43;
pub(crate) const COOKIE: u16 = 44;
pub(crate) const KEY_SHARE: u16 = 51;
const RENEGOTIATION_INFO: u16 = 0xff01;

/// What a server may answer in a ServerHello of 1.2.
pub(crate) const SERVER_HELLO_1_2: [u16; 7] = [
    SERVER_NAME,
    EC_POINT_FORMATS,
    USE_SRTP,
    ALPN,
    EXTENDED_MASTER_SECRET,
    CONNECTION_ID,
    RENEGOTIATION_INFO,
];

/// The one point format that there still is.
const UNCOMPRESSED: u8 = 0;
/// `NameType` host_name.
const HOST_NAME: u8 = 0;

/// The message that extensions stand in: some differ in form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    ClientHello,
    ServerHello,
    HelloRetryRequest,
    EncryptedExtensions,
    CertificateRequest,
}

/// The contents of use_srtp.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UseSrtp {
    pub(crate) profiles: Vec<u16>,
    pub(crate) mki: Vec<u8>,
}

/// A share of a key exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyShare {
    pub(crate) group: u16,
    /// Empty in a HelloRetryRequest, which names the group alone.
    pub(crate) share: Vec<u8>,
}

/// The extensions of a message that mean something to us. What a server chooses is a list of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extensions {
    /// The name that a client asks for; empty in the answer.
    pub(crate) server_name: Option<Vec<u8>>,
    pub(crate) groups: Option<Vec<u16>>,
    /// Whether ec_point_formats is there; it always has the uncompressed form.
    pub(crate) point_formats: bool,
    pub(crate) signature_schemes: Option<Vec<u16>>,
    pub(crate) use_srtp: Option<UseSrtp>,
    pub(crate) alpn: Option<Vec<Vec<u8>>>,
    pub(crate) extended_master_secret: bool,
    pub(crate) renegotiation_info: Option<Vec<u8>>,
    pub(crate) versions: Option<Vec<u16>>,
    pub(crate) cookie: Option<Vec<u8>>,
    /// The id that is to stand in records to the sender of this.
    pub(crate) connection_id: Option<Vec<u8>>,
    pub(crate) key_shares: Option<Vec<KeyShare>>,
    /// The code points of all that were read, known or not.
    pub(crate) codes: Vec<u16>,
}

impl Extensions {
    /// Reads the rest of a hello, which may have no extensions at all.
    pub(crate) fn decode_optional(reader: Reader<'_>, place: Place) -> Result<Self, DecodeError> {
        if reader.is_empty() { Ok(Self::default()) } else { Self::decode(reader, place) }
    }

    /// Reads an extensions block to the end of the message.
    pub(crate) fn decode(mut reader: Reader<'_>, place: Place) -> Result<Self, DecodeError> {
        let mut extensions = Self::default();
        let mut list = Reader::new(reader.vec16()?);
        reader.finish()?;
        while !list.is_empty() {
            let code = list.u16()?;
            if extensions.codes.contains(&code) {
                return Err(DecodeError::BadValue);
            }
            extensions.codes.push(code);
            extensions.decode_one(code, list.vec16()?, place)?;
        }
        Ok(extensions)
    }

    /// Whether there is nothing but what is in `allowed`.
    pub(crate) fn are_among(&self, allowed: &[u16]) -> bool {
        self.codes.iter().all(|code| allowed.contains(code))
    }

    fn decode_one(&mut self, code: u16, body: &[u8], place: Place) -> Result<(), DecodeError> {
        let mut reader = Reader::new(body);
        match (code, place) {
            (SERVER_NAME, Place::ClientHello) => self.server_name = Some(server_name(&mut reader)?),
            (SERVER_NAME, _) => self.server_name = Some(Vec::new()),
            (SUPPORTED_GROUPS, Place::ClientHello | Place::EncryptedExtensions) => {
                self.groups = Some(u16_list(reader.vec16()?)?);
            }
            (SIGNATURE_ALGORITHMS, Place::ClientHello | Place::CertificateRequest) => {
                self.signature_schemes = Some(u16_list(reader.vec16()?)?);
            }
            (SUPPORTED_VERSIONS, Place::ClientHello) => self.versions = Some(u16_list(reader.vec8()?)?),
            (SUPPORTED_VERSIONS, Place::ServerHello | Place::HelloRetryRequest) => {
                self.versions = Some(vec![reader.u16()?]);
            }
            (COOKIE, Place::ClientHello | Place::HelloRetryRequest) => {
                self.cookie = Some(reader.vec16()?.to_vec());
            }
            (KEY_SHARE, Place::ClientHello) => self.key_shares = Some(key_shares(&mut reader)?),
            (KEY_SHARE, Place::ServerHello) => self.key_shares = Some(vec![key_share(&mut reader)?]),
            (KEY_SHARE, Place::HelloRetryRequest) => {
                self.key_shares = Some(vec![KeyShare { group: reader.u16()?, share: Vec::new() }]);
            }
            (CONNECTION_ID, Place::ClientHello | Place::ServerHello) => {
                self.connection_id = Some(reader.vec8()?.to_vec());
            }
            (EC_POINT_FORMATS, Place::ClientHello | Place::ServerHello) => {
                if !reader.vec8()?.contains(&UNCOMPRESSED) {
                    return Err(DecodeError::BadValue);
                }
                self.point_formats = true;
            }
            (USE_SRTP, _) => {
                let profiles = u16_list(reader.vec16()?)?;
                self.use_srtp = Some(UseSrtp { profiles, mki: reader.vec8()?.to_vec() });
            }
            (ALPN, _) => self.alpn = Some(protocols(&mut reader)?),
            (EXTENDED_MASTER_SECRET, _) => self.extended_master_secret = true,
            (RENEGOTIATION_INFO, _) => self.renegotiation_info = Some(reader.vec8()?.to_vec()),
            _ => return Ok(()),
        }
        reader.finish()
    }

    /// Appends the extensions block.
    pub(crate) fn encode(&self, place: Place, out: &mut Vec<u8>) {
        put_vec16(out, |out| {
            self.encode_negotiation(place, out);
            if let Some(use_srtp) = &self.use_srtp {
                put_extension(out, USE_SRTP, |out| {
                    put_list(out, &use_srtp.profiles);
                    put_vec8(out, |out| out.extend_from_slice(&use_srtp.mki));
                });
            }
            if let Some(protocols) = &self.alpn {
                put_extension(out, ALPN, |out| {
                    put_vec16(out, |out| {
                        protocols.iter().for_each(|name| put_vec8(out, |out| out.extend_from_slice(name)));
                    });
                });
            }
            if self.extended_master_secret {
                put_extension(out, EXTENDED_MASTER_SECRET, |_| {});
            }
            if let Some(id) = &self.connection_id {
                put_extension(out, CONNECTION_ID, |out| put_vec8(out, |out| out.extend_from_slice(id)));
            }
            if let Some(info) = &self.renegotiation_info {
                put_extension(out, RENEGOTIATION_INFO, |out| {
                    put_vec8(out, |out| out.extend_from_slice(info));
                });
            }
        });
    }

    /// Versions, cookie, names, groups, schemes and shares.
    fn encode_negotiation(&self, place: Place, out: &mut Vec<u8>) {
        if let Some(versions) = &self.versions {
            put_extension(out, SUPPORTED_VERSIONS, |out| match place {
                Place::ClientHello => {
                    put_vec8(out, |out| versions.iter().for_each(|version| put_u16(out, *version)));
                }
                _ => versions.iter().for_each(|version| put_u16(out, *version)),
            });
        }
        // Early, so that it stands in the first part of a hello that is cut: a server may want it there.
        if let Some(cookie) = &self.cookie {
            put_extension(out, COOKIE, |out| put_vec16(out, |out| out.extend_from_slice(cookie)));
        }
        if let Some(name) = &self.server_name {
            put_extension(out, SERVER_NAME, |out| {
                if place == Place::ClientHello {
                    put_vec16(out, |out| {
                        out.push(HOST_NAME);
                        put_vec16(out, |out| out.extend_from_slice(name));
                    });
                }
            });
        }
        if let Some(groups) = &self.groups {
            put_extension(out, SUPPORTED_GROUPS, |out| put_list(out, groups));
        }
        if self.point_formats {
            put_extension(out, EC_POINT_FORMATS, |out| put_vec8(out, |out| out.push(UNCOMPRESSED)));
        }
        if let Some(schemes) = &self.signature_schemes {
            put_extension(out, SIGNATURE_ALGORITHMS, |out| put_list(out, schemes));
        }
        if let Some(shares) = &self.key_shares {
            put_extension(out, KEY_SHARE, |out| match place {
                Place::ClientHello => {
                    put_vec16(out, |out| shares.iter().for_each(|share| put_share(out, share)));
                }
                Place::HelloRetryRequest => shares.iter().for_each(|share| put_u16(out, share.group)),
                _ => shares.iter().for_each(|share| put_share(out, share)),
            });
        }
    }
}

/// The first host name of the list. Other types of names do not exist (RFC 6066 §3).
fn server_name(reader: &mut Reader<'_>) -> Result<Vec<u8>, DecodeError> {
    let mut list = Reader::new(reader.vec16()?);
    if list.u8()? != HOST_NAME {
        return Err(DecodeError::BadValue);
    }
    let name = list.vec16()?.to_vec();
    list.finish()?;
    if name.is_empty() { Err(DecodeError::BadLength) } else { Ok(name) }
}

fn key_share(reader: &mut Reader<'_>) -> Result<KeyShare, DecodeError> {
    let group = reader.u16()?;
    let share = reader.vec16()?.to_vec();
    if share.is_empty() { Err(DecodeError::BadLength) } else { Ok(KeyShare { group, share }) }
}

fn key_shares(reader: &mut Reader<'_>) -> Result<Vec<KeyShare>, DecodeError> {
    let mut list = Reader::new(reader.vec16()?);
    let mut shares: Vec<KeyShare> = Vec::new();
    while !list.is_empty() {
        let share = key_share(&mut list)?;
        // RFC 8446 §4.2.8: one share for a group.
        if shares.iter().any(|known| known.group == share.group) {
            return Err(DecodeError::BadValue);
        }
        shares.push(share);
    }
    Ok(shares)
}

/// The names of ALPN: at least one, none of them empty.
fn protocols(reader: &mut Reader<'_>) -> Result<Vec<Vec<u8>>, DecodeError> {
    let mut list = Reader::new(reader.vec16()?);
    let mut protocols = Vec::new();
    while !list.is_empty() {
        protocols.push(list.vec8()?.to_vec());
    }
    let bad = protocols.is_empty() || protocols.iter().any(Vec::is_empty);
    if bad { Err(DecodeError::BadLength) } else { Ok(protocols) }
}

fn put_extension(out: &mut Vec<u8>, code: u16, body: impl FnOnce(&mut Vec<u8>)) {
    put_u16(out, code);
    put_vec16(out, body);
}

fn put_share(out: &mut Vec<u8>, share: &KeyShare) {
    put_u16(out, share.group);
    put_vec16(out, |out| out.extend_from_slice(&share.share));
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
            server_name: Some(b"example.org".to_vec()),
            groups: Some(vec![29, 23]),
            point_formats: true,
            signature_schemes: Some(vec![0x0403]),
            use_srtp: Some(UseSrtp { profiles: vec![7, 1], mki: vec![] }),
            alpn: Some(vec![b"webrtc".to_vec(), b"c-webrtc".to_vec()]),
            extended_master_secret: true,
            renegotiation_info: Some(vec![]),
            versions: Some(vec![0xfefc, 0xfefd]),
            cookie: Some(b"cookie".to_vec()),
            connection_id: Some(vec![5; 8]),
            key_shares: Some(vec![
                KeyShare { group: 29, share: vec![1; 32] },
                KeyShare { group: 23, share: vec![4; 65] },
            ]),
            codes: vec![43, 44, 0, 10, 11, 13, 51, 14, 16, 23, 54, 0xff01],
        }
    }

    fn encode(extensions: &Extensions, place: Place) -> Vec<u8> {
        let mut bytes = Vec::new();
        extensions.encode(place, &mut bytes);
        bytes
    }

    #[test]
    fn extensions_come_back() {
        let bytes = encode(&full(), Place::ClientHello);
        assert_eq!(Extensions::decode(Reader::new(&bytes), Place::ClientHello), Ok(full()));
        let none = Extensions::decode_optional(Reader::new(&[]), Place::ClientHello);
        assert_eq!(none, Ok(Extensions::default()));
        for len in 0..bytes.len() {
            assert!(
                Extensions::decode(Reader::new(&bytes[..len]), Place::ClientHello).is_err(),
                "{len} bytes"
            );
        }
    }

    #[test]
    fn a_servers_choices_come_back() {
        let hello = Extensions {
            versions: Some(vec![0xfefc]),
            key_shares: Some(vec![KeyShare { group: 29, share: vec![1; 32] }]),
            codes: vec![43, 51],
            ..Extensions::default()
        };
        let bytes = encode(&hello, Place::ServerHello);
        assert_eq!(bytes.len(), 2 + 6 + 4 + 36);
        assert_eq!(Extensions::decode(Reader::new(&bytes), Place::ServerHello), Ok(hello));
        let retry = Extensions {
            versions: Some(vec![0xfefc]),
            key_shares: Some(vec![KeyShare { group: 23, share: vec![] }]),
            cookie: Some(vec![1, 2]),
            codes: vec![43, 44, 51],
            ..Extensions::default()
        };
        let bytes = encode(&retry, Place::HelloRetryRequest);
        assert_eq!(Extensions::decode(Reader::new(&bytes), Place::HelloRetryRequest), Ok(retry));
        let encrypted = Extensions {
            server_name: Some(vec![]),
            alpn: Some(vec![b"webrtc".to_vec()]),
            codes: vec![0, 16],
            ..Extensions::default()
        };
        let bytes = encode(&encrypted, Place::EncryptedExtensions);
        let decoded = Extensions::decode(Reader::new(&bytes), Place::EncryptedExtensions);
        assert_eq!(decoded, Ok(encrypted.clone()));
        assert!(encrypted.are_among(&[16, 0, 14]) && !encrypted.are_among(&[16, 14]));
    }

    #[test]
    fn unknown_extensions_are_kept_and_repeated_ones_refused() {
        let decode = |bytes: &[u8]| Extensions::decode(Reader::new(bytes), Place::ClientHello);
        let unknown = decode(b"\0\x0b\0\x34\0\x03abc\0\x17\0\0").unwrap();
        assert_eq!(unknown.codes, [0x34, 0x17]);
        assert!(unknown.extended_master_secret);
        assert_eq!(decode(b"\0\x08\0\x17\0\0\0\x17\0\0"), Err(DecodeError::BadValue));
        assert_eq!(decode(b"\0\x05\0\x17\0\x01a"), Err(DecodeError::TrailingBytes));
        assert_eq!(decode(b"\0\x06\0\x0b\0\x02\x01\x01"), Err(DecodeError::BadValue));
        assert_eq!(decode(b"\0\x06\0\x10\0\x02\0\0"), Err(DecodeError::BadLength), "no protocol");
        let versions = decode(b"\0\x09\0\x2b\0\x05\x04\xfe\xfc\xfe\xfd").unwrap();
        assert_eq!(versions.versions, Some(vec![0xfefc, 0xfefd]));
        let twice = b"\0\x10\0\x33\0\x0c\0\x0a\0\x1d\0\x01a\0\x1d\0\x01b";
        assert_eq!(decode(twice), Err(DecodeError::BadValue), "two shares for a group");
    }
}
