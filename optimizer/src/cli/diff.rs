use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use drydock_contract::MODEL_FILE;
use drydock_optimizer::diff::{Change, graphs, packages};
use drydock_optimizer::report::Package;
use drydock_optimizer::{Error, onnx};

use super::print;

/// Changes of one kind that are printed, unless all are asked for.
const LINES: usize = 20;

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// An ONNX file, or the directory of a package
    before: PathBuf,
    /// Likewise
    after: PathBuf,
    /// Exit with 1 if there is a difference
    #[arg(long)]
    pub(crate) exit_code: bool,
    /// Print every change, however many there are
    #[arg(long)]
    all: bool,
}

/// Whether there is a difference.
pub(crate) fn diff(args: &DiffArgs) -> Result<bool, Error> {
    let mut changes = Vec::new();
    if args.before.is_dir() && args.after.is_dir() {
        changes = packages(&Package::read(&args.before)?.manifest, &Package::read(&args.after)?.manifest);
    }
    changes.append(&mut graphs(&onnx::read(&model(&args.before))?.graph, &onnx::read(&model(&args.after))?.graph)?);
    print(&describe(&changes, if args.all { usize::MAX } else { LINES }));
    Ok(!changes.is_empty())
}

fn model(path: &Path) -> PathBuf {
    if path.is_dir() { path.join(MODEL_FILE) } else { path.to_owned() }
}

fn describe(changes: &[Change], limit: usize) -> String {
    let mut text = String::new();
    for of_kind in changes.chunk_by(|a, b| a.kind == b.kind) {
        for Change { kind, name, before, after } in of_kind.iter().take(limit) {
            let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".into());
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{kind:<10} {name}: {} -> {}", side(before), side(after));
        }
        if of_kind.len() > limit {
            let _ = writeln!(text, "{:<10} and {} more; --all prints them", of_kind[0].kind, of_kind.len() - limit);
        }
    }
    text
}
