//! `pliant cache …`: what people do with a cache between runs.

use pliant_store::cache::admin::{self, Checked, Collected, Limits, Merged, Overview};
use pliant_store::cache::{CacheOptions, Key};
use serde_json::{Value, json};

use crate::Context;
use crate::cli::cache::{CacheAction, GcArgs, MergeArgs, PlaceArgs, VerifyArgs};
use crate::exit::TaskError;
use crate::tasks::files::path_text;

/// Seconds of a day.
const DAY_SECONDS: i64 = 86_400;

/// Does one of them, and tells it as JSON.
///
/// # Errors
/// A cache that is missing, no cache, in use or cannot be written, and entries that are damaged.
pub fn run(action: CacheAction, context: &Context) -> anyhow::Result<()> {
    match action {
        CacheAction::Stats(args) => stats(args.place, context),
        CacheAction::Verify(args) => verify(args, context),
        CacheAction::Merge(args) => merge(args, context),
        CacheAction::Gc(args) => gc(args, context),
    }
}

fn say(context: &Context, answer: &Value) -> anyhow::Result<()> {
    Ok(context.print.data(&format!("{answer:#}\n"))?)
}

fn stats(place: PlaceArgs, context: &Context) -> anyhow::Result<()> {
    let options = place.plan()?.options();
    let found = admin::stats(&options)?;
    let Overview { schema, pooled, residues, damaged, database_bytes, .. } = found;
    let Overview { files, file_bytes, shards, shard_bytes, used, .. } = found;
    say(
        context,
        &json!({
            "path": path_text(&options.path),
            "schema": schema,
            "entries": { "pooled": pooled, "residues": residues, "damaged": damaged },
            "database_bytes": database_bytes,
            "files": files,
            "file_bytes": file_bytes,
            "shards": shards,
            "shard_bytes": shard_bytes,
            "first_used": used.map(|(first, _)| date(first)),
            "last_used": used.map(|(_, last)| date(last)),
        }),
    )
}

fn verify(args: VerifyArgs, context: &Context) -> anyhow::Result<()> {
    let options = args.place.plan()?.options();
    let found = if args.repair { admin::repair(&options) } else { admin::verify(&options) }?;
    let Checked { entries, bad, structure, repaired, moved_to } = &found;
    let entry = |entry: &admin::BadEntry| json!({ "row": entry.row, "key": key(entry.key), "damage": entry.damage.to_string() });
    say(
        context,
        &json!({
            "path": path_text(&options.path),
            "entries": entries,
            "bad": bad.iter().map(entry).collect::<Vec<_>>(),
            "structure": structure,
            "repaired": repaired,
            "moved_to": moved_to.as_deref().map(path_text),
        }),
    )?;
    if found.is_sound() || found.repaired {
        return Ok(());
    }
    let (bad, structure) = (bad.len(), !structure.is_empty());
    Err(TaskError::DamagedCache { path: options.path, bad, structure }.into())
}

fn merge(args: MergeArgs, context: &Context) -> anyhow::Result<()> {
    let options = args.place.plan()?.options();
    let Merged { shards, added, known, bad, refused } = admin::merge(&options, &args.shards)?;
    for (_, fault) in &refused {
        context.print.warning(&fault.to_string());
    }
    let left_out = bad.iter().map(
        |(shard, entry, damage)| json!({ "shard": path_text(shard), "key": key(*entry), "damage": damage.to_string() }),
    );
    let why = refused
        .iter()
        .map(|(shard, fault)| json!({ "shard": path_text(shard), "reason": fault.to_string() }));
    say(
        context,
        &json!({
            "path": path_text(&options.path),
            "shards": shards.iter().map(|shard| path_text(shard)).collect::<Vec<_>>(),
            "added": added,
            "known": known,
            "bad": left_out.collect::<Vec<_>>(),
            "refused": why.collect::<Vec<_>>(),
        }),
    )?;
    match (refused.into_iter().next(), bad.len()) {
        // A shard that was named and cannot be read is an input that is wrong.
        (Some((_, fault)), _) => Err(fault.into()),
        (None, 0) => Ok(()),
        (None, bad) => Err(TaskError::DamagedCache { path: options.path, bad, structure: false }.into()),
    }
}

fn gc(args: GcArgs, context: &Context) -> anyhow::Result<()> {
    let GcArgs { place, max_size, max_age, dry_run } = args;
    let options: CacheOptions = place.plan()?.options();
    let limits = Limits { max_bytes: max_size, max_days: max_age, dry_run };
    let Collected { removed, removed_bytes, left, left_bytes, orphans, orphan_bytes } =
        admin::collect(&options, &limits)?;
    say(
        context,
        &json!({
            "path": path_text(&options.path),
            "dry_run": dry_run,
            "removed": removed,
            "removed_bytes": removed_bytes,
            "left": left,
            "left_bytes": left_bytes,
            "orphan_files": orphans,
            "orphan_bytes": orphan_bytes,
        }),
    )
}

fn key(key: Option<Key>) -> Option<String> {
    key.map(|key| key.to_string())
}

/// A day since 1970-01-01 as seconds since then, as every other time of programs.
fn date(day: i64) -> i64 {
    day.saturating_mul(DAY_SECONDS)
}
