//! The loop with a course that learns nothing: what is told, what is kept, and when it is over.

use std::cell::Cell;
use std::fs;
use std::path::Path;

use super::*;
use crate::cli::print::{LogFormat, Printer};
use crate::train::course::Part;

/// Says after its examinations what it was told to say.
struct Actor {
    ranks: Vec<(f64, Option<f64>)>,
    examined: Cell<usize>,
}

impl Course for Actor {
    fn learn(&mut self, packs: Range<u64>, _: f64) -> Result<Told, LearnError> {
        let pairs = packs.end - packs.start;
        let parts = vec![
            Part { name: "right", sum: packs.start as f64, count: pairs },
            Part { name: "none", sum: 0.0, count: 0 },
        ];
        let loss = packs.end as f64;
        Ok(Told {
            loss,
            places: packs.end,
            tokens: 10,
            residues: 8,
            epoch: packs.start / 4,
            parts,
            gradient_norm: 1.0,
        })
    }

    fn sequences(&self, pack: u64) -> Vec<u64> {
        vec![pack]
    }

    fn examine(&self) -> anyhow::Result<Option<Findings>> {
        let number = self.examined.get();
        self.examined.set(number + 1);
        let (loss, rank) = self.ranks[number];
        Ok(Some(Findings {
            loss,
            parts: vec![("held_out_more".into(), None), ("held_out_x".into(), Some(0.5))],
            rank,
            // Where something else than the loss ranks, the best by the loss is kept too.
            other: rank.map(|_| loss),
        }))
    }

    fn save(&self, folder: &Path) -> anyhow::Result<()> {
        Ok(fs::write(folder.join("anything"), "x")?)
    }
}

fn pace<'a>(folder: &'a RunFolder, checkpoint: &'a CheckpointConfig, patience: Option<u64>) -> Pace<'a> {
    Pace {
        folder,
        steps: 20,
        accumulate: 2,
        learning_rate: 0.1,
        schedule: Schedule::Constant { warmup_steps: 0 },
        checkpoint,
        log_every: 4,
        examine: Rhythm::At(vec![1, 3, 5, 7, 11]),
        patience,
        minutes: None,
    }
}

fn progress(steps: u64) -> Progress {
    Printer::new(LogFormat::Text, true).progress_from(0, steps, "steps")
}

fn finish(out: &Path, ranks: &[(f64, Option<f64>)], patience: Option<u64>, from: Option<State>) -> State {
    let folder = RunFolder::open(out, true).unwrap();
    folder.write(super::super::folder::CONFIG_FILE, "x").unwrap();
    let config = CheckpointConfig { keep_last: 1, keep_best: 1, ..CheckpointConfig::default() };
    let mut actor = Actor { ranks: ranks.to_vec(), examined: Cell::new(0) };
    let (state, saved) = (from.clone().unwrap_or_default(), from.is_some());
    let run = Run::new(pace(&folder, &config, patience), &mut actor, state, saved).unwrap();
    run.finish(&progress(20)).unwrap()
}

fn log(out: &Path) -> Vec<Value> {
    let text = fs::read_to_string(out.join("log.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_run_is_over_when_nothing_better_comes() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("run");
    // The rank counts where there is one: less is better, and what is no number is worst.
    let ranks =
        [(1.0, Some(-0.2)), (3.0, Some(-0.7)), (0.5, Some(f64::NAN)), (0.1, Some(-0.7)), (0.0, Some(-0.9))];
    let state = finish(&out, &ranks, Some(2), None);
    assert_eq!((state.step, state.waited), (7, 2));
    assert_eq!(state.best.as_ref().map(|best| (best.step, best.rank())), Some((3, -0.7)));
    let kinds: Vec<(String, u64)> = log(&out)
        .iter()
        .map(|line| (line["kind"].as_str().unwrap().to_owned(), line["step"].as_u64().unwrap()))
        .collect();
    let kinds: Vec<(&str, u64)> = kinds.iter().map(|(kind, step)| (kind.as_str(), *step)).collect();
    let look = |step| ("held_out", step);
    assert_eq!(kinds, [look(1), look(3), ("train", 4), look(5), look(7), ("train", 7)]);
    assert_eq!(state.other.as_ref().map(|other| (other.step, other.other_rank())), Some((7, Some(0.1))));
    for step in [3, 7] {
        assert!(checkpoint::path_of(&out.join("checkpoints"), step).join("anything").exists(), "{step}");
    }
    assert_eq!(
        fs::read_dir(out.join("checkpoints")).unwrap().count(),
        2,
        "the best, and the best by the loss"
    );
    // It goes on from its end as if it had just come to it.
    let again = finish(&out, &[], Some(2), Some(state.clone()));
    assert_eq!(again, state);
    // With more patience it goes on to what is better.
    let more = finish(&out, &[(0.0, Some(-0.9)), (9.0, None)], Some(3), Some(state));
    assert_eq!((more.step, more.best.unwrap().step, more.waited), (20, 11, 1));
    assert_eq!(more.other.unwrap().step, 11);
}

#[test]
fn without_patience_all_steps_are_done() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("run");
    let state = finish(
        &out,
        &[(1.0, None), (3.0, None), (2.0, None), (0.5, None), (4.0, None), (5.0, None)],
        None,
        None,
    );
    assert_eq!((state.step, state.waited, state.best.unwrap().step), (20, 0, 7));
    let lines = log(&out);
    assert_eq!(lines.last().unwrap()["step"], 20);
    // Steps 1 to 4: losses 2, 4, 6, 8 over as many places; parts of 0, 2, 4, 6 over two each.
    let line = lines.iter().find(|line| line["kind"] == "train").unwrap();
    assert_eq!((&line["loss"], &line["right"], &line["none"]), (&6.0.into(), &1.5.into(), &Value::Null));
    let keys: Vec<&String> = line.as_object().unwrap().keys().collect();
    assert_eq!(keys[5..9], ["loss", "none", "right", "learning_rate"]);
    let look = &lines[0];
    assert_eq!((&look["held_out_loss"], &look["held_out_x"]), (&1.0.into(), &0.5.into()));
    assert!(look["held_out_more"].is_null() && look.get("held_out_masked_loss").is_none());
}

#[test]
fn the_best_by_two_numbers_are_kept() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("run");
    let ranks = [
        (1.0, Some(-0.2)),
        (0.5, Some(-0.3)),
        (3.0, Some(-0.7)),
        (2.0, Some(-0.1)),
        (4.0, Some(-0.4)),
        (5.0, Some(0.0)),
    ];
    let state = finish(&out, &ranks, None, None);
    assert_eq!((state.best.unwrap().step, state.other.unwrap().step), (5, 3));
    let mut kept: Vec<String> = fs::read_dir(out.join("checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    kept.sort_unstable();
    assert_eq!(kept, ["step_00000003", "step_00000005", "step_00000020"]);
}
