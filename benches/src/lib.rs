//! Measurements of Tombolo: what a packet costs, and how that compares with its peers.
//!
//! - The binary `scenario` runs one of the [`scenarios`] a number of times. `cargo xtask gate` runs it under callgrind and
//!   compares instructions and allocations with `baseline.csv`.
//! - The binary `figures` measures time, beside the peers when the feature `peers` is on, and prints a line each; `reports`
//!   gives the same contenders to criterion.

mod association;
pub mod bwe;
pub mod figures;
pub mod scenarios;
pub mod torture;
