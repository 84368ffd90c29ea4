//! Cookies that prove a client's address before anything is kept for it (RFC 6347 §4.2.1, RFC 9147 §5.1).
//!
//! ```text
//! 1.2  [ tag 32 ]
//! 1.3  [ asked 1 | suite 2 | group 2 | hash of the first hello 32 or 48 | tag 32 ]
//! ```
//!
//! The tag is an HMAC over what stands before it, the client's address, and of its hello the random, and in 1.2 all that
//! stands around the cookie. In 1.3 the cookie carries what the transcript needs of the first hello, and `asked` says whether
//! the request named a group.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand_core::Rng as _;
use subtle::ConstantTimeEq as _;
use tombolo_crypto::{CryptoError, CryptoProvider, Digest, HashAlgorithm};
use tombolo_net::Rng;
use zeroize::Zeroizing;

use crate::codec::{Reader, put_u16};
use crate::error::DecodeError;
use crate::extension::COOKIE;
use crate::suite::CipherSuite;
use crate::version::ProtocolVersion;

/// How long one key makes cookies. They are good for as long again.
const KEY_LIFETIME: Duration = Duration::from_secs(30);
const TAG_LEN: usize = 32;

/// What a hello starts with, up to the cookie, as far as it stands in one fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HelloStart<'a> {
    pub(crate) random: [u8; 32],
    session_id: &'a [u8],
    /// The cookie of 1.2; empty without.
    pub(crate) cookie_1_2: &'a [u8],
    cipher_suites: &'a [u8],
    compression_methods: &'a [u8],
    /// The cookie of 1.3, if its extension stands in this part of the hello.
    pub(crate) cookie_1_3: Option<&'a [u8]>,
}

impl<'a> HelloStart<'a> {
    /// Reads the first bytes of a hello. What is cut off after the compression methods is no error.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.u16()?;
        Ok(Self {
            random: reader.array()?,
            session_id: reader.vec8()?,
            cookie_1_2: reader.vec8()?,
            cipher_suites: reader.vec16()?,
            compression_methods: reader.vec8()?,
            cookie_1_3: find_cookie(reader),
        })
    }
}

fn find_cookie(mut reader: Reader<'_>) -> Option<&[u8]> {
    reader.u16().ok()?;
    loop {
        let code = reader.u16().ok()?;
        let body = reader.vec16().ok()?;
        if code == COOKIE {
            return Reader::new(body).vec16().ok();
        }
    }
}

/// What a cookie of 1.3 tells of the first hello.
pub(crate) struct FirstHello {
    /// Whether the request asked for a share of the group.
    pub(crate) asked: bool,
    pub(crate) suite: CipherSuite,
    /// The code point of the group that was chosen.
    pub(crate) group: u16,
    pub(crate) hash: Digest,
}

impl FirstHello {
    fn encode(&self) -> Vec<u8> {
        let mut out = vec![u8::from(self.asked)];
        put_u16(&mut out, self.suite.id());
        put_u16(&mut out, self.group);
        out.extend_from_slice(&self.hash);
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let asked = reader.u8().ok()? != 0;
        let id = reader.u16().ok()?;
        let group = reader.u16().ok()?;
        let suite = CipherSuite::ALL
            .into_iter()
            .find(|suite| suite.id() == id && suite.version() == ProtocolVersion::Dtls13)?;
        Some(Self { asked, suite, group, hash: Digest::new(reader.rest()) })
    }
}

type Key = Zeroizing<[u8; 32]>;

/// The keys of the cookies: the current one, and the one before.
pub(crate) struct CookieKeys {
    current: Key,
    previous: Option<Key>,
    /// When the current one was made.
    since: Instant,
}

impl CookieKeys {
    pub(crate) fn new(rng: &mut Rng, now: Instant) -> Self {
        Self { current: fresh(rng), previous: None, since: now }
    }

    /// Changes the keys when it is time.
    pub(crate) fn rotate(&mut self, rng: &mut Rng, now: Instant) {
        let age = now.saturating_duration_since(self.since);
        if age >= KEY_LIFETIME {
            let old = std::mem::replace(&mut self.current, fresh(rng));
            self.previous = (age < 2 * KEY_LIFETIME).then_some(old);
            self.since = now;
        }
    }

