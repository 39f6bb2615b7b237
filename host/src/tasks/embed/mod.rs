//! `pliant embed`: proteins to vectors.

mod outputs;

use std::time::Instant;

use pliant_seq::Source;
use serde_json::json;

use crate::Context;
use crate::cli::embed::{EmbedPlan, Pool, Written};
use crate::cli::shared::Long;
use crate::engine::{self, Card};
use crate::exit::TaskError;
use crate::pipeline::{Masks, Output};
use crate::tasks::run::{Order, Ready};
use outputs::Outputs;

/// Reads the input twice: to know what there is, and to compute it.
///
/// # Errors
/// Whatever ends the run; no output has then changed, but for the list of failed records.
pub fn run(plan: &EmbedPlan, context: &Context) -> anyhow::Result<()> {
    let (start, print) = (Instant::now(), &context.print);
    let card = engine::adapted_card(&plan.run.model, plan.run.adapter.as_deref())?;
    let layers = card.layers_asked(&plan.layers)?;
    let pool = plan.pool.or(card.pool()).unwrap_or_default();
    check(plan, &card, &layers, pool)?;
    outputs::check(plan, &layers)?;
    let residues = plan.outputs.residues.is_some();
    let order = Order {
        start,
        task: "embed",
        plan: &plan.run,
        sources: Source::from_arguments(&plan.run.inputs)?,
        output: Output::States { layers: layers.clone(), pool, residues, written: plan.output },
        masks: Masks::None,
    };
    let ready = Ready::new(card, order)?;
    let sizes = outputs::sizes(&plan.outputs, &ready, &layers)?;
    if plan.run.dry_run {
        return ready.tell(&sizes, print);
    }
    let session = ready.load(&sizes, print)?;
    let mut outputs = Outputs::create(&plan.outputs, &session)?;
    let computed = session.compute(print, |row| outputs.push(&row))?;
    let dtype = plan.outputs.dtype.name();
    let details = [("layers", json!(layers)), ("pool", json!(pool.name())), ("dtype", json!(dtype))];
    session.finish(outputs.finish()?, &computed, &details, context)
}

/// Refuses what the model cannot give.
fn check(plan: &EmbedPlan, card: &Card, layers: &[usize], pool: Pool) -> anyhow::Result<()> {
    let family = card.about.family;
    if plan.pool.is_some() && card.pools_itself() {
        let what = "--pool: the model makes one vector of a protein by itself; leave the flag away";
        return Err(TaskError::Usage { what: what.to_owned() }.into());
    }
    let reads_cls = matches!(pool, Pool::Cls | Pool::ClsApart);
    if pool == Pool::ClsApart && plan.outputs.residues.is_some() {
        let what = "--residues: with --pool cls-apart the states of residues are none of the model's own; choose another";
        return Err(TaskError::Usage { what: what.to_owned() }.into());
    }
    if reads_cls && plan.run.long.policy == Long::Window {
        let what = "the cls of the sidecar cannot be had with --long window; choose --pool mean or max";
        return Err(TaskError::Usage { what: what.to_owned() }.into());
    }
    if reads_cls && !card.vocabulary.cls {
        let what = format!(
            "--pool cls: a model of the family {family} has no token that speaks for the whole protein; choose --pool mean \
             or max"
        );
        return Err(TaskError::Usage { what }.into());
    }
    if plan.output == Written::Z && card.about.projection.is_none() {
        let what = format!(
            "--output z: a model of the family {family} has no projection of its states; choose --output h"
        );
        return Err(TaskError::Usage { what }.into());
    }
    if plan.output == Written::Z && *layers != [card.about.layers] {
        let what = "--output z is made of the last layer alone: leave --layer away";
        return Err(TaskError::Usage { what: what.to_owned() }.into());
    }
    Ok(())
}
