//! Screens of random proteins, beside what plain loops find, in every way of cutting the work.

mod asks;

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use pliant_kernels::Device;
use pliant_kernels::rng::Philox;
use tempfile::TempDir;

use super::answer::{Answer, Row};
use super::asked::{Asked, Side};
use super::kill::POINTS;
use super::part::{self, Head};
use super::report::{About, ReportFormat};
use super::run::{Order, run};
use super::scorer::Scorer;
use super::tally::{Keep, Tally};
use super::work::Limits;
use super::{Edge, Proteins, ScreenError, Shard};
use crate::kill::KILL_AT;

/// More than two units of work, and no multiple of anything.
const PROTEINS: usize = 1037;

const UNITS: usize = 6;

/// Names the folder in which the process of [`works_until_it_is_killed`] works.
const FOLDER: &str = "PLIANT_TEST_KILL_FOLDER";

/// Names what it keeps.
const KEEPS: &str = "PLIANT_TEST_KILL_KEEPS";

fn ids() -> Vec<String> {
    (0..PROTEINS).map(|number| format!("p{number}")).collect()
}

/// Some proteins are the same, so that some logits are.
fn scorer(threads: usize) -> Scorer {
    let random = Philox::new(7, 1, 0);
    let number = |protein: usize, unit: usize| {
        let protein = if protein % 9 == 4 { protein % 50 } else { protein };
        random.normal((protein * UNITS + unit) as u64)
    };
    let numbers = (0..PROTEINS).flat_map(|protein| (0..UNITS).map(move |unit| (protein, unit)));
    let numbers = numbers.map(|(protein, unit)| number(protein, unit)).collect();
    let weights: Vec<f32> = (0..UNITS).map(|unit| unit as f32 - 2.25).collect();
    Scorer::new(Device::cpu(threads).unwrap(), &ids(), numbers, (&weights, 0.5)).unwrap()
}

fn sides() -> Asked {
    let side = |number: usize| match number {
        _ if number % 97 == 13 => Side::Both,
        0..700 => Side::First,
        _ => Side::Second,
    };
    Asked::Between((0..PROTEINS).map(side).collect())
}

fn listed() -> Asked {
    let mut pairs: Vec<[u32; 2]> = (0..4000_u32)
        .map(|pair| [pair * 31 % 1000, pair * 17 % 37 + 1000])
        .chain((0..40).map(|other| [3, 4 + other]))
        .collect();
    pairs.sort_unstable();
    pairs.dedup();
    Asked::Listed(pairs)
}

const BEST: Keep = Keep { best: Some(3), least: f32::NEG_INFINITY };
const ABOVE: Keep = Keep { best: Some(5), least: 4.0 };
const ALL: Keep = Keep { best: None, least: f32::NEG_INFINITY };
const CUT: Keep = Keep { best: None, least: 6.5 };

fn head(scorer: &Scorer, keep: Keep, shard: Shard) -> Head {
    Head {
        screen: format!("{keep:?}"),
        shard,
        proteins: Proteins { ids: ids(), lengths: Some(vec![9; PROTEINS]), identities: None },
        about: About { metadata: "{}".to_owned(), prevalence: "1:300".to_owned(), ..About::default() },
        largest: scorer.largest().to_bits(),
        best: keep.best,
        least: keep.least.to_bits(),
        done: 0,
        edges: None,
    }
}

/// A way to cut the work.
#[derive(Clone, Copy)]
struct Way {
    threads: usize,
    columns: usize,
    shards: usize,
}

/// The answer as text, made in a way.
fn answer(asked: &Asked, keep: Keep, way: Way) -> String {
    answer_of(&scorer(way.threads), asked, keep, way)
}

/// The same of any scorer.
fn answer_of(scorer: &Scorer, asked: &Asked, keep: Keep, way: Way) -> String {
    let folder = tempfile::tempdir().unwrap();
    let part = |number: usize| {
        let out = folder.path().join(format!("{number}.screen"));
        let order = Order {
            scorer,
            asked,
            head: head(scorer, keep, Shard { number, count: way.shards }),
            limits: Limits { columns: way.columns, most: u64::MAX },
            folder: None,
            out: &out,
            format: None,
        };
        run(order, |_| {}, |_, _| Ok(())).unwrap();
        part::read(&out).unwrap()
    };
    let mut parts: Vec<part::Part> = (1..=way.shards).map(part).collect();
    // In any order.
    parts.reverse();
    let mut parts = parts.into_iter();
    let mut whole = parts.next().unwrap();
    parts.for_each(|part| whole.tally.add(part.tally));
    let answer = Answer::of(whole.tally, scorer.step());
    let out = folder.path().join("out.tsv");
    let from = (&whole.head.proteins, &answer);
    super::report::write(&out, ReportFormat::ALL[0], from, &whole.head.about).unwrap().commit().unwrap();
    std::fs::read_to_string(out).unwrap()
}

