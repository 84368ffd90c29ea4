//! Every committed input goes through its target again; and a little noise, so that a target that cannot take even that
//! is seen without a fuzzer.

use std::fs;
use std::path::{Path, PathBuf};

use tombolo_fuzz_targets::TARGETS;
use tombolo_net::Seed;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the folder fuzz").to_path_buf()
}

fn names_in(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(fuzz().join(folder)).expect("a readable folder");
    let name = |path: PathBuf| path.file_stem().expect("a name").to_string_lossy().into_owned();
    let mut names: Vec<String> = entries.map(|entry| name(entry.expect("a readable entry").path())).collect();
    names.sort_unstable();
    names
}

#[test]
fn every_target_has_a_file_and_a_corpus() {
    let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names_in("fuzz_targets"), names);
    assert_eq!(names_in("corpus"), names);
}

#[test]
fn the_corpus_passes() {
    for (name, body) in TARGETS {
        let mut count = 0;
        for entry in fs::read_dir(fuzz().join("corpus").join(name)).expect("a readable folder") {
            body(&fs::read(entry.expect("a readable entry").path()).expect("a readable input"));
            count += 1;
        }
        assert!(count >= 3, "{name} has {count} inputs");
    }
}

#[test]
fn noise_passes() {
    use rand_core::Rng as _;
    for (_, body) in TARGETS {
        let mut rng = Seed::from_number(1).rng();
        for len in 0..100 {
            let mut noise = vec![0; len];
            rng.fill_bytes(&mut noise);
            body(&noise);
        }
    }
}
