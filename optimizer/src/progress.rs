use std::io::Write as _;

/// Prints lines like `[ 40%] calibrate 64/256 images` to standard output, one for every five percent at most.
#[derive(Debug)]
pub struct Progress {
    /// Percent at the beginning and at the end of the stage.
    stage: (f64, f64),
    printed: Option<(u32, String)>,
    percent: u32,
    silent: bool,
}

impl Default for Progress {
    fn default() -> Self {
        Self { stage: (0.0, 100.0), printed: None, percent: 0, silent: false }
    }
}

impl Progress {
    pub fn silent() -> Self {
        Self { silent: true, ..Self::default() }
    }

    /// What follows takes the run from `from` to `to` percent.
    pub fn stage(&mut self, from: f64, to: f64) {
        self.stage = (from, to);
        self.percent = from as u32;
    }

    pub fn step(&mut self, what: &str, done: usize, total: usize, unit: &str) {
        let share = done as f64 / total.max(1) as f64;
        self.percent = (self.stage.0 + (self.stage.1 - self.stage.0) * share) as u32;
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
