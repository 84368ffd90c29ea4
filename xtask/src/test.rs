//! `cargo xtask test`: everything that can be tested on this machine, with the skips named.

use std::process::Command;

use crate::interop;
use crate::packages;
use crate::process::{Outcome, cargo, is_installed, root, run_lines};
use crate::tally::{CargoTest, NodeTest, Tally};

pub(crate) fn run() -> Outcome {
    packages::ensure()?;
    let mut tally = Tally::default();
    rust_tests(&mut tally);
    client_tests(&mut tally);
    interop::run_short(&mut tally);
    println!("{tally}");
    if tally.failed == 0 { Ok(()) } else { Err(format!("{} tests failed", tally.failed)) }
}

fn rust_tests(tally: &mut Tally) {
    let failed_before = tally.failed;
    let mut reader = CargoTest::default();
    let command = cargo(&["test", "--workspace", "--no-fail-fast", "--", "--show-output"]);
    let outcome = run_lines(command, |line| {
        if reader.line(tally, line) {
            println!("{line}");
        }
    });
    // A crate that does not compile has no counted failure.
    if let Err(reason) = outcome
        && tally.failed == failed_before
    {
        tally.fail("cargo test", &reason);
    }
}

/// The unit tests of the browser client, on plain Node.js.
fn client_tests(tally: &mut Tally) {
    if !is_installed("node") || !is_installed("npm") {
        return tally.skip("client/js", "Node.js or npm is not installed");
    }
    if let Err(reason) = packages::npm_ci("client/js") {
        return tally.fail("client/js", &reason);
    }
    let failed_before = tally.failed;
    let mut command = Command::new("npm");
    command.args(["test", "--silent"]).current_dir(root().join("client/js"));
    command.env("NODE_OPTIONS", "--test-reporter=tap");
    let outcome = run_lines(command, |line| {
        if NodeTest.line(tally, line) {
            println!("{line}");
        }
    });
    if let Err(reason) = outcome
        && tally.failed == failed_before
    {
        tally.fail("client/js", &reason);
    }
}
