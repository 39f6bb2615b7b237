//! The letters of PLUS as its published code reads them.

use std::fs;

use pliant_seq::{PLUS, PLUS_TFM, Vocabulary};
use serde_json::Value;

use crate::common::outside_data;

#[test]
fn sequences_are_the_tokens_of_the_published_code() {
    let Some(data) = outside_data("golden tokens of PLUS") else { return };
    let path = data.join("golden_reference_numerics/plus_alphabet.json");
    let said: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let encoded = said["encoded"].as_object().unwrap();
    assert!(encoded.len() > 3);
    let residues = |vocabulary: &Vocabulary, text: &str| {
        let tokens = vocabulary.encode(text.as_bytes());
        tokens.ids[tokens.residues].to_vec()
    };
    for (text, ids) in encoded {
        let wanted: Vec<u32> = ids.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
        assert_eq!(residues(&PLUS, text), wanted, "{text}");
        assert_eq!(residues(&PLUS_TFM, text), wanted, "{text}");
    }
}
