//! Negative acknowledgements (RFC 4585 §6.2.1), both ways.
//!
//! | type | side | what |
//! |---|---|---|
//! | [`Generator`] | receives media | finds gaps, asks for them, gives up in time |
//! | [`Responder`] | sends media | decides which asked-for packet is resent |
//! | [`Cache`] | sends media | the recent packets of one stream, shared by all its subscribers |
//!
//! A [`Cache`] knows the numbering of the stream it stores; a subscriber whose packets are renumbered keeps a
//! [`Responder`] of its own and maps what it is asked for back to the cache's numbers.

mod cache;
mod generator;
mod responder;

pub use cache::{Cache, CacheConfig};
pub use generator::{Arrival, Generator, GeneratorConfig, Lost};
pub use responder::{Refusal, Responder, ResponderConfig};
