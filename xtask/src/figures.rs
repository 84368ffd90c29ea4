//! `cargo xtask figures [GROUP]`: measurements beside peers, on one core.
//!
//! One tab-separated line each on standard output: name, our value, unit, peer, its value, ratio in our favour (above
//! 1, ours is better; for the peer `limit`, the share of the limit that is reached). Without a group they are written to
//! `docs/figures.md` too, and criterion's reports to `target/criterion`.
//!
//! The group `gateway` measures the gateway as a process, with clients beside it on another core, and only when it is
//! named: what it tells depends on how busy the machine is.

mod page;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::gate;
use crate::packages;
use crate::process::{self, Outcome, cargo, is_installed, output, program, root, run_lines};

/// The group that needs the gateway's binary, and more than one core.
const GATEWAY: &str = "gateway";

pub(crate) fn run(group: Option<&str>) -> Outcome {
    if group == Some(GATEWAY) {
        build(&[
            "--package",
            "tombolo-gateway",
            "--bin",
            "tombolo",
            "--features",
            "tombolo-benches/clients",
        ])?;
        let mut figures = Command::new(binary("figures"));
        figures.arg(GATEWAY);
        return run_lines(figures, |line| println!("{line}"));
    }
    packages::ensure_peers()?;
    build(&["--features", "tombolo-benches/peers,tombolo-benches/reports", "--bin", "reports"])?;
    let libsrtp = libsrtp();
    let mut lines = Vec::new();
    let mut figures = on_one_core(&binary("figures"), libsrtp.as_ref());
    figures.args(group);
    run_lines(figures, |line| {
        println!("{line}");
        lines.push(line.to_owned());
    })?;
    if group.is_some() {
        return Ok(());
    }
    let file = root().join("docs/figures.md");
    let text = page::write(&machine(), &versions(libsrtp.as_ref()), &gate::baseline()?, &lines)?;
    fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut reports = on_one_core(&binary("reports"), libsrtp.as_ref());
    reports.arg(target().join("criterion"));
    run_lines(reports, |_| {})?;
    eprintln!("wrote {} and {}", file.display(), target().join("criterion/report/index.html").display());
    Ok(())
}

/// Builds `figures`, and what else is named.
fn build(more: &[&str]) -> Outcome {
    let mut command = cargo(&["build", "--release", "--package", "tombolo-benches", "--no-default-features"]);
    command.args(["--bin", "figures"]).args(more);
    process::run(command)
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

fn binary(name: &str) -> PathBuf {
    target().join("release").join(name)
}

/// The contender that is written in C, compiled with the system's libsrtp; `None`, and told, when that is not there.
fn libsrtp() -> Option<PathBuf> {
    let made = target().join("release/libsrtp-turns");
    let source = root().join("benches/libsrtp/turns.c");
    let mut compile = Command::new("cc");
    compile.args(["-O2", "-o"]).arg(&made).arg(source).arg("-lsrtp2");
    match output(compile) {
        Ok(_) => Some(made),
        Err(reason) => {
            eprintln!("libsrtp does not take part (on Debian: libsrtp2-dev and a C compiler): {reason}");
            None
        }
    }
}

/// The program, held on the first core, where the system can do that.
fn on_one_core(binary: &PathBuf, libsrtp: Option<&PathBuf>) -> Command {
    let mut command = if is_installed("taskset") {
        let mut command = program("taskset", &["-c", "0"]);
        command.arg(binary);
        command
    } else {
        Command::new(binary)
    };
    command.envs(libsrtp.map(|path| ("TOMBOLO_LIBSRTP", path)));
    command
}

/// The CPU and what of it counts for ciphers, and the operating system.
fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let mut lines = info.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
    };
    let flags = field("flags").unwrap_or_default();
    let has = |flag: &&str| flags.split(' ').any(|known| known == *flag);
    let useful: Vec<_> =
        ["aes", "pclmulqdq", "vaes", "sha_ni", "avx2", "avx512f"].into_iter().filter(has).collect();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{} ({}), Linux {}",
        field("model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        useful.join(", "),
        kernel.trim(),
    )
}

/// Ours and those of the peers and of the libraries that do the ciphers' work.
fn versions(libsrtp: Option<&PathBuf>) -> Vec<String> {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap_or_default();
    let names = [
        "tombolo-srtp",
        "ring",
        "aes",
        "sha1",
        "rtc-srtp",
        "rtc-rtp",
        "rtc-media",
        "rtc-dtls",
        "webrtc-srtp",
        "str0m",
        "dimpl",
        "aws-lc-rs",
    ];
    let mut versions: Vec<String> =
        names.into_iter().filter_map(|name| Some(format!("{name} {}", locked(&lock, name)?))).collect();
    versions.extend(libsrtp.and_then(|path| {
        let mut ask = Command::new(path);
        ask.arg("version");
        output(ask).ok().map(|(told, _)| format!("{}, as the system has it", told.trim()))
    }));
    versions.extend(output(program("rustc", &["-V"])).ok().map(|(told, _)| told.trim().to_owned()));
    versions
}

/// The latest version of a package in a lock file.
fn locked(lock: &str, name: &str) -> Option<String> {
    let packages = lock.split("[[package]]");
    let field = |package: &str, key: &str| {
        let line =
            package.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = ")).unwrap_or_default();
        line.trim_matches('"').to_owned()
    };
    packages.filter(|package| field(package, "name") == name).map(|package| field(package, "version")).last()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_the_lock_file() {
        let lock = "[[package]]\nname = \"aes\"\nversion = \"0.8.4\"\n\n[[package]]\nname = \"aes\"\nversion = \"0.9.1\"\n";
        assert_eq!(locked(lock, "aes"), Some("0.9.1".to_owned()));
        assert_eq!(locked(lock, "ring"), None);
    }
}
