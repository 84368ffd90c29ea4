//! `cargo xtask interop [NAME]`: real peers, driven by the Node.js runner in `interop-tests/browser`.
//!
//! The runner prints one tab-separated line a cell; the last column is `pass`, `FAIL: why` or `skip: why`.

use std::process::Command;

use crate::packages;
use crate::process::{self, Outcome, cargo, is_installed, root, run_lines};
use crate::tally::Tally;

const FOLDER: &str = "interop-tests/browser";

/// The suites, each with the arguments that shorten it within `cargo xtask test`.
const SUITES: [(&str, &[&str]); 9] = [
    ("page", &[]),
    ("matrix", &[]),
    ("joins", &[]),
    ("outage", &[]),
    ("idle", &[]),
    ("sync", &[]),
    ("moq-clients", &[]),
    ("four", &["--seconds", "30"]),
    ("footprint", &["--seconds", "20"]),
];

/// One suite, or all, at full length.
pub(crate) fn run(name: Option<&str>) -> Outcome {
    let mut suites: Vec<(&str, &[&str])> = SUITES.iter().map(|(suite, _)| (*suite, &[][..])).collect();
    if let Some(name) = name {
        suites.retain(|(suite, _)| *suite == name);
    }
    if suites.is_empty() {
        let names: Vec<&str> = SUITES.iter().map(|(suite, _)| *suite).collect();
        return Err(format!("no such suite; there are {}", names.join(", ")));
    }
    let mut tally = Tally::default();
    run_suites(&suites, &mut tally);
    println!("{tally}");
    if tally.failed == 0 { Ok(()) } else { Err(format!("{} cells failed", tally.failed)) }
}

/// All suites, shortened.
pub(crate) fn run_short(tally: &mut Tally) {
    run_suites(&SUITES, tally);
}

fn run_suites(suites: &[(&str, &[&str])], tally: &mut Tally) {
    if !is_installed("node") || !is_installed("npm") {
        for (suite, _) in suites {
            tally.skip(suite, "Node.js or npm is not installed");
        }
        return;
    }
    // The suites start the gateway's binary as a person would.
    let build = || process::run(cargo(&["build", "--release", "--package", "tombolo-gateway"]));
    if let Err(reason) = packages::npm_ci(FOLDER).and_then(|()| build()) {
        return tally.fail("browser suites", &reason);
    }
    let encoder = packages::whip_encoder();
    for (suite, args) in suites {
        let failed_before = tally.failed;
        let mut command = bounded("node");
        command.args(["run.mjs", suite]).args(*args).current_dir(root().join(FOLDER));
        command.envs(encoder.as_ref().map(|path| ("TOMBOLO_FFMPEG", path)));
        let outcome = run_lines(command, |line| {
            println!("{line}");
            tally.suite_line(line);
        });
        if let Err(reason) = outcome
            && tally.failed == failed_before
        {
            tally.fail(suite, &reason);
        }
    }
}

/// A program that is ended, with all that it has started, after twenty minutes.
fn bounded(program: &str) -> Command {
    if !is_installed("timeout") {
        return Command::new(program);
    }
    let mut command = Command::new("timeout");
    command.args(["--kill-after=10", "1200", program]);
    command
}