    /// The cookie of 1.2 for a hello.
    pub(crate) fn make_1_2(
        &self,
        provider: &CryptoProvider,
        client: SocketAddr,
        hello: &HelloStart<'_>,
    ) -> Result<Vec<u8>, CryptoError> {
        Ok(tag_1_2(provider, &self.current, client, hello)?.to_vec())
    }

    /// Whether a hello has a cookie of 1.2 that was made for it.
    pub(crate) fn is_good_1_2(
        &self,
        provider: &CryptoProvider,
        client: SocketAddr,
        hello: &HelloStart<'_>,
    ) -> bool {
        self.any(|key| same(tag_1_2(provider, key, client, hello), hello.cookie_1_2))
    }

    /// The cookie of 1.3 for a hello with this random.
    pub(crate) fn make_1_3(
        &self,
        provider: &CryptoProvider,
        client: SocketAddr,
        random: &[u8; 32],
        first: &FirstHello,
    ) -> Result<Vec<u8>, CryptoError> {
        let mut cookie = first.encode();
        let tag = tag_1_3(provider, &self.current, client, random, &cookie)?;
        cookie.extend_from_slice(&tag);
        Ok(cookie)
    }

    /// What a cookie of 1.3 tells, if it was made for this client and random.
    pub(crate) fn open_1_3(
        &self,
        provider: &CryptoProvider,
        client: SocketAddr,
        random: &[u8; 32],
        cookie: &[u8],
    ) -> Option<FirstHello> {
        let (body, shown) = cookie.split_at_checked(cookie.len().checked_sub(TAG_LEN)?)?;
        let good = self.any(|key| same(tag_1_3(provider, key, client, random, body), shown));
        if good { FirstHello::decode(body) } else { None }
    }

    fn any(&self, mut is_good: impl FnMut(&Key) -> bool) -> bool {
        is_good(&self.current) || self.previous.as_ref().is_some_and(is_good)
    }
}

fn fresh(rng: &mut Rng) -> Key {
    let mut key = Zeroizing::new([0; 32]);
    rng.fill_bytes(&mut key[..]);
    key
}

fn same(expected: Result<Digest, CryptoError>, shown: &[u8]) -> bool {
    expected.is_ok_and(|expected| expected.ct_eq(shown).into())
}

fn tag_1_2(
    provider: &CryptoProvider,
    key: &Key,
    client: SocketAddr,
    hello: &HelloStart<'_>,
) -> Result<Digest, CryptoError> {
    let HelloStart { random, session_id, cipher_suites, compression_methods, .. } = hello;
    let lengths = [session_id.len() as u8, (cipher_suites.len() >> 8) as u8, cipher_suites.len() as u8];
    let parts =
        [b"1.2", &address(client)[..], random, &lengths, session_id, cipher_suites, compression_methods];
    (provider.hmac)(HashAlgorithm::Sha256, &key[..], &parts)
}

fn tag_1_3(
    provider: &CryptoProvider,
    key: &Key,
    client: SocketAddr,
    random: &[u8; 32],
    body: &[u8],
) -> Result<Digest, CryptoError> {
    (provider.hmac)(HashAlgorithm::Sha256, &key[..], &[b"1.3", &address(client), random, body])
}

