//! `scenario --list` names the scenarios; `scenario NAME ITERATIONS` runs one and prints `allocations<TAB>N`, what the
//! iterations allocated after the warm-up. With `TOMBOLO_SLOWER` set to a percentage it does that much more work than it
//! is asked for, which the gate must notice.

use std::process::ExitCode;

use tombolo_benches::scenarios;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--list"] => scenarios::all().iter().for_each(|scenario| println!("{}", scenario.name)),
        [name, iterations] => {
            let (Some(scenario), Ok(iterations)) = (scenarios::find(name), iterations.parse::<u64>()) else {
                return usage();
            };
            let mut work = scenario.prepare();
            let slower: u64 =
                std::env::var("TOMBOLO_SLOWER").ok().and_then(|percent| percent.parse().ok()).unwrap_or(0);
            let rounds = iterations + iterations * slower / 100;
            let counted = allocation_counter::measure(|| (0..rounds).for_each(|_| work()));
            println!("allocations\t{}", counted.count_total);
        }
        _ => return usage(),
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("usage: scenario --list | scenario NAME ITERATIONS");
    ExitCode::from(2)
}
