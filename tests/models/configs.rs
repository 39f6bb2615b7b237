//! Configs that do not fit are refused with the key, what it is and what it could be.

use std::fs;
use std::path::Path;

use pliant_models::inspect;
use serde_json::{Value, json};

use crate::common::{SMALL, chain, changed, new, small};

fn error(folder: &Path, config: &str) -> String {
    fs::write(folder.join("config.json"), config).unwrap();
    let text = chain(&inspect(folder).expect_err(config));
    assert!(text.contains("config.json"), "{text}");
    text
}

#[test]
fn keys_that_do_not_fit_are_named() {
    let folder = small(1);
    let cases: [(Value, &str); 28] = [
        (
            json!({"position_embedding_type": "absolute"}),
            "\"position_embedding_type\" is \"absolute\", wanted \"rotary\"",
        ),
        (
            json!({"position_embedding_type": null}),
            "\"position_embedding_type\" is missing, wanted \"rotary\": nothing else is supported (absent means \"absolute\")",
        ),
        (json!({"hidden_act": "gelu_new"}), "\"hidden_act\" is \"gelu_new\", wanted \"gelu\""),
        (json!({"emb_layer_norm_before": true}), "\"emb_layer_norm_before\" is true, wanted false"),
        (json!({"is_folding_model": true}), "\"is_folding_model\" is true"),
        (json!({"is_decoder": true}), "\"is_decoder\" is true"),
        (json!({"vocab_size": 64}), "\"vocab_size\" is 64, wanted a whole number from 33 to 33"),
        (json!({"vocab_size": null}), "\"vocab_size\" is missing"),
        (json!({"mask_token_id": 4}), "\"mask_token_id\" is 4"),
        (json!({"hidden_size": null}), "\"hidden_size\" is missing"),
        (json!({"hidden_size": 0}), "\"hidden_size\" is 0"),
        (json!({"hidden_size": -16}), "\"hidden_size\" is -16"),
        (json!({"hidden_size": 16.5}), "\"hidden_size\" is 16.5"),
        (json!({"hidden_size": "16"}), "\"hidden_size\" is \"16\""),
        (json!({"hidden_size": u64::MAX}), "\"hidden_size\" is 18446744073709551615"),
        (
            json!({"num_attention_heads": 3}),
            "\"num_attention_heads\" is 3, wanted a divisor of \"hidden_size\", which is 16",
        ),
        (
            json!({"num_attention_heads": 4}),
            "a multiple of 8 and at most 128: \"hidden_size\" 16 makes them 4 wide",
        ),
        (json!({"hidden_size": 512}), "makes them 256 wide"),
        (json!({"num_hidden_layers": 0}), "\"num_hidden_layers\" is 0"),
        (json!({"num_hidden_layers": 1_000_000_000u64}), "\"num_hidden_layers\" is 1000000000"),
        (json!({"layer_norm_eps": 0.0}), "\"layer_norm_eps\" is 0.0, wanted a positive number"),
        (json!({"layer_norm_eps": 1e-60}), "\"layer_norm_eps\" is 1.0"),
        (json!({"layer_norm_eps": "small"}), "\"layer_norm_eps\" is \"small\""),
        (json!({"rope_theta": 20_000.0}), "\"rope_theta\" is 20000.0, wanted 10000"),
        (json!({"token_dropout": 1}), "\"token_dropout\" is 1, wanted true or false"),
        (
            json!({"rope_inv_freq": "f32"}),
            "\"rope_inv_freq\" is \"f32\", wanted \"stored\", \"exact\" or \"f16\"",
        ),
        (json!({"max_position_embeddings": 2}), "\"max_position_embeddings\" is 2"),
        (json!({"hidden_size": vec![1; 200]}), "…"),
    ];
    for (change, words) in cases {
        let text = error(folder.path(), &changed(SMALL, change));
        assert!(text.contains(words), "wanted {words}: {text}");
    }
}

#[test]
fn families_and_formats_that_are_unknown() {
    let folder = small(1);
    let own = fs::read_to_string(folder.path().join("config.json")).unwrap();
    for (config, change, words) in [
        (SMALL, json!({"model_type": "bert"}), "\"model_type\" is \"bert\", wanted \"esm\""),
        (SMALL, json!({"model_type": null}), "\"model_type\" is missing"),
        (own.as_str(), json!({"format": "pliant-model-2"}), "\"format\" is \"pliant-model-2\""),
        (own.as_str(), json!({"family": "prot_t5"}), "\"family\" is \"prot_t5\", wanted \"esm2\""),
        (own.as_str(), json!({"vocabulary": "esm2-33/2"}), "\"vocabulary\" is \"esm2-33/2\""),
    ] {
        let text = error(folder.path(), &changed(config, change));
        assert!(text.contains(words), "wanted {words}: {text}");
    }
}

#[test]
fn configs_that_are_none() {
    let folder = small(1);
    for text in ["", "{", "[]", "7", "null", &"[".repeat(100_000)] {
        error(folder.path(), text);
    }
    fs::write(folder.path().join("config.json"), [0xff, 0xfe]).unwrap();
    assert!(chain(&inspect(folder.path()).unwrap_err()).contains("is no UTF-8 text"));
    fs::File::create(folder.path().join("config.json")).unwrap().set_len(1 << 40).unwrap();
    assert!(chain(&inspect(folder.path()).unwrap_err()).contains("at most 16777216 are read"));
}

/// Every bit of a config: a model or an error, never a panic and never a huge request for memory.
#[test]
fn any_bit_of_a_config_flipped() {
    let folder = small(1);
    let path = folder.path().join("config.json");
    let config = fs::read(&path).unwrap();
    let mut refused = 0;
    for at in 0..config.len() {
        for bit in 0..8 {
            let mut flipped = config.clone();
            flipped[at] ^= 1 << bit;
            fs::write(&path, flipped).unwrap();
            if let Err(error) = inspect(folder.path()) {
                let text = chain(&error);
                assert!(text.contains("config.json"), "byte {at}, bit {bit}: {text}");
                refused += 1;
            }
        }
    }
    assert!(refused > config.len(), "{refused} of {} flips refused", 8 * config.len());
}

/// A new model is refused for the same reasons, under the name of the file that was given.
#[test]
fn a_new_model_names_the_config_given() {
    let text = chain(&new(&changed(SMALL, json!({"num_attention_heads": 3})), 1).unwrap_err());
    assert!(text.contains("given.json") && text.contains("num_attention_heads"), "{text}");
}
