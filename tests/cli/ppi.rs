//! Interactions, symmetries and oligomeric states: their files, the published head, its schedule, and the controls.

use std::fmt::Write as _;

use serde_json::Value;

use crate::tool::{Scratch, model};

/// Proteins of two kinds, each of letters of its own in most places.
fn proteins(count: usize) -> Vec<String> {
    let alphabets = [b"LAGVS", b"KRDEN"];
    let protein = |number: usize| -> String {
        let letter = |place: usize| {
            let odd = (number * 31 + place * place * 7 + place) % 10 < 2;
            let kind = if odd { 1 - number % 2 } else { number % 2 };
            alphabets[kind][(number + place * 3 + place * place) % 5] as char
        };
        (0..20 + number % 17).map(letter).collect()
    };
    (0..count).map(protein).collect()
}

/// Pairs of proteins from `from` to `to`; those of one kind interact.
fn pairs(from: usize, to: usize) -> String {
    let mut text = String::new();
    for first in from..to {
        for second in first + 1..to {
            let _ = writeln!(text, "p{first}\tp{second}\t{}", u8::from(first % 2 == second % 2));
        }
    }
    text
}

/// A folder with `p.fasta`, `train.tsv` with names of columns, and `valid.tsv` of other proteins without, as D-SCRIPT has it.
fn scratch() -> Scratch {
    let scratch = Scratch::new();
    let mut fasta = String::new();
    for (number, residues) in proteins(40).iter().enumerate() {
        let _ = write!(fasta, ">p{number}\n{residues}\n");
    }
    scratch.write("p.fasta", fasta);
    scratch.write("train.tsv", format!("id_a\tid_b\tlabel\n{}", pairs(0, 24)));
    scratch.write("valid.tsv", pairs(24, 40));
    scratch
}

fn words<'a>(encoder: &'a str, out: &'a str, sets: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["finetune", "--task", "ppi", "--train", "train.tsv", "--valid", "valid.tsv"];
    words.extend(["--sequences", "p.fasta", "--model", encoder, "--out", out]);
    sets.iter().for_each(|set| words.extend(["--set", set]));
    words
}

/// The published training.
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../host/examples/finetune/ppi_published.toml");

/// What of it makes no sense for a small set.
const SMALL: [&str; 3] = ["optimizer.learning_rate=0.02", "run.batch=16", "run.epoch_examples=100"];

fn json(scratch: &Scratch, name: &str) -> Value {
    serde_json::from_slice(&scratch.read(name)).unwrap()
}

