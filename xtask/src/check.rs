//! `cargo xtask check`: what a change must pass before anybody reads it.

use crate::bundle;
use crate::paths;
use crate::process::{self, Outcome, cargo, is_installed};
use crate::tally::Tally;

/// Runs every check, also after one has failed, so that one run names all there is to mend.
pub(crate) fn run() -> Outcome {
    let mut tally = Tally::default();
    let mut count = |name: &str, outcome: Outcome| match outcome {
        Ok(()) => tally.passed += 1,
        Err(reason) => tally.fail(name, &reason),
    };
    count("fmt", process::run(cargo(&["fmt", "--all", "--check"])));
    let fuzz = ["fmt", "--all", "--check", "--manifest-path", "fuzz/Cargo.toml"];
    count("fmt of fuzz", process::run(cargo(&fuzz)));
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    count("clippy", process::run(cargo(&clippy)));
    let mut doc = cargo(&["doc", "--workspace", "--no-deps"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    count("rustdoc", process::run(doc));
    count("machine paths", paths::check());
    if is_installed("cargo-deny") {
        count("cargo-deny", process::run(cargo(&["deny", "--all-features", "check"])));
    } else {
        tally.skip("cargo-deny", "not installed");
    }
    bundle::check(&mut tally);
    println!("{tally}");
    if tally.failed == 0 { Ok(()) } else { Err(format!("{} checks failed", tally.failed)) }
}