/// An address in 18 bytes.
fn address(client: SocketAddr) -> [u8; 18] {
    let ip = match client.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let mut bytes = [0; 18];
    bytes[..16].copy_from_slice(&ip.octets());
    bytes[16..].copy_from_slice(&client.port().to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use tombolo_net::Seed;

    use super::*;

    const CLIENT: &str = "192.0.2.1:1000";

    fn hello(cookie: &[u8]) -> Vec<u8> {
        let start = [&[0xfe, 0xfd][..], &[7; 32], &[0, cookie.len() as u8], cookie].concat();
        [&start[..], &[0, 4, 0xc0, 0x2b, 0xc0, 0x2f, 1, 0]].concat()
    }

    /// A cookie is good for its client and its hello, and for one to two lifetimes of a key.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "a starting point for a clock that stands still")]
    fn a_cookie_is_good_for_one_client_one_hello_and_a_minute() {
        let provider = CryptoProvider::default();
        let mut rng = Seed::from_number(1).rng();
        let now = Instant::now();
        let mut keys = CookieKeys::new(&mut rng, now);
        let client: SocketAddr = CLIENT.parse().unwrap();
        let bare = hello(&[]);
        let cookie = keys.make_1_2(&provider, client, &HelloStart::decode(&bare).unwrap()).unwrap();
        let first = FirstHello {
            asked: true,
            suite: CipherSuite::Aes256GcmSha384,
            group: 29,
            hash: Digest::new(&[5; 48]),
        };
        let cookie_1_3 = keys.make_1_3(&provider, client, &[7; 32], &first).unwrap();
        let check = |keys: &CookieKeys, client: SocketAddr, cookie: &[u8], cookie_1_3: &[u8]| {
            let hello = hello(cookie);
            let good = keys.is_good_1_2(&provider, client, &HelloStart::decode(&hello).unwrap());
            (good, keys.open_1_3(&provider, client, &[7; 32], cookie_1_3).is_some())
        };
        assert_eq!(check(&keys, client, &cookie, &cookie_1_3), (true, true));
        let told = keys.open_1_3(&provider, client, &[7; 32], &cookie_1_3).unwrap();
        assert_eq!((told.asked, told.suite, told.group), (first.asked, first.suite, first.group));
        assert_eq!(told.hash[..], first.hash[..]);
        assert!(keys.open_1_3(&provider, client, &[8; 32], &cookie_1_3).is_none(), "of another hello");
        for other in ["192.0.2.1:1001", "192.0.2.2:1000", "[2001:db8::1]:1000"] {
            assert_eq!(check(&keys, other.parse().unwrap(), &cookie, &cookie_1_3), (false, false), "{other}");
        }
        for at in 0..cookie.len() {
            let mut changed = cookie.clone();
            changed[at] ^= 1;
            assert!(!check(&keys, client, &changed, &[]).0);
        }
        for at in 0..cookie_1_3.len() {
            let mut changed = cookie_1_3.clone();
            changed[at] ^= 1;
            assert!(!check(&keys, client, &[], &changed).1);
            assert!(!check(&keys, client, &[], &cookie_1_3[..at]).1);
        }
        keys.rotate(&mut rng, now + KEY_LIFETIME - Duration::from_secs(1));
        keys.rotate(&mut rng, now + KEY_LIFETIME);
        assert_eq!(check(&keys, client, &cookie, &cookie_1_3), (true, true));
        keys.rotate(&mut rng, now + 2 * KEY_LIFETIME);
        assert_eq!(check(&keys, client, &cookie, &cookie_1_3), (false, false));
        let mut keys = CookieKeys::new(&mut Seed::from_number(1).rng(), now);
        keys.rotate(&mut rng, now + 2 * KEY_LIFETIME);
        assert_eq!(check(&keys, client, &cookie, &cookie_1_3), (false, false), "nobody came for long");
    }

    #[test]
    fn the_cookie_is_found_in_the_first_part_of_a_hello() {
        let extensions = [0, 20, 0, 43, 0, 3, 2, 0xfe, 0xfc, 0, 44, 0, 5, 0, 3, 1, 2, 3, 0, 51, 0, 0];
        let whole = [&hello(&[9; 32])[..], &extensions].concat();
        let cookie_end = whole.len() - 4;
        for len in 0..=whole.len() {
            match HelloStart::decode(&whole[..len]) {
                Ok(start) => {
                    assert!(len >= whole.len() - extensions.len());
                    assert_eq!(start.cookie_1_2, [9; 32]);
                    let found = (len >= cookie_end).then_some(&[1, 2, 3][..]);
                    assert_eq!(start.cookie_1_3, found, "{len} bytes");
                }
                Err(error) => {
                    assert_eq!(error, DecodeError::Truncated);
                    assert!(len < whole.len() - extensions.len());
                }
            }
        }
    }
}
