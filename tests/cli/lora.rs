//! `pliant finetune --tune lora`, and what adapters do elsewhere.

use std::fmt::Write as _;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors, serialize_to_file};
use serde_json::Value;

use crate::tool::{Ended, Scratch, model};

/// Proteins of two kinds of letters.
fn proteins(count: usize) -> (String, String) {
    let (mut table, mut fasta) = ("id\tsequence\tkind\tpart\n".to_owned(), String::new());
    for row in 0..count {
        let letters = [b"LAGVSTFM", b"KRDENQHW"][row % 2];
        let residues = 12 + row * 5 % 23;
        let sequence: String = (0..residues).map(|at| letters[(row * 3 + at * at) % 8] as char).collect();
        let part = if row % 5 == 4 { "valid" } else { "train" };
        let _ = writeln!(table, "p{row}\t{sequence}\t{}\t{part}", ["x", "y"][row % 2]);
        let _ = write!(fasta, ">p{row}\n{sequence}\n");
    }
    (table, fasta)
}

fn scratch() -> Scratch {
    let (table, fasta) = proteins(30);
    let scratch = Scratch::new();
    scratch.write("t.tsv", table).write("p.fasta", fasta);
    scratch
}

/// Teaches a head with an adapter into the folder `out`.
fn train(scratch: &Scratch, out: &str, more: &[&str]) {
    let words = ["finetune", "--task", "classification", "--train", "t.tsv", "--label-column", "kind"];
    let parts = ["--part-column", "part", "--train-part", "train", "--valid-part", "valid"];
    let rest =
        ["--model", model(), "--out", out, "--set", "optimizer.learning_rate=0.02", "--set", "run.batch=8"];
    scratch.run(&[&words[..], &parts, &rest, more].concat()).go().code(0);
}

const LORA: [&str; 6] = ["--tune", "lora", "--lora-rank", "4", "--lora-alpha", "8"];

const FILES: [&str; 4] =
    ["head.safetensors", "head.json", "adapter/adapter_model.safetensors", "adapter/adapter_config.json"];

fn json(scratch: &Scratch, name: &str) -> Value {
    serde_json::from_slice(&scratch.read(name)).unwrap()
}

#[test]
fn an_adapter_that_goes_on_ends_as_one_that_was_never_stopped() {
    let scratch = scratch();
    let more = [
        "--lora-targets",
        "query,value,fc1,fc2,output",
        "--lora-dropout",
        "0.2",
        "--set",
        "run.budget_tokens=90",
    ];
    let more = [&LORA[..], &more].concat();
    train(&scratch, "whole", &[&more[..], &["--set", "run.epochs=4", "--threads", "1"]].concat());
    train(&scratch, "halves", &[&more[..], &["--set", "run.epochs=2", "--threads", "2"]].concat());
    train(&scratch, "halves", &[&more[..], &["--set", "run.epochs=4", "--resume"]].concat());
    for file in FILES {
        assert!(scratch.read(&format!("whole/{file}")) == scratch.read(&format!("halves/{file}")), "{file}");
    }
    assert!(!scratch.path("whole/encoder").exists());
    let log = scratch.text("whole/log.jsonl");
    let line: Value = serde_json::from_str(log.lines().nth(1).unwrap()).unwrap();
    let (trained, all) =
        (line["trainable_parameters"].as_u64().unwrap(), line["parameters"].as_u64().unwrap());
    assert!(trained > 0 && trained * 2 < all, "{line}");
}

/// States below the lowest layer that learns are computed once: with an adapter in the last layer, and with the last layer
/// itself.
#[test]
fn states_that_are_kept_change_no_bit() {
    let scratch = scratch();
    let lora = [&LORA[..], &["--lora-layers", "-1"]].concat();
    for (name, tune, file) in [
        ("lora", &lora[..], "adapter/adapter_model.safetensors"),
        ("top", &["--tune", "top", "--top-layers", "1"][..], "encoder/model.safetensors"),
    ] {
        let (kept, anew) = (format!("{name}_kept"), format!("{name}_anew"));
        let more = ["--set", "run.epochs=3", "--set", "run.budget_tokens=100"];
        train(&scratch, &kept, &[tune, &more].concat());
        train(&scratch, &anew, &[tune, &more, &["--set", "tuning.prefix_gigabytes=0"]].concat());
        for file in ["head.safetensors", file] {
            assert!(
                scratch.read(&format!("{kept}/{file}")) == scratch.read(&format!("{anew}/{file}")),
                "{name} {file}"
            );
        }
    }
}

