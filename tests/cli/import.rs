//! `pliant model import` and `pliant model export`.

use std::fs;
use std::path::Path;

use crate::errors::case_in;
use crate::snapshot::{check, told};
use crate::tool::Scratch;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/imports");

/// A folder with the fixtures under short names.
fn sources() -> Scratch {
    let scratch = Scratch::new();
    for folder in ["fair_esm", "hugging_face", "sharded"] {
        let to = scratch.path(folder);
        fs::create_dir(&to).unwrap();
        for entry in fs::read_dir(Path::new(FIXTURES).join(folder)).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
    scratch
}

const TINY: &str = "fair_esm/esm2_t2_tiny.pt";

#[test]
fn an_import_tells_what_it_holds() {
    let scratch = sources();
    let ended = scratch.run(&["model", "import", TINY, "--out", "m"]).go().code(0);
    check("model_import", &told(&ended));
    let half = ["model", "import", "fair_esm/esm2_t2_tiny_half.pt", "--out", "half", "--json"];
    let said = scratch.run(&half).go().code(0).json();
    assert_eq!((&said["dtype"], &said["folder"]), (&"F16".into(), &"half".into()));
    assert_eq!(said["tensors"]["unexpected"], serde_json::json!([]));
    let verified = scratch.run(&["model", "verify", "half"]).go().code(0).text();
    assert_eq!(verified, format!("identity: {}\n", said["identity"].as_str().unwrap()));
    let mut names: Vec<_> = scratch.names();
    names.retain(|name| !["fair_esm", "hugging_face", "sharded"].contains(&name.as_str()));
    assert_eq!(names, ["half", "m"]);
}

/// A proteome embedded with the source and with its import gives the same bytes: one model, one identity.
#[test]
fn every_form_embeds_to_the_same_bytes() {
    let scratch = sources();
    scratch.write("in.fasta", ">a\nMKTAYIAKQR\n>b\nGELVWA\n");
    scratch.run(&["model", "import", TINY, "--out", "m"]).go().code(0);
    let embedded = |model: &str, out: &str| {
        scratch.run(&["embed", "in.fasta", "--model", model, "--out", out]).go().code(0);
        scratch.read(out)
    };
    let wanted = embedded(TINY, "file.npz");
    for (model, out) in [("m", "m.npz"), ("hugging_face", "bin.npz"), ("sharded", "shards.npz")] {
        assert!(embedded(model, out) == wanted, "{model}");
    }
}

#[test]
fn an_export_is_the_same_model() {
    let scratch = sources();
    let identity = |model: &str| scratch.run(&["model", "verify", model]).go().code(0).text();
    let ended = scratch.run(&["model", "export", "hugging_face", "--hf", "--out", "hf"]).go().code(0);
    assert_eq!((ended.text(), ended.stderr.as_str()), (identity("hugging_face"), ""));
    assert_eq!(identity("hf"), identity("hugging_face"));
    let files =
        ["config.json", "model.safetensors", "special_tokens_map.json", "tokenizer_config.json", "vocab.txt"];
    let mut found: Vec<_> =
        fs::read_dir(scratch.path("hf")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    found.sort();
    assert_eq!(found, files);
}

#[test]
fn what_cannot_be_imported_leaves_nothing_behind() {
    let scratch = sources();
    scratch.write("notes.pt", "these are notes and no weights");
    fs::create_dir(scratch.path("full")).unwrap();
    scratch.write("full/mine.txt", "mine");
    let whole = scratch.read(TINY);
    scratch.write("cut.pt", &whole[..whole.len() - 100]);
    let missing = ["model", "import", "no.pt", "--out", "m"];
    case_in(&scratch, "import_missing", 66, &missing, &[]);
    case_in(&scratch, "import_not_torch", 65, &["model", "import", "notes.pt", "--out", "m"], &[]);
    case_in(&scratch, "import_truncated", 65, &["model", "import", "cut.pt", "--out", "m"], &[]);
    case_in(&scratch, "import_folder_is_full", 74, &["model", "import", TINY, "--out", "full"], &[]);
    let regression = "fair_esm/esm2_t2_tiny-contact-regression.pt";
    case_in(&scratch, "import_not_fair_esm", 65, &["model", "import", regression, "--out", "m"], &[]);
    let with = ["model", "import", "hugging_face", "--out", "m", "--contact-regression", regression];
    case_in(&scratch, "import_regression_of_a_folder", 2, &with, &[]);
    let without = ["model", "import", TINY, "--out", "m", "--contact-regression", "no.pt"];
    case_in(&scratch, "import_missing_regression", 66, &without, &[]);
    case_in(&scratch, "export_without_form", 2, &["model", "export", TINY, "--out", "m"], &[]);
    case_in(&scratch, "export_missing", 66, &["model", "export", "no", "--hf", "--out", "m"], &[]);
    // A layer less than its settings say, and a pickle that wants something called.
    let renamed = replaced(&whole, b"layers.1.fc1.bias", b"layers.1.fc9.bias");
    scratch.write("keys.pt", renamed);
    case_in(&scratch, "import_keys", 65, &["model", "import", "keys.pt", "--out", "m"], &[]);
    scratch.write("hostile.pt", replaced(&whole, b"torch\nFloatStorage", b"nt   \nsystem      "));
    case_in(&scratch, "import_hostile", 65, &["model", "import", "hostile.pt", "--out", "m"], &[]);
    assert_eq!(scratch.text("full/mine.txt"), "mine");
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}
