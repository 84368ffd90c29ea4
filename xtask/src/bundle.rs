//! The page's bundle is committed, so that building the gateway needs no Node.js. This shows that it is what its source
//! makes: it is built again with the pinned tools and compared byte for byte.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::packages::npm_ci;
use crate::process::{Outcome, is_installed, root, run};
use crate::tally::Tally;

const FOLDER: &str = "client/js";

pub(crate) fn check(tally: &mut Tally) {
    for (name, check) in [("bundle", is_that_of_its_source as fn() -> Outcome), ("types of client/js", types)]
    {
        if !is_installed("node") || !is_installed("npm") {
            tally.skip(name, "Node.js or npm is not installed");
        } else if let Err(reason) = npm_ci(FOLDER).and_then(|()| check()) {
            tally.fail(name, &reason);
        } else {
            tally.passed += 1;
        }
    }
}

fn types() -> Outcome {
    let mut npm = Command::new("npm");
    npm.args(["run", "--silent", "check"]).current_dir(root().join(FOLDER));
    run(npm)
}

fn is_that_of_its_source() -> Outcome {
    let built = root().join("target/xtask/dist");
    let mut node = Command::new("node");
    node.arg("build.mjs").arg(&built).current_dir(root().join(FOLDER));
    run(node)?;
    let (built, committed) = (files(&built)?, files(&root().join(FOLDER).join("dist"))?);
    let names = built.keys().chain(committed.keys());
    let mut different: Vec<&str> =
        names.filter(|name| built.get(*name) != committed.get(*name)).map(String::as_str).collect();
    different.sort_unstable();
    different.dedup();
    if different.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{FOLDER}/dist is not what its source makes: {}; run `npm run build` there",
        different.join(", ")
    ))
}

fn files(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let failed = |error| format!("{}: {error}", folder.display());
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let bytes = fs::read(entry.path()).map_err(failed)?;
        found.insert(entry.file_name().to_string_lossy().into_owned(), bytes);
    }
    Ok(found)
}
