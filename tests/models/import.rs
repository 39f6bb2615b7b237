//! One model in every form that is read: fair-esm's files, PyTorch's folders, safetensors. The fixtures were written by
//! the original programs (tests/fixtures/imports/make.py).

use std::fs;
use std::path::{Path, PathBuf};

use pliant_kernels::Precision;
use pliant_models::{
    About, Beside, ModelError, Purpose, Transfer, export_hugging_face, import, inspect, verify,
};
use pliant_nn::Checkpoint;
use pliant_tensor::Tape;
use safetensors::Dtype;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{Tensors, assert_close, chain, device, loaded, pack, read_tensors, states};

const REGRESSION: &str = "-contact-regression.pt";

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/imports").join(name)
}

fn original() -> PathBuf {
    fixture("fair_esm/esm2_t2_tiny.pt")
}

fn identity(source: &Path) -> String {
    verify(source).unwrap_or_else(|error| panic!("{}", chain(&error))).0
}

/// A folder with `bytes` as `m.pt` and the regression of the contact head beside it.
fn beside_regression(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("m.pt");
    fs::write(&path, bytes).unwrap();
    let regression = fixture(&format!("fair_esm/esm2_t2_tiny{REGRESSION}"));
    fs::copy(regression, folder.path().join(format!("m{REGRESSION}"))).unwrap();
    (folder, path)
}

/// The bytes of a file with every `from` in it replaced by as many others.
fn replaced(path: &Path, from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let (mut bytes, mut found) = (fs::read(path).unwrap(), 0);
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
            found += 1;
        }
    }
    assert!(found > 0);
    bytes
}

/// The error of a changed copy of the fair-esm file.
fn refused(from: &[u8], to: &[u8]) -> String {
    let (_folder, path) = beside_regression(&replaced(&original(), from, to));
    let text = chain(&verify(&path).unwrap_err());
    assert!(text.contains(path.to_str().unwrap()), "{text}");
    text
}

fn transfer<'a>(source: &'a Path, out: &'a Path) -> Transfer<'a> {
    Transfer { source, beside: Beside::default(), vocabulary: "<cls>\n", out }
}

/// A copy in a folder of Pliant's own.
fn imported(source: &Path) -> (TempDir, PathBuf, String, About) {
    let scratch = TempDir::new().unwrap();
    let out = scratch.path().join("model");
    let (identity, about) =
        import(&transfer(source, &out)).unwrap_or_else(|error| panic!("{}", chain(&error)));
    (scratch, out, identity, about)
}

#[test]
fn every_form_is_one_model() {
    let wanted = identity(&fixture("twin"));
    let (_legacy, legacy) = beside_regression(&fs::read(fixture("fair_esm/esm2_t2_tiny_legacy.pt")).unwrap());
    for source in [original(), legacy, fixture("hugging_face"), fixture("sharded")] {
        assert_eq!(identity(&source), wanted, "{}", source.display());
        let (_scratch, out, said, _) = imported(&source);
        assert_eq!((said, identity(&out)), (wanted.clone(), wanted.clone()), "{}", source.display());
    }
}

