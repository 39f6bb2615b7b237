//! `pliant embed`: proteins to vectors.

mod cached;
mod estimate;
mod outputs;
mod provenance;
mod survey;

use std::time::Instant;

use pliant_kernels::Device;
use pliant_seq::{LongPolicy, Source, Windows};

use crate::cli::embed::{DeviceChoice, EmbedPlan, Long, LongPlan};
use crate::cli::print::Printer;
use crate::cli::reading::OnError;
use crate::engine::{self, Card, Engine};
use crate::exit::TaskError;
use crate::pipeline::{self, Work};
use crate::tasks::{files, intake};
use crate::{Context, machine};
use estimate::Estimate;
use outputs::{Outputs, Shape};
use provenance::{Provenance, Run};
use survey::{Rules, Survey};

/// Reads the input twice: to know what there is, and to compute it.
///
/// # Errors
/// Whatever ends the run; no output has then changed, but for the list of failed records.
pub fn run(plan: &EmbedPlan, context: &Context) -> anyhow::Result<()> {
    let start = Instant::now();
    let print = &context.print;
    let card = engine::card(&plan.model)?;
    let layers = card.layers_asked(&plan.layers)?;
    outputs::check(&plan.outputs, &layers)?;
    refuse_absent_device(plan.compute.device)?;
    let long = long_policy(&plan.long, card.about.training_length)?;
    let sources = Source::from_arguments(&plan.inputs)?;
    let survey = Survey::of(&sources, &rules(plan, &card, long))?;
    if plan.dry_run {
        let answer = estimate::dry_run(plan, &card, &layers, &survey)?;
        return Ok(print.data(&format!("{answer:#}\n"))?);
    }
    refuse_failures(plan, &survey)?;
    survey.wants_records()?;
    survey.warnings.iter().for_each(|warning| print.warning(&warning.message));
    fits_in_memory(&Estimate::of(plan, &card, &layers, &survey))?;
    let engine = Engine::load(card, device(plan, print)?, plan.compute.precision, &layers)?;
    let provenance = Provenance { plan, engine: &engine, survey: &survey, long: long.to_string() };
    let recall = plan.cache.as_ref().map(|place| cached::open(place, &provenance));
    let work = Work {
        sources: &sources,
        read: plan.read,
        long,
        trained: engine.card().about.training_length,
        pool: plan.pool,
        states: plan.outputs.residues.is_some(),
        batch_tokens: plan.compute.batch_tokens,
        recall: recall.as_ref(),
    };
    let mut outputs =
        Outputs::create(&plan.outputs, &shape(&survey, &engine), |kind| provenance.metadata(kind))?;
    let computing = Instant::now();
    let progress = print.progress(survey.selection.residues as u64, "residues");
    let reading = pipeline::run(&work, &engine, &progress, |row| outputs.push(&row))?;
    drop(progress);
    intake::same_input(&survey.summary.input_hash, &reading.input_hash)?;
    let computing = computing.elapsed();
    let cache = cached::finish(recall, plan.cache.as_ref(), print);
    let mut files = outputs.finish()?;
    if let Some(path) = &plan.outputs.failures {
        files::add_failures(&mut files, path, &survey.failures, plan.on_error)?;
    }
    if let Some(path) = &plan.outputs.summary {
        let outputs = files.paths().collect();
        let (computed, command_line) = (reading.computed, context.command_line.as_slice());
        let run = Run { start, computed, cache, computing, command_line, outputs };
        let text = format!("{:#}\n", provenance.summary(&run));
        files.push(files::text_file(path, &text)?);
    }
    Ok(files.commit()?)
}

fn rules(plan: &EmbedPlan, card: &Card, long: LongPolicy) -> Rules {
    Rules {
        read: plan.read,
        long,
        asked: plan.long.policy,
        trained: card.about.training_length,
        vocabulary: card.vocabulary,
    }
}

fn shape(survey: &Survey, engine: &Engine) -> Shape {
    let selection = &survey.selection;
    Shape {
        records: selection.records,
        residues: selection.residues,
        width: engine.width(),
        layers: engine.layers().to_vec(),
    }
}

/// The policy with the lengths that the user left to the model.
fn long_policy(plan: &LongPlan, trained: usize) -> Result<LongPolicy, TaskError> {
    Ok(match plan.policy {
        Long::Whole => LongPolicy::Whole,
        Long::Error => LongPolicy::Error,
        Long::Skip => LongPolicy::Skip,
        Long::Truncate => LongPolicy::Truncate,
        Long::Window => {
            let window = plan.window.unwrap_or(trained);
            let stride = plan.stride.unwrap_or(window.div_ceil(2));
            let windows = Windows::new(window, stride);
            LongPolicy::Window(windows.map_err(|error| TaskError::Usage { what: error.to_string() })?)
        }
    })
}

/// Ends a run that is told to fail and has failures, after listing them.
fn refuse_failures(plan: &EmbedPlan, survey: &Survey) -> anyhow::Result<()> {
    if survey.fatal == 0 || plan.on_error == OnError::Skip {
        return Ok(());
    }
    let headers = survey.summary.totals.headers;
    intake::refuse(&survey.failures, headers, plan.outputs.failures.as_deref())
}

/// Refuses what certainly does not fit, before hours of work end in the killing of the process.
fn fits_in_memory(estimate: &Estimate) -> Result<(), TaskError> {
    match machine::memory_limit() {
        Some(limit) if estimate.least_memory_bytes > limit.bytes => Err(TaskError::Memory {
            needed_mib: estimate.least_memory_bytes >> 20,
            limit_mib: limit.bytes >> 20,
            limit: limit.by,
        }),
        _ => Ok(()),
    }
}

/// A device that was asked for by name is there or is an error; nothing else is taken instead.
fn refuse_absent_device(choice: DeviceChoice) -> Result<(), TaskError> {
    let reason = match (choice, machine::cuda_driver()) {
        (DeviceChoice::Auto | DeviceChoice::Cpu, _) => return Ok(()),
        (DeviceChoice::Cuda, None) => {
            "no CUDA driver was found, and this version computes on the processor only"
        }
        (DeviceChoice::Cuda, Some(_)) => "this version computes on the processor only",
    };
    Err(TaskError::NoDevice { device: "cuda", reason: reason.to_owned() })
}

fn device(plan: &EmbedPlan, print: &Printer) -> anyhow::Result<Device> {
    let device = Device::cpu_with(plan.compute.threads, plan.compute.cpu_path)?;
    if plan.compute.device == DeviceChoice::Auto {
        let why = "this version computes on the processor only";
        print.note(&format!("device auto: {}, as {why}", device.describe()));
    }
    Ok(device)
}
