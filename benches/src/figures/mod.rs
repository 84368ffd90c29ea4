//! Time, beside peers and limits.
//!
//! All contenders of a figure run in turns in one process, so that a busy machine is busy for all of them; each one's
//! value is the lower quartile of its turns, which a busy machine disturbs least.

mod dtls;
mod rtp;
mod srtp;

use std::fmt;
use std::time::{Duration, Instant};

/// What does one operation.
pub type Work = Box<dyn FnMut()>;

/// The groups that there are.
pub const GROUPS: [&str; 3] = ["srtp", "rtp", "dtls"];

/// How many turns each contender gets.
const TURNS: usize = 201;
/// About how long a turn is.
const TURN: Duration = Duration::from_millis(1);

/// One line: ours beside one peer.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    name: &'static str,
    ours: f64,
    unit: &'static str,
    peer: &'static str,
    theirs: f64,
    /// Above 1: ours is better. For the peer `limit`: the share of it that is reached.
    ratio: f64,
}

impl fmt::Display for Figure {
    /// Tab-separated: name, our value, unit, peer, its value, ratio.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, ours, unit, peer, theirs, ratio } = self;
        write!(f, "{name}\t{ours:.1}\t{unit}\t{peer}\t{theirs:.1}\t{ratio:.2}")
    }
}

/// Measures a group; `None` when there is no such group.
#[must_use]
pub fn run(group: &str) -> Option<Vec<Figure>> {
    match group {
        "srtp" => Some(srtp::figures()),
        "rtp" => Some(rtp::figures()),
        "dtls" => Some(dtls::figures()),
        _ => None,
    }
}

/// What one figure is measured from.
struct Contest {
    name: &'static str,
    ours: Work,
    /// Each with its name; `limit` is what cannot be beaten.
    others: Vec<(&'static str, Work)>,
}

impl Contest {
    /// Nanoseconds an operation: less is better.
    fn nanoseconds(self) -> Vec<Figure> {
        self.measure("ns", |nanos| nanos, |ours, theirs| theirs / ours)
    }

    /// Operations a second: more is better.
    fn rate(self, unit: &'static str) -> Vec<Figure> {
        self.measure(unit, |nanos| 1e9 / nanos, |ours, theirs| ours / theirs)
    }

    fn measure(
        mut self,
        unit: &'static str,
        value: fn(f64) -> f64,
        ratio: fn(f64, f64) -> f64,
    ) -> Vec<Figure> {
        let names: Vec<_> = self.others.iter().map(|(name, _)| *name).collect();
        let mut all = vec![&mut self.ours];
        all.extend(self.others.iter_mut().map(|(_, work)| work));
        let values: Vec<_> = quartiles(&mut all).into_iter().map(value).collect();
        let ours = values[0];
        let figure = |(peer, &theirs)| Figure {
            name: self.name,
            ours,
            unit,
            peer,
            theirs,
            ratio: ratio(ours, theirs),
        };
        names.into_iter().zip(&values[1..]).map(figure).collect()
    }
}

/// The lower quartile of nanoseconds an operation, of each.
fn quartiles(contenders: &mut [&mut Work]) -> Vec<f64> {
    let batches: Vec<u64> = contenders.iter_mut().map(|work| batch(work)).collect();
    let mut turns = vec![Vec::with_capacity(TURNS); contenders.len()];
    for _ in 0..TURNS {
        for ((work, &batch), turns) in contenders.iter_mut().zip(&batches).zip(&mut turns) {
            turns.push(time(work, batch).as_nanos() as f64 / batch as f64);
        }
    }
    turns
        .into_iter()
        .map(|mut turns| {
            turns.sort_by(f64::total_cmp);
            turns[TURNS / 4]
        })
        .collect()
}

fn time(work: &mut Work, operations: u64) -> Duration {
    let start = Instant::now();
    (0..operations).for_each(|_| work());
    start.elapsed()
}

/// How many operations fill a turn; warms up on the way.
fn batch(work: &mut Work) -> u64 {
    let mut operations = 1;
    loop {
        let took = time(work, operations);
        if took * 2 >= TURN {
            return operations;
        }
        operations *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_six_cells_and_better_is_above_one() {
        let sleep = |micros| -> Work { Box::new(move || std::thread::sleep(Duration::from_micros(micros))) };
        let contest = || Contest { name: "rest", ours: sleep(100), others: vec![("peer", sleep(1000))] };
        for figures in [contest().nanoseconds(), contest().rate("naps/s")] {
            assert!(figures[0].ratio > 2.0, "{figures:?}");
            assert_eq!(figures[0].to_string().split('\t').count(), 6);
        }
    }

    #[test]
    fn unknown_groups_are_none() {
        assert_eq!(run("nothing"), None);
    }
}
