//! Development commands of the Tombolo workspace: `cargo xtask COMMAND`.

mod bogo;
mod bundle;
mod bwe;
mod check;
mod figures;
mod fuzz;
mod gate;
mod interop;
mod packages;
mod paths;
mod process;
mod tally;
mod test;
mod torture;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask COMMAND

  test                 every test: Rust, the browser client, real browsers; installs the system packages that
                       it needs when it is root on Debian, else names them; counts and names what it skips
  check                formatting, clippy, rustdoc, cargo-deny when installed, the committed bundle, and that no
                       file names a path of somebody's machine
  figures [GROUP]      measurements beside peers, one tab-separated line each: name, our value, unit, peer, its
                       value, ratio in our favour; without a group, docs/figures.md and criterion's reports too;
                       what the gateway's process costs only when the group `gateway` is named
  figures bwe          bandwidth estimators on simulated links (RFC 8867), beside peers: a line a flow, and
                       docs/figures-bwe.md
  figures torture      a call over bad networks with every repair: a line a call, and docs/figures-torture.md
  interop [NAME]       real peers, one tab-separated line a cell; without a name, every suite
  bogo --runner PATH [CASES]
                       the DTLS cases of BoringSSL's protocol tests, of which PATH is a checkout: counts, with the
                       reason of each that is disabled; CASES is a pattern of names; needs Go
  gate [--update]      instructions (callgrind) and allocations of each scenario against benches/baseline.csv;
                       --update writes that file
  fuzz SECONDS [SEED]  every fuzz target, SECONDS in all; the same SEED tries the same inputs in the same order
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["test"] => test::run(),
        ["check"] => check::run(),
        ["figures"] => figures::run(None),
        ["figures", "bwe"] => bwe::run(),
        ["figures", "torture"] => torture::run(),
        ["figures", group] => figures::run(Some(group)),
        ["interop"] => interop::run(None),
        ["interop", name] => interop::run(Some(name)),
        ["bogo", "--runner", checkout] => bogo::bogo(checkout, None),
        ["bogo", "--runner", checkout, cases] => bogo::bogo(checkout, Some(cases)),
        ["gate"] => gate::run(false),
        ["gate", "--update"] => gate::run(true),
        ["fuzz", seconds] => fuzz::run(seconds, None),
        ["fuzz", seconds, seed] => fuzz::run(seconds, Some(seed)),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("error: {reason}");
            ExitCode::FAILURE
        }
    }
}
