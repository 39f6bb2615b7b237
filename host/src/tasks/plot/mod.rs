//! `pliant plot`: logs of training as line charts.

mod error;
mod log;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pliant_store::StoreError;
use pliant_store::picture::chart::{Chart, Key, Line, Panel, Pen, Scale, draw_chart};

use crate::Context;
use crate::cli::plot::{Keys, PlotPlan};
pub use error::PlotError;
use log::{LOG_FILE, Log, Wanted};

/// What is drawn, as far as it is there, where nothing is asked for.
const USUAL: [&str; 2] = ["loss", "held_out_loss"];

/// A log with the name of its run.
struct Run {
    name: String,
    log: Log,
}

/// Reads the logs and draws them.
///
/// # Errors
/// Whatever ends the run; the picture has then not changed.
pub fn run(plan: &PlotPlan, context: &Context) -> anyhow::Result<()> {
    let usual = || vec![Keys(USUAL.map(str::to_owned).to_vec())];
    let asked = plan.panels.clone().unwrap_or_else(usual);
    let mut keys: Vec<String> = Vec::new();
    for key in asked.iter().flat_map(|panel| &panel.0) {
        if !keys.contains(key) {
            keys.push(key.clone());
        }
    }
    let wanted = Wanted { across: plan.across.key(), keys: &keys };
    let files: Vec<PathBuf> = plan.logs.iter().map(|log| log::file_of(log)).collect();
    let logs: Vec<Log> = files.iter().map(|file| Log::read(file, &wanted)).collect::<Result<_, _>>()?;
    for (file, log) in files.iter().zip(&logs) {
        if let Some(line) = log.cut_line {
            let file = file.display();
            context
                .print
                .warning(&format!("{file}:{line} is not complete and left out: it may be being written"));
        }
    }
    let runs: Vec<Run> = names(&files).into_iter().zip(logs).map(|(name, log)| Run { name, log }).collect();
    let panels = present(&asked, &runs, plan.panels.is_some())?;
    draw(plan, &runs, &keys, &panels)
}

/// The panels without the names that no log has, which may be only where nothing was asked for.
fn present(asked: &[Keys], runs: &[Run], must: bool) -> Result<Vec<Keys>, PlotError> {
    let found: BTreeSet<&str> = runs.iter().flat_map(|run| &run.log.found).map(String::as_str).collect();
    let missing = |key: &&String| !found.contains(key.as_str());
    let known = || match found.iter().copied().collect::<Vec<_>>() {
        names if names.is_empty() => "no numbers at all".to_owned(),
        names => names.join(", "),
    };
    let there = |panel: &Keys| {
        let keys = panel.0.iter();
        let lacking = keys.clone().find(missing);
        let there: Vec<String> = keys.filter(|key| !missing(key)).cloned().collect();
        match lacking {
            Some(key) if must || there.is_empty() => {
                Err(PlotError::NoSuchKey { key: key.clone(), found: known() })
            }
            _ => Ok(Keys(there)),
        }
    };
    asked.iter().map(there).collect()
}

/// Draws the panels and gives the file its name.
fn draw(plan: &PlotPlan, runs: &[Run], keys: &[String], panels: &[Keys]) -> anyhow::Result<()> {
    let scale = if plan.log_y { Scale::Log } else { Scale::Linear };
    let mut shown = Vec::new();
    for panel in panels {
        let lines = lines(plan, runs, keys, panel);
        let mut heights = lines.iter().flat_map(|line| &line.points).map(|(_, y)| *y);
        if !heights.any(|y| y.is_finite() && (y > 0.0 || scale == Scale::Linear)) {
            return Err(PlotError::Nothing { keys: panel.0.join(", "), log: plan.log_y }.into());
        }
        shown.push((panel.0.join(", ").replace('_', " "), lines));
    }
    let legend = legend(runs, panels);
    let legend: Vec<Key<'_>> = legend.iter().map(|(name, pen)| Key { name, pen: *pen }).collect();
    let panel = |(label, lines)| Panel { label, scale, lines };
    let panels: Vec<Panel<'_>> = shown.iter().map(|(label, lines)| panel((label, lines))).collect();
    let chart = Chart { title: &plan.title, across: plan.across.name(), legend: &legend, panels: &panels };
    let drawn = match draw_chart(&plan.out, plan.format, &chart) {
        // All of what is asked for is there, and yet has no place.
        Err(StoreError::Plan { .. }) => return Err(PlotError::TooWide.into()),
        drawn => drawn?,
    };
    Ok(drawn.commit()?)
}

/// How a key of a run is drawn: runs have colours and keys dashes; a run that is alone has its colours for its keys.
fn pen(runs: &[Run], run: usize, key: usize) -> Pen {
    if runs.len() == 1 { Pen::of(key, 0) } else { Pen::of(run, key) }
}

/// The lines of a panel: means lie over the points that they are of.
fn lines(plan: &PlotPlan, runs: &[Run], keys: &[String], panel: &Keys) -> Vec<Line> {
    let (mut below, mut above) = (Vec::new(), Vec::new());
    for (number, run) in runs.iter().enumerate() {
        for (dash, key) in panel.0.iter().enumerate() {
            let points = run.log.points.iter().filter(|point| keys[point.key] == *key);
            let pen = pen(runs, number, dash);
            let all: Vec<(f64, f64)> = points.clone().map(|point| (point.x, point.y)).collect();
            if plan.smooth > 1 && !points.clone().any(|point| point.held_out) {
                above.push(Line { pen, points: means(&all, plan.smooth) });
                below.push(Line { pen: Pen { pale: true, dash: 0, ..pen }, points: all });
            } else {
                above.push(Line { pen, points: all });
            }
        }
    }
    below.extend(above);
    below
}

