use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use drydock_contract::{CandidateReport, Input, Location, Recipe, TASK_ENV, Target};
use drydock_optimizer::Error;
use drydock_optimizer::candidate::{self, Request};
use drydock_optimizer::dataset::Dataset;
use drydock_optimizer::engine::Engine;
use drydock_optimizer::fetch::{Fetched, Purpose, fetch};
use drydock_optimizer::progress::Progress;
use drydock_optimizer::technique::Given;
use drydock_optimizer::{job, onnx, technique};

use crate::cli_search::SearchArgs;
use crate::preprocessing_args::PreprocessingArgs;

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
    /// Say what a model is
    Inspect { model: PathBuf },
    /// Print the peak memory, in bytes, of loading and running a model
    #[command(hide = true)]
    MeasureMemory {
        model: PathBuf,
        /// Dimensions of the input
        #[arg(value_delimiter = ',')]
        shape: Vec<i64>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct JobArgs {
    /// The task, as JSON
    #[arg(long, env = TASK_ENV, default_value = "", hide_env_values = true)]
    task: String,
    #[arg(long, env = job::INDEX_ENV, default_value = "")]
    index: String,
    /// Where the report goes
    #[arg(long, env = job::REPORT_ENV, default_value = job::DEFAULT_REPORT)]
    report: PathBuf,
}

impl JobArgs {
    pub(crate) fn config(self) -> Result<job::Config, String> {
        let program = std::env::current_exe().map_err(|e| format!("cannot find this program's own file: {e}"))?;
        Ok(job::Config { task: self.task, index: self.index, report: self.report, program })
    }
}

/// What both ways to apply a recipe by hand need.
#[derive(Debug, Args)]
struct RecipeArgs {
    #[arg(long)]
    model: PathBuf,
    /// Images: a directory or tar, CSV, WebDataset, Parquet, .npz, .npy (docs/datasets.md)
    #[arg(long)]
    calibration: PathBuf,
    /// What `distill` learns on, where that is not the calibration data; any of the same
    #[arg(long)]
    training: Option<PathBuf>,
    /// NAME=FILE of a further ONNX model, for `distill.teacher` and `distill.student`; may be given again
    #[arg(long = "further-model", value_parser = named)]
    models: Vec<(String, PathBuf)>,
    /// YAML of one recipe, as in a ModelDeployment
    #[arg(long)]
    recipe: PathBuf,
    /// The hardware that the result is for: cpu-vnni, cpu-avx2, arm64, intel, nvidia
    #[arg(long)]
    target: Option<Target>,
    #[command(flatten)]
    preprocessing: PreprocessingArgs,
}

pub(crate) fn named(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or_else(|| format!("{text:?}; expected NAME=FILE"))?;
    Ok((name.to_owned(), path.into()))
}

impl RecipeArgs {
    fn recipe(&self) -> Result<Recipe, Error> {
        let path = self.recipe.display();
        let text =
            std::fs::read_to_string(&self.recipe).map_err(|e| Error::Recipe(format!("cannot read {path}: {e}")))?;
        serde_yaml::from_str(&text).map_err(|e| Error::Recipe(format!("{path}: {e}")))
    }
}

#[derive(Debug, Args)]
pub(crate) struct OptimizeArgs {
    #[command(flatten)]
    recipe: RecipeArgs,
    /// The same with labels, to measure accuracy; without them the answers are compared
    #[arg(long)]
    evaluation: Option<PathBuf>,
    /// Directory that the package goes to
    #[arg(long)]
    store: PathBuf,
    /// Class names, in the order of the output
    #[arg(long, value_delimiter = ',')]
    labels: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    recipe: RecipeArgs,
    /// File to write
    #[arg(long)]
    output: PathBuf,
}

pub(crate) fn optimize(args: &OptimizeArgs) -> Result<(), Error> {
    let recipe = args.recipe.recipe()?;
    let engine = Engine::load()?;
    let scratch = std::env::temp_dir();
    let local = |path: &Path, purpose| -> Result<Fetched, Error> {
        let location = Location::Path(path.display().to_string());
        Ok(fetch(&Input { location, sha256: None }, purpose, &scratch)?)
    };
    let model = local(&args.recipe.model, Purpose::Model)?;
    let calibration = local(&args.recipe.calibration, Purpose::Calibration)?;
    let evaluation = args.evaluation.as_deref().map(|p| local(p, Purpose::Evaluation)).transpose()?;
    let training = args.recipe.training.as_deref().map(|p| local(p, Purpose::Training)).transpose()?;
    let models = args.recipe.models.iter().map(|(name, path)| Ok((name.clone(), local(path, Purpose::Model)?)));
    let models = models.collect::<Result<_, Error>>()?;
    let program = std::env::current_exe().ok();
    let request = Request {
        name: &recipe.name,
        recipe: Some(&recipe),
        target: args.recipe.target,
        found: None,
        model: &model,
        calibration: Some(&calibration),
        evaluation: evaluation.as_ref(),
        training: training.as_ref(),
        models: &models,
        preprocessing: &args.recipe.preprocessing.preprocessing(),
        labels: &args.labels,
        store: &args.store,
        needs_labels: false,
        program: program.as_deref(),
    };
    let report = candidate::make(&engine, &request, &mut Progress::default())?;
    let _ = std::io::stdout().write_all(table(&report).as_bytes());
    Ok(())
}

pub(crate) fn apply(args: &ApplyArgs) -> Result<(), Error> {
    let recipe = args.recipe.recipe()?;
    let graph = onnx::read(&args.recipe.model)?.graph;
    let (inputs, _) = onnx::signature(&graph)?;
    let preprocessing = args.recipe.preprocessing.preprocessing();
    let data = Dataset::open(&args.recipe.calibration, &inputs, &preprocessing)?;
    let training = args.recipe.training.as_deref();
    let training = training.map(|p| Dataset::open(p, &inputs, &preprocessing)).transpose()?;
    let models = args.recipe.models.iter().map(|(name, path)| Ok((name.clone(), onnx::read(path)?.graph)));
    let models = models.collect::<Result<_, Error>>()?;
    let given = Given {
        calibration: Some(&data),
        training: training.as_ref(),
        models: Some(&models),
        target: args.recipe.target,
    };
    let result = technique::apply(&Engine::load()?, graph, &recipe, &given, &mut Progress::default())?;
    write(&args.output, &result).map_err(|source| Error::Write { what: args.output.display().to_string(), source })
}

/// The whole file or none.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    file.persist(path)?;
    Ok(())
}

