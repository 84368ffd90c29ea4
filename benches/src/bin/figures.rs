//! `figures [GROUP]`: measures a group, or all but `gateway`, and prints a tab-separated line each: name, our value, unit,
//! peer, its value, ratio in our favour (for the peer `limit`: the share of the limit that is reached).
//!
//! `TOMBOLO_LIBSRTP` names the program made of `benches/libsrtp/turns.c`; without it libsrtp does not take part.

use std::process::ExitCode;

use tombolo_benches::figures::{GROUPS, measure};

fn main() -> ExitCode {
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    let all = || GROUPS.map(str::to_owned).to_vec();
    for group in if chosen.is_empty() { all() } else { chosen } {
        let Some(figures) = measure(&group) else {
            eprintln!("no group {group}; there are {}", GROUPS.join(", "));
            return ExitCode::from(2);
        };
        figures.for_each(|figure| println!("{figure}"));
    }
    ExitCode::SUCCESS
}
