//! `pliant model pull` and `pliant model list`: models of a hub in folders.

use std::path::absolute;

use serde_json::{Value, json};

use crate::Context;
use crate::cli::pull::{ListArgs, PullArgs};
use crate::hub::{self, Kept, ModelStore};
use crate::tasks::files::path_text;
use crate::{engine, exit};

/// Fetches a model and says where it is.
///
/// # Errors
/// Whatever keeps it from being there whole.
pub fn pull(args: PullArgs, context: &Context) -> anyhow::Result<()> {
    let order = args.order()?;
    let print = &context.print;
    let (Kept { folder, lock }, fetched) = hub::pull(&order, print)?;
    if !fetched {
        print.note(&format!("{} is there", order.name.typed));
    } else if order.pytorch && engine::card(&folder).is_err() {
        let folder = folder.display();
        print.note(&format!("make a model folder of it with 'pliant model import {folder} --out DIR'"));
    } else if let Err(error) = engine::card(&folder) {
        let report = exit::report(&error);
        let why = report.causes.last().unwrap_or(&report.message);
        print.warning(&format!("this version cannot use the model: {why}"));
    }
    let (repo, revision) = (&lock.repo, &lock.revision);
    let licence = lock.licence.as_deref().unwrap_or("none is named");
    let folder = absolute(&folder).unwrap_or(folder);
    let folder = folder.display();
    Ok(print.data(&format!("model: {repo}\nrevision: {revision}\nlicence: {licence}\nfolder: {folder}\n"))?)
}

/// Lists the models of the store.
///
/// # Errors
/// A store that cannot be read.
pub fn list(args: &ListArgs, context: &Context) -> anyhow::Result<()> {
    let models = ModelStore::of_environment()?.models()?;
    let text = if args.json {
        format!("{:#}\n", Value::from(models.iter().map(as_json).collect::<Vec<_>>()))
    } else {
        models.iter().map(as_line).collect()
    };
    Ok(context.print.data(&text)?)
}

fn as_json(Kept { folder, lock }: &Kept) -> Value {
    json!({
        "model": lock.repo, "revision": lock.revision, "licence": lock.licence, "bytes": lock.bytes(),
        "endpoint": lock.endpoint, "folder": path_text(folder),
    })
}

fn as_line(Kept { folder, lock }: &Kept) -> String {
    let licence = lock.licence.as_deref().unwrap_or("-");
    format!("{}\t{}\t{licence}\t{}\t{}\n", lock.repo, lock.revision, lock.bytes(), folder.display())
}
