use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use jiff::SignedDuration;

/// How a ModelDeployment stands, why, and what a person decides about its rollout.
#[derive(Debug, Parser)]
#[command(name = "kubectl-drydock", bin_name = "kubectl drydock", version)]
pub struct Args {
    #[command(flatten)]
    pub connection: Connection,
    #[command(subcommand)]
    pub command: Command,
}

/// As kubectl has them.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Connection {
    /// Namespace; without it, that of the context.
    #[arg(short, long, global = true)]
    pub namespace: Option<String>,
    /// Context of the kubeconfig.
    #[arg(long, global = true)]
    pub context: Option<String>,
    /// Without it KUBECONFIG, or ~/.kube/config.
    #[arg(long, global = true)]
    pub kubeconfig: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// The live tree: revisions, shares, pods, step, hold, conditions.
    Get {
        name: String,
        /// Again whenever it changes.
        #[arg(short, long)]
        watch: bool,
    },
    /// What was decided about each revision, and by which numbers; why each candidate was taken or not.
    Why { name: String },
    /// What applying a manifest would run, restart and measure. Changes nothing.
    Plan {
        /// A file with one ModelDeployment; `-`: standard input.
        #[arg(short, long = "filename")]
        filename: PathBuf,
        /// Image of the operator's Jobs, where it cannot be seen in what it has made.
        #[arg(long)]
        optimizer_image: Option<String>,
        /// Image of the inference-sidecar, likewise.
        #[arg(long)]
        sidecar_image: Option<String>,
    },
    /// The canary skips what is left of its steps. It is still scaled, and judged.
    Promote {
        name: String,
        /// Only if this one is the canary.
        #[arg(long)]
        revision: Option<String>,
    },
    /// Ends the pause of a step.
    Proceed {
        name: String,
        /// Counted from 1; without it, the step that the canary is in.
        #[arg(long, value_parser = clap::value_parser!(u8).range(1..=32))]
        step: Option<u8>,
    },
    /// Rolls the canary back.
    Abort {
        name: String,
        /// Only if this one is the canary; or one that has not begun.
        #[arg(long)]
        revision: Option<String>,
    },
    /// Forgets the failure of the revision that was rolled back, so that it is a canary again.
    Retry {
        name: String,
        /// Only if this one has failed.
        #[arg(long)]
        revision: Option<String>,
    },
    /// No canary starts, no step is passed, nothing is promoted.
    Pause { name: String },
    /// Ends `pause`.
    Resume { name: String },
    /// Serves a recorded revision, whatever the rest of the spec asks for, until `--end`.
    Rollback {
        name: String,
        /// A revision, or the digest of a package; as many of the first letters as tell it apart.
        #[arg(long, required_unless_present = "end")]
        to: Option<String>,
        /// Serve what the spec asks for again.
        #[arg(long, conflicts_with = "to")]
        end: bool,
    },
    /// Until what the spec asks for is served. Exit codes: 0 it is, 1 it failed or was rolled back, 2 usage, 124 time is over.
    Wait {
        name: String,
        #[arg(long = "for")]
        goal: Goal,
        /// `90s`, `10m`, `1h30m`.
        #[arg(long, default_value = "10m")]
        timeout: SignedDuration,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Goal {
    /// The revision that the spec asks for is the stable one; one that is held back is a failure.
    Promoted,
    /// The condition Ready is true for the newest spec; also while `rollBackTo` serves another revision.
    Ready,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn usage() {
        Args::command().debug_assert();
        let parse = |line: &str| Args::try_parse_from(line.split(' '));
        for line in [
            "kubectl-drydock get m -w -n ns --context c",
            "kubectl-drydock rollback m --to sha256:00",
            "kubectl-drydock rollback m --end",
            "kubectl-drydock wait m --for promoted --timeout 1h30m",
            "kubectl-drydock plan -f new.yaml",
        ] {
            parse(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
        for line in [
            "kubectl-drydock get",
            "kubectl-drydock rollback m",
            "kubectl-drydock rollback m --to r --end",
            "kubectl-drydock wait m --for happiness",
            "kubectl-drydock wait m --for ready --timeout soon",
            "kubectl-drydock proceed m --step 0",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
