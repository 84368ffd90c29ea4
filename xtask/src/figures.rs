//! `cargo xtask figures [GROUP]`: measurements beside peers.
//!
//! One tab-separated line each on standard output: name, our value, unit, peer, its value, ratio in our favour (above
//! 1, ours is better; for the peer `limit`, the share of the limit that is reached).

use crate::process::{self, Outcome, cargo};

pub(crate) fn run(group: Option<&str>) -> Outcome {
    let mut command = cargo(&[
        "run",
        "--release",
        "--quiet",
        "--package",
        "tombolo-benches",
        "--no-default-features",
        "--features",
        "peers",
        "--bin",
        "figures",
        "--",
    ]);
    command.args(group);
    process::run(command)
}
