//! `pliant finetune`: a head learns labels, alone or with the encoder below it.

mod account;
mod controls;
mod examples;
mod publish;
mod session;
pub mod sweep;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::Value;

use crate::cli::finetune::FinetunePlan;
use crate::cli::plugin::{limit, setting};
use crate::exit::TaskError;
use crate::plugins::GuestWords;
use crate::supervised::brought_metric::BroughtMetric;
use crate::supervised::card::no_task;
use crate::supervised::registry::{self, Task};
use crate::tasks::files;
use crate::tasks::plugin::pass_on;
use crate::train::folder::RunFolder;
use crate::train::resume;
use crate::train::tuning::{self, TuningConfig};
use crate::{Context, device, machine};
use account::Account;
use examples::Examples;
use session::Session;

/// Trains a head, from its beginning or from a checkpoint; with several seeds one after the other.
///
/// # Errors
/// Whatever ends it before its last step.
pub fn run(plan: &FinetunePlan, context: &Context) -> anyhow::Result<()> {
    let print = &context.print;
    let nothing = plan.config.is_none() && plan.changes.is_empty() && plan.sets.is_empty();
    if plan.print_config && nothing {
        return Ok(print.data(&tuning::template())?);
    }
    let config = tuning::read(plan.config.as_deref(), &plan.sets, &plan.changes)?;
    let task = registry::find(&config.task.name).ok_or_else(|| no_task(&config.task.name))?;
    let Some(out) = plan.out.as_ref().filter(|_| !plan.print_config) else {
        return Ok(print.data(&config.to_toml())?);
    };
    let begin = Instant::now();
    let told = trainings(&Work { plan, config: &config, task, out, begin }, context)?;
    if let Some(path) = &plan.summary {
        files::text_file(path, &account::summary(plan, &told, begin, context))?.commit()?;
    }
    Ok(())
}

/// One training, or one for each seed, and what else is to be measured.
///
/// # Errors
/// Whatever ends one of them.
fn trainings(work: &Work<'_>, context: &Context) -> anyhow::Result<Vec<Value>> {
    let Work { plan, config, out, .. } = *work;
    controls::check(&plan.controls, config)?;
    let mut told = Vec::new();
    match plan.seeds {
        None => told.push(train(work, context)?),
        Some(seeds) => {
            files::make_folder(out)?;
            for turn in 0..seeds {
                let mut config = config.clone();
                config.run.seed = config.run.seed.wrapping_add(turn);
                let own: PathBuf = out.join(format!("seed_{}", config.run.seed));
                context.print.note(&format!("seed {} of {seeds} in {}", config.run.seed, own.display()));
                told.push(train(&Work { config: &config, out: &own, ..*work }, context)?);
            }
            let text = account::over_seeds(&told);
            files::text_file(&out.join("seeds.json"), &text)?.commit()?;
            files::text_file(&out.join("seeds.tsv"), &account::seeds_table(&told))?.commit()?;
        }
    }
    if let (Some(first), false) = (told.first(), plan.controls.is_empty()) {
        controls::run(work, first, context)?;
    }
    Ok(told)
}

/// What is to be trained.
#[derive(Clone, Copy)]
struct Work<'a> {
    plan: &'a FinetunePlan,
    config: &'a TuningConfig,
    task: &'static Task,
    out: &'a Path,
    begin: Instant,
}

/// Trains with one seed, and gives what is to be told of it.
fn train(work: &Work<'_>, context: &Context) -> anyhow::Result<Value> {
    let Work { plan, config, task, out, .. } = *work;
    machine::forget_peak_memory();
    let print = &context.print;
    let device = device::for_training(plan.device, plan.cpu_path, plan.threads, print)?;
    // A run that is over already, as the earlier ones of several seeds may be, only tells what it found.
    let folder = RunFolder::open(out, plan.resume)?;
    let newest = resume::newest(&folder, print)?;
    let examples = Examples::read(task, config)?;
    examples.warnings.0.iter().for_each(|warning| print.warning(&warning.message));
    let metric = metric(config)?;
    let metric = metric.as_ref();
    let session =
        Session { plan, config, task, folder: &folder, device: &device, examples: &examples, metric };
    let outcome = session.run(newest, context)?;
    if let Some((name, lines)) = metric.map(BroughtMetric::take_log) {
        pass_on(&lines, &name, context);
    }
    let account = Account { work, outcome: &outcome, examples: &examples, metric };
    publish::publish(&folder, &account, task)?;
    Ok(account.told())
}

/// The measure that the user brings, where there is one.
fn metric(config: &TuningConfig) -> anyhow::Result<Option<BroughtMetric>> {
    let Some(path) = &config.run.plugin else { return Ok(None) };
    let usage = |what: String| TaskError::Usage { what };
    let set = config.run.plugin_set.iter().map(|text| setting(text));
    let limits = config.run.plugin_limits.iter().map(|text| limit(text));
    let words = GuestWords {
        config: set.collect::<Result<_, String>>().map_err(usage)?,
        limits: limits.collect::<Result<_, String>>().map_err(usage)?,
        deterministic: false,
    };
    Ok(Some(BroughtMetric::open(path, &words)?))
}
