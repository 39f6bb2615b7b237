//! How well a task is done, in numbers.
//!
//! | door | promise |
//! |---|---|
//! | [`Answers`] | answers and labels, taken one by one; what is no probability is refused |
//! | [`Metric`] | a measure by its name, with whether more of it is better |
//! | [`Score`] | its value with an interval, or why there is none: never 0 or no number in its stead |
//! | [`Baseline`] | what a model must beat: the answer of who knows nothing of proteins |
//!
//! The measures themselves are functions of slices, in f64: [`confusion`], [`flags`], [`level`], [`number`],
//! [`probability`], [`rank`], [`topology`]. They agree with scikit-learn and SciPy where these have a value. [`bootstrap`]
//! draws examples again, as it does for masked language modelling.

mod answers;
mod baseline;
pub mod bootstrap;
mod catalogue;
pub mod confusion;
mod first;
pub mod flags;
pub mod level;
mod metric;
pub mod number;
pub mod probability;
pub mod rank;
mod score;
#[cfg(test)]
mod tests;
pub mod topology;
mod undefined;

pub use answers::{AnswerError, Answers, Subject};
pub use baseline::Baseline;
pub use bootstrap::Interval;
pub use catalogue::NoMetric;
pub use metric::Metric;
pub use score::{ClassScore, Score};
pub use undefined::{Measured, Times, Undefined};
