//! `cargo xtask gate`: each per-packet scenario of `benches/` against `benches/baseline.csv`.
//!
//! Instructions are counted by callgrind at two numbers of iterations; the difference is what an iteration costs,
//! without start-up. Allocations are those that the scenario itself counts, likewise. More than 2 % more instructions,
//! or any more allocations, fail. Wall time is not gated.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::process::{Outcome, cargo, is_installed, output, program, root, run as run_program};

/// Iterations of the two runs.
const FEW: u64 = 200;
const MANY: u64 = 1200;
/// How much more than the baseline passes.
const TOLERANCE: f64 = 0.02;

/// The cost of one iteration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cost {
    pub(crate) instructions: f64,
    pub(crate) allocations: f64,
}

pub(crate) fn run(update: bool) -> Outcome {
    if !is_installed("valgrind") {
        return Err("valgrind is not installed".to_owned());
    }
    run_program(cargo(&["build", "--release", "--package", "tombolo-benches", "--bin", "scenario"]))?;
    let scenario = Scenario::of("release")?;
    let (listed, _) = output(program(&scenario.path, &["--list"]))?;
    let mut measured = BTreeMap::new();
    for name in listed.split_whitespace() {
        measured.insert(name.to_owned(), scenario.measure(name)?);
    }
    if update {
        let file = file();
        return fs::write(&file, to_csv(&measured)).map_err(|error| format!("{}: {error}", file.display()));
    }
    compare(&baseline()?, &measured)
}

fn file() -> PathBuf {
    root().join("benches/baseline.csv")
}

/// What each scenario cost when it was last accepted.
pub(crate) fn baseline() -> Result<BTreeMap<String, Cost>, String> {
    let file = file();
    let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    from_csv(&text)
}

/// The program that runs the scenarios.
struct Scenario {
    path: String,
    /// Percent of work that it is to do in vain, to see whether that is noticed.
    slower: u64,
}

impl Scenario {
    /// As it was built with a profile.
    fn of(profile: &str) -> Result<Self, String> {
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
        let path = target.join(profile).join("scenario").into_os_string().into_string();
        Ok(Self { path: path.map_err(|_| "the path is no UTF-8".to_owned())?, slower: 0 })
    }

    fn measure(&self, name: &str) -> Result<Cost, String> {
        let per_iteration = |few: u64, many: u64| (many as f64 - few as f64) / (MANY - FEW) as f64;
        let (few, many) = (self.instructions(name, FEW)?, self.instructions(name, MANY)?);
        let cost = Cost {
            instructions: per_iteration(few, many),
            allocations: per_iteration(self.allocations(name, FEW)?, self.allocations(name, MANY)?),
        };
        eprintln!("{name}: {:.1} instructions, {:.3} allocations", cost.instructions, cost.allocations);
        Ok(cost)
    }

    fn instructions(&self, name: &str, iterations: u64) -> Result<u64, String> {
        let iterations = iterations.to_string();
        let tool = ["--tool=callgrind", "--callgrind-out-file=/dev/null", &self.path, name, &iterations];
        let (_, told) = self.run("valgrind", &tool)?;
        let counted = told.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
        counted.ok_or_else(|| format!("callgrind counted nothing for {name}:\n{told}"))
    }

    /// The scenario prints `allocations N`.
    fn allocations(&self, name: &str, iterations: u64) -> Result<u64, String> {
        let (told, _) = self.run(&self.path, &[name, &iterations.to_string()])?;
        let counted = told.lines().find_map(|line| line.strip_prefix("allocations")?.trim().parse().ok());
        counted.ok_or_else(|| format!("{name} counted no allocations"))
    }

    fn run(&self, name: &str, args: &[&str]) -> Result<(String, String), String> {
        let mut command = program(name, args);
        command.env("TOMBOLO_SLOWER", self.slower.to_string());
        output(command)
    }
}

fn to_csv(costs: &BTreeMap<String, Cost>) -> String {
    let lines =
        costs.iter().map(|(name, cost)| format!("{name},{:.1},{:.3}\n", cost.instructions, cost.allocations));
    std::iter::once("scenario,instructions,allocations\n".to_owned()).chain(lines).collect()
}

