//! Examples that a head is asked about: read, and taken or refused.

use pliant_seq::Failure;
use pliant_seq::tables::{LabelKind, LabelledSet};
use serde_json::json;

use crate::Context;
use crate::cli::evaluate::EvaluatePlan;
use crate::cli::reading::OnError;
use crate::engine::Card;
use crate::supervised::HeadError;
use crate::supervised::reading::{Reading, of_parts};
use crate::supervised::registry::Task;
use crate::supervised::telling::Telling;
use crate::tasks::asked::Asked;
use crate::tasks::dry_run::{Proteins, Read, answer, nothing_to_encode, tell};
use crate::tasks::encode::{self, Wish, encodable, refused, sequences};
use crate::tasks::{files, intake};

/// What was read.
pub(super) struct Examples {
    /// Those that can be asked about, if there are any.
    set: Option<LabelledSet>,
    failures: Vec<Failure>,
    /// Examples of all files.
    rows: u64,
    duplicates: u64,
}

impl Examples {
    /// Reads examples as those that the head was taught, where nothing else is said.
    ///
    /// # Errors
    /// Files that cannot be read, and labels that the head does not tell.
    pub(super) fn read(
        plan: &EvaluatePlan,
        (head, task): (&Asked, &'static Task),
        (telling, card): (&Telling, &Card),
    ) -> anyhow::Result<Self> {
        let mut form = plan.form.over(head.reader());
        if plan.parts.is_empty() && plan.form.part_column.is_none() {
            // What told training from the rest is of no use where everything is asked about.
            form.part_column = None;
        }
        // The names of numbers are no classes.
        let classes = if telling.kind == LabelKind::Number { &[] } else { telling.names.as_slice() };
        let known = matches!(telling.kind, LabelKind::Class | LabelKind::Classes).then_some(classes);
        let reading = Reading { task, form: &form, classes: known };
        let (set, report) = reading.read(&plan.run.inputs)?;
        let mut failures = report.failures;
        let fails = plan.run.on_error == OnError::Fail && !failures.is_empty();
        if fails && !plan.run.dry_run {
            intake::refuse(&failures, report.rows, plan.run.failures.as_deref())?;
        }
        let (set, refused) = encodable(of_parts(set, &plan.parts)?, refused(card, &plan.run.long)?);
        failures.extend(refused);
        failures.sort_by_key(|failure| failure.record);
        set.as_ref().map_or(Ok(()), |set| check(set, telling, classes))?;
        Ok(Self { set, failures, rows: report.rows, duplicates: report.duplicates })
    }

    /// Whether the failures end a run, or that nothing else is there.
    fn would_fail(&self, plan: &EvaluatePlan) -> bool {
        self.set.is_none() || (plan.run.on_error == OnError::Fail && !self.failures.is_empty())
    }

    /// The examples, where nothing ends the run; those that are left out are listed.
    ///
    /// # Errors
    /// Failed examples that end it.
    pub(super) fn taken(self, plan: &EvaluatePlan, context: &Context) -> anyhow::Result<LabelledSet> {
        let (list, would_fail) = (plan.run.failures.as_deref(), self.would_fail(plan));
        let Some(set) = self.set.filter(|_| !would_fail) else {
            return Err(intake::refusal(&self.failures, self.rows, list)?.into());
        };
        if let (Some(path), OnError::Skip) = (list, plan.run.on_error) {
            files::failure_list(path, &self.failures)?.commit()?;
        }
        let mut warnings = intake::Warnings::default();
        warnings.add_left_out(self.failures.len() as u64);
        warnings.0.iter().for_each(|warning| context.print.warning(&warning.message));
        Ok(set)
    }

    /// Writes the answer to `--dry-run`.
    ///
    /// # Errors
    /// A model that cannot be used, and a standard output that cannot be written.
    pub(super) fn tell(
        &self,
        plan: &EvaluatePlan,
        (card, wish): (Card, &Wish),
        context: &Context,
    ) -> anyhow::Result<()> {
        let set = self.set.as_ref();
        let encoding = match set {
            Some(set) => encode::estimate(card, &sequences(set), wish)?,
            None => nothing_to_encode(&plan.run.compute),
        };
        let proteins = set.map(|set| {
            Proteins::of((0..set.sequences()).map(|number| (set.id(number), set.sequence(number))))
        });
        let mut warnings = intake::Warnings::default();
        warnings.add_left_out(self.failures.len() as u64);
        let examples = set.map_or(0, LabelledSet::len);
        let files = plan.run.inputs.iter().chain(&plan.form.sequences);
        let read = Read {
            inputs: files.map(|path| path.display().to_string()).collect(),
            input_hash: json!(set.map(LabelledSet::digest)),
            headers: self.rows,
            records: examples,
            proteins: proteins.unwrap_or_default(),
            duplicates: self.duplicates,
            failures: &self.failures,
            would_fail: self.would_fail(plan),
            warnings: &warnings.0,
        };
        tell(&answer(read, &encoding, json!({ "examples": examples })), context)
    }
}

/// Refuses labels that the head does not tell.
fn check(set: &LabelledSet, telling: &Telling, classes: &[String]) -> Result<(), HeadError> {
    // Of levels there are one more than numbers.
    let levels = |there: usize| if telling.kind == LabelKind::Level { there } else { 0 };
    let wanted = (telling.kind, levels(telling.width + 1), classes);
    let found = (set.kind(), levels(set.counts().len()), set.classes());
    if found == wanted {
        return Ok(());
    }
    let what = format!(
        "the head tells labels that are {} of the classes {}, and the examples have {} of the classes {}",
        wanted.0,
        wanted.2.join(", "),
        found.0,
        found.2.join(", ")
    );
    Err(HeadError::Unfit { what })
}