#[test]
fn a_head_is_asked_with_its_adapter() {
    let scratch = scratch();
    train(&scratch, "head", &[&LORA[..], &["--set", "run.epochs=3"]].concat());
    let identity = json(&scratch, "head/head.json")["encoder"]["adapter"].as_str().unwrap().to_owned();
    let embed = |out: &str, more: &[&str]| {
        scratch.run(&[&["embed", "p.fasta", "--out", out][..], more].concat()).go().code(0);
    };
    embed("plain.npz", &["--model", model()]);
    embed(
        "adapted.npz",
        &["--model", model(), "--adapter", "head/adapter", "--cache", "c.sqlite", "--summary", "s.json"],
    );
    let adapted = scratch.npz("adapted.npz");
    assert_ne!(scratch.read("plain.npz"), scratch.read("adapted.npz"));
    assert_eq!(json(&scratch, "s.json")["adapter"]["identity"], identity.as_str());
    // One cache for both: nothing of the one is taken for the other.
    embed("plain_again.npz", &["--model", model(), "--cache", "c.sqlite"]);
    assert_eq!(scratch.read("plain.npz"), scratch.read("plain_again.npz"));
    embed("adapted_again.npz", &["--model", model(), "--adapter", "head/adapter", "--cache", "c.sqlite"]);
    assert_eq!(scratch.read("adapted.npz"), scratch.read("adapted_again.npz"));
    drop(adapted);
    let words = ["adapter", "inspect", "head/adapter", "--model", model()];
    assert!(scratch.run(&words).go().code(0).text().contains(&identity));
    scratch.run(&["adapter", "merge", "head/adapter", "--model", model(), "--out", "merged"]).go().code(0);
    embed("merged.tsv", &["--model", "merged"]);
    embed("adapted.tsv", &["--model", model(), "--adapter", "head/adapter"]);
    let rows =
        |name: &str| -> Vec<String> { scratch.text(name).lines().skip(2).map(str::to_owned).collect() };
    assert_eq!(rows("merged.tsv"), rows("adapted.tsv"));

    let predict = |out: &str, more: &[&str]| {
        scratch.run(&[&["predict", "--head", "head", "--out", out][..], more].concat()).go()
    };
    predict("labels.tsv", &["p.fasta", "--model", model()]).code(0);
    predict("of_vectors.tsv", &["--embeddings", "adapted.npz"]).code(0);
    let cells = |name: &str, from: usize| -> Vec<String> {
        rows(name).iter().map(|row| row.split('\t').skip(from).collect::<Vec<_>>().join(" ")).collect()
    };
    assert_eq!(cells("labels.tsv", 2), cells("of_vectors.tsv", 1));
    let refused = predict("no.tsv", &["--embeddings", "plain.npz"]).code(65);
    assert!(refused.stderr.contains("the adapter is null"), "{}", refused.stderr);
    let words = [
        "evaluate",
        "--task",
        "classification",
        "t.tsv",
        "--head",
        "head",
        "--model",
        model(),
        "--out",
        "e.json",
    ];
    scratch.run(&words).go().code(0);
    // A head on the frozen model with this adapter has it too.
    train(&scratch, "frozen", &["--adapter", "head/adapter", "--set", "run.epochs=2"]);
    assert_eq!(json(&scratch, "frozen/head.json")["encoder"]["adapter"], identity.as_str());
    // Another adapter is not the head's.
    let other = [&LORA[..], &["--set", "run.epochs=1", "--set", "run.seed=9"]].concat();
    train(&scratch, "other", &other);
    let refused = predict("no.tsv", &["p.fasta", "--model", model(), "--adapter", "other/adapter"]).code(65);
    assert!(refused.stderr.contains("was taught with the adapter"), "{}", refused.stderr);
    std::fs::remove_dir_all(scratch.path("head/adapter")).unwrap();
    let refused = predict("no.tsv", &["p.fasta", "--model", model()]).code(66);
    assert!(refused.stderr.contains("is not there: an adapter is"), "{}", refused.stderr);
}

