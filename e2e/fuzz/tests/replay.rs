//! Every file of the corpora, as an ordinary test: whatever a fuzzer has broken once stays mended.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

use std::path::{Path, PathBuf};

use drydock_fuzz::TARGETS;

fn corpus(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_file_of_every_corpus() {
    for (name, target) in TARGETS {
        let mut taken = 0;
        let files = corpus(name);
        for file in &files {
            let data = std::fs::read(file).unwrap();
            let was_taken = std::panic::catch_unwind(|| target(&data));
            let was_taken = was_taken.unwrap_or_else(|_| panic!("{name} breaks on {}", file.display()));
            taken += usize::from(was_taken);
        }
        // A corpus that is refused at the door tests nothing behind it.
        assert!(taken * 10 >= files.len() && taken > 0, "{name}: {taken} of {} files are read", files.len());
    }
}

#[test]
fn the_corpora_are_small() {
    let size = |file: &PathBuf| file.metadata().unwrap().len();
    let bytes: u64 = TARGETS.iter().flat_map(|(name, _)| corpus(name)).map(|file| size(&file)).sum();
    assert!(bytes < 1 << 20, "{bytes} bytes; e2e/fuzz.sh keeps what reaches something new, and nothing else");
}
