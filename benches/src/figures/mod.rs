//! Time, beside peers and limits.
//!
//! All contenders of a figure run in turns, so that a busy machine is busy for all of them; each one's value is the lower
//! quartile of its turns, which a busy machine disturbs least.

mod contender;
mod dtls;
mod frames;
#[cfg(feature = "clients")]
mod gateway;
mod rtp;
mod srtp;

use std::fmt;
use std::time::Duration;

pub use contender::Contender;

/// The groups of [`contests`].
pub const GROUPS: [&str; 4] = ["srtp", "rtp", "frames", "dtls"];
/// The group of what the gateway's process costs, which is no contest: it is alone, and takes a while.
#[cfg(feature = "clients")]
pub const GATEWAY: &str = "gateway";

/// How many turns each contender gets.
const TURNS: usize = 201;
/// About how long a turn is.
const TURN: Duration = Duration::from_millis(1);

/// One line: ours beside one peer.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    name: String,
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

/// Measures a group, a figure at a time; `None` when there is no such group.
#[must_use]
pub fn measure(group: &str) -> Option<Box<dyn Iterator<Item = Figure>>> {
    #[cfg(feature = "clients")]
    if group == GATEWAY {
        return Some(Box::new(gateway::figures()));
    }
    let sizes = if group == "dtls" { dtls::kept() } else { Vec::new() };
    Some(Box::new(contests(group)?.into_iter().flat_map(Contest::measure).chain(sizes)))
}

/// What the figures of a group are measured from; `None` when there is no such group.
#[must_use]
pub fn contests(group: &str) -> Option<Vec<Contest>> {
    match group {
        "srtp" => Some(srtp::contests()),
        "rtp" => Some(rtp::contests()),
        "frames" => Some(frames::contests()),
        "dtls" => Some(dtls::contests()),
        _ => None,
    }
}

/// What one operation's time is told as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// Nanoseconds an operation: less is better.
    Nanoseconds,
    /// Operations a second: more is better.
    Rate(&'static str),
}

/// What one figure is measured from.
pub struct Contest {
    name: String,
    unit: Unit,
    /// Ours, and then each other with its name; `limit` is what cannot be beaten.
    contenders: Vec<(&'static str, Contender)>,
}

impl Contest {
    fn new(name: impl Into<String>, unit: Unit, ours: Contender) -> Self {
        Self { name: name.into(), unit, contenders: vec![("tombolo", ours)] }
    }

    fn beside(mut self, others: impl IntoIterator<Item = (&'static str, Contender)>) -> Self {
        self.contenders.extend(others);
        self
    }

    /// The name of the figure.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who takes part: Tombolo first.
    pub fn contenders(&mut self) -> impl Iterator<Item = (&'static str, &mut Contender)> {
        self.contenders.iter_mut().map(|(name, contender)| (*name, contender))
    }

    /// Measures all of them; a line for each other than ours.
    #[must_use]
    pub fn measure(mut self) -> Vec<Figure> {
        let value = |nanos: f64| match self.unit {
            Unit::Nanoseconds => nanos,
            Unit::Rate(_) => 1e9 / nanos,
        };
        let values: Vec<f64> = quartiles(&mut self.contenders).into_iter().map(value).collect();
        let ours = values[0];
        let others = self.contenders.iter().zip(&values).skip(1);
        let figure = |(&(peer, _), &theirs): (&(&'static str, _), &f64)| {
            let (unit, ratio) = match self.unit {
                Unit::Nanoseconds => ("ns", theirs / ours),
                Unit::Rate(unit) => (unit, ours / theirs),
            };
            Figure { name: self.name.clone(), ours, unit, peer, theirs, ratio }
        };
        others.map(figure).collect()
    }
}

/// The lower quartile of nanoseconds an operation, of each.
fn quartiles(contenders: &mut [(&'static str, Contender)]) -> Vec<f64> {
    let batches: Vec<u64> = contenders.iter_mut().map(|(_, contender)| batch(contender)).collect();
    let mut turns = vec![Vec::with_capacity(TURNS); contenders.len()];
    for _ in 0..TURNS {
        for (((_, contender), &batch), turns) in contenders.iter_mut().zip(&batches).zip(&mut turns) {
            turns.push(contender.time(batch).as_nanos() as f64 / batch as f64);
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

/// How many operations fill a turn; warms up on the way.
fn batch(contender: &mut Contender) -> u64 {
    let mut operations = 1;
    loop {
        let took = contender.time(operations);
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
        let sleep = |micros| Contender::new(move || std::thread::sleep(Duration::from_micros(micros)));
        for unit in [Unit::Nanoseconds, Unit::Rate("naps/s")] {
            let figures = Contest::new("rest", unit, sleep(100)).beside([("peer", sleep(1000))]).measure();
            assert!(figures[0].ratio > 2.0, "{figures:?}");
            assert_eq!(figures[0].to_string().split('\t').count(), 6);
        }
    }

    /// Every contender of every figure can do its work: what it does asserts that it was done.
    #[test]
    fn every_contender_runs() {
        for group in GROUPS {
            for mut contest in contests(group).expect("a group") {
                let name = contest.name().to_owned();
                for (who, contender) in contest.contenders() {
                    assert!(contender.time(3) > Duration::ZERO, "{name}: {who}");
                }
            }
        }
    }

    #[test]
    fn unknown_groups_are_none() {
        assert!(contests("nothing").is_none());
    }
}
