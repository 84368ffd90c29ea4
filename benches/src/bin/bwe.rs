//! `bwe [CASE]`: runs the cases whose names contain the word, or all, with every contender, and prints a tab-separated line
//! for each flow: case, contender, flow, kb/s, utilisation in %, share in %, median and 95th percentile of queueing in ms, loss
//! in %, seconds to converge, the largest estimate as a multiple of what was sent.

use tombolo_benches::bwe::{cases, contenders, run};

fn main() {
    let word = std::env::args().nth(1).unwrap_or_default();
    for case in cases().iter().filter(|case| case.name().contains(&word)) {
        for contender in contenders() {
            run(case, &contender).iter().for_each(|row| println!("{row}"));
        }
    }
}
