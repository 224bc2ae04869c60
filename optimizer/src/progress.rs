use std::io::Write as _;

/// Prints lines like `[ 40%] calibrate 64/256 images` to standard output, one for every five percent at most.
#[derive(Debug)]
pub struct Progress {
    /// Percent of the whole run that all stages together take.
    part: (f64, f64),
    /// Percent at the beginning and at the end of the stage.
    stage: (f64, f64),
    printed: Option<(u32, String)>,
    percent: u32,
    silent: bool,
}

impl Default for Progress {
    fn default() -> Self {
        Self { part: (0.0, 100.0), stage: (0.0, 100.0), printed: None, percent: 0, silent: false }
    }
}

impl Progress {
    pub fn silent() -> Self {
        Self { silent: true, ..Self::default() }
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
        // One line for each five percent, and one when a step begins.
        let mark = (self.percent / 5, what.to_owned());
        if self.printed.as_ref() == Some(&mark) && done != total {
            return;
        }
        self.printed = Some(mark);
        self.note(&format!("{what} {done}/{total} {unit}"));
    }

    pub fn note(&self, text: &str) {
        if !self.silent {
            let percent = self.percent;
            // A reader that went away must not stop the work.
            let _ = writeln!(std::io::stdout(), "[{percent:>3}%] {text}");
        }
    }
}
