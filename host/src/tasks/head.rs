//! `pliant head import`: heads of other training code.

use anyhow::Context as _;
use pliant_models::Adapter;
use pliant_models::adapter::{Bare, read_bare};
use pliant_models::heads::{Activation, HeadConfig, HeadKind, Pooling, PublishedHead, take_published};
use pliant_seq::tables::{LabelKind, SYMMETRIES};
use serde_json::json;

use crate::Context;
use crate::cli::head::{FirstToken, HeadAction, HeadImportArgs, HeadPool};
use crate::engine::{self, Card};
use crate::supervised::HeadError;
use crate::supervised::card::{
    ADAPTER_FOLDER, CARD_FILE, EncoderCard, FORMAT, HeadCard, LabelsCard, WEIGHTS_FILE, digest,
};
use crate::tasks::files::{self, make_folder, path_text};
use crate::train::tuning::FormConfig;

/// Does one of them.
///
/// # Errors
/// A checkpoint that is no such head or none of this model, and a folder that cannot be made.
pub fn run(action: HeadAction, context: &Context) -> anyhow::Result<()> {
    match action {
        HeadAction::Import(args) => import(&args, context),
    }
}

fn import(args: &HeadImportArgs, context: &Context) -> anyhow::Result<()> {
    let HeadImportArgs { checkpoint, model, out, lora_alpha, first_token, .. } = args;
    let card = engine::card(model)?;
    let unusable = || format!("the checkpoint {} cannot be used", checkpoint.display());
    let Bare { adapter, rest, changed } =
        read_bare(checkpoint, &card.folder, *lora_alpha).with_context(unusable)?;
    if let Some(first) = changed.first() {
        let what = format!(
            "{} holds {} weights of the model that are not those of {} ({first} is the first): it was trained on another \
             model, or taught the model too, which is not read",
            checkpoint.display(),
            changed.len(),
            model.display()
        );
        return Err(HeadError::Unfit { what }.into());
    }
    make_folder(out)?;
    let weights = out.join(WEIGHTS_FILE);
    let head = take_published(checkpoint, &rest, &weights).with_context(unusable)?;
    if head.inputs != card.about.width {
        let what = format!(
            "the head reads {} numbers of a protein, and {} gives {}",
            head.inputs,
            model.display(),
            card.about.width
        );
        return Err(HeadError::Unfit { what }.into());
    }
    let adapter = adapter.map(|adapter| write_adapter(&adapter, &card, args)).transpose()?;
    if head.pooler && *first_token == FirstToken::Seen {
        context.print.warning(
            "the published code hides the first token from all others, which is not done with --first-token seen: states, and \
             so the numbers of this head, differ from its own",
        );
    }
    let told = description(args, &card, head, adapter)?;
    files::text_file(&out.join(CARD_FILE), &format!("{}\n", serde_json::to_string_pretty(&told)?))?
        .commit()?;
    let text = format!(
        "task             {}\nhead             {} numbers, {} hidden, {} out\npooling          {}\nadapter          {}\n",
        told.task,
        head.inputs,
        head.hidden,
        head.outputs,
        told.head.pooling.map_or("none", Pooling::name),
        told.encoder.adapter.as_deref().unwrap_or("none"),
    );
    Ok(context.print.data(&text)?)
}

/// Writes the adapter beside the head, and gives its identity.
fn write_adapter(adapter: &Adapter, card: &Card, args: &HeadImportArgs) -> anyhow::Result<String> {
    let folder = args.out.join(ADAPTER_FOLDER);
    make_folder(&folder)?;
    adapter.write(&card.folder, &folder)?;
    Ok(adapter.identity())
}

/// What the head says of itself. How frequent labels were in its training nobody says: they count as even.
fn description(
    args: &HeadImportArgs,
    card: &Card,
    head: PublishedHead,
    adapter: Option<String>,
) -> anyhow::Result<HeadCard> {
    let PublishedHead { inputs, hidden, outputs, pooler } = head;
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let (task, kind, label, classes) = match outputs {
        1 => ("ppi", HeadKind::Average, LabelKind::Class, names(&["0", "1"])),
        18 => ("symmetry", HeadKind::Sequence, LabelKind::Classes, names(&SYMMETRIES)),
        found => {
            let what = format!("the head gives {found} numbers, wanted 1 (interactions) or 18 (symmetry)");
            return Err(HeadError::Unfit { what }.into());
        }
    };
    let pooling = match (pooler, args.first_token, args.pool) {
        (true, FirstToken::Hidden, _) => Pooling::Published,
        (true, FirstToken::Seen, _) => Pooling::Random,
        (false, _, HeadPool::Mean) => Pooling::Mean,
        (false, _, HeadPool::Cls) => Pooling::Cls,
        (false, _, HeadPool::Max) => Pooling::Max,
    };
    Ok(HeadCard {
        format: FORMAT.to_owned(),
        task: task.to_owned(),
        labels: LabelsCard {
            kind: label.to_string(),
            prior: vec![1.0 / if outputs == 1 { 2.0 } else { outputs as f64 }; classes.len()],
            classes,
            scale: None,
        },
        head: HeadConfig {
            kind,
            inputs,
            outputs,
            pooling: Some(pooling),
            hidden: Some(hidden),
            embedding: None,
            activation: Activation::Tanh,
            dropout: 0.0,
            standardized: false,
        },
        encoder: EncoderCard {
            identity: engine::verify(&card.folder)?,
            family: card.about.family.to_owned(),
            vocabulary: card.about.vocabulary.to_owned(),
            layer: card.about.layers,
            long: "truncate".to_owned(),
            inside: false,
            adapter,
        },
        reader: FormConfig::default(),
        weights: digest(&args.out.join(WEIGHTS_FILE))?,
        training: json!({ "imported_from": { "file": path_text(&args.checkpoint), "blake3": digest(&args.checkpoint)? } }),
    })
}
