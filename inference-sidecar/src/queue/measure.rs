//! What an inference takes here, measured before the server is ready: how the cores are shared out, and whether a batch is worth it.

use std::time::{Duration, Instant};

use super::session::Session;
use super::{Batching, Expected, batch};
use crate::backend::Engine;
use crate::error::StartError;
use crate::profile::{self, Layout, Plan};
use crate::tensor::Tensor;

/// For each way to share out the cores. One run is made, however long it takes.
const BUDGET: Duration = Duration::from_millis(50);
/// For all sizes of a batch together, and for each of them.
const BATCH_BUDGET: Duration = Duration::from_millis(500);
const SIZE_BUDGET: Duration = Duration::from_millis(100);
/// What takes longer to open is not opened once more to be measured: the server would be ready so much later.
const OPENING: Duration = Duration::from_millis(500);
const MOST_RUNS: u32 = 5;
/// A row of a batch must cost so much less than a row alone.
const WORTH: f64 = 0.95;

/// What was found.
pub(crate) struct Measured {
    pub(crate) layout: Layout,
    pub(crate) batching: Option<Batching>,
    /// A session of that layout is open already.
    pub(crate) first: Option<Session>,
}

/// Opens no more sessions than the layouts have that it chooses from.
pub(crate) fn measure(
    engine: &dyn Engine,
    expected: &Expected,
    plan: Plan,
    batching: Option<Batching>,
) -> Result<Measured, StartError> {
    let (layout, mut first) = match plan {
        Plan::Settled(layout) => (layout, None),
        Plan::Measure { cores } => {
            let (layout, session) = choose(engine, expected, cores)?;
            (layout, Some(session))
        }
    };
    let Some(wanted) = batching.filter(|b| b.max_size > 1 && batch::is_possible(&expected.signature)) else {
        return Ok(Measured { layout, batching: None, first });
    };
    let mut session = match first.take() {
        Some(session) => session,
        None => Session::open(engine, layout.threads, expected)?,
    };
    let costs = costs(&mut session, wanted.max_size);
    let max_size = worth(&costs);
    tracing::info!(milliseconds_of_rows = ?costs.iter().map(|(n, t)| (*n, t.as_secs_f64() * 1e3)).collect::<Vec<_>>(), max_size, "batches");
    let batching = Some(Batching { max_size, ..wanted }).filter(|b| b.max_size > 1);
    Ok(Measured { layout, batching, first: Some(session) })
}

/// One thread against all of them.
fn choose(engine: &dyn Engine, expected: &Expected, cores: usize) -> Result<(Layout, Session), StartError> {
    let start = Instant::now();
    let mut one = Session::open(engine, 1, expected)?;
    let throughput = profile::throughput(cores);
    if start.elapsed() > OPENING {
        tracing::info!("the model takes long to open: the profile is throughput, and was not measured");
        return Ok((throughput, one));
    }
    let Some(single) = fastest(&mut one, 1, BUDGET) else { return Ok((throughput, one)) };
    let mut all = Session::open(engine, cores, expected)?;
    let Some(together) = fastest(&mut all, 1, BUDGET) else { return Ok((throughput, one)) };
    let layout = profile::choose(cores, single, together);
    let milliseconds = |t: Duration| t.as_secs_f64() * 1e3;
    tracing::info!(
        cores,
        one_thread = milliseconds(single),
        all_threads = milliseconds(together),
        sessions = layout.sessions,
        threads = layout.threads,
        "profile chosen, by milliseconds of an inference",
    );
    Ok((layout, if layout == throughput { one } else { all }))
}

/// The shortest of some runs, as others may have the processor meanwhile; `None` where no input is known that the model answers.
fn fastest(session: &mut Session, rows: usize, budget: Duration) -> Option<Duration> {
    let inputs = session.inputs()?.to_vec();
    let parts: Vec<&[Tensor]> = std::iter::repeat_n(inputs.as_slice(), rows).collect();
    let inputs = if rows == 1 { inputs.clone() } else { batch::join(&parts) };
    let (begin, mut shortest) = (Instant::now(), None);
    for _ in 0..MOST_RUNS {
        let start = Instant::now();
        session.try_run(&inputs)?;
        let took = start.elapsed();
        shortest = Some(shortest.map_or(took, |s: Duration| s.min(took)));
        if begin.elapsed() >= budget {
            break;
        }
    }
    shortest
}