fn lines(scratch: &Scratch, name: &str) -> Vec<Value> {
    scratch.text(name).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_published_head_learns_interactions_with_the_published_schedule() {
    let scratch = scratch();
    let train = |out: &str, more: &[&str]| {
        let published = ["--config", EXAMPLE, "--set", "run.metric=aupr"];
        let words = [&words("composition", out, &SMALL)[..], &published, more].concat();
        scratch.run(&words).go().code(0);
    };
    train("whole", &["--set", "run.epochs=12", "--threads", "1"]);
    // The schedule has no end, so a run may become longer; an epoch draws its examples by its number.
    train("halves", &["--set", "run.epochs=5", "--threads", "2"]);
    train("halves", &["--set", "run.epochs=12", "--resume"]);
    for file in ["head.safetensors", "head.json", "training.json"] {
        assert!(scratch.read(&format!("whole/{file}")) == scratch.read(&format!("halves/{file}")), "{file}");
    }
    let head = &json(&scratch, "whole/head.json")["head"];
    assert_eq!((&head["kind"], &head["activation"]), (&"average".into(), &"tanh".into()));
    assert_eq!((&head["hidden"], &head["outputs"]), (&128.into(), &1.into()));
    let training = json(&scratch, "whole/training.json");
    // 100 of 276 pairs, 16 a step.
    assert_eq!((&training["steps_of_epoch"], &training["steps"]), (&7.into(), &84.into()));
    assert_eq!(training["trainable_parameters"], 21 * 128 + 128 + 128 + 1);
    let log = lines(&scratch, "whole/log.jsonl");
    let rates = log
        .iter()
        .filter(|line| line["kind"] == "train")
        .map(|line| (line["step"].as_u64().unwrap(), line["learning_rate"].as_f64().unwrap()));
    let mut seen = 0;
    for (step, rate) in rates {
        let place = f64::from(u32::try_from((step - 1) % 10).unwrap()) / 10.0;
        let wanted = 0.02 * (0.004 + 0.996 * 0.5 * (1.0 + (std::f64::consts::PI * place).cos()));
        assert!((rate - wanted).abs() < 1e-9, "{step}: {rate} {wanted}");
        seen += 1;
    }
    assert_eq!(seen, 12);
    // The best epoch is that of the best measure, the first of several.
    let found: Vec<(u64, f64)> = log
        .iter()
        .filter(|line| line["kind"] == "held_out")
        .map(|line| (line["step"].as_u64().unwrap(), line["aupr"].as_f64().unwrap()))
        .collect();
    let most = found.iter().map(|(_, aupr)| *aupr).fold(0.0, f64::max);
    let best = found.iter().find(|(_, aupr)| *aupr == most).unwrap();
    assert_eq!(training["best"]["step"], best.0);
    measured(&scratch);
}

/// What `predict` and `evaluate` say of it.
fn measured(scratch: &Scratch) {
    let evaluate = |out: &str, more: &[&str]| {
        let words = ["evaluate", "--task", "ppi", "valid.tsv", "--sequences", "p.fasta", "--head", "whole"];
        scratch.run(&[&words[..], &["--out", out, "--bootstrap", "200"], more].concat()).go().code(0);
    };
    evaluate("e.json", &[]);
    let report = json(scratch, "e.json");
    let measures = &report["measures"];
    for name in ["accuracy", "f1", "mcc", "aupr", "auroc", "precision", "recall", "specificity"] {
        let number = |key: &str| measures[name][key].as_f64().unwrap();
        assert!(number("value") > 0.9, "{name}: {}", measures[name]);
        assert!(number("low") <= number("value") && number("value") <= number("high"), "{name}");
    }
    assert!(measures["aupr"]["baseline"].as_f64().unwrap() < 0.6);
    scratch.write("asked.tsv", "id_a\tid_b\np24\tp26\np26\tp24\np24\tp25\np30\tp30\n");
    let words = ["predict", "asked.tsv", "--sequences", "p.fasta", "--head", "whole", "--out", "told.tsv"];
    scratch.run(&words).go().code(0);
    let text = scratch.text("told.tsv");
    let rows: Vec<Vec<&str>> = text.lines().skip(2).map(|line| line.split('\t').collect()).collect();
    assert_eq!((rows[0][2], rows[2][2], rows[3][2]), ("1", "0", "1"), "{text}");
    // A pair has no order, to the last bit.
    assert_eq!(rows[0][2..], rows[1][2..]);
    let (no, yes): (f64, f64) = (rows[0][3].parse().unwrap(), rows[0][4].parse().unwrap());
    assert!((no + yes - 1.0).abs() < 1e-12 && yes > 0.5);
}

#[test]
fn pairs_of_the_published_table_bring_their_sequences() {
    let scratch = scratch();
    let all = proteins(40);
    let mut table = "p0\tp1\ts0\ts1\tlabel\tsplit\n".to_owned();
    for (text, split) in [(pairs(0, 24), "train"), (pairs(24, 40), "valid")] {
        for line in text.lines() {
            let cells: Vec<&str> = line.split('\t').collect();
            let sequence = |id: &str| &all[id[1..].parse::<usize>().unwrap()];
            let (first, second) = (sequence(cells[0]), sequence(cells[1]));
            let _ = writeln!(table, "{}\t{}\t{first}\t{second}\t{}\t{split}", cells[0], cells[1], cells[2]);
        }
    }
    scratch.write("all.tsv", table);
    let parts = ["--part-column", "split", "--train-part", "train", "--valid-part", "valid"];
    let more = ["--set", "run.epochs=2", "--set", "head.hidden=4"];
    let words = ["finetune", "--task", "ppi", "--train", "all.tsv", "--model", "composition", "--out", "one"];
    scratch.run(&[&words[..], &parts, &more].concat()).go().code(0);
    scratch.run(&[&self::words("composition", "other", &[])[..], &more].concat()).go().code(0);
    // The same pairs give the same head, however they are written.
    assert!(scratch.read("one/head.safetensors") == scratch.read("other/head.safetensors"));
    let digest = |out: &str| json(&scratch, &format!("{out}/training.json"))["train"]["digest"].clone();
    assert_eq!(digest("one"), digest("other"));
}

#[test]
fn the_random_pooler_is_kept_and_never_learns() {
    let scratch = scratch();
    let sets = ["head.pairs=average", "head.pooling=random", "head.hidden=8", "head.activation=tanh"];
    let train = |out: &str, more: &[&str]| {
        let words = [&words(model(), out, &sets)[..], &["--set", "run.batch=64"], more].concat();
        scratch.run(&words).go().code(0);
    };
    train("whole", &["--set", "run.epochs=2"]);
    train("halves", &["--set", "run.epochs=1"]);
    train("halves", &["--set", "run.epochs=2", "--resume"]);
    assert!(scratch.read("whole/head.safetensors") == scratch.read("halves/head.safetensors"));
    let training = json(&scratch, "whole/training.json");
    let count = |key: &str| training[key].as_u64().unwrap();
    let width = json(&scratch, "whole/head.json")["head"]["inputs"].as_u64().unwrap();
    assert_eq!(count("parameters") - count("trainable_parameters"), width * width + width);
    train("longer", &["--set", "run.epochs=3"]);
    let pooler = |name: &str| {
        let bytes = scratch.read(&format!("{name}/head.safetensors"));
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let data = |name: &str| tensors.tensor(name).unwrap().data().to_vec();
        (data("pooler.weight"), data("hidden.weight"))
    };
    let (one, other) = (pooler("whole"), pooler("longer"));
    assert!(one.0 == other.0 && one.1 != other.1);
    let words = ["evaluate", "--task", "ppi", "valid.tsv", "--sequences", "p.fasta", "--head", "whole"];
    scratch.run(&[&words[..], &["--model", model(), "--out", "e.tsv"]].concat()).go().code(0);
    // Attention over residues of pairs too.
    let sets = ["head.pairs=average", "head.pooling=attention", "run.epochs=1", "run.batch=64"];
    scratch.run(&self::words(model(), "attention", &sets)).go().code(0);
}

#[test]
fn controls_stand_beside_what_was_trained() {
    let scratch = scratch();
    let sets = ["head.pairs=average", "head.hidden=16", "head.activation=tanh", "run.epochs=3"];
    let controls = ["--controls", "composition,random,additive"];
    scratch.run(&[&words(model(), "run", &sets)[..], &controls].concat()).go().code(0);
    let best = json(&scratch, "run/controls/controls.json")["best"].clone();
    for name in ["model", "composition", "random", "additive"] {
        for measure in ["held_out_loss", "auroc", "aupr", "accuracy"] {
            assert!(best[name][measure].is_number() || name == "additive", "{name} {measure}: {best}");
        }
    }
    assert_eq!(best["model"], json(&scratch, "run/training.json")["best"]);
    // No protein of the validation is in the training, so nothing is told by single proteins.
    assert_eq!((&best["additive"]["known_proteins"], &best["additive"]["auroc"]), (&0.into(), &0.5.into()));
    let table = scratch.text("run/controls/controls.tsv");
    assert!(table.starts_with("measure\tmodel\tcomposition\trandom\tadditive\n"), "{table}");
    // The head of a control is a head as any other.
    let words = ["evaluate", "--task", "ppi", "valid.tsv", "--sequences", "p.fasta", "--out", "c.json"];
    scratch.run(&[&words[..], &["--head", "run/controls/composition"]].concat()).go().code(0);
    let random = json(&scratch, "run/controls/random/training.json");
    assert_ne!(random["began_with"], json(&scratch, "run/training.json")["began_with"]);
    // Whatever has been done is taken as it is.
    let before = scratch.read("run/controls/controls.json");
    scratch.run(&[&self::words(model(), "run", &sets)[..], &controls, &["--resume"]].concat()).go().code(0);
    assert!(scratch.read("run/controls/controls.json") == before);
    // With the pairs of the training as those that are asked, hubs would be known.
    let words = [&self::words("composition", "known", &sets)[..], &["--controls", "additive"]].concat();
    let words: Vec<&str> =
        words.iter().map(|word| if *word == "valid.tsv" { "train.tsv" } else { word }).collect();
    scratch.run(&words).go().code(0);
    assert_eq!(json(&scratch, "known/controls/controls.json")["best"]["additive"]["known_proteins"], 24);
}

#[test]
fn symmetries_and_states_are_tasks() {
    let scratch = Scratch::new();
    let mut symmetry = "id\tsequence\tlabel\tsplit\n".to_owned();
    let mut states = "accession\tn_subunits\tsequence\n".to_owned();
    let mut designs = "id\tcyclic_symmetry_order_designed\tprotomer_sequence\n".to_owned();
    for (number, residues) in proteins(60).iter().enumerate() {
        let label = ["C3 D9", "T"][number % 2];
        let split = if number % 5 == 4 { "validation" } else { "train" };
        let _ = writeln!(symmetry, "p{number}\t{residues}\t{label}\t{split}");
        let _ = writeln!(states, "p{number}\t{}\t{residues}", [1, 12][number % 2]);
        let _ = writeln!(designs, "p{number}\t{}\t{residues}", [3, 40][number % 2]);
    }
    scratch.write("symmetry.tsv", symmetry).write("states.tsv", states).write("designs.tsv", designs);
    let train = |task: &str, file: &str, more: &[&str]| {
        let words = ["finetune", "--task", task, "--train", file, "--model", "composition", "--out"];
        let sets = ["--set", "optimizer.learning_rate=0.05", "--set", "head.hidden=128"];
        let tanh = ["--set", "head.activation=tanh"];
        scratch.run(&[&words[..], &[&format!("{file}.head")], &sets, &tanh, more].concat()).go().code(0);
    };
    let parts = ["--part-column", "split", "--train-part", "train", "--valid-part", "validation"];
    train("symmetry", "symmetry.tsv", &parts);
    let head = json(&scratch, "symmetry.tsv.head/head.json");
    assert_eq!((&head["head"]["outputs"], &head["labels"]["classes"][6]), (&18.into(), &"C7-C9".into()));
    let best = &json(&scratch, "symmetry.tsv.head/training.json")["best"];
    for measure in ["macro_f1", "macro_recall", "aupr", "auroc"] {
        assert!(best[measure].as_f64().unwrap() > 0.95, "{measure}: {best}");
    }
    let apart = ["--valid-fraction", "0.2"];
    train("symmetry", "designs.tsv", &apart);
    train("oligomeric-state", "states.tsv", &apart);
    assert_eq!(
        json(&scratch, "states.tsv.head/head.json")["labels"]["classes"],
        serde_json::json!(["1", "12"])
    );
    // A head of groups of symmetry is asked about designs.
    let words =
        ["evaluate", "--task", "symmetry", "designs.tsv", "--head", "symmetry.tsv.head", "--out", "e.json"];
    scratch.run(&words).go().code(0);
    scratch.write("q.fasta", format!(">q\n{}\n", proteins(1)[0]));
    let words = ["predict", "q.fasta", "--head", "symmetry.tsv.head", "--out", "q.tsv"];
    scratch.run(&words).go().code(0);
    assert!(scratch.text("q.tsv").contains("\tC3|D6-D12\t"), "{}", scratch.text("q.tsv"));
}

#[test]
fn what_is_on_a_list_is_not_learnt_from() {
    use sha2::{Digest, Sha256};
    let scratch = scratch();
    let hash = |number: usize| -> String {
        Sha256::digest(proteins(40)[number].as_bytes())
            .iter()
            .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    };
    // One of the training, and one of those that are kept apart, which stay.
    scratch.write("list.txt", format!("{}\n{}\n", hash(3), hash(30)));
    let words = [&words("composition", "out", &["run.epochs=1"])[..], &["--exclude", "list.txt"]].concat();
    let ended = scratch.run(&words).go().code(0);
    assert!(ended.stderr.contains("23 examples are not learnt from"), "{}", ended.stderr);
    let training = json(&scratch, "out/training.json");
    assert_eq!((&training["excluded"], &training["train"]["examples"]), (&23.into(), &(276 - 23).into()));
    assert_eq!(
        (&training["train"]["sequences"], &training["held_out"]["examples"]),
        (&23.into(), &120.into())
    );
    let words =
        ["leakage", "--task", "ppi", "--train", "train.tsv", "--test", "train.tsv", "--sequences", "p.fasta"];
    scratch.run(&[&words[..], &["--exclude", "list.txt", "--out", "l.json"]].concat()).go().code(0);
    let report = json(&scratch, "l.json");
    assert_eq!(
        (&report["train"]["excluded"], &report["classes"]["C2"]["examples"]),
        (&23.into(), &23.into())
    );
    let all: String = (0..24).map(|number| hash(number) + "\n").collect();
    scratch.write("all.txt", all).write("none.txt", "no hash\n");
    for (list, code, wanted) in
        [("all.txt", 2, "every example"), ("none.txt", 65, "none.txt"), ("lost.txt", 66, "lost.txt")]
    {
        let words = [&self::words("composition", "bad", &[])[..], &["--exclude", list]].concat();
        let ended = scratch.run(&words).go().code(code);
        assert!(ended.stderr.contains(wanted), "{list}: {}", ended.stderr);
    }
}

#[test]
fn kinds_of_interaction_are_a_task() {
    let scratch = scratch();
    let mut text = "id_a\tid_b\ttypes\tscore\n".to_owned();
    for line in pairs(0, 24).lines() {
        let cells: Vec<&str> = line.split('\t').collect();
        let _ = writeln!(
            text,
            "{}\t{}\t{}\t400",
            cells[0],
            cells[1],
            ["reaction", "binding,activation"][usize::from(cells[2] == "1")]
        );
    }
    scratch.write("edges.tsv", text);
    let words = [
        "finetune",
        "--task",
        "interaction-types",
        "--train",
        "edges.tsv",
        "--sequences",
        "p.fasta",
        "--out",
        "out",
    ];
    let sets = ["--set", "head.pairs=average", "--set", "head.hidden=4", "--valid-fraction", "0.3"];
    scratch.run(&[&words[..], &["--model", "composition"], &sets].concat()).go().code(0);
    let head = json(&scratch, "out/head.json");
    assert_eq!(head["labels"]["classes"], serde_json::json!(["activation", "binding", "reaction"]));
    assert_eq!(head["head"]["outputs"], 3);
}

#[test]
fn what_is_wrong_with_pairs_is_named_with_its_place() {
    let scratch = scratch();
    scratch.write("strange.tsv", "id_a\tid_b\tlabel\np0\tp1\t1\np0\tnobody\t0\np0\tp2\t0\n");
    scratch.write("bare.tsv", "p0\tp1\t1\np0\tnobody\t0\np0\tp2\t0\n");
    scratch.write("one.tsv", "id_a\tid_b\tlabel\np0\tp1\t1\np0\tp2\t1\n");
    scratch.write("third.tsv", "id_a\tid_b\tlabel\np0\tp1\t1\np0\tp2\t0\np0\tp3\t2\n");
    scratch.write("columns.tsv", "first\tsecond\tlabel\np0\tp1\t1\n");
    scratch.write("label.tsv", "id_a\tid_b\tscore\np0\tp1\t1\n");
    let refused = |code: i32, file: &str, more: &[&str], wanted: &[&str]| {
        let mut words = words("composition", "bad", &[]);
        words[4] = file;
        let ended = scratch.run(&[&words[..], more].concat()).go().code(code);
        for wanted in wanted {
            assert!(ended.stderr.contains(wanted), "{file} {more:?}: {}", ended.stderr);
        }
    };
    refused(65, "strange.tsv", &[], &["strange.tsv:3", "'nobody'", "p.fasta", "--on-error skip"]);
    refused(65, "bare.tsv", &[], &["bare.tsv:2", "'nobody'"]);
    refused(65, "one.tsv", &[], &["one.tsv", "one class"]);
    refused(65, "third.tsv", &[], &["third.tsv:4", "'2'", "0, 1"]);
    refused(65, "columns.tsv", &[], &["columns.tsv has no column", "first, second, label"]);
    refused(65, "label.tsv", &[], &["label.tsv has no column 'label'", "score"]);
    refused(
        2,
        "train.tsv",
        &["--set", "run.best_by=metric", "--set", "run.metric=taste"],
        &["'taste'", "aupr"],
    );
    refused(65, "train.tsv", &["--set", "run.metric=aupr"], &["run.metric", "run.best_by"]);
    refused(
        65,
        "train.tsv",
        &["--set", "schedule.cycle_steps=10"],
        &["schedule.cycle_steps", "cosine-restarts"],
    );
    refused(65, "train.tsv", &["--set", "run.epoch_examples=0"], &["run.epoch_examples", "at least 1"]);
    refused(65, "train.tsv", &["--set", "head.pooling=median"], &["head.pooling", "\"random\""]);
    refused(2, "train.tsv", &["--controls", "random"], &["composition has none"]);
    refused(2, "train.tsv", &["--controls", "luck"], &["--controls"]);
    let mut without = words("composition", "bad", &[]);
    without.retain(|word| !["--sequences", "p.fasta"].contains(word));
    let ended = scratch.run(&without).go().code(65);
    assert!(ended.stderr.contains("no column 'sequence_a'"), "{}", ended.stderr);
    let alone = words("composition", "bad", &[]);
    let alone: Vec<&str> =
        alone.into_iter().filter(|word| !["--valid", "valid.tsv"].contains(word)).collect();
    let ended = scratch.run(&[&alone[..], &["--controls", "additive"]].concat()).go().code(2);
    assert!(ended.stderr.contains("examples kept apart"), "{}", ended.stderr);
    assert!(!scratch.path("bad").exists(), "nothing has begun");
    // Self pairs and repetitions are no errors.
    scratch.write("fine.tsv", "id_a\tid_b\tlabel\np0\tp0\t1\np0\tp1\t0\np0\tp1\t0\np1\tp0\t0\n");
    let mut words = words("composition", "fine", &["run.epochs=1"]);
    words[4] = "fine.tsv";
    let ended = scratch.run(&words).go().code(0);
    assert!(ended.stderr.contains("1 example repeats an earlier one"), "{}", ended.stderr);
}

#[test]
fn the_best_by_the_loss_is_kept_beside_the_best_by_a_measure() {
    let scratch = scratch();
    let sets = [
        "head.pairs=average",
        "head.hidden=8",
        "run.epochs=6",
        "run.batch=16",
        "run.epoch_examples=64",
        "run.best_by=metric",
        "run.metric=aupr",
        "optimizer.learning_rate=0.05",
    ];
    let words = [&words(model(), "both", &sets)[..], &["--tune", "lora", "--lora-rank", "2"]].concat();
    scratch.run(&words).go().code(0);
    let looks: Vec<Value> =
        lines(&scratch, "both/log.jsonl").into_iter().filter(|line| line["kind"] == "held_out").collect();
    let number = |line: &Value, key: &str| line[key].as_f64().unwrap();
    let best = |better: &dyn Fn(&Value, &Value) -> bool| {
        looks.iter().skip(1).fold(&looks[0], |best, look| if better(look, best) { look } else { best })
    };
    let most = best(&|one, other| number(one, "aupr") > number(other, "aupr"));
    let least = best(&|one, other| number(one, "held_out_loss") < number(other, "held_out_loss"));
    let training = json(&scratch, "both/training.json");
    assert_eq!(
        [&training["best"]["step"], &training["best_by_loss"]["step"]],
        [&most["step"], &least["step"]]
    );
    let apart = most["step"] != least["step"];
    assert_eq!(scratch.path("both/best_by_loss").exists(), apart);
    // What was told of vectors that each protein has once in a look is what a head is asked for afterwards.
    for (folder, look) in [("both", most), ("both/best_by_loss", least)].iter().take(1 + usize::from(apart)) {
        let words = ["evaluate", "--task", "ppi", "valid.tsv", "--sequences", "p.fasta", "--head", folder];
        let more = ["--model", model(), "--out", "e.json", "--bootstrap", "0"];
        scratch.run(&[&words[..], &more].concat()).go().code(0);
        let report = json(&scratch, "e.json");
        assert!((number(&report, "loss") - number(look, "held_out_loss")).abs() < 1e-6, "{folder}");
        let aupr = report["measures"]["aupr"]["value"].as_f64().unwrap();
        assert!((aupr - number(look, "aupr")).abs() < 1e-9, "{folder}");
        assert_eq!(json(&scratch, &format!("{folder}/head.json"))["training"]["head_step"], look["step"]);
    }
}
