//! `pliant plugin bench`: how long a plugin takes.

use std::time::{Duration, Instant};

use anyhow::Result;
use pliant_plugin::{PluginError, Rows, World};
use pliant_store::read_vectors;

use crate::Context;
use crate::cli::plugin::BenchArgs;
use crate::exit::TaskError;
use crate::plugins;

/// Rounds that are timed; the middle one is told.
const ROUNDS: usize = 7;

pub(super) fn run(args: &BenchArgs, context: &Context) -> Result<()> {
    let start = Instant::now();
    let (manifest, plugin) = plugins::load(&args.guest.manifest, &args.guest.flags.words())?;
    let compiled = start.elapsed();
    let (rows, took) = match plugin.world() {
        World::Head => {
            let mut head = plugin.head()?;
            let (vectors, width) = vectors(args, head.about().width)?;
            let rows = vectors.len() / width;
            let about = head.about().clone();
            let offsets: Vec<usize> = (0..=rows).collect();
            let took = middle(|| match (about.takes_pooled, about.takes_residues) {
                (true, _) => head.predict(&vectors, width).map(drop),
                (false, true) => head.predict_residues(&vectors, width, &offsets).map(drop),
                (false, false) => head.predict_pairs(&vectors, &vectors, width).map(drop),
            })?;
            (rows, took)
        }
        World::Metric => {
            let mut metric = plugin.metric()?;
            let (predictions, columns) = vectors(args, metric.about().columns.or(Some(3)))?;
            let rows = predictions.len() / columns;
            let labels = vec![0.0; rows];
            let offsets: Vec<usize> = (0..=rows).collect();
            let given = Rows {
                predictions: &predictions,
                columns,
                labels: &labels,
                label_columns: 1,
                offsets: &offsets,
            };
            let took = middle(|| {
                metric.restart()?;
                metric.add(&given)?;
                metric.finish().map(drop)
            })?;
            (rows, took)
        }
    };
    let start = Instant::now();
    let begun = match plugin.world() {
        World::Head => plugin.head().map(|_| start.elapsed())?,
        World::Metric => plugin.metric().map(|_| start.elapsed())?,
    };
    let text = format!(
        "{} {}: read and compiled in {:.1} ms, brought to life in {:.3} ms, {:.3} µs a row ({rows} rows, middle of {ROUNDS})\n",
        manifest.name(),
        manifest.version(),
        milliseconds(compiled),
        milliseconds(begun),
        milliseconds(took) * 1000.0 / rows.max(1) as f64,
    );
    Ok(context.print.data(&text)?)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// The vectors of the file, or made-up ones.
fn vectors(args: &BenchArgs, width: Option<usize>) -> Result<(Vec<f32>, usize)> {
    if let Some(input) = &args.input {
        let vectors = read_vectors(input, width)?;
        return Ok((vectors.values, vectors.width));
    }
    let width = width.unwrap_or(args.width);
    if args.rows == 0 || width == 0 {
        return Err(TaskError::Usage { what: "--rows and --width need at least 1".to_owned() }.into());
    }
    let number = |place: usize| ((place * 37 % 101) as f32 - 50.0) / 50.0;
    Ok(((0..args.rows * width).map(number).collect(), width))
}

/// The middle time of some rounds, after one that is not timed.
fn middle(mut round: impl FnMut() -> Result<(), PluginError>) -> Result<Duration, PluginError> {
    round()?;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        round()?;
        times.push(start.elapsed());
    }
    times.sort();
    Ok(times[ROUNDS / 2])
}
