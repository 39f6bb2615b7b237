//! `pliant adapter …`: look at adapters, or add them to their models.

use std::collections::BTreeMap;
use std::fs;

use anyhow::Context as _;
use pliant_models::ModelError;
use pliant_models::adapter::{ADAPTER_FILES, Bare, read_adapter, read_bare};
use serde_json::json;

use crate::Context;
use crate::cli::adapter::{AdapterAction, ImportArgs, InspectArgs, MergeArgs};
use crate::engine;
use crate::exit::TaskError;
use crate::tasks::files::make_folder;

/// Does one of them.
///
/// # Errors
/// An adapter that cannot be used or is of another model, and a folder that cannot be made.
pub fn run(action: AdapterAction, context: &Context) -> anyhow::Result<()> {
    match action {
        AdapterAction::Inspect(args) => inspect(&args, context),
        AdapterAction::Merge(args) => merge(&args, context),
        AdapterAction::Import(args) => import(&args, context),
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

fn import(args: &ImportArgs, context: &Context) -> anyhow::Result<()> {
    let ImportArgs { source, model, out, lora_alpha } = args;
    let unusable = || format!("the adapter {} cannot be used", source.display());
    let card = engine::card(model)?;
    let adapter = if source.is_dir() {
        if lora_alpha.is_some() {
            let what = "--lora-alpha is for files: the folder of an adapter says its own".to_owned();
            return Err(TaskError::Usage { what }.into());
        }
        read_adapter(source, &card.folder).with_context(unusable)?
    } else {
        let Bare { adapter, .. } = read_bare(source, &card.folder, *lora_alpha).with_context(unusable)?;
        let (path, problem) = (source.clone(), "holds no adapted matrix of the model".to_owned());
        adapter.ok_or(ModelError::Adapter { path, problem })?
    };
    if out.exists() && fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(ModelError::NotEmpty { folder: out.clone() }.into());
    }
    make_folder(out)?;
    let written = adapter.write(&card.folder, out);
    if written.is_err() {
        // Half an adapter is none.
        ADAPTER_FILES.iter().for_each(|name| drop(fs::remove_file(out.join(name))));
    }
    written.with_context(unusable)?;
    Ok(context.print.data(&format!("identity: {}\n", adapter.identity()))?)
}