/// Rows by plain loops over every pair.
fn plain(asked: &Asked, keep: Keep) -> Vec<Row> {
    let scorer = scorer(1);
    let logits = scorer.block(0..PROTEINS, 0..PROTEINS, &Asked::All).unwrap();
    let logit = |first: usize, second: usize| logits.as_slice()[first * PROTEINS + second];
    let partners = |own: usize| -> Vec<usize> {
        (0..PROTEINS).filter(|&other| other != own && asked.holds(own, other)).collect()
    };
    let (mut ranked, mut spreads) = (Vec::new(), Vec::new());
    for own in 0..PROTEINS {
        let mut partners = partners(own);
        let values: Vec<f64> = partners.iter().map(|&other| f64::from(logit(own, other))).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance =
            values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0);
        spreads.push((mean, variance.sqrt()));
        partners.retain(|&other| logit(own, other) >= keep.least);
        partners.sort_by(|&one, &other| logit(own, other).total_cmp(&logit(own, one)).then(one.cmp(&other)));
        partners.truncate(keep.best.unwrap_or(usize::MAX));
        ranked.push(partners);
    }
    let mut rows = Vec::new();
    for first in 0..PROTEINS {
        for second in first + 1..PROTEINS {
            let rank = |own: usize, other: usize| {
                ranked[own].iter().position(|&partner| partner == other).map(|place| place as u64 + 1)
            };
            let ranks = [rank(first, second), rank(second, first)];
            if ranks == [None, None] {
                continue;
            }
            let logit = logit(first, second);
            let z = [first, second].map(|own| (f64::from(logit) - spreads[own].0) / spreads[own].1);
            let edge = Edge { first: first as u32, second: second as u32, logit };
            rows.push(Row { edge, ranks, z });
        }
    }
    rows.sort_by(|one, other| {
        let key = |row: &Row| (row.edge.first, row.edge.second);
        other.edge.logit.total_cmp(&one.edge.logit).then(key(one).cmp(&key(other)))
    });
    rows
}

#[test]
fn the_answer_is_that_of_plain_loops() {
    for (name, asked) in [("all", Asked::All), ("between", sides()), ("listed", listed())] {
        for keep in [BEST, ABOVE, CUT] {
            let scorer = scorer(2);
            let mut tally = Tally::new(PROTEINS, keep);
            let mut head = head(&scorer, keep, Shard::WHOLE);
            let limits = Limits { columns: 300, most: u64::MAX };
            super::work::work((&scorer, &asked), (&mut head, &mut tally), None, limits, |_| {}).unwrap();
            let answer = Answer::of(tally, scorer.step());
            let (found, wanted) = (answer.rows().collect::<Vec<_>>(), plain(&asked, keep));
            assert!(!wanted.is_empty() && found.len() == wanted.len(), "{name} {keep:?}: {}", wanted.len());
            for (found, wanted) in found.iter().zip(&wanted) {
                assert_eq!((found.edge, found.ranks), (wanted.edge, wanted.ranks), "{name} {keep:?}");
                for (found, wanted) in found.z.iter().zip(wanted.z) {
                    // Steps of one in a million of the largest logit.
                    let near = (found - wanted).abs() < 1e-4 * wanted.abs().max(1.0);
                    assert!(near || (found.is_nan() && !wanted.is_finite()), "{name} {found} {wanted}");
                }
            }
        }
    }
}

#[test]
fn no_way_of_cutting_the_work_changes_a_byte() {
    let one = Way { threads: 1, columns: 4096, shards: 1 };
    let ways = [
        Way { threads: 2, columns: 4096, shards: 1 },
        Way { threads: 3, columns: 48, shards: 1 },
        Way { threads: 1, columns: 1, shards: 2 },
        Way { threads: 2, columns: 333, shards: 7 },
    ];
    for (name, asked) in [("all", Asked::All), ("between", sides()), ("listed", listed())] {
        for keep in [BEST, CUT] {
            let wanted = answer(&asked, keep, one);
            assert!(wanted.lines().count() > 10, "{name} {keep:?}");
            for way in ways {
                // One column at a time is slow, and enough of it is seen.
                if way.columns > 1 || name == "all" {
                    let found = answer(&asked, keep, way);
                    assert!(found == wanted, "{name} {keep:?} {} {}", way.columns, way.shards);
                }
            }
        }
    }
}

