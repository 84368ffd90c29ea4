//! `cargo xtask bogo --runner PATH`: BoringSSL's protocol tests (BoGo) against `tombolo-dtls`, those of DTLS.
//!
//! PATH is a checkout of BoringSSL, of which nothing is changed: its runner is built with Go into the target folder. What is
//! disabled, and why, stands in `interop-tests/bogo/config.json`, one entry a line. A reason that begins with `n/a:` says that
//! we do not have what the case tests; any other, that we do it in another way.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::process::{Outcome, cargo, is_installed, output, root, run};

const CONFIG: &str = "interop-tests/bogo/config.json";
/// The cases of DTLS have it in their names.
const CASES: &str = "*DTLS*";
/// How a reason begins that says that something is not there.
const NOT_APPLICABLE: &str = "n/a: ";

/// Runs the cases: all of DTLS, or those that match `only`.
pub(crate) fn bogo(checkout: &str, only: Option<&str>) -> Outcome {
    if !is_installed("go") {
        return Err("Go is not installed".to_owned());
    }
    let folder = target().join("bogo");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let runner = build(Path::new(checkout), &folder)?;
    let config = fs::read_to_string(root().join(CONFIG)).map_err(|error| format!("{CONFIG}: {error}"))?;
    let disabled = disabled(&config);
    let wanted = only.unwrap_or(CASES);
    let all = names(&runner, &folder, wanted)?;
    let mut counts = Counts::default();
    for name in &all {
        if let Some((_, reason)) = disabled.iter().find(|(pattern, _)| matches(pattern, name)) {
            counts.disable(reason);
        }
    }
    let told = execute(&runner, wanted)?;
    for line in told.lines() {
        counts.line(line);
    }
    let log = folder.join("output.txt");
    fs::write(&log, &told).map_err(|error| format!("{}: {error}", log.display()))?;
    counts.print(all.len());
    let lost = all.len().saturating_sub(counts.sum());
    match (counts.failed.len(), lost) {
        (0, 0) => Ok(()),
        (0, lost) => Err(format!("{lost} cases are missing: see {}", log.display())),
        (failed, _) => Err(format!("{failed} cases failed: see {}", log.display())),
    }
}

/// Cargo's target folder.
fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

fn shim() -> PathBuf {
    target().join("debug").join("bogo-shim")
}

/// Builds the shim and the runner.
fn build(checkout: &Path, folder: &Path) -> Result<PathBuf, String> {
    run(cargo(&["build", "--package", "tombolo-bogo"]))?;
    let runner = folder.join("runner");
    let mut go = Command::new("go");
    go.args(["test", "-c", "-o"]).arg(&runner).arg(".").current_dir(checkout.join("ssl/test/runner"));
    run(go)?;
    Ok(runner)
}

/// The names of all cases that match `wanted`: with a shim that implements nothing, all are listed as unimplemented.
fn names(runner: &Path, folder: &Path, wanted: &str) -> Result<Vec<String>, String> {
    let mut command = Command::new(runner);
    command.args(["-pipe", "-allow-unimplemented", "-test", wanted, "-shim-path"]).arg(shim());
    command.env("TOMBOLO_BOGO_LIST", "1").current_dir(folder);
    let (told, _) = output(command)?;
    Ok(told.lines().filter_map(|line| Some(verdict(line)?.1.to_owned())).collect())
}

fn execute(runner: &Path, wanted: &str) -> Result<String, String> {
    let mut command = Command::new(runner);
    command.args(["-pipe", "-allow-unimplemented", "-test.timeout", "30m", "-test", wanted, "-shim-config"]);
    command.arg(root().join(CONFIG)).arg("-shim-path").arg(shim()).stderr(Stdio::inherit());
    // Failures are counted from what it prints.
    let output = command.output().map_err(|error| format!("the runner: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What a line of the runner says of which case.
fn verdict(line: &str) -> Option<(&str, &str)> {
    let (verdict, name) = line.split_once(" (")?;
    let known = ["PASSED", "FAILED", "UNIMPLEMENTED"].contains(&verdict);
    name.strip_suffix(')').filter(|_| known).map(|name| (verdict, name))
}

/// The patterns of disabled cases with their reasons: the entries of `DisabledTests`, each on a line of its own.
fn disabled(config: &str) -> Vec<(String, String)> {
    let section = config.lines().skip_while(|line| !line.contains("\"DisabledTests\"")).skip(1);
    let entries = section.take_while(|line| !line.trim_start().starts_with('}'));
    let entry = |line: &str| {
        let (pattern, reason) = line.trim().trim_end_matches(',').split_once("\": \"")?;
        Some((pattern.strip_prefix('"')?.to_owned(), reason.strip_suffix('"')?.to_owned()))
    };
    entries.filter_map(entry).collect()
}

/// Whether a name is one of a pattern's, in which `*` stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, after)) => name.strip_prefix(before).is_some_and(|rest| {
            (0..=rest.len()).filter_map(|at| rest.get(at..)).any(|rest| matches(after, rest))
        }),
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: usize,
    failed: Vec<String>,
    unimplemented: usize,
    /// How many are disabled for each reason.
    disabled: BTreeMap<String, usize>,
}

