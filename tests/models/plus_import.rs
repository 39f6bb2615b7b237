//! Files as the authors of PLUS save them, in every container, and what is no encoder (tests/fixtures/plus/make.py).

use std::fs;
use std::path::{Path, PathBuf};

use pliant_kernels::Precision;
use pliant_models::{
    About, Beside, LanguageModel, ModelError, Purpose, Transfer, export_hugging_face, export_plus, import,
    inspect, inspect_with, verify,
};
use pliant_seq::PLUS;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{chain, changed, device, loaded, read_tensors, states};
use crate::p_elmo::fixture as p_elmo;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/plus").join(name)
}

fn beside(config: &Path) -> Beside<'_> {
    Beside { config: Some(config), ..Beside::default() }
}

/// A copy in a folder of Pliant's own, with its identity.
fn imported(source: &Path, config: &Path) -> (TempDir, String, About) {
    let scratch = TempDir::new().unwrap();
    let transfer = Transfer { source, beside: beside(config), vocabulary: "<end>\n", out: scratch.path() };
    let (identity, about) = import(&transfer).unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!(verify(scratch.path()).unwrap().0, identity, "{}", source.display());
    (scratch, identity, about)
}

fn refused(source: &Path, beside: &Beside<'_>) -> ModelError {
    inspect_with(source, beside).unwrap_err()
}

#[test]
fn every_container_is_one_model() {
    let (config, chains) = (fixture("rnn.json"), [PLUS.encode(b"MKVXLA").ids, PLUS.encode(b"W").ids]);
    let device = device();
    let mut seen: Vec<(String, Vec<Vec<f32>>)> = Vec::new();
    for name in ["rnn.pt", "rnn_legacy.pt", "rnn_gpu.pt", "rnn.safetensors"] {
        let (folder, identity, about) = imported(&fixture(name), &config);
        assert_eq!(
            (about.family, about.parameters, about.dtype.as_str()),
            ("plus_rnn", 2_458, "F32"),
            "{name}"
        );
        assert!(about.report.ignored.is_empty() && about.absent.is_empty(), "{name}");
        let loaded = loaded(folder.path(), &device, Precision::F32, Purpose::Inference);
        seen.push((identity, states(&loaded.model, (&device, Precision::F32), &chains, &[1, 2, 3])));
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
    let [zip, legacy] =
        ["tfm.pt", "tfm_legacy.pt"].map(|name| imported(&fixture(name), &fixture("tfm.json")));
    assert_eq!(zip.1, legacy.1);
    assert_eq!((zip.2.family, zip.2.longest), ("plus_tfm", Some(10)));
    let stored = read_tensors(&zip.0.path().join("model.safetensors"));
    assert!(!stored.contains_key("decoder.weight") && stored.contains_key("transformer.embed.pos_embed.pe"));
}

/// The table of places that the published code stores is the one that is computed here, to the last bits of f32.
#[test]
fn the_stored_sinusoid_is_the_computed_one() {
    let (folder, ..) = imported(&fixture("tfm.pt"), &fixture("tfm.json"));
    let stored =
        read_tensors(&folder.path().join("model.safetensors"))["transformer.embed.pos_embed.pe"].values();
    let text = fs::read_to_string(fixture("tfm.json")).unwrap();
    let made = crate::common::new(&text, 1).unwrap();
    let made =
        read_tensors(&made.path().join("model.safetensors"))["transformer.embed.pos_embed.pe"].values();
    let far = stored.iter().zip(&made).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max);
    assert!(far < 2e-6, "{far}");
}

#[test]
fn parts_that_are_not_there_are_said() {
    let (folder, identity, about) = imported(&fixture("rnn_one_class.pt"), &fixture("rnn.json"));
    assert_eq!(about.report.ignored, ["ordinal_bias", "ordinal_weight"]);
    assert_eq!(about.absent.len(), 2, "{:?}", about.absent);
    assert_ne!(identity, imported(&fixture("rnn.pt"), &fixture("rnn.json")).1);
    let device = device();
    let loaded = loaded(folder.path(), &device, Precision::F32, Purpose::Inference);
    assert!(!loaded.model.has_lm_head());
    assert!(matches!(loaded.model.check_pairs(), Err(ModelError::NoPairs)));
    let config: Value =
        serde_json::from_str(&fs::read_to_string(folder.path().join("config.json")).unwrap()).unwrap();
    assert_eq!((&config["num_classes"], &config["decoder"]), (&json!(0), &json!(false)));
    assert_eq!(config["model_type"], "plus_rnn");
}

#[test]
fn what_is_no_encoder_is_refused_with_what_it_is() {
    let config = fixture("rnn.json");
    for (name, words) in [("mlp.pt", "the prediction layers of a task"), ("cm.pt", "a head for contact maps")]
    {
        for beside in [beside(&config), Beside::default()] {
            let error = refused(&fixture(name), &beside);
            assert!(matches!(error, ModelError::HeadAlone { .. }), "{error}");
            assert!(error.to_string().contains(words) && error.to_string().contains(name), "{error}");
        }
    }
    for (name, family) in
        [("rnn.pt", "PLUS-RNN or P-ELMo"), ("rnn_gpu.pt", "PLUS-RNN"), ("tfm.pt", "PLUS-TFM")]
    {
        let text = inspect(&fixture(name)).unwrap_err().to_string();
        assert!(text.contains(family) && text.contains("--config MODEL.json"), "{text}");
    }
}

