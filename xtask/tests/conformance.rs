//! `docs/conformance.md` against the sources: each test that it names exists, and each row that a source names stands in
//! it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The prefixes of the rows' ids.
const KINDS: [&str; 15] = [
    "STUN", "ICE", "CONS", "TURN", "DTLS", "SRTP", "MUX", "SCTP", "RTP", "RTX", "FEC", "RTCP", "SDP", "WHIP",
    "SFRAME",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

/// All sources below `dir` with their texts.
fn sources(dir: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(dir).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if !matches!(name, "target" | "node_modules") && !name.starts_with('.') {
                sources(&path, found);
            }
        } else if matches!(path.extension().and_then(|ext| ext.to_str()), Some("rs" | "js" | "mjs" | "ts"))
            && let Ok(text) = fs::read_to_string(&path)
        {
            found.push((path, text));
        }
    }
}

/// The crate that a source belongs to, by the manifest above it; its folder where there is none.
fn crate_of(path: &Path) -> String {
    for dir in path.ancestors().skip(1) {
        if let Ok(manifest) = fs::read_to_string(dir.join("Cargo.toml"))
            && let Some(line) = manifest.lines().find(|line| line.starts_with("name = "))
        {
            return line.trim_start_matches("name = ").trim_matches('"').to_owned();
        }
        if dir.join("package.json").exists() {
            return dir.strip_prefix(root()).unwrap_or(dir).display().to_string();
        }
    }
    String::new()
}

/// The row ids in a piece of text.
fn row_ids(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
        .filter_map(|word| {
            let (kind, number) = word.split_once('-')?;
            let is_id =
                KINDS.contains(&kind) && number.len() == 2 && number.bytes().all(|b| b.is_ascii_digit());
            is_id.then(|| word.to_owned())
        })
        .collect()
}

/// The ids of the table's rows.
fn table() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("docs/conformance.md")).expect("docs/conformance.md");
    text.lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            let id = cells.first()?;
            (cells.len() > 2 && row_ids(id).len() == 1).then(|| (*id).to_owned())
        })
        .collect()
}

/// What stands in backquotes in `text`.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn each_named_test_exists() {
    let mut found = Vec::new();
    sources(&root(), &mut found);
    let mut by_crate: BTreeMap<String, String> = BTreeMap::new();
    for (path, text) in &found {
        *by_crate.entry(crate_of(path)).or_default() += text;
    }
    let text = fs::read_to_string(root().join("docs/conformance.md")).expect("docs/conformance.md");
    let mut named = 0;
    for line in text.lines().filter(|line| line.starts_with('|')) {
        let Some((_, state)) = line.split_once("tested by") else { continue };
        for (name, test) in quoted(state).filter_map(|name| name.split_once("::")) {
            let source = by_crate.get(name).unwrap_or_else(|| panic!("no crate {name}"));
            let exists =
                [format!("fn {test}("), format!("fn {test}<"), format!("\"{test}\""), format!("'{test}'")];
            assert!(exists.iter().any(|text| source.contains(text)), "{name} has no test {test}");
            named += 1;
        }
    }
    assert!(named > 20, "the table was not read");
}

#[test]
fn each_row_that_a_source_names_is_in_the_table() {
    let table = table();
    assert!(table.len() > 100, "the table was not read");
    let mut found = Vec::new();
    sources(&root(), &mut found);
    for (path, text) in found {
        let comments = text.lines().map(str::trim).filter(|line| line.starts_with("//"));
        for id in comments.flat_map(row_ids) {
            assert!(table.contains(&id), "{}: no row {id}", path.display());
        }
    }
}
