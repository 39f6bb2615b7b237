//! `pliant predict`: what a head was taught, told of proteins.

mod labels;
mod pairs;
mod residues;
mod stored;

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use pliant_plugin::Way;
use pliant_seq::Source;
use pliant_seq::tables::{Proteins, Separator};
use serde_json::json;

use crate::Context;
use crate::cli::predict::PredictPlan;
use crate::cli::print::Printer;
use crate::cli::reading::OnError;
use crate::cli::shared::Long;
use crate::exit::TaskError;
use crate::pipeline::Masks;
use crate::supervised::HeadError;
use crate::supervised::telling::Telling;
use crate::tasks::asked::{Asked, concerns_record};
use crate::tasks::intake::counted;
use crate::tasks::plugin::pass_on;
use crate::tasks::run::{ID_CHARS, Order, Ready, Sizes};
use crate::train::tuning::LongChoice;
use labels::Labels;
use residues::{Residues, Told};

/// Letters of the numbers of a row, in the estimate of output sizes.
const NUMBER_CHARS: usize = 22;

/// Tells labels of proteins, of pairs of them, or of vectors of them.
///
/// # Errors
/// Whatever ends the run; no output has then changed, but for the list of failed records.
pub fn run(plan: &PredictPlan, context: &Context) -> anyhow::Result<()> {
    let mut asked = Asked::open(&plan.head, (&plan.guest, plan.ask), 0)?;
    let telling = asked.telling();
    if plan.unused {
        context
            .print
            .note("--model and --sequences are not used: the vectors of --embeddings are there already");
    }
    let unfit = |what: &str| Err(HeadError::Unfit { what: what.to_owned() }.into());
    if plan.residues.is_some() && !telling.by_residue {
        return unfit("--residues is for heads of residues, and this one is none");
    }
    match (&plan.embeddings, asked.way()) {
        (Some(_), way) if way != Way::Residues && asked.reads_states() => unfit(
            "--embeddings is not for heads that pool by what they were taught: name FASTA files, or a table of pairs",
        ),
        (Some(_), Way::Pooled | Way::Residues) if !plan.run.inputs.is_empty() => {
            let what = "--embeddings stands in the place of FASTA files: name the one or the others";
            Err(TaskError::Usage { what: what.to_owned() }.into())
        }
        (_, Way::Pairs) => pairs::run(plan, (&mut asked, &telling), context),
        (Some(file), _) => stored::run(plan, (&mut asked, &telling), file, context),
        (None, _) => of_proteins(plan, (&mut asked, &telling), context),
    }?;
    if let Some((name, lines)) = asked.take_log() {
        pass_on(&lines, &name, context);
    }
    Ok(())
}

fn of_proteins(
    plan: &PredictPlan,
    (asked, telling): (&mut Asked, &Telling),
    context: &Context,
) -> anyhow::Result<()> {
    let (start, print) = (Instant::now(), &context.print);
    let (model, card) = asked.card(plan.model.as_deref(), plan.run.adapter.as_deref())?;
    let family = card.about.family;
    let layer = asked.layer(card.about.layers)?;
    let order = Order {
        start,
        task: "predict",
        plan: &plan.run,
        sources: sources(plan, asked, print)?,
        output: asked.output(layer),
        masks: Masks::None,
    };
    let ready = Ready::new(card, order)?;
    let selection = *ready.selection();
    warn_of_cuts(asked.taught_long(), plan.run.long.policy, selection.over, print);
    let numbers = NUMBER_CHARS * (1 + telling.width);
    let by_residue = if telling.by_residue { selection.residues } else { 0 };
    let bytes = selection.records * (ID_CHARS + numbers) + by_residue;
    let sizes = Sizes { held_bytes: 0, output_bytes: json!({ "total": bytes }) };
    if plan.run.dry_run {
        return ready.tell(&sizes, print);
    }
    let mut session = ready.load(&sizes, print)?;
    asked.check_encoder(&model, (session.engine().identity(), family))?;
    let out = plan.out.as_deref().context("--out names no file")?;
    let metadata = asked.describe(session.metadata("labels", "f64"));
    let mut labels = Labels::create(out, plan.format, telling, (vec!["id"], true), &metadata)?;
    let (details, skips) = (asked.details(), plan.run.on_error == OnError::Skip);
    let mut residues = Residues::begin(plan, Told { asked, telling, layer }, &session)?;
    let mut teller = asked.teller(session.engine().device(), session.engine().width())?;
    let mut failed: Vec<(String, String)> = Vec::new();
    let computed = session.compute(print, |row| {
        let given = match teller.answer_row(&row) {
            Ok(given) => given,
            Err(error) if skips && concerns_record(&error) => {
                failed.push((row.id, format!("{error:#}")));
                return Ok(());
            }
            Err(error) => return Err(error.context(format!("record {:?}", row.id))),
        };
        residues.push(&row.id, telling, &given)?;
        labels.push(&[&row.id], row.length, &given)
    })?;
    session.add_failures(failed, print)?;
    let mut files = labels.finish()?;
    files.append(residues.finish(Told { asked, telling, layer }, &session)?);
    session.finish(files, &computed, &details, context)
}

/// The inputs; those called as tables are, and not written as FASTA, are read as such.
fn sources(plan: &PredictPlan, asked: &Asked, print: &Printer) -> anyhow::Result<Vec<Source>> {
    let mut columns = asked.sequence_columns();
    if let Some(name) = &plan.sequence_column {
        columns.sequence = vec![name.clone()];
    }
    if !plan.id_columns.is_empty() {
        (columns.id, columns.must_be_named) = (vec![plan.id_columns.clone()], true);
    }
    let columns = Arc::new(columns);
    let named = plan.sequence_column.is_some() || !plan.id_columns.is_empty();
    let of = |source: Source| {
        if Separator::is_of_table(source.name()) && !Proteins::is_fasta(&source)? {
            return Ok(source.as_table(&columns));
        }
        if named {
            print.note(&format!(
                "{}: read as FASTA, so --sequence-column and --id-column are not used for it",
                source.name()
            ));
        }
        Ok(source)
    };
    Source::from_arguments(&plan.run.inputs)?.into_iter().map(of).collect()
}

/// Warns where long proteins are encoded in another way than those that the head was taught.
fn warn_of_cuts(taught: Option<&str>, policy: Long, records: u64, print: &Printer) {
    let Some(taught) = taught.filter(|_| records > 0) else { return };
    let same = match policy {
        Long::Whole => taught == LongChoice::Whole.name(),
        Long::Truncate => taught == LongChoice::Truncate.name(),
        Long::Window => false,
        // Nothing is told of them.
        Long::Error | Long::Skip => true,
    };
    if !same {
        let records = counted(records, "longer record", "longer records");
        print.warning(&format!(
            "the head was taught with --long {taught}: what it tells of {records} is of states that it never saw the like of"
        ));
    }
}
