//! `docs/figures.md`: the lines of a run as a page.

use std::collections::BTreeMap;

use crate::gate::Cost;

/// A figure, and how many times its limit it may take.
const TARGETS: [(&str, f64); 5] = [
    ("srtp-gcm-protect", 1.20),
    ("srtp-gcm-unprotect", 1.20),
    ("srtp-cm-protect", 1.08),
    ("srtp-cm-unprotect", 1.08),
    ("srtp-cm-batch", 1.00),
];

const READING: &str = "\
All contenders of a row take turns on one core, and each value is the lower quartile of its turns. Compare within a row: a \
busy machine is slower in all of it.

- The limit is the bare cipher, or a copy of the bytes. The share is how much of it is reached, above 100 % where work \
overlaps that the limit does one after the other.
- A ratio above 1 is in our favour.
- Lengths are 1200 bytes where none is named. `-batch` is a packet of eight that are protected together, which no peer \
can do: beside it stands their protection of one.
- A packet to unprotect is one of 2.5 MB of them, and is copied first, for each contender: a receive call puts it into a buffer, too, \
whether it is then opened there or read from there.
- Allocations are those of an operation of ours, from `benches/baseline.csv`, which `cargo xtask gate` holds.
- libsrtp is the system's, in a process of its own.
- str0m has no SRTP in its API. What protects packets for its own tests is measured, which also writes the header and clears \
a buffer; nothing there unprotects. It has neither the short tag nor packetizers of other codecs in its API.
- rtc-media's `SampleBuilder` assembles frames, from the depacketizers of rtc-rtp. It makes none of H.265, and rtc-rtp has \
no payload format for the rows without peer.
";

/// One figure beside all that it was measured beside.
#[derive(Default)]
struct Row {
    ours: f64,
    unit: String,
    /// Value and share.
    limit: Option<(f64, f64)>,
    /// Name, value, ratio: the best first.
    peers: Vec<(String, f64, f64)>,
}

/// What was measured where, the targets, and all rows in their order.
pub(super) fn write(
    machine: &str,
    versions: &[String],
    costs: &BTreeMap<String, Cost>,
    lines: &[String],
) -> Result<String, String> {
    let rows = rows(lines)?;
    Ok(format!(
        "# Figures\n\nMade by `cargo xtask figures`; not to be edited.\n\n- Machine: {machine}\n- Versions: {}\n\n{READING}\n\
         ## Targets\n\n{}\n## All\n\n{}",
        versions.join(", "),
        targets(&rows),
        table(&rows, costs),
    ))
}

fn rows(lines: &[String]) -> Result<Vec<(String, Row)>, String> {
    let mut rows: Vec<(String, Row)> = Vec::new();
    for line in lines {
        let cells: Vec<&str> = line.split('\t').collect();
        let [name, ours, unit, peer, theirs, ratio] = cells[..] else {
            return Err(format!("not a figure: {line}"));
        };
        let number = |text: &str| text.parse::<f64>().map_err(|_| format!("not a figure: {line}"));
        if rows.last().is_none_or(|(last, _)| last != name) {
            let row = Row { ours: number(ours)?, unit: unit.to_owned(), ..Row::default() };
            rows.push((name.to_owned(), row));
        }
        let Some((_, row)) = rows.last_mut() else { continue };
        if peer == "limit" {
            row.limit = Some((number(theirs)?, number(ratio)?));
        } else {
            row.peers.push((peer.to_owned(), number(theirs)?, number(ratio)?));
            row.peers.sort_by(|one, other| one.2.total_cmp(&other.2));
        }
    }
    Ok(rows)
}

