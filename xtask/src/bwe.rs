//! `cargo xtask figures bwe`: bandwidth estimators on simulated links, beside peers.
//!
//! One tab-separated line a flow on standard output, as the binary `bwe` of `benches/` prints them, and the same as tables in
//! `docs/figures-bwe.md`. Everything runs in virtual time with seeds: the figures are the same on every machine.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::process::{Outcome, cargo, root, run as run_program, run_lines};

/// The cells of a line.
const CELLS: usize = 11;

const INTRODUCTION: &str = "\
# Bandwidth estimation

Made by `cargo xtask figures bwe`; not to be edited. Each case runs in virtual time with seeds, so the figures are the same on
every machine. The codec model makes 30 frames a second that follow the estimate 100 ms later, with a keyframe at the start. All
begin at 300 kb/s. Feedback is transport-wide, every 50 ms. The queue holds 300 ms, and one way takes 50 ms (25 ms in the
cases of 3 Mb/s) where the case does not say otherwise. Datagrams that are lost at random are lost before the bottleneck.

- *used*: what all flows of the direction brought through, of what the way could carry, from the flow's start to the end.
- *share*: of what all flows brought through while this one ran.
- *queueing*: before the bottleneck, median and 95th percentile, ms.
- *90 % after*: the first second in which 90 % of the way was used (less what is always lost), s; for flows alone on a way.
- *lead*: the largest estimate, as a multiple of what was sent in the second before; without the first 5 s. It is large where an
  estimate rises quickly, and says something where the application limits what is sent.
";

pub(crate) fn run() -> Outcome {
    let build = [
        "build",
        "--release",
        "--package",
        "tombolo-benches",
        "--no-default-features",
        "--features",
        "bwe-peers",
    ];
    run_program(cargo(&[&build[..], &["--bin", "bwe"]].concat()))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let mut lines = Vec::new();
    run_lines(Command::new(target.join("release/bwe")), |line| {
        println!("{line}");
        lines.push(line.to_owned());
    })?;
    let file = root().join("docs/figures-bwe.md");
    fs::write(&file, page(&lines)?).map_err(|error| format!("{}: {error}", file.display()))?;
    eprintln!("wrote {}", file.display());
    Ok(())
}

/// A table for each case.
fn page(lines: &[String]) -> Result<String, String> {
    let mut out = INTRODUCTION.to_owned();
    let mut last = "";
    for line in lines {
        let cells: Vec<&str> = line.split('\t').collect();
        let [case, contender, flow, kbps, used, share, median, most, loss, converged, lead] = cells[..]
        else {
            return Err(format!("not {CELLS} cells: {line}"));
        };
        if case != last {
            out += &format!(
                "\n## {case}\n\n| whose | flow | kb/s | used | share | queueing | lost | 90 % after | lead |\n\
                 |---|---|---|---|---|---|---|---|---|\n"
            );
            last = case;
        }
        out += &format!(
            "| {contender} | {flow} | {kbps} | {used} % | {share} % | {median} / {most} | {loss} % | {converged} | {lead} |\n"
        );
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_a_table_with_a_row_for_each_flow() {
        let line = |case: &str, who: &str| {
            format!("{case}\t{who}\tmedia 1\t2876\t95.9\t100.0\t14\t33\t0.00\t0.9\t1.05")
        };
        let page =
            page(&[line("3 Mb/s", "tombolo"), line("3 Mb/s", "other"), line("lossy", "tombolo")]).unwrap();
        assert_eq!(page.matches("\n## ").count(), 2, "{page}");
        assert!(
            page.contains("| other | media 1 | 2876 | 95.9 % | 100.0 % | 14 / 33 | 0.00 % | 0.9 | 1.05 |\n"),
            "{page}"
        );
    }

    #[test]
    fn what_is_no_line_of_figures_is_told() {
        assert!(super::page(&["3 Mb/s\ttombolo".to_owned()]).is_err());
    }
}
