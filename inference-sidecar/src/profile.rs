//! How the cores are shared out: many sessions, or one with many threads.

use std::time::Duration;

use clap::ValueEnum;

use crate::cores;

/// What is wanted of the cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// `Latency` where that costs next to no answers, as measured before the server is ready; else `Throughput`.
    Auto,
    /// The most answers in a second: a session of one thread on each core.
    Throughput,
    /// The fastest answer: one session, whose threads have all cores.
    Latency,
}

/// So many sessions, each of so many threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) sessions: usize,
    pub(crate) threads: usize,
}

/// What is known before anything is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    Settled(Layout),
    Measure { cores: usize },
}

/// More threads than this make nothing faster that fits into one request.
const MOST: usize = 256;
/// One session with all cores is chosen where it gives this share of the answers that single threads would give.
const SHARE: f64 = 0.9;

/// Numbers that are given are taken as they are.
pub(crate) fn plan(profile: Profile, cores: usize, sessions: Option<usize>, threads: Option<usize>) -> Plan {
    let cores = cores.clamp(1, MOST);
    let layout = match (sessions, threads) {
        (Some(sessions), threads) => Layout { sessions, threads: threads.unwrap_or(1) },
        (None, Some(threads)) => Layout { sessions: cores::sessions(cores, threads), threads },
        (None, None) => match profile {
            Profile::Auto if cores > 1 => return Plan::Measure { cores },
            Profile::Auto | Profile::Throughput => throughput(cores),
            Profile::Latency => latency(cores),
        },
    };
    Plan::Settled(layout)
}

/// By what one inference takes on one thread and on all of them. Single threads on all cores give at most `cores / one` answers in a
/// second, one session `1 / all`, and each of those sooner.
pub(crate) fn choose(cores: usize, one: Duration, all: Duration) -> Layout {
    if one.as_secs_f64() >= SHARE * cores as f64 * all.as_secs_f64() { latency(cores) } else { throughput(cores) }
}

pub(crate) fn throughput(cores: usize) -> Layout {
    Layout { sessions: cores, threads: 1 }
}

fn latency(cores: usize) -> Layout {
    Layout { sessions: 1, threads: cores }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_is_taken() {
        let layout = |sessions, threads| Plan::Settled(Layout { sessions, threads });
        for (profile, cores, sessions, threads, expected) in [
            (Profile::Auto, 4, None, None, Plan::Measure { cores: 4 }),
            (Profile::Auto, 1, None, None, layout(1, 1)),
            (Profile::Auto, 4, Some(3), None, layout(3, 1)),
            (Profile::Auto, 4, None, Some(2), layout(2, 2)),
            (Profile::Latency, 4, Some(1), Some(2), layout(1, 2)),
            (Profile::Latency, 4, None, None, layout(1, 4)),
            (Profile::Throughput, 4, None, None, layout(4, 1)),
            (Profile::Throughput, 0, None, None, layout(1, 1)),
            (Profile::Throughput, 1000, None, None, layout(256, 1)),
        ] {
            assert_eq!(
                plan(profile, cores, sessions, threads),
                expected,
                "{profile:?} {cores} {sessions:?} {threads:?}"
            );
        }
    }

    /// ResNet-50 and MobileNetV2 in int8 on two cores, as measured: 1.66 times as fast, and no faster.
    #[test]
    fn one_session_must_be_nearly_as_good_as_many() {
        let milliseconds = |n: f64| Duration::from_secs_f64(n / 1e3);
        for (cores, one, all, expected) in [
            (2, 23.4, 14.1, throughput(2)),
            (2, 3.79, 3.76, throughput(2)),
            (2, 100.0, 54.0, latency(2)),
            (4, 100.0, 26.0, latency(4)),
            (4, 100.0, 30.0, throughput(4)),
        ] {
            assert_eq!(choose(cores, milliseconds(one), milliseconds(all)), expected, "{cores} {one} {all}");
        }
    }
}
