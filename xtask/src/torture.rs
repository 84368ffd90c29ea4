//! `cargo xtask figures torture`: a call over bad networks, with every repair.
//!
//! One tab-separated line a call on standard output, as the binary `torture` of `benches/` prints them, and the same as tables in
//! `docs/figures-torture.md`. Everything runs in virtual time with seeds: the figures are the same on every machine.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::process::{Outcome, cargo, root, run as run_program, run_lines};

/// The cells of a line.
const CELLS: usize = 13;

const INTRODUCTION: &str = "\
# A call over bad networks

Made by `cargo xtask figures torture`; not to be edited. A codec model makes 30 frames a second at 2 Mb/s, sound comes in packets
of 20 ms at 48 kb/s, for 60 s of virtual time, with seeds: the figures are the same on every machine. Packets are lost each by itself, feedback
too. Jitter of *n* ms: twice a second or so nothing passes for up to *n* ms, and what came meanwhile arrives together. *For each packet*: each takes up
to *n* ms longer, in order, so that nearly all take nearly that. No way has a bottleneck: what repairs cost is told as overhead.

- *repair*: pictures by NACK with RTX, by FlexFEC as much as `Protector` says, by both; sound by NACK, by RED as far back as `RedSender` says, by both.
- *mode*: that of the jitter buffers. With the lowest latency, pictures are shown as soon as they can be decoded.
- *overhead*: bytes that were sent beside the media.
- *frames lost*: never shown. Each frame needs the one before it; after a loss that nothing repairs a keyframe is asked for.
- *freezes*: times without a new picture for more than 200 ms, in the minute.
- *playable*: from capture until it could be shown or played, median and 95th percentile, ms. What the way itself takes is in the rows without loss.
- *sound lost*: packets of sound that were not played.

The goal was, with 5 % loss and 300 ms of jitter: a median under 150 ms where the way allows it, and under 0.5 % of frames lost.
";

pub(crate) fn run() -> Outcome {
    run_program(cargo(&[
        "build",
        "--release",
        "--package",
        "tombolo-benches",
        "--no-default-features",
        "--bin",
        "torture",
    ]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let mut lines = Vec::new();
    run_lines(Command::new(target.join("release/torture")), |line| {
        println!("{line}");
        lines.push(line.to_owned());
    })?;
    let file = root().join("docs/figures-torture.md");
    fs::write(&file, page(&lines)?).map_err(|error| format!("{}: {error}", file.display()))?;
    eprintln!("wrote {}", file.display());
    Ok(())
}

/// A table for each jitter and round trip.
fn page(lines: &[String]) -> Result<String, String> {
    let mut out = INTRODUCTION.to_owned();
    let mut last = ("", "");
    for line in lines {
        let cells: Vec<&str> = line.split('\t').collect();
        let [
            jitter,
            rtt,
            loss,
            mode,
            repair,
            overhead,
            lost,
            freezes,
            median,
            most,
            sound_lost,
            sound_median,
            sound_most,
        ] = cells[..]
        else {
            return Err(format!("not {CELLS} cells: {line}"));
        };
        if (jitter, rtt) != last {
            out += &format!(
                "\n## Jitter: {jitter}; round trip: {rtt} ms\n\n\
                 | loss | repair | mode | overhead | frames lost | freezes | playable | sound lost | playable |\n\
                 |---|---|---|---|---|---|---|---|---|\n"
            );
            last = (jitter, rtt);
        }
        out += &format!(
            "| {loss} % | {repair} | {mode} | {overhead} % | {lost} % | {freezes} | {median} / {most} | {sound_lost} % | \
             {sound_median} / {sound_most} |\n"
        );
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_a_table_with_a_row_for_each_repair() {
        let line = |rtt: u32, repair: &str| {
            format!("30 ms\t{rtt}\t5\tbalanced\t{repair}\t12\t0.10\t3\t60\t95\t1.20\t58\t70")
        };
        let page = page(&[line(20, "NACK"), line(20, "both"), line(100, "both")]).unwrap();
        assert_eq!(page.matches("\n## ").count(), 2, "{page}");
        let row = "| 5 % | NACK | balanced | 12 % | 0.10 % | 3 | 60 / 95 | 1.20 % | 58 / 70 |\n";
        assert!(page.contains(row), "{page}");
    }

    #[test]
    fn what_is_no_line_of_figures_is_told() {
        assert!(super::page(&["none\t20".to_owned()]).is_err());
    }
}
