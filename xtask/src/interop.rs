//! `cargo xtask interop [NAME]`: real peers, driven by the Node.js runner in `interop-tests/browser`.
//!
//! The runner prints one tab-separated line a cell; the last column is `pass`, `FAIL: why` or `skip: why`.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::packages;
use crate::process::{self, Outcome, cargo, is_installed, root, run_lines};
use crate::tally::Tally;

const FOLDER: &str = "interop-tests/browser";

/// The suites, each with the arguments that shorten it within `cargo xtask test`.
const SUITES: [(&str, &[&str]); 13] = [
    ("page", &[]),
    ("dtls", &[]),
    ("matrix", &[]),
    ("joins", &[]),
    ("outage", &[]),
    ("ramp", &[]),
    ("fec", &[]),
    ("restart", &[]),
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
    let known = Known::load();
    for (suite, args) in suites {
        let mut run = SuiteRun::start(suite, args, encoder.as_deref());
        if run.fails_unexpectedly(&known) {
            // Ten browsers on two cores stumble at times. What fails twice in a row is a fault.
            println!("again: {suite}: a cell failed; the second run decides");
            run = SuiteRun::start(suite, args, encoder.as_deref());
        }
        run.count(tally, &known);
    }
}

/// What one run of a suite printed, and how it ended.
struct SuiteRun<'a> {
    suite: &'a str,
    lines: Vec<String>,
    outcome: Outcome,
}

impl<'a> SuiteRun<'a> {
    fn start(suite: &'a str, args: &[&str], encoder: Option<&Path>) -> Self {
        let mut command = bounded("node");
        command.args(["run.mjs", suite]).args(args).current_dir(root().join(FOLDER));
        command.envs(encoder.map(|path| ("TOMBOLO_FFMPEG", path)));
        let mut lines = Vec::new();
        let outcome = run_lines(command, |line| {
            println!("{line}");
            lines.push(line.to_owned());
        });
        Self { suite, lines, outcome }
    }

    fn failing_cells(&self) -> impl Iterator<Item = &String> {
        self.lines.iter().filter(|line| line.rsplit('\t').next().is_some_and(|last| last.starts_with("FAIL")))
    }

    fn fails_unexpectedly(&self, known: &Known) -> bool {
        let unknown = self.failing_cells().any(|line| known.reason(line).is_none());
        unknown || (self.outcome.is_err() && self.failing_cells().next().is_none())
    }

    fn count(&self, tally: &mut Tally, known: &Known) {
        for line in &self.lines {
            tally.suite_line(line, known.reason(line));
        }
        if let Err(reason) = &self.outcome
            && self.failing_cells().next().is_none()
        {
            tally.fail(self.suite, reason);
        }
    }
}

/// The cells that are known to fail, with the reason: `interop-tests/known-failures.tsv`.
struct Known(Vec<(String, String)>);

impl Known {
    fn load() -> Self {
        let text = fs::read_to_string(root().join("interop-tests/known-failures.tsv")).unwrap_or_default();
        let entries =
            text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('\t'));
        Self(entries.map(|(cell, reason)| (cell.to_owned(), reason.to_owned())).collect())
    }

    /// Why this line's cell is known to fail. An entry names the first columns of a cell, separated by spaces.
    fn reason(&self, line: &str) -> Option<&str> {
        let cell = line.replace('\t', " ");
        let entry = self.0.iter().find(|(name, _)| cell.starts_with(&format!("{name} ")));
        entry.map(|(_, reason)| reason.as_str())
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
