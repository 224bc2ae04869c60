//! Latency of a candidate and of the original, taking turns in one process.

mod energy;
mod machine;
mod several;

use std::time::{Duration, Instant};

use drydock_contract::LatencyMeasurement;
use rustix::time::{ClockId, clock_gettime};

use crate::Error;
use crate::engine::{Engine, EngineError, Session};
use crate::interrupt;
use crate::progress::Progress;
use energy::Meter;
pub use machine::machine;
pub(crate) use several::cpu_times;

/// Rounds where the models are quick enough.
pub(crate) const ROUNDS: u32 = 60;
/// Fewer say nothing of a median.
const LEAST_ROUNDS: u32 = 5;
/// Time of one model's turn: long against the clock's resolution, short against what else happens on the machine.
pub(crate) const TURN: Duration = Duration::from_millis(40);
/// Time for all of it, warm-up included.
const BUDGET: Duration = Duration::from_secs(10);

/// Measures one input at a time on one thread. `candidate: None` measures the original alone, as its own equal.
///
/// CPU time is that of the calling thread, which does all the work of a session with one thread: it does not count
/// what else runs on the machine.
pub fn benchmark(
    engine: &Engine,
    original: &[u8],
    candidate: Option<&[u8]>,
    shape: &[i64],
    progress: &mut Progress,
) -> Result<LatencyMeasurement, Error> {
    Ok(compare(engine, original, candidate, shape, ROUNDS, progress)?.latency)
}

/// What a comparison of at most so many rounds came to.
#[derive(Clone, Debug)]
pub(crate) struct Comparison {
    pub latency: LatencyMeasurement,
    /// Times as fast as the original, in each round.
    pub speedups: Vec<f64>,
}

/// As [`benchmark`], in fewer rounds for whoever is in a hurry.
pub(crate) fn compare(
    engine: &Engine,
    original: &[u8],
    candidate: Option<&[u8]>,
    shape: &[i64],
    most: u32,
    progress: &mut Progress,
) -> Result<Comparison, Error> {
    let input = input(shape);
    let meter = Meter::open();
    let mut original = Subject::new(engine.open(original, 1)?, shape, &input, meter.as_ref());
    let mut candidate = match candidate {
        Some(c) => Some(Subject::new(engine.open(c, 1).map_err(Error::Candidate)?, shape, &input, meter.as_ref())),
        None => None,
    };

    let begin = Instant::now();
    original.warm_up()?;
    if let Some(candidate) = &mut candidate {
        candidate.warm_up().map_err(Error::Candidate)?;
    }
    let mut rounds = 0;
    while rounds < most && (rounds < LEAST_ROUNDS || begin.elapsed() < BUDGET) {
        interrupt::check()?;
        original.turn()?;
        if let Some(candidate) = &mut candidate {
            candidate.turn().map_err(Error::Candidate)?;
        }
        rounds += 1;
        progress.step("benchmark", rounds as usize, most as usize, "rounds");
    }

    let turns = candidate.as_ref().map_or(&original.cpu, |c| &c.cpu);
    let speedups = original.cpu.iter().zip(turns).map(|(original, own)| original / own).collect();
    let original = original.summary();
    let own = candidate.map_or(original, Subject::summary);
    let latency = LatencyMeasurement {
        on_target: None,
        cpu: own.cpu,
        original_cpu: original.cpu,
        p50: own.p50,
        p99: own.p99,
        original_p50: original.p50,
        original_p99: original.p99,
        rounds,
        energy_millijoules: own.energy,
        original_energy_millijoules: original.energy,
        machine: Some(machine::machine()),
    };
    Ok(Comparison { latency, speedups })
}

/// Noise, the same in each run: zeros would take short cuts that images do not.
pub(crate) fn input(shape: &[i64]) -> Vec<f32> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    (0..shape.iter().product::<i64>().max(0)).map(next).collect()
}

#[derive(Clone, Copy)]
struct Summary {
    cpu: f64,
    p50: f64,
    p99: f64,
    energy: Option<f64>,
}

struct Subject<'i> {
    session: Session,
    shape: &'i [i64],
    input: &'i [f32],
    /// Time of one turn, and inferences in it.
    turn: Duration,
    count: u32,
    /// Milliseconds of CPU for one inference, by turn.
    cpu: Vec<f64>,
    /// Milliseconds, by inference.
    wall: Vec<f64>,
    meter: Option<&'i Meter>,
    /// Millijoules of one inference, by turn.
    energy: Vec<f64>,
}

impl<'i> Subject<'i> {
    fn new(session: Session, shape: &'i [i64], input: &'i [f32], meter: Option<&'i Meter>) -> Self {
        Self {
            session,
            shape,
            input,
            turn: TURN,
            count: 1,
            cpu: Vec::new(),
            wall: Vec::new(),
            meter,
            energy: Vec::new(),
        }
    }

    fn turns_of(self, turn: Duration) -> Self {
        Self { turn, ..self }
    }

    fn infer(&mut self) -> Result<(), EngineError> {
        self.session.run(self.shape, self.input, [], |_, _, _| {})
    }

    fn warm_up(&mut self) -> Result<(), EngineError> {
        let begin = Instant::now();
        let mut runs = 0;
        while runs < 2 || (begin.elapsed() < 2 * self.turn && runs < 1000) {
            self.infer()?;
            runs += 1;
        }
        let one = begin.elapsed().as_secs_f64() / f64::from(runs);
        self.count = (self.turn.as_secs_f64() / one.max(1e-7)).ceil().clamp(1.0, 10_000.0) as u32;
        Ok(())
    }

    fn turn(&mut self) -> Result<(), EngineError> {
        let energy = self.meter.and_then(Meter::read);
        let before = thread_time();
        for _ in 0..self.count {
            let begin = Instant::now();
            self.infer()?;
            self.wall.push(begin.elapsed().as_secs_f64() * 1e3);
        }
        self.cpu.push((thread_time() - before) * 1e3 / f64::from(self.count));
        if let Some(joules) = self.meter.zip(energy).and_then(|(meter, before)| meter.since(&before)) {
            self.energy.push(joules * 1e3 / f64::from(self.count));
        }
        Ok(())
    }

    fn summary(mut self) -> Summary {
        Summary {
            cpu: quantile(&mut self.cpu, 0.5),
            p50: quantile(&mut self.wall, 0.5),
            p99: quantile(&mut self.wall, 0.99),
            energy: (!self.energy.is_empty()).then(|| quantile(&mut self.energy, 0.5)),
        }
    }
}

/// Seconds of CPU that the calling thread has used.
fn thread_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The smallest value that is not below the share `q` of all (nearest rank); 0 of none.
fn quantile(values: &mut [f64], q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (q * values.len() as f64).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "chosen, not computed")]
    fn quantiles_by_nearest_rank() {
        let mut hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!((quantile(&mut hundred, 0.5), quantile(&mut hundred, 0.99)), (50.0, 99.0));
        assert_eq!(quantile(&mut [3.0, 1.0, 2.0], 0.5), 2.0);
        assert_eq!(quantile(&mut [], 0.5), 0.0);
    }

    #[test]
    fn noise_is_the_same_each_time_and_in_range() {
        let a = input(&[2, 500]);
        assert_eq!(a, input(&[2, 500]));
        assert!(a.iter().all(|v| (-1.0..=1.0).contains(v)));
        assert!(a.iter().sum::<f32>().abs() < 100.0);
    }
}
