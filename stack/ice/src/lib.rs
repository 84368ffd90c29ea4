//! STUN and ICE for the Tombolo stack, sans-I/O.
//!
//! | module | what | RFC |
//! |---|---|---|
//! | [`stun`] | messages: view, encoder, integrity | 8489 |
//! | [`agent`] | [`Agent`]: checks, nomination, consent, lite mode | 8445, 7675, 8838, 8863 |
//! | [`candidate`] | [`Candidate`] and its text form | 8445, 8839 |
//! | [`demux`] | [`Demux`]: many sessions on one UDP port | 8445, 7983 |
//!
//! Left out for now: TURN, ICE-TCP, resolving mDNS names, ICE restart.

pub mod agent;
pub mod candidate;
mod config;
mod credentials;
pub mod demux;
mod error;
mod event;
mod stats;
pub mod stun;

pub use agent::Agent;
pub use candidate::{Candidate, CandidateAddress, CandidateError, CandidateKind, CandidateTransport};
pub use config::{Config, ConfigBuilder, ConfigError};
pub use credentials::{Credentials, CredentialsError};
pub use demux::{Demux, Learned, RegisterError, Route, UnknownReason};
pub use error::UseError;
pub use event::{Event, FailReason, Role, State};
pub use stats::{DropReason, Stats};
pub use stun::is_stun;