/// The numbers of the original programs, and the same bits from every form.
#[test]
fn states_logits_and_contacts_are_those_of_fair_esm() {
    let expected = read_tensors(&fixture("expected.safetensors"));
    let device = device();
    let (_scratch, out, ..) = imported(&original());
    let mut bits: Vec<Vec<Vec<f32>>> = Vec::new();
    for source in [original(), fixture("hugging_face"), fixture("twin"), out] {
        let loaded = loaded(&source, &device, Precision::F32, Purpose::Inference);
        let mut all = Vec::new();
        for at in 0..2 {
            let tokens: Vec<u32> =
                expected[&format!("tokens.{at}")].integers().iter().map(|&id| id as u32).collect();
            let found =
                states(&loaded.model, (&device, Precision::F32), std::slice::from_ref(&tokens), &[0, 1, 2]);
            for (layer, found) in found.iter().enumerate() {
                let wanted = expected[&format!("states.{at}.{layer}")].values();
                assert_close(&format!("layer {layer} of sequence {at}"), found, &wanted);
            }
            let tape = Tape::off(&device, Precision::F32);
            let (ids, offsets) = pack(&device, &[tokens]);
            let hidden = loaded.model.encode(&tape, &ids, &offsets, &[2]).unwrap();
            let logits = loaded.model.lm_logits(&tape, &hidden[0]).unwrap().to_vec_f32();
            assert_close(
                &format!("logits of sequence {at}"),
                &logits,
                &expected[&format!("logits.{at}")].values(),
            );
            let residues = 1..logits.len() / 33 - 1;
            let contacts = loaded.model.contacts(&tape, &ids, &offsets, &[residues]).unwrap().concat();
            let wanted = expected[&format!("contacts.{at}")].values();
            assert_close(&format!("contacts of sequence {at}"), &contacts, &wanted);
            all.extend(found.into_iter().chain([logits, contacts]));
        }
        bits.push(all);
    }
    assert!(bits.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn an_import_has_canonical_names_the_bytes_of_the_source_and_a_complete_config() {
    let (scratch, out, _, about) = imported(&original());
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1, "nothing is left beside it");
    let mut twin: Tensors = read_tensors(&fixture("twin/model.safetensors"));
    assert_eq!(read_tensors(&out.join("model.safetensors")), twin);
    let config: Value = serde_json::from_str(&fs::read_to_string(out.join("config.json")).unwrap()).unwrap();
    for (key, wanted) in [
        ("format", json!("pliant-model-1")),
        ("family", json!("esm2")),
        ("rope_inv_freq", json!("stored")),
        ("num_attention_heads", json!(2)),
        ("num_hidden_layers", json!(2)),
        ("hidden_size", json!(16)),
        ("intermediate_size", json!(64)),
        ("token_dropout", json!(true)),
        ("layer_norm_eps", json!(1e-5)),
    ] {
        assert_eq!(config[key], wanted, "{key}");
    }
    assert_eq!(fs::read_to_string(out.join("vocab.txt")).unwrap(), "<cls>\n");
    assert!(about.report.used.contains(&"encoder.sentence_encoder.layers.0.fc1.bias".to_owned()));
    assert!(about.report.used.contains(&"contact_head.regression.weight".to_owned()));
    assert_eq!((about.report.unexpected.len(), about.report.missing.len()), (0, 0));
    // Spelled as transformers 5 spells them, shared frequencies become those of every layer.
    let frequencies = twin.remove("esm.encoder.layer.0.attention.self.rotary_embeddings.inv_freq").unwrap();
    twin.remove("esm.encoder.layer.1.attention.self.rotary_embeddings.inv_freq").unwrap();
    twin.insert("esm.encoder.layer.*.attention.self.rotary_embeddings.inv_freq".to_owned(), frequencies);
    let config = fs::read_to_string(fixture("twin/config.json")).unwrap();
    let (_again, again, ..) = imported(crate::common::folder(&config, &twin).path());
    assert_eq!(
        fs::read(again.join("model.safetensors")).unwrap(),
        fs::read(out.join("model.safetensors")).unwrap()
    );
}

/// 16 bits stay 16 bits; heads and layers are found in the shapes where nothing is said of them.
#[test]
fn half_precision_stays_and_shapes_tell_what_settings_do_not() {
    let source = fixture("fair_esm/esm2_t2_tiny_half.pt");
    let (_scratch, out, said, about) = imported(&source);
    assert_eq!((about.dtype.as_str(), about.layers, about.width), ("F16", 2, 16));
    assert!(about.config_summary.contains("\"num_attention_heads\":2"), "{}", about.config_summary);
    let copied = read_tensors(&out.join("model.safetensors"));
    assert!(copied.values().all(|tensor| tensor.dtype == Dtype::F16));
    assert_eq!((identity(&out), identity(&source)), (said.clone(), said.clone()));
    assert_ne!(said, identity(&original()), "another number type is another model");
    // Without rotary frequencies nothing tells the heads.
    let changed = replaced(&source, b"rot_emb.inv_freq", b"rot_emb.inv_fred");
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("m.pt");
    fs::write(&path, changed).unwrap();
    assert!(
        chain(&inspect(&path).unwrap_err()).contains("found no setting cfg.model.encoder_attention_heads")
    );
}

#[test]
fn the_contact_head_comes_from_its_file() {
    let folder = TempDir::new().unwrap();
    let alone = folder.path().join("alone.pt");
    fs::copy(original(), &alone).unwrap();
    let without = inspect(&alone).unwrap();
    assert!(!without.report.used.iter().any(|name| name.starts_with("contact_head")));
    let regression = fixture(&format!("fair_esm/esm2_t2_tiny{REGRESSION}"));
    let out = folder.path().join("out");
    let named = Transfer {
        beside: Beside { contact_regression: Some(&regression), ..Beside::default() },
        ..transfer(&alone, &out)
    };
    assert_eq!(import(&named).unwrap().0, identity(&fixture("twin")));
    let out = folder.path().join("other");
    let twin = fixture("twin");
    let folder_with_file = Transfer {
        beside: Beside { contact_regression: Some(&regression), ..Beside::default() },
        ..transfer(&twin, &out)
    };
    assert!(matches!(import(&folder_with_file), Err(ModelError::NoRegression { .. })));
    assert!(!out.exists());
}

/// Shared storages, views, transposed and cut tensors give what PyTorch sees; other types are known and not read.
#[test]
fn views_are_gathered() {
    let checkpoint = Checkpoint::open_files(&fixture("views.pt"), None).unwrap();
    let expected = read_tensors(&fixture("expected.safetensors"));
    let mut seen = 0;
    for (name, wanted) in
        expected.iter().filter_map(|(name, wanted)| Some((name.strip_prefix("views.")?, wanted)))
    {
        let stored = checkpoint.get(name).unwrap();
        assert_eq!(stored.shape, wanted.shape, "{name}");
        let (found, hash) = checkpoint.read(name, stored).unwrap();
        assert_eq!(found, wanted.values(), "{name}");
        assert_eq!(hash, checkpoint.hash(name, stored).unwrap());
        seen += 1;
    }
    assert_eq!(seen, 12);
    for (name, dtype) in [("double", "F64"), ("long", "I64"), ("flags", "BOOL"), ("bytes", "U8")] {
        let stored = checkpoint.get(name).unwrap();
        assert_eq!((stored.dtype.name(), &*stored.shape), (dtype, &[5, 12][..]));
        let error = checkpoint.read(name, stored).unwrap_err().to_string();
        assert!(error.contains(&format!("tensor \"{name}\": has dtype {dtype}, wanted")), "{error}");
    }
}

#[test]
fn names_and_settings_that_do_not_fit_are_told() {
    let text = refused(b"layers.1.fc1.bias", b"layers.1.fc9.bias");
    assert!(text.contains("missing \"esm.encoder.layer.1.intermediate.dense.bias\""), "{text}");
    assert!(text.contains("unexpected \"encoder.sentence_encoder.layers.1.fc9.bias\""), "{text}");
    // What torch writes for `encoder_layers` 2, or for heads.
    let setting = |name: &str| [b"X", &(name.len() as u32).to_le_bytes()[..], name.as_bytes()].concat();
    let changed = |name: &str, value: u8| {
        let bytes = fs::read(original()).unwrap();
        let at = find(&bytes, &setting(name)) + 5 + name.len();
        // A memo of one byte, then the number.
        assert_eq!((bytes[at], bytes[at + 2]), (b'q', b'K'));
        let mut other = bytes.clone();
        other[at + 3] = value;
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("m.pt");
        fs::write(&path, other).unwrap();
        chain(&verify(&path).unwrap_err())
    };
    for (name, value, words) in [
        ("encoder_layers", 3, "missing \"esm.encoder.layer.2."),
        ("encoder_layers", 1, "unexpected \"encoder.sentence_encoder.layers.1."),
        ("encoder_embed_dim", 32, "has shape [33, 16], wanted [33, 32]"),
        ("encoder_attention_heads", 3, "m.pt: \"num_attention_heads\" is 3, wanted a divisor"),
    ] {
        let text = changed(name, value);
        assert!(text.contains(words), "wanted {words}: {text}");
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> usize {
    bytes.windows(wanted.len()).position(|window| window == wanted).unwrap()
}

#[test]
fn files_that_are_no_model_of_fair_esm_say_what_they_are() {
    let error = |path: &Path| chain(&verify(path).unwrap_err());
    let bin = error(&fixture("hugging_face/pytorch_model.bin"));
    assert!(bin.contains("for weights of Hugging Face name the folder"), "{bin}");
    let regression = error(&fixture(&format!("fair_esm/esm2_t2_tiny{REGRESSION}")));
    assert!(regression.contains("found no tensor embed_tokens.weight"), "{regression}");
    assert!(error(&fixture("make.py")).contains("begins neither as a zip archive nor as a pickle"));
    assert!(refused(b"little", b"big...").contains("big-endian"));
    let text = refused(b"FloatStorage", b"FloatStorage".to_ascii_uppercase().as_slice());
    assert!(text.contains("damaged") || text.contains("is made by"), "{text}");
}

/// Shards of PyTorch follow the rules of safetensors shards.
#[test]
fn shards_of_pytorch_stay_in_their_folder() {
    let folder = TempDir::new().unwrap();
    for entry in fs::read_dir(fixture("sharded")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let index = folder.path().join("pytorch_model.bin.index.json");
    let text = fs::read_to_string(&index).unwrap();
    for shard in ["../x.bin", "x.safetensors", "pytorch_model-00003-of-00002.bin"] {
        let changed = text.replacen("pytorch_model-00002-of-00002.bin", shard, 1);
        fs::write(&index, changed).unwrap();
        let error = chain(&verify(folder.path()).unwrap_err());
        assert!(error.contains("names the shard") || error.contains("00003-of-00002"), "{shard}: {error}");
    }
}

/// What transformers needs to find the model and its tokens; that it loads is tests/peers/check_export.py's business.
#[test]
fn an_export_is_the_same_model_in_the_words_of_transformers() {
    for source in [original(), fixture("sharded"), fixture("fair_esm/esm2_t2_tiny_half.pt")] {
        let scratch = TempDir::new().unwrap();
        let out = scratch.path().join("hf");
        let (said, about) = export_hugging_face(&transfer(&source, &out)).unwrap();
        assert_eq!((identity(&out), identity(&source)), (said.clone(), said));
        let read = |name: &str| -> Value {
            serde_json::from_str(&fs::read_to_string(out.join(name)).unwrap()).unwrap()
        };
        let config = read("config.json");
        assert!(["format", "family", "rope_inv_freq"].iter().all(|key| config.get(key).is_none()));
        assert_eq!(config["architectures"], json!(["EsmForMaskedLM"]));
        assert_eq!(config["torch_dtype"], if about.dtype == "F16" { "float16" } else { "float32" });
        assert_eq!(
            (&config["pad_token_id"], &config["attention_probs_dropout_prob"]),
            (&json!(1), &json!(0.0))
        );
        assert_eq!(read("tokenizer_config.json")["tokenizer_class"], "EsmTokenizer");
        assert_eq!(read("special_tokens_map.json")["mask_token"], "<mask>");
        let names: Vec<String> = read_tensors(&out.join("model.safetensors")).into_keys().collect();
        assert!(names.iter().all(|name| name.starts_with("esm.") || name.starts_with("lm_head.")));
        assert!(!names.contains(&"lm_head.decoder.weight".to_owned()), "it is tied");
        let again = export_hugging_face(&transfer(&source, &out));
        assert!(matches!(again, Err(ModelError::NotEmpty { .. })));
    }
}

/// What transformers would compute in another way is no export.
#[test]
fn layers_with_frequencies_of_their_own_are_not_exported() {
    let (config, mut tensors) = crate::common::contents(crate::common::small(3).path());
    let name = "esm.encoder.layer.1.attention.self.rotary_embeddings.inv_freq";
    tensors.get_mut(name).unwrap().bytes[0] ^= 1;
    let folder = crate::common::folder(&config, &tensors);
    let scratch = TempDir::new().unwrap();
    let out = scratch.path().join("hf");
    let error = export_hugging_face(&transfer(folder.path(), &out)).unwrap_err().to_string();
    assert!(error.contains("frequencies of their own") && !out.exists(), "{error}");
}

/// Frequencies that a config computes are written as numbers for programs that compute them in another way.
#[test]
fn an_export_holds_the_frequencies_it_computes_with() {
    let exact = crate::common::changed(crate::common::SMALL, json!({"rope_inv_freq": "f16"}));
    let folder = crate::common::new(&exact, 3).unwrap();
    let scratch = TempDir::new().unwrap();
    let out = scratch.path().join("hf");
    export_hugging_face(&transfer(folder.path(), &out)).unwrap();
    let device = device();
    let run = |folder: &Path| {
        let loaded = loaded(folder, &device, Precision::F32, Purpose::Inference);
        states(&loaded.model, (&device, Precision::F32), &[vec![0, 5, 32, 4, 20, 2]], &[2])
    };
    assert_eq!(run(folder.path()), run(&out));
    let tensors = read_tensors(&out.join("model.safetensors"));
    assert_eq!(tensors.keys().filter(|name| name.ends_with("inv_freq")).count(), 2);
}