/// Of each point the mean of the `count` points around it, fewer towards the ends, so that it leans to no side. What is
/// no number has no part in it.
fn means(points: &[(f64, f64)], count: usize) -> Vec<(f64, f64)> {
    let mean = |(place, &(x, y)): (usize, &(f64, f64))| {
        let room = place.min(points.len() - 1 - place);
        let (before, after) = ((count / 2).min(room), ((count - 1) / 2).min(room));
        let around = &points[place - before..=place + after];
        let numbers: Vec<f64> = around.iter().map(|(_, y)| *y).filter(|y| y.is_finite()).collect();
        (x, if y.is_finite() { numbers.iter().sum::<f64>() / numbers.len() as f64 } else { y })
    };
    points.iter().enumerate().map(mean).collect()
}

/// What the lines are: the keys of a run that is alone, else the runs, and the keys where a panel has several.
fn legend(runs: &[Run], panels: &[Keys]) -> Vec<(String, Pen)> {
    let mut legend: Vec<(String, Pen)> = Vec::new();
    let mut add = |name: &str, pen: Pen| {
        if !legend.iter().any(|known| known.0 == name && known.1 == pen) {
            legend.push((name.to_owned(), pen));
        }
    };
    if runs.len() > 1 {
        runs.iter().enumerate().for_each(|(number, run)| add(&run.name, Pen::of(number, 0)));
    }
    let alone = runs.len() == 1;
    for panel in panels.iter().filter(|panel| alone && panels.len() == 1 || panel.0.len() > 1) {
        for (number, key) in panel.0.iter().enumerate() {
            add(key, if alone { Pen::of(number, 0) } else { Pen::of(Pen::GREY, number) });
        }
    }
    legend
}

/// What the runs are called: `log.jsonl` by its folder, `NAME.log.jsonl` and any other file by its name; by their whole paths where two would be
/// called the same.
fn names(files: &[PathBuf]) -> Vec<String> {
    let short: Vec<String> = files.iter().map(|file| short_name(file)).collect();
    let doubled = |name: &String| short.iter().filter(|other| *other == name).count() > 1;
    let named = |(file, name): (&PathBuf, &String)| {
        if doubled(name) { file.display().to_string() } else { name.clone() }
    };
    files.iter().zip(&short).map(named).collect()
}

fn short_name(file: &Path) -> String {
    let text = |name: &std::ffi::OsStr| name.to_string_lossy().into_owned();
    let folder = || Some(text(file.canonicalize().ok()?.parent()?.file_name()?));
    let own = || {
        let stem = file.file_stem().map(text).unwrap_or_default();
        stem.strip_suffix(".log").map(str::to_owned).unwrap_or(stem)
    };
    if file.file_name().is_some_and(|name| name == LOG_FILE) { folder().unwrap_or_else(own) } else { own() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_lean_to_no_side() {
        let points = [(1.0, 4.0), (2.0, 2.0), (3.0, f64::NAN), (4.0, 6.0), (5.0, 7.0), (6.0, 8.0)];
        let found = means(&points, 3);
        assert_eq!(found[..2], [(1.0, 4.0), (2.0, 3.0)]);
        assert!(found[2].1.is_nan(), "a gap stays one");
        assert_eq!(found[3..], [(4.0, 6.5), (5.0, 7.0), (6.0, 8.0)]);
        assert_eq!(means(&points[3..], 2), [(4.0, 6.0), (5.0, 6.5), (6.0, 8.0)]);
        assert_eq!(means(&points[..2], 1), points[..2]);
    }

    #[test]
    fn runs_are_called_by_what_tells_them_apart() {
        let paths = |texts: &[&str]| texts.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(names(&paths(&["a/one.jsonl", "b/two.jsonl"])), ["one", "two"]);
        assert_eq!(names(&paths(&["a/one.jsonl", "b/one.jsonl"])), ["a/one.jsonl", "b/one.jsonl"]);
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("small");
        std::fs::create_dir(&run).unwrap();
        std::fs::write(run.join(LOG_FILE), "").unwrap();
        assert_eq!(names(&[log::file_of(&run)]), ["small"]);
        assert_eq!(names(&paths(&["-", "a/large.log.jsonl"])), ["-", "large"]);
    }

    #[test]
    fn colours_tell_runs_apart_and_dashes_keys() {
        let run = |name: &str| Run { name: name.to_owned(), log: Log::default() };
        let keys = |names: &[&str]| Keys(names.iter().map(|&name| name.to_owned()).collect());
        let one = legend(&[run("a")], &[keys(&["loss", "held_out_loss"])]);
        assert_eq!(one, [("loss".to_owned(), Pen::of(0, 0)), ("held_out_loss".to_owned(), Pen::of(1, 0))]);
        let two = legend(&[run("a"), run("b")], &[keys(&["loss", "held_out_loss"]), keys(&["seconds"])]);
        let names: Vec<&str> = two.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "b", "loss", "held_out_loss"]);
        assert_eq!(two[3].1, Pen::of(Pen::GREY, 1));
        assert!(legend(&[run("a")], &[keys(&["loss"]), keys(&["seconds"])]).is_empty());
    }
}
