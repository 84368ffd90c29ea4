//! `cargo xtask interop [NAME]`: real peers, driven by the Node.js runner in `interop-tests/browser`.
//!
//! The runner prints one tab-separated line a cell; the last column is `pass`, `FAIL: why` or `skip: why`.

use std::process::Command;

use crate::packages;
use crate::process::{self, Outcome, cargo, is_installed, root, run_lines};
use crate::tally::Tally;

const FOLDER: &str = "interop-tests/browser";

pub(crate) fn run(name: Option<&str>) -> Outcome {
    let mut tally = Tally::default();
    run_suites(name, &mut tally);
    println!("{tally}");
    if tally.failed == 0 { Ok(()) } else { Err(format!("{} cells failed", tally.failed)) }
}

/// Runs one suite, or those that every test run includes.
pub(crate) fn run_suites(name: Option<&str>, tally: &mut Tally) {
    if !is_installed("node") || !is_installed("npm") {
        return tally.skip("browser suites", "Node.js or npm is not installed");
    }
    // The suites start the gateway's binary as a person would.
    let prepared = packages::npm_ci(FOLDER)
        .and_then(|()| process::run(cargo(&["build", "--release", "--package", "tombolo-gateway"])));
    if let Err(reason) = prepared {
        return tally.fail("browser suites", &reason);
    }
    let failed_before = tally.failed;
    let mut command = Command::new("node");
    command.arg("run.mjs").args(name).current_dir(root().join(FOLDER));
    let outcome = run_lines(command, |line| {
        println!("{line}");
        tally.suite_line(line);
    });
    if let Err(reason) = outcome
        && tally.failed == failed_before
    {
        tally.fail("browser suites", &reason);
    }
}