fn from_csv(text: &str) -> Result<BTreeMap<String, Cost>, String> {
    let parse = |line: &str| {
        let mut cells = line.split(',');
        let (name, instructions, allocations) = (cells.next()?, cells.next()?, cells.next()?);
        let cost = Cost { instructions: instructions.parse().ok()?, allocations: allocations.parse().ok()? };
        Some((name.to_owned(), cost))
    };
    let lines = text.lines().skip(1).filter(|line| !line.is_empty());
    lines.map(|line| parse(line).ok_or_else(|| format!("not a line of a baseline: {line}"))).collect()
}

/// Prints a tab-separated line a scenario: name, instructions, baseline, change, allocations, baseline, verdict.
fn compare(baseline: &BTreeMap<String, Cost>, measured: &BTreeMap<String, Cost>) -> Outcome {
    let mut failed = 0;
    for (name, old) in baseline {
        let Some(new) = measured.get(name) else {
            println!(
                "{name}\t-\t{:.1}\t-\t-\t{:.3}\tFAIL: the scenario is gone",
                old.instructions, old.allocations
            );
            failed += 1;
            continue;
        };
        let change = new.instructions / old.instructions - 1.0;
        let verdict = verdict(*old, *new);
        failed += usize::from(verdict != "pass");
        println!(
            "{name}\t{:.1}\t{:.1}\t{:+.1} %\t{:.3}\t{:.3}\t{verdict}",
            new.instructions,
            old.instructions,
            change * 100.0,
            new.allocations,
            old.allocations,
        );
    }
    for name in measured.keys().filter(|name| !baseline.contains_key(*name)) {
        println!("{name}\tFAIL: not in the baseline");
        failed += 1;
    }
    if failed == 0 { Ok(()) } else { Err(format!("{failed} scenarios cost more than before")) }
}

fn verdict(old: Cost, new: Cost) -> &'static str {
    if new.instructions > old.instructions * (1.0 + TOLERANCE) {
        "FAIL: more instructions"
    } else if new.allocations > old.allocations + 0.001 {
        "FAIL: more allocations"
    } else {
        "pass"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(instructions: f64, allocations: f64) -> BTreeMap<String, Cost> {
        BTreeMap::from([("seal".to_owned(), Cost { instructions, allocations })])
    }

    #[test]
    fn two_percent_pass_and_more_does_not() {
        assert!(compare(&costs(1000.0, 0.0), &costs(1020.0, 0.0)).is_ok());
        assert!(compare(&costs(1000.0, 0.0), &costs(1021.0, 0.0)).is_err());
        assert!(compare(&costs(1000.0, 0.0), &costs(500.0, 0.01)).is_err());
        assert!(compare(&costs(1000.0, 0.0), &BTreeMap::new()).is_err());
        assert!(compare(&BTreeMap::new(), &costs(1.0, 0.0)).is_err());
    }

    /// A scenario that does 3 % more than before does not pass, and one that has stayed as it was does.
    #[test]
    fn a_deliberate_slowdown_fails() {
        if !is_installed("valgrind") {
            println!("skipped: the gate of a slowdown: valgrind is not installed");
            return;
        }
        let build = ["build", "--package", "tombolo-benches", "--no-default-features", "--bin", "scenario"];
        run_program(cargo(&build)).unwrap();
        let mut scenario = Scenario::of("debug").unwrap();
        let name = "opus-packetize-frame";
        let mut measure = |slower| {
            scenario.slower = slower;
            BTreeMap::from([(name.to_owned(), scenario.measure(name).unwrap())])
        };
        let baseline = measure(0);
        assert!(compare(&baseline, &measure(0)).is_ok());
        assert!(compare(&baseline, &measure(3)).is_err());
        // It allocates once a frame: that is seen apart from the instructions.
        let slower = measure(3)[name];
        assert_eq!(verdict(baseline[name], Cost { instructions: 0.0, ..slower }), "FAIL: more allocations");
    }

    #[test]
    fn a_baseline_survives_both_ways() {
        let costs = costs(1234.5, 0.25);
        assert_eq!(from_csv(&to_csv(&costs)), Ok(costs));
        assert!(from_csv("scenario\nseal,many\n").is_err());
    }
}
