//! Tests that may be looked at at any time, as often as one likes, and keep their error.
//!
//! A test that is looked at again and again until it says what one waits for is wrong far more often than its alpha says. These
//! are not: each statistic is an e-process, the least value over the hypothesis of a nonnegative martingale that begins at 1, and
//! by Ville's inequality such a value reaches 1/alpha at some time, ever, with probability alpha at most. Howard, Ramdas, McAuliffe,
//! Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences", Annals of Statistics 49(2), 2021; Ramdas, Grünwald,
//! Vovk, Shafer, "Game-theoretic statistics and safe anytime-valid inference", Statistical Science 38(4), 2023.
//!
//! Every statistic is a function of the counts so far, and of nothing else: no state is kept between two looks, counts may be summed
//! over pods, and looks may be missed.
//!
//! No test passes for want of evidence: [`Outcome::NotEnoughEvidence`] is an outcome.

mod effect;
mod mixture;
mod quantile;
mod rate;
mod verdict;

pub use effect::{Interval, against_difference, difference, ratio_of_quantiles};
pub use mixture::Tally;
pub use quantile::quantile_ratio;
pub use rate::{rate, rate_increase};
pub use verdict::{Evidence, Finding, Levels, Outcome, Test};
