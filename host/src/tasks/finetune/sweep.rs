//! `pliant sweep`: the same fine-tuning for every combination of some values.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use serde_json::{Map, Value, json};

use super::account::spread;
use super::examples::Examples;
use super::{Work, trainings};
use crate::Context;
use crate::cli::finetune::FinetunePlan;
use crate::cli::sweep::{Axis, SweepPlan};
use crate::exit::TaskError;
use crate::supervised::card::no_task;
use crate::supervised::registry;
use crate::tasks::files;
use crate::train::tuning::{self, TuningConfig};

/// Changes when files of the same settings would mean something else.
const SCHEMA: u64 = 1;

/// What a combination that is done leaves in its folder.
const DONE: &str = "sweep_cell.json";

/// Numbers of a training that stand in the table after the measures, in this order.
const NUMBERS: [&str; 5] =
    ["epochs", "trainable_parameters", "parameters", "train_seconds", "peak_memory_bytes"];

/// One combination.
struct Cell {
    /// A value for each key of the grid.
    values: Vec<String>,
    /// The folder below that of the sweep.
    folder: String,
}

/// Trains all combinations that are not done yet, one after the other.
///
/// # Errors
/// Whatever ends one of them; those that are done stay.
pub fn run(plan: &SweepPlan, context: &Context) -> anyhow::Result<()> {
    let cells = cells(&plan.grid);
    if plan.list {
        return Ok(context.print.data(&listed(&plan.grid, &cells))?);
    }
    let configs: Vec<TuningConfig> =
        cells.iter().map(|cell| config(plan, cell)).collect::<anyhow::Result<_>>()?;
    let out = plan.finetune.out.as_deref().context("--out names no folder")?;
    let begun = out.exists() && fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some());
    if begun && !plan.finetune.resume {
        let what = format!("the folder {} is not empty: name another, or go on with --resume", out.display());
        return Err(TaskError::Usage { what }.into());
    }
    files::make_folder(out)?;
    // What a cell has begun goes on.
    let each = FinetunePlan { resume: true, ..plan.finetune.clone() };
    let begin = Instant::now();
    let mut rows = Vec::new();
    for (number, (cell, config)) in cells.iter().zip(&configs).enumerate() {
        let folder = out.join(&cell.folder);
        context.print.note(&format!("{} of {}: {}", number + 1, cells.len(), cell.folder));
        let task = registry::find(&config.task.name).ok_or_else(|| no_task(&config.task.name))?;
        let work = Work { plan: &each, config, task, out: &folder, begin };
        let told = match done(&work)? {
            Some(told) => told,
            None => {
                let text = format!("{:#}\n", Value::Array(trainings(&work, context)?));
                files::text_file(&folder.join(DONE), &text)?.commit()?;
                // As whoever goes on reads it, to the last bit.
                serde_json::from_str(&text)?
            }
        };
        rows.push(row(&plan.grid, cell, &told));
        write(out, &plan.grid, &rows)?;
    }
    Ok(())
}

/// Every combination; the last key changes first.
fn cells(grid: &[Axis]) -> Vec<Cell> {
    let mut all: Vec<Vec<String>> = vec![Vec::new()];
    for axis in grid {
        let longer = |values: &Vec<String>| {
            axis.values
                .iter()
                .map(|value| [values.as_slice(), std::slice::from_ref(value)].concat())
                .collect()
        };
        all = all.iter().flat_map(|values| -> Vec<Vec<String>> { longer(values) }).collect();
    }
    let cell = |values: Vec<String>| Cell { folder: name(grid, &values), values };
    all.into_iter().map(cell).collect()
}

/// A folder that tells a reader what is in it, and a program with its last part that nothing else is.
fn name(grid: &[Axis], values: &[String]) -> String {
    const LONGEST: usize = 80;
    let whole: Vec<String> =
        grid.iter().zip(values).map(|(axis, value)| format!("{}={value}", axis.key)).collect();
    let digest = blake3::hash(whole.join("\n").as_bytes()).to_hex();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || ".-_=".contains(letter);
    let word = |(axis, value): (&Axis, &String)| {
        let key = axis.key.rsplit('.').next().unwrap_or(&axis.key);
        let value: String =
            value.replace(", ", "+").chars().filter(|&letter| plain(letter) || letter == '+').collect();
        format!("{key}={value}")
    };
    let text: Vec<String> = grid.iter().zip(values).map(word).collect();
    let text: String =
        text.join("_").chars().filter(|&letter| plain(letter) || letter == '+').take(LONGEST).collect();
    format!("{text}_{}", &digest[..8])
}

fn listed(grid: &[Axis], cells: &[Cell]) -> String {
    let keys: Vec<&str> = grid.iter().map(|axis| axis.key.as_str()).collect();
    let mut text = format!("folder\t{}\n", keys.join("\t"));
    for cell in cells {
        // Writing into a text does not fail.
        let _ = writeln!(text, "{}\t{}", cell.folder, cell.values.join("\t"));
    }
    text
}

/// The configuration of a combination.
fn config(plan: &SweepPlan, cell: &Cell) -> anyhow::Result<TuningConfig> {
    let own = plan.grid.iter().zip(&cell.values).map(|(axis, value)| format!("{}={value}", axis.key));
    let sets: Vec<String> = plan.finetune.sets.iter().cloned().chain(own).collect();
    Ok(tuning::read(plan.finetune.config.as_deref(), &sets, &plan.finetune.changes)?)
}

