//! One command, from the arguments to the text and the exit code.

use std::future::Future;
use std::io::{Read as _, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use drydock_crds::{ModelDeployment, Router};
use drydock_operator::Target;
use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::watch_object;
use tokio::time::{Instant, timeout_at};

use crate::args::{Args, Command, Goal};
use crate::connect::connect;
use crate::error::Error;
use crate::forecast::forecast;
use crate::images::{Given, images};
use crate::manifest;
use crate::revisions::revisions;
use crate::shell::Shell;
use crate::tree::tree;
use crate::wait::{Seen, seen};
use crate::why::why;
use crate::word::{Said, word};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    Failed,
    /// Of `wait`.
    TimedOut,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::Failed => Self::from(1),
            // As timeout(1) has it.
            Outcome::TimedOut => Self::from(124),
        }
    }
}

pub async fn run(args: Args, out: &mut impl Write) -> Result<Outcome, Error> {
    let (client, namespace) = connect(&args.connection).await?;
    let open = |name: String| Shell::new(client.clone(), Target::new(namespace.clone(), name));
    let (name, said) = match args.command {
        Command::Get { name, watch } => return get(&open(name)?, watch, out).await,
        Command::Why { name } => {
            let shell = open(name)?;
            write!(out, "{}", why(&shell.read().await?, &shell.recorded().await?))?;
            return Ok(Outcome::Done);
        }
        Command::Plan { filename, optimizer_image, sidecar_image } => {
            let given = Given { optimizer: optimizer_image, sidecar: sidecar_image };
            let (name, object) = manifest_of(&filename)?;
            let there = object.pointer("/metadata/namespace").and_then(|n| n.as_str()).map(str::to_owned);
            let target = Target::new(args.connection.namespace.or(there).unwrap_or(namespace), name);
            return plan(&Shell::new(client, target)?, &object, &given, out).await;
        }
        Command::Wait { name, goal, timeout } => return wait(&open(name)?, goal, timeout, out).await,
        Command::Promote { name, revision } => (name, Said::Promote { revision }),
        Command::Proceed { name, step } => (name, Said::Proceed { step: step.map(|s| usize::from(s) - 1) }),
        Command::Abort { name, revision } => (name, Said::Abort { revision }),
        Command::Retry { name, revision } => (name, Said::Retry { revision }),
        Command::Pause { name } => (name, Said::Pause),
        Command::Resume { name } => (name, Said::Resume),
        Command::Rollback { name, to: Some(to), .. } => (name, Said::RollBack { to }),
        Command::Rollback { name, to: None, .. } => (name, Said::EndRollBack),
    };
    say(&open(name)?, &said, out).await
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
fn now() -> Timestamp {
    Timestamp::now()
}

async fn say(shell: &Shell, said: &Said, out: &mut impl Write) -> Result<Outcome, Error> {
    let md = shell.read().await?;
    let known = revisions(&md, &shell.recorded().await?);
    // A word that is refused is refused before anybody is asked who says it.
    word(said, &md, &known, None)?;
    let by = match shell.who().await {
        Ok(by) => by,
        Err(error) => {
            writeln!(out, "who you are is not recorded: {error}")?;
            None
        }
    };
    let word = word(said, &md, &known, by.as_deref())?;
    shell.say(&word).await?;
    let by = by.map(|by| format!(", by {by}")).unwrap_or_default();
    writeln!(out, "ModelDeployment {}: {}{by}", shell.target, word.what)?;
    if let Some(but) = word.but {
        writeln!(out, "{but}")?;
    }
    Ok(Outcome::Done)
}

async fn get(shell: &Shell, watch: bool, out: &mut impl Write) -> Result<Outcome, Error> {
    let look = async || -> Result<String, Error> {
        let md = shell.read().await?;
        Ok(tree(&md, &shell.observed().await?, now()))
    };
    write!(out, "{}", look().await?)?;
    if !watch {
        return Ok(Outcome::Done);
    }
    let look = &look;
    let again = |md: Option<ModelDeployment>| async move {
        match md {
            Some(_) => Ok((format!("\n{}", look().await?), None)),
            None => Ok(("\nit is gone\n".to_owned(), Some(Outcome::Done))),
        }
    };
    follow(shell, None, again, out).await
}

async fn wait(shell: &Shell, goal: Goal, timeout: SignedDuration, out: &mut impl Write) -> Result<Outcome, Error> {
    // No cluster, no such object: said at once, and not after the time is over.
    shell.read().await?;
    let timeout = Duration::try_from(timeout).unwrap_or_default();
    // Too long for a clock is for ever.
    let until = Instant::now().checked_add(timeout);
    let told = |md: Option<ModelDeployment>| async move {
        let (text, end) = match seen(goal, md.as_ref()) {
            Seen::Reached(text) => (text, Some(Outcome::Done)),
            Seen::Failed(text) => (text, Some(Outcome::Failed)),
            Seen::NotYet(text) => (text, None),
        };
        Ok((format!("{text}\n"), end))
    };
    let outcome = follow(shell, until, told, out).await?;
    if outcome == Outcome::TimedOut {
        writeln!(out, "not there after {} seconds", timeout.as_secs())?;
    }
    Ok(outcome)
}

/// Tells each change of the object, each text once, until `tell` says that it is the end, or the time is over.
async fn follow<F: Future<Output = Result<(String, Option<Outcome>), Error>>>(
    shell: &Shell,
    until: Option<Instant>,
    tell: impl Fn(Option<ModelDeployment>) -> F,
    out: &mut impl Write,
) -> Result<Outcome, Error> {
    let mut changes = watch_object(shell.api(), &shell.target.name).default_backoff().boxed();
    let mut last = String::new();
    loop {
        let change = match until {
            Some(until) => match timeout_at(until, changes.next()).await {
                Ok(change) => change,
                Err(_) => return Ok(Outcome::TimedOut),
            },
            None => changes.next().await,
        };
        // An API server that is away comes back: the watch goes on by itself.
        let Some(Ok(md)) = change else { continue };
        let (text, end) = tell(md).await?;
        if text != last {
            write!(out, "{text}")?;
            out.flush()?;
            last = text;
        }
        if let Some(outcome) = end {
            return Ok(outcome);
        }
    }
}

fn manifest_of(file: &Path) -> Result<(String, serde_json::Value), Error> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).map(|_| ())
    } else {
        std::fs::read_to_string(file).map(|t| text = t)
    };
    read.map_err(|source| Error::File { file: file.to_owned(), source })?;
    manifest::read(&text).map_err(|source| Error::Manifest { file: file.to_owned(), source })
}

async fn plan(shell: &Shell, file: &serde_json::Value, given: &Given, out: &mut impl Write) -> Result<Outcome, Error> {
    let live = shell.find().await?;
    let there = serde_json::to_value(&live).unwrap_or_default();
    let next = shell.dry_run(&manifest::applied(file, &there), live.is_some()).await?;
    if live.iter().chain([&next]).any(|md| md.spec.rollout.router == Router::Gateway) {
        shell.look_for_the_gateway_api().await;
    }
    let observed = shell.observed().await?;
    let defaults = images(live.as_ref(), &next, &observed, given)?;
    write!(out, "{}", forecast(&next, live.as_ref(), &observed, &defaults, now()))?;
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests;
