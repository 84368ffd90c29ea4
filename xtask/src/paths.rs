//! No committed file names a path that exists on one machine only.

use std::fs;

use crate::process::{Outcome, output, program, root};

/// Folders of one machine or one person. Joined here, so that this file does not name them.
const FOLDERS: [[&str; 2]; 3] = [["/wo", "rk/"], ["/ro", "ot/"], ["/ho", "me/"]];

pub(crate) fn check() -> Outcome {
    let (listed, _) = output(program("git", &["ls-files", "-z"]))?;
    let mut found = Vec::new();
    for name in listed.split('\0').filter(|name| !name.is_empty()) {
        // Not UTF-8: a picture or a fuzz input. Removed but not yet committed: nothing to read.
        let Ok(text) = fs::read_to_string(root().join(name)) else { continue };
        found.extend(text.lines().enumerate().filter(|(_, line)| names_a_machine(line)).map(
            |(number, line)| {
                format!("{name}:{}: {}", number + 1, line.trim().chars().take(120).collect::<String>())
            },
        ));
    }
    if found.is_empty() { Ok(()) } else { Err(format!("paths of one machine:\n{}", found.join("\n"))) }
}

/// Whether one of the folders begins a path in this line: what stands before it is no part of a longer path or URL.
fn names_a_machine(line: &str) -> bool {
    FOLDERS.iter().any(|halves| {
        let folder = halves.concat();
        line.match_indices(&folder).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            before.is_none_or(|c| !c.is_ascii_alphanumeric() && !"._-/$}".contains(c))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_and_a_part_of_a_longer_one_is_not() {
        let folder = FOLDERS[0].concat();
        assert!(names_a_machine(&format!("see {folder}main")));
        assert!(names_a_machine(&format!("(\"{folder}x\")")));
        assert!(!names_a_machine(&format!("https://example.org{folder}x")));
        assert!(!names_a_machine("the work/life balance"));
    }
}