#[test]
fn units_and_shards_hold_every_pair_once() {
    for (asked, wanted) in [(Asked::All, (PROTEINS * (PROTEINS - 1) / 2) as u64), (sides(), 0), (listed(), 0)]
    {
        let counted = match &asked {
            Asked::Listed(pairs) => pairs.len() as u64,
            asked => {
                let of =
                    |first: usize| (first + 1..PROTEINS).filter(move |&second| asked.holds(first, second));
                (0..PROTEINS).map(|first| of(first).count() as u64).sum()
            }
        };
        assert!(wanted == 0 || wanted == counted);
        assert_eq!(asked.pairs(PROTEINS).iter().sum::<u64>(), counted);
        let of = |own: usize, other: usize| other != own && asked.holds(own, other);
        let count = |own: usize| (0..PROTEINS).filter(|&other| of(own, other)).count() as u64;
        let plain: Vec<u64> = (0..PROTEINS).map(count).collect();
        assert_eq!(asked.partners(PROTEINS), plain);
        for count in [1, 2, 3, 5, 40] {
            let mut next = 0;
            for number in 1..=count {
                let units = asked.of_shard(Shard { number, count }, PROTEINS);
                assert_eq!(units.start, next);
                next = units.end;
            }
            assert_eq!(next, asked.units(PROTEINS), "{count}");
        }
    }
}

/// A screen with a checkpoint after every unit.
fn in_folder(folder: &Path, keep: Keep) -> anyhow::Result<()> {
    let scorer = scorer(1);
    let (scratch, out) = (folder.join("out.tsv.screen"), folder.join("out.tsv"));
    let order = Order {
        scorer: &scorer,
        asked: &Asked::All,
        head: head(&scorer, keep, Shard::WHOLE),
        limits: Limits { columns: 256, most: u64::MAX },
        folder: Some((&scratch, Duration::ZERO)),
        out: &out,
        format: Some(ReportFormat::ALL[0]),
    };
    run(order, |_| {}, |_, _| Ok(()))
}

fn keep_named(name: &str) -> Keep {
    if name == "best" { BEST } else { CUT }
}

/// A screen, in a process of its own that is told where to end. Without being told it is no test.
#[test]
fn works_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    in_folder(Path::new(&folder), keep_named(&std::env::var(KEEPS).unwrap())).unwrap();
}

fn process(folder: &TempDir, keeps: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "screen::tests::works_until_it_is_killed", "--quiet"]);
    command.env(FOLDER, folder.path()).env(KEEPS, keeps);
    command.stdout(std::process::Stdio::null());
    command
}

/// Goes on with what a killed process left, and compares.
fn ends_well(folder: &TempDir, keeps: &str, wanted: &[u8], what: &str) {
    in_folder(folder.path(), keep_named(keeps)).unwrap();
    assert!(std::fs::read(folder.path().join("out.tsv")).unwrap() == wanted, "{what}: other bytes");
    let mut names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let left = names.find(|name| {
        let name = name.to_string_lossy();
        // A process killed while it gives names may leave hidden ones.
        name != "out.tsv" && !name.ends_with(".partial")
    });
    assert_eq!(left, None, "{what}");
}

fn undisturbed(keeps: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    in_folder(folder.path(), keep_named(keeps)).unwrap();
    std::fs::read(folder.path().join("out.tsv")).unwrap()
}

#[test]
fn every_moment_is_a_good_one_to_be_killed() {
    for keeps in ["best", "cut"] {
        let wanted = undisturbed(keeps);
        let mut reached = Vec::new();
        for (index, point) in POINTS.into_iter().enumerate() {
            // The first passing, and a later one that differs from point to point.
            for times in [0, 1 + index % 2] {
                let folder = tempfile::tempdir().unwrap();
                let status =
                    process(&folder, keeps).env(KILL_AT, format!("{point}#{times}")).status().unwrap();
                let is_killed = status.signal() == Some(9);
                assert!(is_killed || status.success(), "{keeps} {point}: {status}");
                if is_killed {
                    reached.push(point);
                }
                ends_well(&folder, keeps, &wanted, &format!("{keeps}: {point}, {times} before"));
            }
        }
        reached.dedup();
        assert_eq!(reached, POINTS, "each of them was reached");
    }
}

