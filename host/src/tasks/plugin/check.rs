//! `pliant plugin check`: a plugin is tried out on made-up numbers.

use std::time::Instant;

use anyhow::{Result, bail};
use pliant_plugin::{Head, Metric, Plugin, PluginError, Row, Rows, World, seal};

use super::pass_on;
use crate::Context;
use crate::cli::plugin::CheckArgs;
use crate::plugins;

/// Rows that a plugin is tried out on, of proteins of these bounds.
const OFFSETS: [usize; 4] = [0, 2, 3, 7];

/// Width of vectors and number of columns where the plugin takes any.
const WIDTH: usize = 16;
const COLUMNS: usize = 3;

pub(super) fn run(args: &CheckArgs, context: &Context) -> Result<()> {
    if args.seal {
        seal(&args.guest.manifest)?;
    }
    let start = Instant::now();
    let (manifest, plugin) = plugins::load(&args.guest.manifest, &args.guest.flags.words())?;
    let mut lines = vec![
        format!("plugin     {} {} ({})", manifest.name(), manifest.version(), manifest.world()),
        format!("guest      {} {}", manifest.file().display(), manifest.sha256()),
        format!("compiled   in {:.0} ms", start.elapsed().as_secs_f64() * 1000.0),
    ];
    match plugin.world() {
        World::Head => lines.extend(head(&plugin, context)?),
        World::Metric => lines.extend(metric(&plugin, context)?),
    }
    lines.push(format!("identity   {}", plugin.identity()));
    lines.push("passed".to_owned());
    Ok(context.print.data(&(lines.join("\n") + "\n"))?)
}

/// Numbers between -1 and 1 that look like none.
fn numbers(count: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 23) - 1.0
    };
    (0..count).map(|_| next() as f32).collect()
}

fn head(plugin: &Plugin, context: &Context) -> Result<Vec<String>> {
    let (mut one, mut other) = (plugin.head()?, plugin.head()?);
    let about = one.about().clone();
    let width = about.width.unwrap_or(WIDTH);
    let rows = OFFSETS[OFFSETS.len() - 1];
    let vectors = numbers(rows * width);
    let mut lines = vec![format!(
        "describes  {} {}: {} {} from vectors of {}",
        about.name,
        about.version,
        about.outputs.len(),
        about.meaning.name(),
        about.width.map_or_else(|| "any width".to_owned(), |width| format!("{width} numbers")),
    )];
    let ways: [(&str, bool, &Way); 3] = [
        ("pooled", about.takes_pooled, &|head, rows| {
            head.predict(&vectors[rows.start * width..rows.end * width], width)
        }),
        ("residues", about.takes_residues, &|head, rows| {
            let first = OFFSETS.iter().position(|offset| *offset == rows.start).unwrap_or(0);
            let last = OFFSETS.iter().position(|offset| *offset == rows.end).unwrap_or(0);
            let offsets: Vec<usize> =
                OFFSETS[first..=last].iter().map(|offset| offset - rows.start).collect();
            head.predict_residues(&vectors[rows.start * width..rows.end * width], width, &offsets)
        }),
        ("pairs", about.takes_pairs, &|head, rows| {
            let turned: Vec<f32> = vectors.iter().rev().copied().collect();
            let part = rows.start * width..rows.end * width;
            head.predict_pairs(&vectors[part.clone()], &turned[part], width)
        }),
    ];
    for (name, _, way) in ways.into_iter().filter(|(_, takes, _)| *takes) {
        let each_protein = name == "residues";
        let answer = tried(name, &mut one, &mut other, way, each_protein)?;
        let per = if each_protein && about.row == Row::Residue { "residue" } else { "row" };
        lines.push(format!(
            "{name:<10} {answer}; the same bits each time, and alone as in company, per {per}"
        ));
    }
    pass_on(&one.take_log(), &about.name, context);
    Ok(lines)
}

/// A way to ask a head for the rows of a range.
type Way<'a> = dyn Fn(&mut Head, std::ops::Range<usize>) -> Result<Vec<f32>, PluginError> + 'a;

/// All rows at once, again, by another guest, and in parts: the same bits. The answer in words.
fn tried(name: &str, one: &mut Head, other: &mut Head, way: &Way<'_>, proteins: bool) -> Result<String> {
    let rows = OFFSETS[OFFSETS.len() - 1];
    let whole = match way(one, 0..rows) {
        Ok(whole) => whole,
        // It may well have no answer to numbers that mean nothing.
        Err(error @ PluginError::Refused { .. }) => {
            return Ok(format!("no answer to made-up numbers ({error})"));
        }
        Err(error) => return Err(error.into()),
    };
    let bits = |values: &[f32]| -> Vec<u32> { values.iter().map(|value| value.to_bits()).collect() };
    for (who, again) in [("the same guest", way(one, 0..rows)?), ("another guest", way(other, 0..rows)?)] {
        if bits(&again) != bits(&whole) {
            bail!("{name}: asked again, {who} answers with other bits; a plugin must be pure");
        }
    }
    let bounds: Vec<usize> = if proteins { OFFSETS.to_vec() } else { (0..=rows).collect() };
    let mut parts = Vec::new();
    for bound in bounds.windows(2) {
        parts.extend(way(one, bound[0]..bound[1])?);
    }
    if bits(&parts) != bits(&whole) {
        bail!("{name}: a row depends on the rows beside it; asked alone, it has other bits");
    }
    Ok(format!("{} numbers", whole.len()))
}

fn metric(plugin: &Plugin, context: &Context) -> Result<Vec<String>> {
    let (mut one, mut other) = (plugin.metric()?, plugin.metric()?);
    let about = one.about().clone();
    let columns = about.columns.unwrap_or(COLUMNS);
    let rows = OFFSETS[OFFSETS.len() - 1];
    let predictions: Vec<f32> = numbers(rows * columns).iter().map(|value| (value + 1.0) / 2.0).collect();
    let labels: Vec<f32> = (0..rows).map(|row| (row % columns.min(2)) as f32).collect();
    let given =
        Rows { predictions: &predictions, columns, labels: &labels, label_columns: 1, offsets: &OFFSETS };
    let scores = |metric: &mut Metric| -> Result<Vec<Option<u64>>, PluginError> {
        metric.add(&given)?;
        Ok(metric.finish()?.iter().map(|score| score.value.map(f64::to_bits)).collect())
    };
    let names: Vec<&str> = about.scores.iter().map(|score| score.name.as_str()).collect();
    let mut lines = vec![format!("describes  {} {}: {}", about.name, about.version, names.join(", "))];
    match scores(&mut one) {
        Err(error @ PluginError::Refused { .. }) => {
            lines.push(format!("scores     no answer to made-up numbers ({error})"));
        }
        Err(error) => return Err(error.into()),
        Ok(first) => {
            one.restart()?;
            if scores(&mut one)? != first || scores(&mut other)? != first {
                bail!(
                    "asked again, the metric answers with other bits; a plugin must be pure, and init begins anew"
                );
            }
            lines.push("scores     the same bits each time, and after a new init".to_owned());
        }
    }
    pass_on(&one.take_log(), &about.name, context);
    Ok(lines)
}