#[test]
fn what_cannot_be_adapted_is_named_with_what_can() {
    let scratch = scratch();
    let refused = |code: i32, more: &[&str], wanted: &str| {
        let words = [
            "finetune",
            "--task",
            "classification",
            "--train",
            "t.tsv",
            "--label-column",
            "kind",
            "--out",
            "no",
        ];
        let ended = scratch.run(&[&words[..], more].concat()).go().code(code);
        assert!(ended.stderr.contains(wanted), "{more:?}: {}", ended.stderr);
    };
    let of = |more: &[&'static str]| [&["--model", model(), "--tune", "lora"][..], more].concat();
    refused(2, &of(&["--lora-targets", "keys"]), "wanted some of: query, key, value, output, fc1, fc2");
    refused(2, &of(&["--lora-layers", "99"]), "layer 99");
    refused(65, &of(&["--lora-layers", "0"]), "tuning.lora_layers");
    refused(65, &["--model", model(), "--tune", "all", "--adapter", "a"], "\"tuning.adapter\" is set");
    refused(
        2,
        &["--model", model(), "--tune", "names", "--tune-names", "layer.99"],
        "no parameter of the model has",
    );
    refused(65, &["--model", model(), "--tune", "lora", "--adapter", "t.tsv"], "holds no adapter");
}

/// A tensor as it is written.
type Written = (String, Vec<usize>, Vec<f32>);

fn read(path: &std::path::Path) -> Vec<Written> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let numbers = |view: TensorView<'_>| {
        assert_eq!(view.dtype(), Dtype::F32);
        view.data().as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    };
    file.iter().map(|(name, view)| (name.to_owned(), view.shape().to_vec(), numbers(view))).collect()
}

fn write(path: &std::path::Path, tensors: &[Written]) {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(.., values)| values.iter().flat_map(|value| value.to_le_bytes()).collect())
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        (name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    serialize_to_file(views, None, path).unwrap();
}

/// `W·x + b` in 64 bits.
fn layer(tensors: &[Written], name: &str, x: &[f64]) -> Vec<f64> {
    let find = |end: &str| &tensors.iter().find(|(known, ..)| *known == format!("{name}.{end}")).unwrap().2;
    let rows = find("weight").chunks(x.len()).zip(find("bias"));
    rows.map(|(row, bias)| f64::from(*bias) + row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum::<f64>())
        .collect()
}

/// Where the training code of the published head keeps its model.
const PLACE: &str = "language_model.base_model.model.";

/// Numbers for the random pooler and the head of interactions.
fn published_layers() -> Vec<Written> {
    let numbers = |count: usize, size: f32| -> Vec<f32> {
        (0..count).map(|at| size * ((at * 7919 % 613) as f32 / 306.0 - 1.0)).collect()
    };
    let sizes = [("pooler.dense", 32, 32), ("classifier.dense", 16, 32), ("classifier.out_proj", 1, 16)];
    let layer = |(name, outputs, inputs): (&str, usize, usize)| {
        let weight = (format!("{name}.weight"), vec![outputs, inputs], numbers(outputs * inputs, 0.5));
        [weight, (format!("{name}.bias"), vec![outputs], numbers(outputs, 0.1))]
    };
    sizes.into_iter().flat_map(layer).collect()
}

