//! Counting what passed, failed and was skipped, over tools that each say it in their own way.

use std::fmt;

/// Counts over everything that ran. A skip always has a name and a reason.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl Tally {
    /// Counts a skip and prints its line.
    pub(crate) fn skip(&mut self, name: &str, reason: &str) {
        self.skipped += 1;
        say(&format!("skipped: {name}: {reason}"));
    }

    /// Counts a failure and prints its line.
    pub(crate) fn fail(&mut self, name: &str, reason: &str) {
        self.failed += 1;
        say(&format!("failed: {name}: {reason}"));
    }

    /// Counts a line of a suite of peers: cells separated by tabs, the last one beginning with `pass`, `FAIL` or
    /// `skip`, and the reason behind a colon. A failure that is known, with its reason, is a skip. Other lines are not
    /// counted. The line itself is printed by the caller.
    pub(crate) fn suite_line(&mut self, line: &str, known: Option<&str>) {
        let Some((cells, verdict)) = line.rsplit_once('\t') else { return };
        let name = cells.split('\t').take(3).collect::<Vec<_>>().join(" ");
        let reason = verdict.split_once(':').map_or("", |(_, reason)| reason.trim());
        match verdict.get(..4) {
            Some("pass") => self.passed += 1,
            Some("FAIL") => match known {
                Some(known) => self.skip(&name, &format!("known to fail: {known} (now: {reason})")),
                None => self.fail(&name, reason),
            },
            Some("skip") => self.skip(&name, reason),
            _ => {}
        }
    }
}

/// Prints a line, but not from unit tests: their output is read by a tally, which would count it.
fn say(line: &str) {
    if !cfg!(test) {
        println!("{line}");
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// Follows the output of `cargo test -- --show-output`. A test that passes but prints `skipped: NAME: reason` counts as
/// skipped; an ignored one counts as skipped too.
#[derive(Debug, Default)]
pub(crate) struct CargoTest {
    in_successes: bool,
    said_skipped: usize,
}

impl CargoTest {
    /// Takes one line. `true`: it is worth showing.
    pub(crate) fn line(&mut self, tally: &mut Tally, line: &str) -> bool {
        if line == "successes:" {
            self.in_successes = true;
        } else if line == "failures:" || line.starts_with("test result:") {
            self.in_successes = false;
        }
        if let Some((name, reason)) = line.strip_prefix("skipped: ").and_then(|rest| rest.split_once(": ")) {
            self.said_skipped += 1;
            tally.skip(name, reason);
            return false;
        }
        if let Some(counts) = line.strip_prefix("test result:") {
            tally.passed += number_before(counts, " passed").saturating_sub(self.said_skipped);
            tally.failed += number_before(counts, " failed");
            self.said_skipped = 0;
            return !line.contains("ok. 0 passed");
        }
        if let Some((name, rest)) = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... "))
            && let Some(reason) = rest.strip_prefix("ignored")
        {
            tally.skip(name, reason.trim_start_matches(", "));
            return false;
        }
        let is_noise =
            self.in_successes || line.is_empty() || line.ends_with(" ... ok") || line.starts_with("running ");
        !is_noise
    }
}

/// Follows the TAP output of `node --test`.
#[derive(Debug, Default)]
pub(crate) struct NodeTest;

impl NodeTest {
    /// Takes one line. `true`: it is worth showing.
    pub(crate) fn line(&mut self, tally: &mut Tally, line: &str) -> bool {
        if let Some((kind, count)) = line.strip_prefix("# ").and_then(|rest| rest.split_once(' ')) {
            let count = count.trim().parse().unwrap_or(0);
            match kind {
                "pass" => tally.passed += count,
                "fail" | "cancelled" => tally.failed += count,
                _ => {}
            }
        }
        if let Some((test, reason)) = line.split_once(" # SKIP") {
            tally.skip(
                test.trim_start_matches(|c: char| !c.is_alphabetic()).trim_start_matches("ok "),
                reason.trim(),
            );
        }
        line.trim_start().starts_with("not ok") || line.contains("error:")
    }
}

/// The number that stands right before `word`.
fn number_before(text: &str, word: &str) -> usize {
    let before = text.split(word).next().unwrap_or_default();
    let digits = before.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_test_output_is_counted_and_skips_are_no_passes() {
        let output = "\
running 3 tests
test a ... ok
test b ... ok
test c ... ignored, needs the moon
test d ... FAILED

successes:

---- b stdout ----
skipped: b: no browser

successes:
    a

failures:

---- d stdout ----
it broke

test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
";
        let (mut tally, mut cargo) = (Tally::default(), CargoTest::default());
        let shown: Vec<&str> = output.lines().filter(|line| cargo.line(&mut tally, line)).collect();
        assert_eq!(tally, Tally { passed: 1, failed: 1, skipped: 2 });
        assert!(shown.contains(&"it broke") && !shown.contains(&"test a ... ok"));
        assert_eq!(tally.to_string(), "1 passed, 1 failed, 2 skipped");
    }

    #[test]
    fn suites_and_node_are_counted() {
        let mut tally = Tally::default();
        for line in [
            "matrix\tpublisher\tviewer\tframes\tverdict",
            "matrix\tchromium\tfirefox\t150\tpass",
            "matrix\tffmpeg\tfirefox\t-\tskip: no FFmpeg",
            "matrix\tffmpeg\tchromium\t3\tFAIL: 3 distinct frames",
        ] {
            tally.suite_line(line, None);
        }
        for line in ["ok 1 - a", "ok 2 - b # SKIP no camera", "# pass 4", "# fail 1", "# skipped 1"] {
            NodeTest.line(&mut tally, line);
        }
        assert_eq!(tally, Tally { passed: 5, failed: 2, skipped: 2 });
    }
}