/// By rows: 1, 2, 4, up to `max`, as far as the budget goes.
fn costs(session: &mut Session, max: usize) -> Vec<(usize, Duration)> {
    let sizes = std::iter::successors(Some(1), |n: &usize| n.checked_mul(2)).take_while(|n| *n < max).chain([max]);
    let (begin, mut costs) = (Instant::now(), Vec::<(usize, Duration)>::new());
    for rows in sizes {
        let left = BATCH_BUDGET.saturating_sub(begin.elapsed());
        // A row of a batch is not dearer than one alone by much.
        let needed = costs.last().map_or(Duration::ZERO, |(n, t)| t.mul_f64(rows as f64 / *n as f64));
        if needed > left {
            break;
        }
        let Some(took) = fastest(session, rows, left.min(SIZE_BUDGET)) else { break };
        costs.push((rows, took));
    }
    costs
}

/// The size with the cheapest rows, if they are cheaper than one alone by so much that it shows; else 1.
fn worth(costs: &[(usize, Duration)]) -> usize {
    let row = |(rows, took): &(usize, Duration)| took.as_secs_f64() / *rows as f64;
    let Some(alone) = costs.iter().find(|(rows, _)| *rows == 1).map(row) else { return 1 };
    let cheapest = costs.iter().min_by(|a, b| row(a).total_cmp(&row(b)));
    cheapest.filter(|c| row(c) < WORTH * alone).map_or(1, |(rows, _)| *rows)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use drydock_contract::{Datatype, TensorSignature};

    use super::*;
    use crate::backend::{Backend, BackendError, Signature};

    /// Answers with what it is given, or with nothing at all.
    #[derive(Debug)]
    struct Fake {
        refuses: bool,
        /// Threads of each session.
        opened: Mutex<Vec<usize>>,
        signature: Signature,
    }

    struct FakeSession(bool, Signature);

    impl Engine for Fake {
        fn open(&self, threads: usize) -> Result<Box<dyn Backend>, BackendError> {
            self.opened.lock().unwrap().push(threads);
            Ok(Box::new(FakeSession(self.refuses, self.signature.clone())))
        }
    }

    impl Backend for FakeSession {
        fn signature(&self) -> &Signature {
            &self.1
        }

        fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, BackendError> {
            if self.0 { Err(BackendError::Run("no".into())) } else { Ok(inputs.to_vec()) }
        }
    }

    fn fake(refuses: bool) -> Fake {
        let tensor = |name: &str| TensorSignature { name: name.into(), datatype: Datatype::Uint8, shape: vec![-1, -1] };
        let signature = Signature { inputs: vec![tensor("x")], outputs: vec![tensor("y")] };
        Fake { refuses, opened: Mutex::default(), signature }
    }

    fn measured(fake: &Fake, plan: Plan, max_size: usize) -> Measured {
        let batching = Some(Batching { max_size, max_delay: Duration::ZERO });
        measure(fake, &fake.signature.clone().into(), plan, batching).unwrap()
    }

    #[test]
    fn no_more_is_opened_than_is_measured() {
        let settled = Layout { sessions: 3, threads: 4 };
        let plan = Plan::Settled(settled);
        for (refuses, plan, max_size, opened) in [
            // Nothing to measure, and nothing to measure with.
            (false, plan, 1, &[][..]),
            (false, plan, 8, &[4]),
            (true, plan, 8, &[4]),
            (false, Plan::Measure { cores: 2 }, 1, &[1, 2]),
            (false, Plan::Measure { cores: 2 }, 8, &[1, 2]),
            (true, Plan::Measure { cores: 2 }, 8, &[1]),
        ] {
            let fake = fake(refuses);
            let found = measured(&fake, plan, max_size);
            assert_eq!(*fake.opened.lock().unwrap(), opened, "{plan:?} {max_size}");
            assert_eq!(found.first.is_some(), !opened.is_empty(), "{plan:?} {max_size}");
            match plan {
                Plan::Settled(layout) => assert_eq!(found.layout, layout),
                Plan::Measure { cores } if refuses => assert_eq!(found.layout, profile::throughput(cores)),
                Plan::Measure { cores } => assert_eq!(found.layout.sessions * found.layout.threads, cores),
            }
            // What cannot be measured is not done.
            assert!(
                found.batching.is_none_or(|b| !refuses && (2..=max_size).contains(&b.max_size)),
                "{plan:?} {max_size}"
            );
        }
    }

    /// MobileNetV2 on one core: int8 gains 5 % at 8 rows, float32 loses 9 %.
    #[test]
    fn a_batch_must_be_worth_it() {
        for (costs, expected) in [
            (&[(1, 1000), (2, 1200), (4, 1600), (8, 4000)][..], 4),
            (&[(1, 3600), (2, 7200), (4, 13_900), (8, 27_600)], 1),
            (&[(1, 7670), (8, 66_900)], 1),
            (&[(1, 1000), (2, 1800)], 2),
            (&[(2, 10)], 1),
            (&[], 1),
        ] {
            let costs: Vec<_> = costs.iter().map(|(n, t)| (*n, Duration::from_micros(*t))).collect();
            assert_eq!(worth(&costs), expected, "{costs:?}");
        }
    }
}
