//! `cargo xtask fuzz SECONDS [SEED]`: every target of `fuzz/`, on the stable toolchain.
//!
//! `cargo fuzz` asks for a nightly toolchain because of the sanitizers. Nothing here is `unsafe`, so coverage is all
//! that is wanted, and the compiler's coverage pass is there in every toolchain.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use crate::process::{Outcome, cargo, output, program, root, run as run_program};

/// What libFuzzer needs: counters and comparisons. Debug assertions and overflow checks find more.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks";

/// How each target is run.
struct Campaign {
    time: Duration,
    /// libFuzzer takes one of its own where none is told.
    seed: Option<u32>,
}

pub(crate) fn run(seconds: &str, seed: Option<&str>) -> Outcome {
    let seconds: u64 = seconds.parse().map_err(|_| format!("not a number of seconds: {seconds}"))?;
    let seed: Option<u32> =
        seed.map(|seed| seed.parse().map_err(|_| format!("not a seed: {seed}"))).transpose()?;
    let target = host()?;
    let mut build = cargo(&["build", "--release", "--manifest-path", "fuzz/Cargo.toml", "--target", &target]);
    build.env("RUSTFLAGS", FLAGS).env_remove("CARGO_TARGET_DIR");
    run_program(build)?;
    let targets = targets()?;
    let jobs = thread::available_parallelism().map_or(1, usize::from).min(targets.len().max(1));
    let time = Duration::from_secs(seconds * jobs as u64) / targets.len().max(1) as u32;
    let campaign = Campaign { time, seed };
    let binaries = root().join("fuzz/target").join(target).join("release");
    let queue = Mutex::new(targets.iter());
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(name) = take(&queue) {
                    if let Err(reason) = fuzz(name, &binaries.join(name), &campaign)
                        && let Ok(mut failed) = failed.lock()
                    {
                        failed.push(format!("{name}: {reason}"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_default();
    println!("{} targets, {} failed", targets.len(), failed.len());
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

fn take<'a>(queue: &Mutex<std::slice::Iter<'a, String>>) -> Option<&'a String> {
    queue.lock().ok()?.next()
}

/// One target for its share of the time. New inputs go to a scratch folder, which a seed wants empty; the committed corpus
/// is only read.
fn fuzz(name: &str, binary: &std::path::Path, campaign: &Campaign) -> Outcome {
    let scratch = root().join("fuzz/target").join(match campaign.seed {
        Some(seed) => format!("corpus-{seed}/{name}"),
        None => format!("corpus/{name}"),
    });
    if campaign.seed.is_some() && scratch.exists() {
        fs::remove_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;
    }
    let committed = root().join("fuzz/corpus").join(name);
    let artifacts = root().join("fuzz/artifacts").join(name);
    for folder in [&scratch, &artifacts] {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let mut command = Command::new(binary);
    command
        .arg(format!("-max_total_time={}", campaign.time.as_secs().max(1)))
        .args(campaign.seed.map(|seed| format!("-seed={seed}")))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args(["-max_len=4096", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"])
        .args([&scratch, &committed]);
    let (_, told) = output(command)?;
    let runs = told.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    println!("{name}\t{} runs\tno failure", runs.unwrap_or("?").trim());
    Ok(())
}

/// The names of the targets: the files of `fuzz/fuzz_targets`.
fn targets() -> Result<Vec<String>, String> {
    let folder: PathBuf = root().join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let names = entries.filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_str()?.to_owned()));
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    Ok(names)
}

fn host() -> Result<String, String> {
    let (told, _) = output(program("rustc", &["-vV"]))?;
    told.lines()
        .find_map(|line| line.strip_prefix("host: ").map(str::to_owned))
        .ok_or_else(|| "rustc does not name its host".to_owned())
}