impl Counts {
    fn disable(&mut self, reason: &str) {
        *self.disabled.entry(reason.to_owned()).or_default() += 1;
    }

    fn line(&mut self, line: &str) {
        match verdict(line) {
            Some(("PASSED", _)) => self.passed += 1,
            Some(("FAILED", name)) => self.failed.push(name.to_owned()),
            Some(("UNIMPLEMENTED", _)) => self.unimplemented += 1,
            _ => {}
        }
    }

    /// How many are disabled for want of what they test, and how many that would apply.
    fn disabled_by_kind(&self) -> (usize, usize) {
        let count = |wants: bool| {
            let of_kind =
                self.disabled.iter().filter(|(reason, _)| reason.starts_with(NOT_APPLICABLE) == wants);
            of_kind.map(|(_, count)| count).sum()
        };
        (count(true), count(false))
    }

    fn sum(&self) -> usize {
        self.passed + self.failed.len() + self.unimplemented + self.disabled.values().sum::<usize>()
    }

    fn print(&self, all: usize) {
        for (reason, count) in &self.disabled {
            println!("disabled\t{count}\t{reason}");
        }
        for name in &self.failed {
            println!("failed\t{name}");
        }
        let (not_applicable, disabled) = self.disabled_by_kind();
        println!("bogo\tcases\tpassed\tfailed\tdisabled\tnot applicable\tunimplemented arguments");
        let Self { passed, failed, unimplemented, .. } = self;
        println!("bogo\t{all}\t{passed}\t{}\t{disabled}\t{not_applicable}\t{unimplemented}", failed.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_the_runners_do() {
        assert!(matches("*-QUIC-*", "A-QUIC-B") && matches("A*", "A") && matches("A*B*C", "A-B--C"));
        assert!(!matches("*-QUIC-*", "A-QUIC") && !matches("A", "AB") && !matches("A*B", "AC"));
    }

    #[test]
    fn lines_and_reasons_are_counted() {
        let config = "{\n  \"DisabledTests\": {\n    \"A*\": \"n/a: nothing of it\",\n    \"B\": \"otherwise: here\"\n  },\n  \
                      \"ErrorMap\": {\n    \":X:\": \"Y\"\n  }\n}\n";
        let disabled = disabled(config);
        assert_eq!(disabled.len(), 2);
        let mut counts = Counts::default();
        for name in ["A1", "A2", "B"] {
            let (_, reason) = disabled.iter().find(|(pattern, _)| matches(pattern, name)).unwrap();
            counts.disable(reason);
        }
        for line in ["PASSED (C)", "FAILED (D)", "some: reason (E)", "UNIMPLEMENTED (F)", "PASS"] {
            counts.line(line);
        }
        assert_eq!((counts.passed, counts.failed.len(), counts.unimplemented), (1, 1, 1));
        assert_eq!((counts.disabled_by_kind(), counts.sum()), ((2, 1), 6));
    }

    #[test]
    fn the_committed_config_can_be_read() {
        let config = fs::read_to_string(root().join(CONFIG)).unwrap();
        let section = config.split("\"ErrorMap\"").next().unwrap();
        let entries = section.lines().filter(|line| line.contains("\": \"")).count();
        assert_eq!(disabled(&config).len(), entries);
        assert!(entries > 0 && disabled(&config).iter().all(|(_, reason)| reason.contains(": ")));
    }
}
