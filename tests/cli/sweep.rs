//! `pliant sweep`: every combination once, one table, and nothing twice.

use std::fmt::Write as _;

use serde_json::Value;

use crate::tool::Scratch;

fn scratch() -> Scratch {
    let scratch = Scratch::new();
    let mut table = "id\tsequence\tlabel\n".to_owned();
    for row in 0..40 {
        let letters = ["LAGVS", "KRDEN"][row % 2].repeat(4 + row % 3);
        let _ = writeln!(table, "p{row}\t{}\t{}", &letters[row % 5..], ["x", "y"][row % 2]);
    }
    scratch.write("t.tsv", table);
    scratch
}

fn words<'a>(grids: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["sweep", "--task", "classification", "--train", "t.tsv", "--valid-fraction", "0.3"];
    words.extend(["--model", "composition", "--set", "run.epochs=2"]);
    grids.iter().for_each(|grid| words.extend(["--grid", grid]));
    words.extend(more);
    words
}

const GRID: [&str; 2] = ["head.hidden=4,8", "optimizer.learning_rate=1e-3,0.05"];

fn rows(scratch: &Scratch, name: &str) -> Vec<Vec<String>> {
    scratch.text(name).lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

#[test]
fn every_combination_has_a_row_and_nothing_is_done_twice() {
    let scratch = scratch();
    let listed = scratch.run(&words(&GRID, &["--list", "--out", "s"])).go().code(0).text();
    assert_eq!(listed.lines().count(), 5, "{listed}");
    assert!(listed.starts_with("folder\thead.hidden\toptimizer.learning_rate\nhidden=4_learning_rate=1e-3_"));
    assert!(!scratch.path("s").exists());
    scratch.run(&words(&GRID, &["--out", "s"])).go().code(0);
    let table = rows(&scratch, "s/sweep.tsv");
    let column = |name: &str| {
        table[0].iter().position(|found| found == name).unwrap_or_else(|| panic!("{name}: {:?}", table[0]))
    };
    assert_eq!(table.len(), 5);
    assert_eq!(table[1..].iter().map(|row| row[1].as_str()).collect::<Vec<_>>(), ["4", "4", "8", "8"]);
    for row in &table[1..] {
        for name in ["accuracy", "held_out_loss", "train_seconds", "peak_memory_bytes", "best_step"] {
            assert!(row[column(name)].parse::<f64>().is_ok(), "{name}: {row:?}");
        }
        let hidden: f64 = row[1].parse().unwrap();
        assert_eq!(
            row[column("trainable_parameters")].parse::<f64>().unwrap(),
            22.0 * hidden + 2.0 * hidden + 2.0
        );
    }
    // The row is what the folder says.
    let folder = &table[1][0];
    let training: Value =
        serde_json::from_slice(&scratch.read(&format!("s/{folder}/training.json"))).unwrap();
    let found: f64 = table[1][column("held_out_loss")].parse().unwrap();
    assert_eq!(training["best"]["held_out_loss"].as_f64().unwrap(), found);
    // One was never finished: it alone is done again, to the same numbers.
    let before = scratch.read("s/sweep.tsv");
    std::fs::remove_dir_all(scratch.path(&format!("s/{}", table[2][0]))).unwrap();
    std::fs::remove_file(scratch.path("s/sweep.tsv")).unwrap();
    let cell = format!("s/{folder}/sweep_cell.json");
    let written = std::fs::metadata(scratch.path(&cell)).unwrap().modified().unwrap();
    scratch.run(&words(&GRID, &["--out", "s", "--resume"])).go().code(0);
    assert_eq!(std::fs::metadata(scratch.path(&cell)).unwrap().modified().unwrap(), written);
    let again = rows(&scratch, "s/sweep.tsv");
    let without_time = |rows: &[Vec<String>]| -> Vec<Vec<String>> {
        let times = [column("train_seconds"), column("peak_memory_bytes")];
        let keep = |row: &Vec<String>| {
            row.iter()
                .enumerate()
                .filter(|(place, _)| !times.contains(place))
                .map(|(_, cell)| cell.clone())
                .collect()
        };
        rows.iter().map(keep).collect()
    };
    assert_eq!(without_time(&again), without_time(&table));
    assert_eq!(again[1], table[1], "what was done keeps its time too");
    assert!(!before.is_empty());
    // A grid may grow.
    scratch.run(&words(&["head.hidden=2,4,8", GRID[1]], &["--out", "s", "--resume"])).go().code(0);
    assert_eq!(rows(&scratch, "s/sweep.tsv").len(), 7);
    assert_eq!(std::fs::metadata(scratch.path(&cell)).unwrap().modified().unwrap(), written);
}

#[test]
fn several_seeds_have_their_spread_in_the_row() {
    let scratch = scratch();
    scratch.run(&words(&["head.hidden=4"], &["--out", "s", "--seeds", "3"])).go().code(0);
    let table = rows(&scratch, "s/sweep.tsv");
    let column = |name: &str| table[0].iter().position(|found| found == name).unwrap();
    assert_eq!((table.len(), table[1][column("seeds")].as_str()), (2, "3"));
    assert!(table[1][column("held_out_loss_deviation")].parse::<f64>().unwrap() > 0.0);
    let seeds = rows(&scratch, &format!("s/{}/seeds.tsv", table[1][0]));
    assert_eq!(seeds[0], ["measure", "mean", "deviation", "least", "most", "seed_1", "seed_2", "seed_3"]);
    let loss = seeds.iter().find(|row| row[0] == "held_out_loss").unwrap();
    assert_eq!(loss[1], table[1][column("held_out_loss")]);
    let each: Vec<f64> = loss[5..].iter().map(|cell| cell.parse().unwrap()).collect();
    let mean: f64 = loss[1].parse().unwrap();
    assert!((each.iter().sum::<f64>() / 3.0 - mean).abs() < 1e-12);
    // Another number of seeds is another sweep.
    let ended =
        scratch.run(&words(&["head.hidden=4"], &["--out", "s", "--seeds", "2", "--resume"])).go().code(2);
    assert!(ended.stderr.contains("other seeds"), "{}", ended.stderr);
}

#[test]
fn what_is_wrong_is_named_before_anything_is_trained() {
    let scratch = scratch();
    let refused = |grids: &[&str], more: &[&str], code: i32, wanted: &[&str]| {
        let ended = scratch.run(&[&words(grids, more)[..], &["--out", "bad"]].concat()).go().code(code);
        for wanted in wanted {
            assert!(ended.stderr.contains(wanted), "{grids:?}: {}", ended.stderr);
        }
    };
    refused(&["head.hidden"], &[], 2, &["--grid", "KEY=VALUES"]);
    refused(&["head.hidden=4,4"], &[], 2, &["head.hidden has the value 4 twice"]);
    refused(&["head.hidden=4", "head.hidden=8"], &[], 2, &["has the key head.hidden twice"]);
    refused(&["head.hiden=4"], &[], 65, &["head.hiden", "head.hidden"]);
    refused(&["head.hidden=4,x"], &[], 65, &["head.hidden", "x"]);
    refused(&["run.epochs=1,2"], &[], 2, &["run.epochs", "another flag"]);
    refused(&["tuning.encoder=frozen,all"], &["--tune", "frozen"], 2, &["tuning.encoder", "another flag"]);
    refused(&["head.hidden=4"], &["--print-config"], 2, &["--list"]);
    assert!(!scratch.path("bad").exists());
    scratch.run(&words(&["head.hidden=4"], &["--out", "s"])).go().code(0);
    let ended = scratch.run(&words(&["head.hidden=4"], &["--out", "s"])).go().code(2);
    assert!(ended.stderr.contains("--resume"), "{}", ended.stderr);
    // What is done was done with other examples.
    let table = scratch.text("t.tsv").replace("p0\tLAGVS", "p0\tLAGVV");
    scratch.write("t.tsv", table);
    let ended = scratch.run(&words(&["head.hidden=4"], &["--out", "s", "--resume"])).go().code(2);
    assert!(ended.stderr.contains("other examples"), "{}", ended.stderr);
}
