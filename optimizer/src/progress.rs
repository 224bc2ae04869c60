use std::io::{IsTerminal as _, Write as _};

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

/// How far a run is: a bar on a terminal, elsewhere lines like `[ 40%] calibrate 64/256 images` on standard output, one for
/// every five percent at most.
#[derive(Debug)]
pub struct Progress {
    /// Percent of the whole run that all stages together take.
    part: (f64, f64),
    /// Percent at the beginning and at the end of the stage.
    stage: (f64, f64),
    printed: Option<(u32, String)>,
    percent: u32,
    silent: bool,
    bar: Option<ProgressBar>,
    notes: Vec<String>,
}

impl Default for Progress {
    fn default() -> Self {
        // The bar is drawn on standard error, so that the result can be piped.
        Self { bar: std::io::stderr().is_terminal().then(bar), ..Self::lines() }
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos:>3}% {elapsed:>4} {msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(100).with_style(style).with_finish(ProgressFinish::AndClear)
}

impl Progress {
    /// Lines whatever standard error is.
    fn lines() -> Self {
        Self {
            part: (0.0, 100.0),
            stage: (0.0, 100.0),
            printed: None,
            percent: 0,
            silent: false,
            bar: None,
            notes: Vec::new(),
        }
    }

    pub fn silent() -> Self {
        Self { silent: true, ..Self::lines() }
    }

    /// What follows is a part of the run, with stages from 0 to 100 of its own.
    pub fn part(&mut self, from: f64, to: f64) {
        self.part = (from, to);
        self.stage(0.0, 100.0);
    }

    /// What follows takes the run from `from` to `to` percent.
    pub fn stage(&mut self, from: f64, to: f64) {
        self.stage = (from, to);
        self.percent = self.of_run(from);
    }

    fn of_run(&self, percent: f64) -> u32 {
        (self.part.0 + (self.part.1 - self.part.0) * percent / 100.0) as u32
    }

    pub fn step(&mut self, what: &str, done: usize, total: usize, unit: &str) {
        let share = done as f64 / total.max(1) as f64;
        self.percent = self.of_run(self.stage.0 + (self.stage.1 - self.stage.0) * share);
        let text = format!("{what} {done}/{total} {unit}");
        if let Some(bar) = &self.bar {
            bar.set_position(self.percent.into());
            bar.set_message(text);
            return;
        }
        // One line for each five percent, and one when a step begins.
        let mark = (self.percent / 5, what.to_owned());
        if self.printed.as_ref() == Some(&mark) && done != total {
            return;
        }
        self.printed = Some(mark);
        self.print(&text);
    }

    /// Says something that is worth keeping.
    pub fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
        match &self.bar {
            Some(bar) => bar.suspend(|| self.print(text)),
            None => self.print(text),
        }
    }

    /// What was noted since the last time that somebody asked.
    pub fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    fn print(&self, text: &str) {
        if !self.silent {
            let percent = self.percent;
            // A reader that went away must not stop the work.
            let _ = writeln!(std::io::stdout(), "[{percent:>3}%] {text}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_kept_once_and_steps_are_not() {
        let mut progress = Progress::silent();
        progress.step("calibrate", 1, 2, "images");
        progress.note("clean: nothing");
        assert_eq!(progress.take_notes(), ["clean: nothing"]);
        assert!(progress.take_notes().is_empty());
    }
}