/// How far each target is reached, and in which rows a peer is ahead.
fn targets(rows: &[(String, Row)]) -> String {
    let mut out = "| figure | times the limit | target | reached |\n|---|---|---|---|\n".to_owned();
    for (name, target) in TARGETS {
        let row = rows.iter().find(|(known, _)| known == name);
        if let Some((ours, (limit, _))) = row.and_then(|(_, row)| Some((row.ours, row.limit?))) {
            let times = ours / limit;
            let reached = if times <= target { "yes" } else { "no" };
            out += &format!("| {name} | {times:.2} | {target:.2} | {reached} |\n");
        }
    }
    let beside = rows.iter().filter_map(|(name, row)| Some((name, row.peers.first()?)));
    let behind: Vec<String> = beside
        .clone()
        .filter(|(_, (_, _, ratio))| *ratio < 1.0)
        .map(|(name, (peer, _, ratio))| format!("{name} ({peer}, {ratio:.2})"))
        .collect();
    let told = if behind.is_empty() { "none".to_owned() } else { behind.join(", ") };
    out + &format!("\nOf {} rows beside peers, a peer is ahead in: {told}.\n", beside.count())
}

fn table(rows: &[(String, Row)], costs: &BTreeMap<String, Cost>) -> String {
    let mut out = "| figure | ours | allocations | limit (share) | best peer | ratio to it | others |\n\
                   |---|---|---|---|---|---|---|\n"
        .to_owned();
    let none = || "–".to_owned();
    for (name, row) in rows {
        let allocations = costs.get(name).map_or_else(none, |cost| format!("{:.0}", cost.allocations));
        let limit =
            row.limit.map_or_else(none, |(value, share)| format!("{value:.1} ({:.0} %)", share * 100.0));
        let (best, ratio) = row.peers.first().map_or_else(
            || (none(), none()),
            |(peer, value, ratio)| (format!("{peer} {value:.1}"), format!("{ratio:.2}")),
        );
        let others: Vec<_> =
            row.peers.iter().skip(1).map(|(peer, value, _)| format!("{peer} {value:.1}")).collect();
        let (ours, unit, others) = (row.ours, &row.unit, others.join(", "));
        out += &format!(
            "| {name} | {ours:.1} {unit} | {allocations} | {limit} | {best} | {ratio} | {others} |\n"
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(lines: &[&str]) -> Result<String, String> {
        let costs = BTreeMap::from([("seal".to_owned(), Cost { instructions: 9.0, allocations: 2.0 })]);
        let lines: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
        write("a machine", &["x 1".to_owned()], &costs, &lines)
    }

    #[test]
    fn a_row_names_the_best_peer_and_the_share_of_the_limit() {
        let page = page(&[
            "seal\t200.0\tns\tlimit\t180.0\t0.90",
            "seal\t200.0\tns\tslow\t400.0\t2.00",
            "seal\t200.0\tns\tquick\t210.0\t1.05",
            "shake\t10.0\thands/s\tnobody\t5.0\t2.00",
        ])
        .unwrap();
        let row = "| seal | 200.0 ns | 2 | 180.0 (90 %) | quick 210.0 | 1.05 | slow 400.0 |";
        assert!(page.contains(row), "{page}");
        assert!(page.contains("| shake | 10.0 hands/s | – | – | nobody 5.0 | 2.00 |  |"), "{page}");
        assert!(page.contains("Of 2 rows beside peers, a peer is ahead in: none."), "{page}");
    }

    #[test]
    fn targets_that_are_missed_and_peers_that_are_ahead_are_told() {
        let page = page(&[
            "srtp-gcm-protect\t120.0\tns\tlimit\t100.0\t0.83",
            "srtp-gcm-protect\t120.0\tns\tquick\t60.0\t0.50",
            "srtp-cm-batch\t101.0\tns\tlimit\t100.0\t0.99",
        ])
        .unwrap();
        assert!(page.contains("| srtp-gcm-protect | 1.20 | 1.20 | yes |"), "{page}");
        assert!(page.contains("| srtp-cm-batch | 1.01 | 1.00 | no |"), "{page}");
        assert!(page.contains("a peer is ahead in: srtp-gcm-protect (quick, 0.50)."), "{page}");
    }

    #[test]
    fn what_is_no_figure_is_told() {
        for line in ["seal\t1", "seal\t200.0\tns\tpeer\t180.0\tmuch"] {
            assert!(page(&[line]).is_err());
        }
    }
}
