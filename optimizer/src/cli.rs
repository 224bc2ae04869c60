//! The command line. One file for each command: its arguments, and what it does with them.

mod apply;
mod data;
mod detection;
mod diff;
mod evaluate;
mod job;
mod optimize;
mod preprocessing;
mod report;
mod search;

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use drydock_optimizer::Error;
use drydock_optimizer::report::Row;

pub(crate) use apply::{ApplyArgs, apply};
pub(crate) use diff::{DiffArgs, diff};
pub(crate) use evaluate::{EvaluateArgs, evaluate};
pub(crate) use job::JobArgs;
pub(crate) use optimize::{OptimizeArgs, optimize};
pub(crate) use report::{ReportArgs, report};
pub(crate) use search::{SearchArgs, search};

/// Takes a trained ONNX model and a recipe to a smaller, faster, measured model package.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// One index of an optimization Job, as the environment says
    Job(JobArgs),
    /// Apply one recipe to one model, measure the result and put the package into a store
    Optimize(OptimizeArgs),
    /// Apply one recipe to one model and nothing more: write the resulting file
    Apply(ApplyArgs),
    /// Look for the best recipe within a time budget, and put the package into a store
    Search(SearchArgs),
    /// Measure one model beside another, and make no package
    Evaluate(EvaluateArgs),
    /// Say what a model is
    Inspect { model: PathBuf },
    /// Say what differs between two models or two packages
    Diff(DiffArgs),
    /// Make the report of a package again
    Report(ReportArgs),
    /// Print the peak memory, in bytes, of loading and running a model
    #[command(hide = true)]
    MeasureMemory {
        model: PathBuf,
        /// Dimensions of the input
        #[arg(value_delimiter = ',')]
        shape: Vec<i64>,
    },
}

/// The whole file or none.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let write = || {
        let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(bytes)?;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(|source| Error::Write { what: path.display().to_string(), source })
}

/// A reader that went away has read enough.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn table(head: Row, rows: Vec<Row>) -> String {
    let line = |[a, b, c, d]: &Row| format!("{a:<10} {b:>14} {c:>14}  {d}").trim_end().to_owned() + "\n";
    std::iter::once(head).chain(rows).map(|row| line(&row)).collect()
}
