//! Shared vocabulary of the Tombolo stack.
//!
//! Every crate of the stack speaks of paths, datagrams to send, randomness, time and units in these
//! words; none of them knows any other crate of the stack. There is no protocol here.
//!
//! | module | what |
//! |---|---|
//! | [`path`] | [`FiveTuple`], [`Transport`], [`Ecn`], [`Transmit`] |
//! | [`seed`] | [`Seed`]: all the randomness a machine has |
//! | [`epoch`] | [`Epoch`] and [`NtpTime`]: the one bridge to the wall clock |
//! | [`units`] | [`Bitrate`], [`Ssrc`], [`SeqNo`], [`ExtSeqNo`], [`RtpTime`] and serial arithmetic |

pub mod epoch;
pub mod path;
pub mod seed;
pub mod units;

pub use epoch::{Epoch, NtpTime};
pub use path::{Ecn, FiveTuple, Transmit, Transport};
pub use seed::{Rng, Seed};
pub use units::{Bitrate, ExtSeqNo, RtpTime, SeqNo, SeqUnwrapper, Ssrc};
