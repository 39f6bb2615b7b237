//! `pliant evaluate`: what a model can do, in numbers.

mod calibration;
mod each;
mod examples;
mod labels;
mod mlm;
mod report;
mod score;

use crate::Context;
use crate::cli::evaluate::{EvaluatePlan, EvaluateTask};

/// Asks the model what the task asks, and writes how well it did.
///
/// # Errors
/// Whatever ends the run; no output has then changed, but for the list of failed records.
pub fn run(plan: &EvaluatePlan, context: &Context) -> anyhow::Result<()> {
    match plan.task {
        EvaluateTask::Mlm => mlm::run(plan, context),
        EvaluateTask::Labels(task) => labels::run(plan, task, context),
    }
}