/// What a combination has told, where it is done: with the very configuration and examples.
fn done(work: &Work<'_>) -> anyhow::Result<Option<Value>> {
    let path = work.out.join(DONE);
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let told: Value =
        serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))?;
    let seeds = work.plan.seeds.unwrap_or(1);
    let facts = Examples::read(work.task, work.config)?.json();
    let same = |(turn, training): (u64, &Value)| {
        let mut config = work.config.clone();
        config.run.seed = config.run.seed.wrapping_add(turn);
        training["config"] == config.settings() && facts.iter().all(|(key, value)| training[*key] == *value)
    };
    let list = told.as_array().map_or(&[][..], Vec::as_slice);
    if list.len() as u64 == seeds && (0..).zip(list).all(same) {
        return Ok(Some(told));
    }
    let what = format!(
        "{} was done with another configuration, other examples or other seeds: name another folder with --out",
        work.out.display()
    );
    Err(TaskError::Usage { what }.into())
}

/// What the table has of a combination: its values, then measures and numbers with the spread over seeds.
fn row(grid: &[Axis], cell: &Cell, told: &Value) -> Value {
    let trainings = told.as_array().map_or(&[][..], Vec::as_slice);
    let over = |of: &dyn Fn(&Value) -> Option<f64>| {
        let found: Vec<f64> = trainings.iter().filter_map(of).collect();
        let (mean, deviation) = spread(&found);
        json!({ "mean": mean, "deviation": deviation })
    };
    let names: BTreeSet<&String> =
        trainings.iter().filter_map(|training| training["best"].as_object()).flat_map(Map::keys).collect();
    let measures: Map<String, Value> = names
        .into_iter()
        .map(|name| (name.clone(), over(&|training| training["best"][name].as_f64())))
        .collect();
    let numbers: Map<String, Value> =
        NUMBERS.iter().map(|name| ((*name).to_owned(), over(&|training| training[*name].as_f64()))).collect();
    let values: Map<String, Value> =
        grid.iter().zip(&cell.values).map(|(axis, value)| (axis.key.clone(), json!(value))).collect();
    json!({
        "folder": cell.folder, "values": values, "seeds": trainings.len(), "best": measures, "numbers": numbers,
    })
}

/// The tables as far as they are known.
fn write(out: &Path, grid: &[Axis], rows: &[Value]) -> anyhow::Result<()> {
    let keys: Vec<&str> = grid.iter().map(|axis| axis.key.as_str()).collect();
    let object = json!({ "schema": SCHEMA, "grid": keys, "cells": rows });
    files::text_file(&out.join("sweep.json"), &format!("{object:#}\n"))?.commit()?;
    let measures: BTreeSet<&String> =
        rows.iter().filter_map(|row| row["best"].as_object()).flat_map(Map::keys).collect();
    let spreads = rows.iter().any(|row| row["seeds"].as_u64().is_some_and(|seeds| seeds > 1));
    let mut columns: Vec<String> = vec!["folder".to_owned()];
    columns.extend(keys.iter().map(|&key| key.to_owned()));
    columns.push("seeds".to_owned());
    let of: Vec<(&str, &str)> = measures
        .iter()
        .map(|name| ("best", name.as_str()))
        .chain(NUMBERS.iter().map(|&name| ("numbers", name)))
        .collect();
    for (section, name) in &of {
        let name = if *name == "step" { "best_step" } else { name };
        columns.push(name.to_owned());
        if spreads && *section == "best" {
            columns.push(format!("{name}_deviation"));
        }
    }
    let mut text = columns.join("\t") + "\n";
    for row in rows {
        let plain = |value: &Value| match value {
            Value::Null => String::new(),
            Value::String(word) => word.clone(),
            other => other.to_string(),
        };
        let mut cells = vec![plain(&row["folder"])];
        cells.extend(keys.iter().map(|key| plain(&row["values"][*key])));
        cells.push(plain(&row["seeds"]));
        for (section, name) in &of {
            let value = &row[*section][*name];
            cells.push(plain(&value["mean"]));
            if spreads && *section == "best" {
                cells.push(plain(&value["deviation"]));
            }
        }
        text += &(cells.join("\t") + "\n");
    }
    Ok(files::text_file(&out.join("sweep.tsv"), &text)?.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_has_a_folder_of_its_own() {
        let axis = |key: &str, values: &[&str]| Axis {
            key: key.to_owned(),
            values: values.iter().map(|&value| value.to_owned()).collect(),
        };
        let grid = [
            axis("head.hidden", &["4", "8"]),
            axis("data.classes", &["[\"a\", \"b\"]", "[\"a b\"]", "x/../y"]),
        ];
        let found = cells(&grid);
        let names: BTreeSet<&str> = found.iter().map(|cell| cell.folder.as_str()).collect();
        assert_eq!((found.len(), names.len()), (6, 6));
        assert!(found[0].folder.starts_with("hidden=4_classes=a+b_"), "{}", found[0].folder);
        assert!(names.iter().all(|name| !name.contains('/') && name.len() < 100), "{names:?}");
        assert_eq!(found[1].values, ["4", "[\"a b\"]"]);
        // A folder depends on its own values alone.
        let grown = [axis("head.hidden", &["2", "4"]), grid[1].clone()];
        assert!(cells(&grown).iter().any(|cell| cell.folder == found[0].folder));
    }
}