#[test]
fn a_config_of_another_model_is_refused_by_what_differs() {
    let scratch = TempDir::new().unwrap();
    let written = |changes: Value| {
        let path = scratch.path().join("changed.json");
        fs::write(&path, changed(&fs::read_to_string(fixture("rnn.json")).unwrap(), changes)).unwrap();
        path
    };
    let error = |changes: Value, name: &str| {
        let config = written(changes);
        chain(
            &import(&Transfer {
                source: &fixture(name),
                beside: beside(&config),
                vocabulary: "",
                out: &scratch.path().join("out"),
            })
            .unwrap_err(),
        )
    };
    let text = error(json!({"hidden_dim": 5}), "rnn.pt");
    assert!(text.contains("has shape") && text.contains("rnn."), "{text}");
    let text = error(json!({"num_layers": 2}), "rnn.pt");
    assert!(text.contains("unexpected") && text.contains("_l2"), "{text}");
    let text = error(json!({"num_layers": 4}), "rnn.pt");
    assert!(text.contains("missing") && text.contains("_l3"), "{text}");
    let text = error(json!({}), "tfm.pt");
    assert!(text.contains("\"decoder.weight\": has shape [25, 8], wanted [21, 8]"), "{text}");
    let text = error(json!({"model_type": "MLP", "rnn_type": null}), "rnn.pt");
    assert!(text.contains("\"model_type\" is \"MLP\""), "{text}");
    let text = error(json!({"dropout": 0.1}), "rnn.pt");
    assert!(text.contains("\"dropout\" is 0.1, wanted none but"), "{text}");
}

#[test]
fn p_elmo_wants_its_language_model_and_nobody_else_does() {
    let (config, lm) = (p_elmo("p_elmo.json"), p_elmo("lm.pt"));
    let language_model = Some(LanguageModel { weights: &lm, config: &p_elmo("lm.json") });
    let text = refused(&p_elmo("p_elmo.pt"), &beside(&config)).to_string();
    assert!(text.contains("--lm-model") && text.contains("--lm-config"), "{text}");
    let text =
        refused(&fixture("rnn.pt"), &Beside { language_model, ..beside(&fixture("rnn.json")) }).to_string();
    assert!(text.contains("only P-ELMo reads a language model"), "{text}");
    let wrong = Some(LanguageModel { weights: &lm, config: &fixture("rnn.json") });
    let text =
        refused(&p_elmo("p_elmo.pt"), &Beside { language_model: wrong, ..beside(&config) }).to_string();
    assert!(text.contains("\"lm."), "{text}");
    let about = inspect_with(&p_elmo("p_elmo.pt"), &Beside { language_model, ..beside(&config) }).unwrap();
    assert!(about.report.missing.is_empty() && about.report.unexpected.is_empty(), "{:?}", about.report);
    assert!(about.report.ignored.iter().any(|name| name.contains("decoder")), "{:?}", about.report.ignored);
    let folder = imported(&fixture("rnn.pt"), &fixture("rnn.json")).0;
    assert!(matches!(refused(folder.path(), &beside(&config)), ModelError::ConfigOfFolder { .. }));
}

/// The authors' names and their form of the config, and back again.
#[test]
fn the_form_of_the_authors_is_the_same_model() {
    for (name, config) in [("rnn.pt", "rnn.json"), ("tfm.pt", "tfm.json")] {
        let (own, identity, _) = imported(&fixture(name), &fixture(config));
        let scratch = TempDir::new().unwrap();
        let out = scratch.path().join("authors");
        let transfer = Transfer { source: own.path(), beside: Beside::default(), vocabulary: "", out: &out };
        assert_eq!(export_plus(&transfer).unwrap().0, identity);
        let [said, wanted] = [out.join("MODEL.json"), fixture(config)]
            .map(|path| serde_json::from_str::<Value>(&fs::read_to_string(path).unwrap()).unwrap());
        assert_eq!(said, wanted);
        let stored = read_tensors(&out.join("weights.safetensors"));
        assert_eq!(stored.contains_key("transformer.embed.tok_embed.weight"), name == "tfm.pt");
        assert!(stored.contains_key("decoder.weight"));
        assert_eq!(imported(&out.join("weights.safetensors"), &out.join("MODEL.json")).1, identity);
        let refused =
            export_hugging_face(&Transfer { out: &scratch.path().join("hf"), ..transfer }).unwrap_err();
        assert!(refused.to_string().contains("Hugging Face transformers has no PLUS"), "{refused}");
    }
    let esm2 = crate::common::small(1);
    let scratch = TempDir::new().unwrap();
    let out = scratch.path().join("authors");
    let transfer = Transfer { source: esm2.path(), beside: Beside::default(), vocabulary: "", out: &out };
    assert!(matches!(export_plus(&transfer), Err(ModelError::NotExportable { .. })));
}
