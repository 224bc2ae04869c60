use std::path::PathBuf;

use clap::Args;
use drydock_contract::REPORT_FILE;
use drydock_optimizer::Error;
use drydock_optimizer::report::{Gates, Package, Page, render};

use super::write;

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Directory of the package
    package: PathBuf,
    /// Directories of packages to compare it with
    #[arg(long, num_args = 1..)]
    with: Vec<PathBuf>,
    /// File to write, in place of `report.html` in the package
    #[arg(long)]
    output: Option<PathBuf>,
    /// Gate to draw, in points of top-1
    #[arg(long)]
    max_accuracy_drop: Option<f64>,
    /// Gate to draw
    #[arg(long)]
    min_speedup: Option<f64>,
    /// Gate to draw
    #[arg(long)]
    max_size_ratio: Option<f64>,
}

pub(crate) fn report(args: &ReportArgs) -> Result<(), Error> {
    let package = Package::read(&args.package)?;
    let others = args.with.iter().map(|p| Package::read(p)).collect::<Result<Vec<_>, _>>()?;
    let gates = Gates {
        max_accuracy_drop: args.max_accuracy_drop,
        min_speedup: args.min_speedup,
        max_size_ratio: args.max_size_ratio,
    };
    let output = args.output.clone().unwrap_or_else(|| args.package.join(REPORT_FILE));
    write(&output, render(&Page { package: &package, others: &others, gates: &gates }).as_bytes())
}