pub(crate) fn table(report: &CandidateReport) -> String {
    let m = &report.measurements;
    let mut rows: Vec<[String; 4]> = vec![["", "original", &report.candidate, ""].map(str::to_owned)];
    let mut row = |what: &str, original: String, candidate: String, note: String| {
        rows.push([what.to_owned(), original, candidate, note]);
    };
    if let Some(a) = &m.accuracy {
        let agreement = format!("agreement {:.2} % of {}", a.agreement, a.images);
        row("top-1", format!("{:.2} %", a.original_top1), format!("{:.2} %", a.top1), agreement);
        if let Some(c) = &a.change {
            let change = format!("95 % sure: {:+.2} to {:+.2} points (p = {:.3})", c.low, c.high, c.p);
            row("change", String::new(), format!("{:+.2}", a.top1 - a.original_top1), change);
        }
        if let (Some(top5), Some(original)) = (a.top5, a.original_top5) {
            row("top-5", format!("{original:.2} %"), format!("{top5:.2} %"), String::new());
        }
    } else if let Some(f) = &m.fidelity {
        row("agreement", String::new(), format!("{:.2} %", f.agreement), format!("of {}", f.images));
    }
    if let Some(decibels) = m.fidelity.as_ref().and_then(|f| f.sqnr_decibels) {
        row("SQNR", String::new(), format!("{decibels:.1} dB"), String::new());
    }
    if let Some(l) = &m.latency {
        let faster = format!("{:.2} times as fast", l.speedup());
        row("CPU", format!("{:.3} ms", l.original_cpu), format!("{:.3} ms", l.cpu), faster);
        let unit = "inferences a second of one core".to_owned();
        row("rate", format!("{:.0}", l.original_throughput()), format!("{:.0}", l.throughput()), unit);
        row("p50", format!("{:.3} ms", l.original_p50), format!("{:.3} ms", l.p50), String::new());
        row("p99", format!("{:.3} ms", l.original_p99), format!("{:.3} ms", l.p99), String::new());
        if let (Some(own), Some(original)) = (l.energy_millijoules, l.original_energy_millijoules) {
            row("energy", format!("{original:.2} mJ"), format!("{own:.2} mJ"), String::new());
        }
    }
    if let Some(s) = &m.size {
        let share = format!("{:.1} % of the size", 100.0 * s.bytes as f64 / s.original_bytes as f64);
        row("size", format!("{} B", s.original_bytes), format!("{} B", s.bytes), share);
    }
    if let Some(memory) = &m.memory {
        row(
            "memory",
            String::new(),
            format!("{:.1} MiB", memory.peak_bytes as f64 / f64::from(1 << 20)),
            String::new(),
        );
    }
    if let Some(package) = &report.package {
        row("package", String::new(), package.to_string(), String::new());
    }
    rows.iter().map(|[a, b, c, d]| format!("{a:<9} {b:>14} {c:>14}  {d}").trim_end().to_owned() + "\n").collect()
}
