//! `pliant adapter …`: look at adapters, or add them to their models.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::json;

use crate::Context;
use crate::cli::adapter::{AdapterAction, InspectArgs, MergeArgs};
use crate::engine;

/// Does one of them.
///
/// # Errors
/// An adapter that cannot be used or is of another model, and a folder that cannot be made.
pub fn run(action: AdapterAction, context: &Context) -> anyhow::Result<()> {
    match action {
        AdapterAction::Inspect(args) => inspect(&args, context),
        AdapterAction::Merge(args) => merge(&args, context),
    }
}

fn inspect(args: &InspectArgs, context: &Context) -> anyhow::Result<()> {
    let card = engine::adapted_card(&args.model, Some(&args.folder))?;
    let found = card.adapter.as_ref().context("a model without an adapter")?;
    let (adapter, mut ranks) = (&found.adapter, BTreeMap::new());
    for adapted in adapter.matrices.values() {
        *ranks.entry(adapted.values.rank).or_insert(0) += 1;
    }
    let text = if args.json {
        let matrices: Vec<_> = adapter
            .matrices
            .iter()
            .map(|(name, adapted)| {
                json!({ "name": name, "rank": adapted.values.rank, "alpha": adapted.alpha, "scale": adapted.values.scale })
            })
            .collect();
        let told = json!({
            "identity": found.identity,
            "parameters": adapter.parameters(),
            "dropout": adapter.dropout,
            "rank_stabilised": adapter.rank_stabilised,
            "matrices": matrices,
            "beside": adapter.beside,
        });
        format!("{told:#}\n")
    } else {
        let ranks: Vec<String> =
            ranks.iter().map(|(rank, count)| format!("{count} of rank {rank}")).collect();
        let mut text = format!(
            "family           {}\nmatrices         {}\nparameters       {}\n",
            card.about.family,
            ranks.join(", "),
            adapter.parameters()
        );
        if !adapter.beside.is_empty() {
            text += &format!("of a head        {} tensors, which are not used\n", adapter.beside.len());
        }
        text + &format!("identity         {}\n", found.identity)
    };
    Ok(context.print.data(&text)?)
}

fn merge(args: &MergeArgs, context: &Context) -> anyhow::Result<()> {
    let card = engine::adapted_card(&args.model, Some(&args.folder))?;
    engine::merge(&card, &args.out)?;
    let identity = engine::verify(&args.out)?;
    Ok(context.print.data(&format!("identity: {identity}\n"))?)
}