/// A checkpoint as the training code of the published head of interactions saves it: the whole model with the adapter in
/// `head`, the random pooler and the head.
fn whole_checkpoint(scratch: &Scratch, layers: &[Written]) -> Vec<Written> {
    let mut tensors: Vec<Written> = Vec::new();
    for (name, shape, values) in read(&std::path::Path::new(model()).join("model.safetensors")) {
        if let Some(name) = name.strip_prefix("esm.") {
            tensors.push((format!("{PLACE}{name}"), shape, values));
        }
    }
    for (name, shape, values) in read(&scratch.path("head/adapter/adapter_model.safetensors")) {
        let name = name.replace("base_model.model.esm.", PLACE).replace(".weight", ".default.weight");
        tensors.push((name, shape, values));
    }
    tensors.extend(layers.iter().map(|(name, shape, values)| {
        let place = if name.starts_with("pooler") { PLACE } else { "" };
        (format!("{place}{name}"), shape.clone(), values.clone())
    }));
    tensors
}

fn import(scratch: &Scratch, out: &str, file: &str, more: &[&str]) -> Ended {
    let words = ["head", "import", file, "--model", model(), "--out", out];
    scratch.run(&[&words[..], more].concat()).go()
}

/// What an imported head tells of pairs is what its layers make of the states of their first tokens.
fn tells_what_its_layers_make(
    scratch: &Scratch,
    layers: &[Written],
    (head, pool): (&str, &str),
) -> Vec<String> {
    scratch.write("pairs.tsv", "id_a\tid_b\np0\tp1\np1\tp0\np7\tp7\n");
    let words = ["predict", "pairs.tsv", "--sequences", "p.fasta", "--head", head, "--out", "told.tsv"];
    scratch.run(&[&words[..], &["--model", model()]].concat()).go().code(0);
    let words = ["embed", "p.fasta", "--adapter", "head/adapter", "--pool", pool, "--out", "cls.tsv"];
    scratch.run(&[&words[..], &["--model", model()]].concat()).go().code(0);
    let pooled: Vec<Vec<f64>> = scratch
        .text("cls.tsv")
        .lines()
        .skip(2)
        .map(|line| line.split('\t').skip(1).map(|cell| cell.parse().unwrap()).collect::<Vec<f64>>())
        .map(|cls| layer(layers, "pooler.dense", &cls).into_iter().map(f64::tanh).collect())
        .collect();
    let rows: Vec<String> = scratch.text("told.tsv").lines().skip(2).map(str::to_owned).collect();
    for (row, [one, other]) in rows.iter().zip([[0, 1], [1, 0], [7, 7]]) {
        let mean: Vec<f64> = pooled[one].iter().zip(&pooled[other]).map(|(a, b)| (a + b) / 2.0).collect();
        let hidden: Vec<f64> = layer(layers, "classifier.dense", &mean).into_iter().map(f64::tanh).collect();
        let logit = layer(layers, "classifier.out_proj", &hidden)[0];
        let told: f64 = row.rsplit('\t').next().unwrap().parse().unwrap();
        assert!((told - 1.0 / (1.0 + (-logit).exp())).abs() < 1e-5, "{row}: {logit}");
    }
    let cells = |row: &str| row.split('\t').skip(2).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(cells(&rows[0]), cells(&rows[1]));
    rows
}

