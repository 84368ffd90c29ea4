//! SRTP and SRTCP (RFC 3711, RFC 7714), in place and without allocation per packet.
//!
//! One [`OutboundContext`] protects what this side sends, one [`InboundContext`] opens what the peer sends; each has
//! its own master key, as DTLS-SRTP exports them (RFC 5764 §4.2). All sources of a direction share the context.
//!
//! | profile | packet |
//! |---|---|
//! | [`Profile::Aes128CmHmacSha1_80`] | RTP `[header \| ciphertext \| MKI \| tag 10]`, RTCP `[8 bytes \| ciphertext \| E index 32 \| MKI \| tag 10]` |
//! | [`Profile::Aes128CmHmacSha1_32`] | the same, with a tag of 4 bytes on RTP |
//! | [`Profile::AeadAes128Gcm`], [`Profile::AeadAes256Gcm`] | RTP `[header \| ciphertext \| tag 16 \| MKI]`, RTCP `[8 bytes \| ciphertext \| tag 16 \| E index 32 \| MKI]` |
//!
//! - Nothing is known of a source before its first authenticated packet: forged packets cost no memory. The
//!   number of sources is bounded ([`Config::max_sources`]).
//! - Rollover counter and replay window move only after authentication (RFC 3711 §3.3.1).
//! - A key stream is never used twice: the sender refuses an index that it has used (RFC 3711 §9.1).
//! - At the end of a key's life both directions stop ([`Config::rtp_lifetime_packets`]).
//! - A new master key comes beside the old one with an MKI ([`InboundContext::add_key`]) or takes its place
//!   ([`OutboundContext::rekey`]); what is known of the sources stays.
//! - Header extensions are encrypted one by one (RFC 6904, [`Config::encrypted_extensions`]) or, with the CSRCs, as a
//!   whole (RFC 9335, [`Config::cryptex`]).
//! - A forwarder protects many packets at a time with [`protect_rtp_batch`].
//!
//! Left out: key derivation rates other than zero, and the NULL cipher, which WebRTC forbids (RFC 8827 §6.5).

mod batch;
mod cipher;
mod config;
mod header;
mod inbound;
mod keys;
mod layout;
mod outbound;
mod profile;
mod replay;
mod sources;

pub use batch::{Outgoing, protect_rtp_batch};
pub use config::{Config, Cryptex};
pub use inbound::{InboundContext, MAX_KEYS, UnprotectError};
pub use keys::{KeyError, MAX_MKI_LEN, MasterKey};
pub use outbound::{OutboundContext, ProtectError};
pub use profile::Profile;

/// Most bytes that protection adds to a packet without MKI, of either kind, with any profile and with cryptex: tail
/// room that a buffer must have.
pub const MAX_OVERHEAD: usize = cipher::GCM_TAG_LEN + layout::INDEX_LEN;
