//! [`Contender`]: who is measured.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::scenarios::Work;

/// Somebody who does the same operation again and again: here, or in a program of its own that takes the same turns.
pub struct Contender {
    kind: Kind,
    /// How many operations one piece of work is.
    operations: u64,
}

enum Kind {
    Here(Work),
    #[cfg(feature = "peers")]
    There(program::Program),
}

impl Contender {
    pub(super) fn new(work: impl FnMut() + 'static) -> Self {
        Self::of(Box::new(work), 1)
    }

    /// Work that is several operations at a time.
    pub(super) const fn of(work: Work, operations: u64) -> Self {
        Self { kind: Kind::Here(work), operations }
    }

    /// A program that reads how many operations a turn has and answers with the nanoseconds that they took, a line each.
    /// `None` when it cannot be started.
    #[cfg(feature = "peers")]
    pub(super) fn program(path: &std::ffi::OsStr, args: &[&str]) -> Option<Self> {
        Some(Self { kind: Kind::There(program::Program::start(path, args)?), operations: 1 })
    }

    /// Copies this many bytes, which no one who copies can beat.
    pub(super) fn memcpy(len: usize) -> Self {
        let (from, mut to) = (vec![7u8; len], vec![0; len]);
        Self::new(move || {
            to.copy_from_slice(black_box(&from));
            black_box(&mut to);
        })
    }

    /// How long so many operations take; of work that is several, as many as come next.
    pub fn time(&mut self, operations: u64) -> Duration {
        match &mut self.kind {
            Kind::Here(work) => {
                let rounds = operations.div_ceil(self.operations);
                let start = Instant::now();
                (0..rounds).for_each(|_| work());
                let took = start.elapsed();
                took.mul_f64(operations as f64 / (rounds * self.operations) as f64)
            }
            #[cfg(feature = "peers")]
            Kind::There(program) => program.time(operations),
        }
    }
}

#[cfg(feature = "peers")]
mod program {
    use std::ffi::OsStr;
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
    use std::time::Duration;

    pub(super) struct Program {
        child: Child,
        told: ChildStdin,
        tells: BufReader<ChildStdout>,
    }

    impl Program {
        pub(super) fn start(path: &OsStr, args: &[&str]) -> Option<Self> {
            let mut command = Command::new(path);
            command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn().ok()?;
            let (told, tells) = (child.stdin.take()?, BufReader::new(child.stdout.take()?));
            Some(Self { child, told, tells })
        }

        pub(super) fn time(&mut self, operations: u64) -> Duration {
            writeln!(self.told, "{operations}").expect("a program that reads");
            let mut line = String::new();
            self.tells.read_line(&mut line).expect("a program that writes");
            Duration::from_nanos(line.trim().parse().expect("nanoseconds"))
        }
    }

    impl Drop for Program {
        fn drop(&mut self) {
            // It ends at the end of its input, too; either way it is gone afterwards.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