#[test]
fn a_published_checkpoint_becomes_a_head_with_its_adapter() {
    let scratch = scratch();
    train(&scratch, "head", &[&LORA[..], &["--set", "run.epochs=2"]].concat());
    let layers = published_layers();
    let mut tensors = whole_checkpoint(&scratch, &layers);
    write(&scratch.path("whole.safetensors"), &tensors);
    let refused = import(&scratch, "ppi", "whole.safetensors", &[]).code(65);
    assert!(refused.stderr.contains("--lora-alpha"), "{}", refused.stderr);
    let imported = import(&scratch, "ppi", "whole.safetensors", &["--lora-alpha", "8"]).code(0);
    assert!(!imported.stderr.contains("hides the first token"), "{}", imported.stderr);
    let adapter = |name: &str| json(&scratch, name)["encoder"]["adapter"].clone();
    assert_eq!(adapter("ppi/head.json"), adapter("head/head.json"));
    let hidden = tells_what_its_layers_make(&scratch, &layers, ("ppi", "cls-apart"));
    let words = ["--lora-alpha", "8", "--first-token", "seen"];
    let imported = import(&scratch, "seen", "whole.safetensors", &words).code(0);
    assert!(imported.stderr.contains("hides the first token"), "{}", imported.stderr);
    assert_ne!(tells_what_its_layers_make(&scratch, &layers, ("seen", "cls")), hidden);
    let pooling = |name: &str| json(&scratch, name)["head"]["pooling"].clone();
    assert_eq!([pooling("ppi/head.json"), pooling("seen/head.json")], ["published", "random"]);
    let words = ["embed", "p.fasta", "--pool", "cls-apart", "--residues", "r.npz", "--out", "no.tsv"];
    scratch.run(&[&words[..], &["--model", model()]].concat()).go().code(2);
    // The head alone, a model that is another one, and no head.
    let of = |start: &str| -> Vec<Written> {
        layers.iter().filter(|(name, ..)| name.starts_with(start)).cloned().collect()
    };
    write(&scratch.path("alone.safetensors"), &of("classifier"));
    import(&scratch, "alone", "alone.safetensors", &["--pool", "cls"]).code(0);
    assert_eq!(json(&scratch, "alone/head.json")["head"]["pooling"], "cls");
    tensors.iter_mut().find(|(name, ..)| name.ends_with("layer.1.output.dense.bias")).unwrap().2[3] += 1.0;
    write(&scratch.path("other.safetensors"), &tensors);
    let refused = import(&scratch, "no", "other.safetensors", &["--lora-alpha", "8"]).code(2);
    assert!(refused.stderr.contains("1 weights of the model that are not those"), "{}", refused.stderr);
    write(&scratch.path("few.safetensors"), &of("pooler"));
    assert!(import(&scratch, "no", "few.safetensors", &[]).code(65).stderr.contains("holds no head"));
}

#[test]
fn an_adapter_of_any_form_becomes_a_folder_of_its_own() {
    let scratch = scratch();
    train(&scratch, "head", &[&LORA[..], &["--set", "run.epochs=1"]].concat());
    write(&scratch.path("whole.safetensors"), &whole_checkpoint(&scratch, &published_layers()));
    let import = |source: &str, out: &str, more: &[&str]| {
        let words = ["adapter", "import", source, "--model", model(), "--out", out];
        scratch.run(&[&words[..], more].concat()).go()
    };
    let adapter = json(&scratch, "head/head.json")["encoder"]["adapter"].as_str().unwrap().to_owned();
    let told = import("head/adapter", "copy", &[]).code(0).text();
    assert_eq!(told, format!("identity: {adapter}\n"));
    for name in ["adapter_model.safetensors", "adapter_config.json"] {
        assert!(
            scratch.read(&format!("copy/{name}")) == scratch.read(&format!("head/adapter/{name}")),
            "{name}"
        );
    }
    assert_eq!(import("whole.safetensors", "taken", &["--lora-alpha", "8"]).code(0).text(), told);
    let refused = import("whole.safetensors", "no", &[]).code(65);
    assert!(refused.stderr.contains("--lora-alpha"), "{}", refused.stderr);
    import("head/adapter", "copy", &[]).code(74);
    import("nothing", "no", &[]).code(66);
    assert!(!scratch.path("no").exists());
}

#[test]
fn the_published_adapter_is_a_configuration() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../host/examples/finetune/ppi_published_lora.toml");
    let words = ["finetune", "--config", example, "--train", "t.tsv", "--valid", "t.tsv", "--model", model()];
    let told = scratch().run(&[&words[..], &["--print-config", "--out", "no"]].concat()).go().code(0).text();
    for line in [
        "encoder = \"lora\"",
        "lora_alpha = 32.0",
        "lora_layers = [-8, -7, -6, -5, -4, -3, -2, -1]",
        "cycle_steps = 10",
    ] {
        assert!(told.contains(line), "{told}");
    }
}