#[test]
fn any_time_is_a_good_one_to_be_killed() {
    let wanted = undisturbed("cut");
    let random = Philox::new(5, 2, 0);
    for turn in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let mut child = process(&folder, "cut").spawn().unwrap();
        std::thread::sleep(Duration::from_secs_f32(0.3 * random.uniform(turn)));
        child.kill().unwrap();
        child.wait().unwrap();
        ends_well(&folder, "cut", &wanted, &format!("time {turn}"));
    }
}

#[test]
fn two_processes_do_not_work_on_one_answer() {
    let folder = tempfile::tempdir().unwrap();
    let scratch = folder.path().join("out.tsv.screen");
    std::fs::create_dir(&scratch).unwrap();
    let first = std::fs::File::create(scratch.join("lock")).unwrap();
    first.try_lock().unwrap();
    let refused = in_folder(folder.path(), CUT).unwrap_err();
    assert!(matches!(refused.downcast_ref(), Some(ScreenError::Busy { .. })), "{refused}");
    assert!(!folder.path().join("out.tsv").exists());
    drop(first);
    ends_well(&folder, "cut", &undisturbed("cut"), "after the first has ended");
}

#[test]
fn a_damaged_checkpoint_is_begun_anew() {
    let wanted = undisturbed("cut");
    for (file, place) in [("tally", 40), ("tally", 5000), ("edges", 3)] {
        let folder = tempfile::tempdir().unwrap();
        let point = format!("{}#1", POINTS[4]);
        assert_eq!(process(&folder, "cut").env(KILL_AT, point).status().unwrap().signal(), Some(9));
        let path = folder.path().join("out.tsv.screen").join(file);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[place] ^= 4;
        std::fs::write(&path, bytes).unwrap();
        ends_well(&folder, "cut", &wanted, file);
    }
}

#[test]
fn a_part_of_another_version_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.screen");
    std::fs::write(&path, b"pliant-screen-1\nand what followed").unwrap();
    assert!(part::is_part(&path));
    let error = part::read(&path).unwrap_err().to_string();
    assert!(error.contains("old.screen") && error.contains("another version of pliant wrote it"), "{error}");
}

#[test]
fn a_damaged_part_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let scorer = scorer(1);
    let out = folder.path().join("1.screen");
    for keep in [BEST, ALL] {
        let order = Order {
            scorer: &scorer,
            asked: &listed(),
            head: head(&scorer, keep, Shard::WHOLE),
            limits: Limits { columns: 512, most: u64::MAX },
            folder: None,
            out: &out,
            format: None,
        };
        run(order, |_| {}, |_, _| Ok(())).unwrap();
        let good = std::fs::read(&out).unwrap();
        assert!(part::is_part(&out) && part::read(&out).is_ok());
        for place in [3, 17, 60, good.len() / 2, good.len() - 1] {
            let mut bytes = good.clone();
            bytes[place] ^= 1;
            std::fs::write(&out, &bytes).unwrap();
            let error = part::read(&out).unwrap_err().to_string();
            assert!(error.contains("is no part of a screen"), "{place}: {error}");
            std::fs::write(&out, &good[..place]).unwrap();
            assert!(part::read(&out).is_err(), "{place}");
        }
    }
}

#[test]
fn more_pairs_than_memory_admits_end_the_screen() {
    let scorer = scorer(1);
    let (mut head, mut tally) = (head(&scorer, ALL, Shard::WHOLE), Tally::new(PROTEINS, ALL));
    let limits = Limits { columns: 512, most: 1000 };
    let place = (&scorer, &Asked::All);
    let ended = super::work::work(place, (&mut head, &mut tally), None, limits, |_| {});
    let error = ended.unwrap_err().to_string();
    assert!(error.contains("memory admits 1000"), "{error}");
}

#[test]
fn numbers_that_are_none_are_named() {
    let mut numbers = vec![0.5; 3 * UNITS];
    numbers[UNITS + 2] = f32::NAN;
    let refused = Scorer::new(Device::cpu(1).unwrap(), &ids(), numbers, (&[1.0; UNITS], 0.0));
    let error = refused.err().unwrap().to_string();
    assert!(error.contains("\"p1\"") && error.contains("unit 2"), "{error}");
}
