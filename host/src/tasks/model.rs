//! `pliant model …`: look at, check, make or copy model folders.

use pliant_models::{About, Beside, LanguageModel};
use serde_json::{Value, json};

use crate::Context;
use crate::cli::model::{ExportArgs, ImportArgs, InspectArgs, ModelAction};
use crate::engine::{self, Card, Export};
use crate::exit::TaskError;
use crate::hub::{self, HubError};
use crate::supervised::card::HeadFolder;
use crate::tasks::files::path_text;
use crate::tasks::pull;

/// Names that are listed one by one for people; JSON lists all.
const SHOWN_NAMES: usize = 10;

/// Does one of them.
///
/// # Errors
/// A folder that is damaged, or cannot be read or written.
pub fn run(action: ModelAction, context: &Context) -> anyhow::Result<()> {
    match action {
        ModelAction::Pull(args) => pull::pull(args, context),
        ModelAction::List(args) => pull::list(&args, context),
        ModelAction::Inspect(args) => inspect(&args, context),
        ModelAction::Verify(args) => {
            let folder = hub::locate(&args.folder)?;
            let lock = hub::check_bytes(&folder)?;
            let identity = engine::verify(&folder)?;
            let source = lock.map(|lock| format!("source: {} at {}\n", lock.repo, lock.revision));
            Ok(context.print.data(&format!("identity: {identity}\n{}", source.unwrap_or_default()))?)
        }
        ModelAction::New(args) => {
            engine::new_folder(&args.config, args.seed, &args.out)?;
            let identity = engine::verify(&args.out)?;
            Ok(context.print.data(&format!("identity: {identity}\n"))?)
        }
        ModelAction::Import(args) => import(&args, context),
        ModelAction::Export(args) => export(&args, context),
        ModelAction::Read(args) => {
            let tell = |line: &str| context.print.data(line).map_err(std::io::Error::other);
            Ok(engine::read_onnx(&args.file, args.kind, tell)?)
        }
    }
}

fn inspect(args: &InspectArgs, context: &Context) -> anyhow::Result<()> {
    let card = engine::card(&args.folder)?;
    let text = if args.json { format!("{:#}\n", as_json(&card)) } else { as_text(&card) };
    Ok(context.print.data(&text)?)
}

fn import(args: &ImportArgs, context: &Context) -> anyhow::Result<()> {
    let ImportArgs { source, out, contact_regression, config, lm_model, lm_config, json } = args;
    let source = match hub::locate(source) {
        // What is no name is a path, and reading it says what is wrong with it.
        Err(HubError::NoFolder { .. }) => source.clone(),
        found => found?,
    };
    let language_model = lm_model.as_deref().zip(lm_config.as_deref());
    let beside = Beside {
        contact_regression: contact_regression.as_deref(),
        config: config.as_deref(),
        language_model: language_model.map(|(weights, config)| LanguageModel { weights, config }),
    };
    let (identity, card) = engine::import(&source, &beside, out)?;
    let text = if *json {
        let mut said = as_json(&card);
        said["identity"] = identity.into();
        format!("{said:#}\n")
    } else {
        format!("{}identity         {identity}\n", as_text(&card))
    };
    Ok(context.print.data(&text)?)
}

fn export(args: &ExportArgs, context: &Context) -> anyhow::Result<()> {
    if args.onnx {
        let identity = engine::export_head(&HeadFolder::open(&args.source)?, &args.out)?;
        return Ok(context.print.data(&format!("identity: {identity}\n"))?);
    }
    let form = match (args.hf, args.plus) {
        (true, _) => Export::HuggingFace,
        (false, true) => Export::Plus,
        (false, false) => {
            let what = "say in which form: --hf for Hugging Face transformers, --plus for the authors of PLUS, --onnx for a head";
            return Err(TaskError::Usage { what: what.to_owned() }.into());
        }
    };
    let identity = engine::export(&hub::locate(&args.source)?, form, &args.out)?;
    Ok(context.print.data(&format!("identity: {identity}\n"))?)
}

fn as_json(card: &Card) -> Value {
    let About { family, config_summary, dtype, parameters, stored_bytes, layers, width, .. } = &card.about;
    let report = &card.about.report;
    json!({
        "folder": path_text(&card.folder),
        "family": family,
        "config": serde_json::from_str::<Value>(config_summary).unwrap_or(Value::Null),
        "layers": layers,
        "width": width,
        "projection": card.about.projection,
        "longest": card.about.longest,
        "parameters": parameters,
        "dtype": dtype,
        "stored_bytes": stored_bytes,
        "training_length": card.about.training_length,
        "vocabulary": card.vocabulary.identity,
        "tensors": {
            "used": report.used.len(),
            "missing": report.missing,
            "unexpected": report.unexpected,
            "ignored": report.ignored,
        },
        "absent": card.about.absent,
    })
}

fn as_text(card: &Card) -> String {
    let About { family, config_summary, dtype, parameters, stored_bytes, layers, width, .. } = &card.about;
    let report = &card.about.report;
    let trained = card
        .about
        .training_length
        .map_or_else(|| "no limit".to_owned(), |length| format!("{length} residues"));
    let mut lines = vec![
        format!("folder           {}", card.folder.display()),
        format!("family           {family}"),
        match card.about.first_layer {
            0 => format!("layers           {layers} (0 is the embedding, {layers} or -1 the last)"),
            first => format!("layers           {first} to {layers}, {layers} or -1 the last"),
        },
        format!("width            {width}"),
        format!("parameters       {parameters}"),
        format!("stored as        {dtype}, {stored_bytes} bytes"),
        format!("training length  {trained}"),
        format!("vocabulary       {}", card.vocabulary.identity),
        format!("config           {config_summary}"),
        format!("tensors          {} used", report.used.len()),
    ];
    for (what, names) in
        [("missing", &report.missing), ("unexpected", &report.unexpected), ("ignored", &report.ignored)]
    {
        if names.is_empty() {
            continue;
        }
        let shown = names.iter().take(SHOWN_NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = names.len().saturating_sub(SHOWN_NAMES);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        lines.push(format!("{what:<16} {}: {shown}{more}", names.len()));
    }
    lines.extend(card.about.projection.map(|width| format!("projection z     {width} wide")));
    lines.extend(card.about.longest.map(|most| format!("at most          {most} residues at once")));
    lines.extend(card.about.absent.iter().map(|part| format!("without          {part}")));
    lines.join("\n") + "\n"
}
