//! `pliant leakage`: what a test shares with a training.

mod compare;
mod report;

use std::path::PathBuf;

use pliant_seq::tables::LabelledSet;
use pliant_store::{Metadata, OutputSet};

use crate::Context;
use crate::cli::leakage::{LeakageFormat, LeakagePlan};
use crate::cli::reading::OnError;
use crate::supervised::reading::{Reading, of_parts, without};
use crate::tasks::{files, intake};
use crate::train::tuning::FormConfig;
use compare::Comparison;

/// Compares both sets and writes what was found.
///
/// # Errors
/// Whatever ends the run; no output has then changed.
pub fn run(plan: &LeakagePlan, context: &Context) -> anyhow::Result<()> {
    let form = plan.form.over(FormConfig::default());
    let read = |paths: &[PathBuf], classes: Option<&[String]>| -> anyhow::Result<LabelledSet> {
        let (set, report) = Reading { task: plan.task, form: &form, classes }.read(paths)?;
        if plan.on_error == OnError::Fail && !report.failures.is_empty() {
            intake::refuse(&report.failures, report.rows, None)?;
        }
        let mut warnings = intake::Warnings::default();
        warnings.add_left_out(report.failures.len() as u64);
        warnings.0.iter().for_each(|warning| context.print.warning(&warning.message));
        Ok(set)
    };
    let all = read(&plan.train, None)?;
    let apart = match plan.test.as_slice() {
        [] => all.clone(),
        files => read(files, Some(all.classes()))?,
    };
    let (train, excluded) = without(of_parts(all, &plan.train_parts)?, &plan.exclude)?;
    let test = of_parts(apart, &plan.test_parts)?;
    let comparison = Comparison::of(&train, &test, plan.kmer);
    let mut object = report::object(&comparison, plan);
    object["train"]["excluded"] = excluded.into();
    let text = match plan.out.1 {
        LeakageFormat::Json => format!("{object:#}\n"),
        LeakageFormat::Tsv => report::rows(&object),
    };
    let mut files = OutputSet::from(vec![files::text_file(&plan.out.0, &text)?]);
    let metadata = Metadata::new()
        .with("schema", 1)
        .with("output", "leakage")
        .with("task", plan.task.name)
        .with("train", train.digest())
        .with("test", test.digest())
        .with("kmer", plan.kmer)
        .with("from_identity", plan.identity);
    if let Some((path, format)) = &plan.proteins {
        files.append(report::proteins(&comparison, (path, *format), &metadata)?);
    }
    if let Some((path, format)) = &plan.examples {
        files.append(report::examples(&comparison, plan.identity, (path, *format), &metadata)?);
    }
    Ok(files.commit()?)
}
