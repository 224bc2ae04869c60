use std::path::PathBuf;

use clap::Args;
use drydock_contract::TASK_ENV;
use drydock_optimizer::job;

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
