//! `torture`: a call through every network with every repair, a tab-separated line each: see `torture::Row`.

use tombolo_benches::torture::{Jitter, Repair, networks, run};
use tombolo_interceptors::jitter::Mode;

fn main() {
    for network in networks() {
        for repair in Repair::ALL {
            println!("{}", run(&network, repair, Mode::LowestLatency));
        }
        // What the other modes make of the worst ways that are still used.
        if network.loss == 0.05 && matches!(network.jitter, Jitter::Stalls(_)) {
            for mode in [Mode::Balanced, Mode::Smoothest] {
                println!("{}", run(&network, Repair { nack: true, fec: true }, mode));
            }
        }
    }
}
