//! Damaged and hostile safetensors files: an error that names the file, never a panic, never other numbers.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;

use pliant_models::{inspect, verify};
use serde_json::{Value, json};

use crate::common::{chain, contents, folder, small};

const FILE: &str = "model.safetensors";

/// What reading the whole folder says: its identity, or the error.
fn read(folder: &Path) -> Result<String, String> {
    verify(folder).map(|(identity, _)| identity).map_err(|error| chain(&error))
}

/// What reading the headers alone says.
fn glance(folder: &Path) -> Result<(), String> {
    inspect(folder).map(drop).map_err(|error| chain(&error))
}

/// Asserts that the folder is refused with an error that names the file and holds `words`.
fn refused(folder: &Path, words: &str) {
    let text = read(folder).expect_err(words);
    assert!(text.contains(FILE) && text.contains(words), "wanted \"{words}\": {text}");
}

/// A file of one header and `data` bytes of zeros.
fn file(folder: &Path, header: &str, data: usize) {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    fs::write(folder.join(FILE), bytes).unwrap();
}

#[test]
fn truncated_at_any_length() {
    let folder = small(1);
    let path = folder.path().join(FILE);
    let whole = fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let lengths = (0..header.min(64)).chain((64..header).step_by(37)).chain(header..header + 9);
    let tail = (1..10).map(|less| whole.len() - less);
    for length in lengths.chain((header..whole.len()).step_by(4_099)).chain(tail) {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(glance(folder.path()).unwrap_err().contains("truncated"), "{length}");
        refused(folder.path(), "truncated");
    }
    fs::write(&path, &whole).unwrap();
    read(folder.path()).unwrap();
}

#[test]
fn extended() {
    let folder = small(1);
    let path = folder.path().join(FILE);
    let mut bytes = fs::read(&path).unwrap();
    for more in [1, 8, 4096] {
        bytes.extend(vec![0; more]);
        fs::write(&path, &bytes).unwrap();
        refused(folder.path(), "is too long");
    }
}

/// Every bit of the length and of the header. Where a flip means nothing (free text, white space) the model
/// is the same; a model with another identity would be a lie.
#[test]
fn any_bit_of_the_header_flipped() {
    let folder = small(1);
    let identity = read(folder.path()).unwrap();
    let path = folder.path().join(FILE);
    let bytes = fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let opened = OpenOptions::new().write(true).open(&path).unwrap();
    let (mut refusals, mut harmless) = (0, 0);
    for at in 0..header {
        for bit in 0..8 {
            opened.write_all_at(&[bytes[at] ^ (1 << bit)], at as u64).unwrap();
            match read(folder.path()) {
                Ok(found) => {
                    assert_eq!(found, identity, "byte {at}, bit {bit}");
                    harmless += 1;
                }
                Err(text) => {
                    let folder = folder.path().to_str().unwrap();
                    assert!(text.contains(FILE) || text.contains(folder), "byte {at}, bit {bit}: {text}");
                    refusals += 1;
                }
            }
        }
        opened.write_all_at(&bytes[at..=at], at as u64).unwrap();
    }
    println!("{refusals} flips refused, {harmless} harmless");
    assert!(refusals > 50 * harmless);
    assert_eq!(read(folder.path()).unwrap(), identity);
}

#[test]
fn lengths_that_cannot_be() {
    let folder = small(1);
    let path = folder.path().join(FILE);
    let whole = fs::read(&path).unwrap();
    for length in [u64::MAX, u64::MAX - 7, 1 << 63, 1 << 40, 100_000_001, whole.len() as u64 - 7] {
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend(&whole[8..]);
        fs::write(&path, bytes).unwrap();
        refused(folder.path(), "header says it is");
    }
    // A sparse file whose length would allow a header above the limit.
    let huge = fs::File::create(&path).unwrap();
    huge.set_len(1 << 30).unwrap();
    huge.write_all_at(&(1u64 << 29).to_le_bytes(), 0).unwrap();
    refused(folder.path(), "at most 100000000 are allowed");
    for length in 0..8 {
        fs::write(&path, &whole[..length]).unwrap();
        refused(folder.path(), "too few");
    }
}

#[test]
fn headers_that_are_not_one() {
    let folder = small(1);
    let deep = "[".repeat(100_000);
    for header in ["", "{", "[]", "null", "{}{}", "{\"a\":1}", "{\"a\":{}}", "\u{1}", deep.as_str()] {
        file(folder.path(), header, 0);
        refused(folder.path(), "header is damaged");
    }
    file(folder.path(), "{}", 0);
    assert!(read(folder.path()).unwrap_err().contains("missing"));
}

fn entry(dtype: &str, shape: Value, begin: u64, end: u64) -> Value {
    json!({"dtype": dtype, "shape": shape, "data_offsets": [begin, end]})
}

#[test]
fn entries_that_do_not_fit() {
    let folder = small(1);
    let cases = [
        (json!({"a": entry("F31", json!([2]), 0, 8)}), 8, "unknown dtype \"F31\""),
        (json!({"a": entry("F32", json!([3]), 0, 8)}), 8, "has 8 bytes of data, its shape and dtype want 12"),
        (json!({"a": entry("F32", json!([2]), 8, 0)}), 8, "8..0 run backwards"),
        (json!({"a": entry("F32", json!([2]), 4, 12)}), 12, "begins at byte 4 of the data, wanted 0"),
        (
            json!({"a": entry("F32", json!([2]), 0, 8), "b": entry("F32", json!([2]), 4, 12)}),
            12,
            "tensor \"b\": begins at byte 4 of the data, wanted 8",
        ),
        (
            json!({"a": entry("F32", json!([2]), 0, 8), "b": entry("F32", json!([2]), 12, 20)}),
            20,
            "tensor \"b\": begins at byte 12 of the data, wanted 8",
        ),
        (json!({"a": entry("F32", json!([1u64 << 62, 4]), 0, 8)}), 8, "overflows"),
        (json!({"a": entry("F32", json!([u64::MAX, u64::MAX]), 0, 8)}), 8, "overflows"),
        (json!({"a": entry("F32", json!([1u64 << 50]), 0, 1 << 52)}), 8, "truncated"),
        (json!({"a": entry("F32", json!([-1]), 0, 8)}), 8, "header is damaged: \"a\": invalid value"),
        (json!({"a": entry("F32", json!([1.5]), 0, 8)}), 8, "header is damaged: \"a\": invalid type"),
        (json!({"a": entry("F32", json!("2"), 0, 8)}), 8, "header is damaged: \"a\": invalid type"),
        (json!({"a": {"dtype": "F32", "shape": [2]}}), 8, "missing field `data_offsets`"),
        (json!({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8, 9]}}), 8, "header is damaged"),
    ];
    for (header, data, words) in cases {
        file(folder.path(), &header.to_string(), data);
        assert!(glance(folder.path()).unwrap_err().contains(words));
        refused(folder.path(), words);
    }
}

#[test]
fn names_that_stand_twice_or_are_no_names() {
    let folder = small(1);
    let entry = r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
    file(folder.path(), &format!("{{\"a\":{entry},\"a\":{entry}}}"), 4);
    refused(folder.path(), "names \"a\" twice");
    let long = "\u{1b}[31m".repeat(1000);
    let header = json!({long: {"dtype": "F31", "shape": [1], "data_offsets": [0, 4]}});
    file(folder.path(), &header.to_string(), 4);
    let text = read(folder.path()).unwrap_err();
    assert!(!text.contains('\u{1b}') && text.len() < 1_500, "{} letters", text.len());
}

/// A tensor that is well-formed and not what the model needs.
#[test]
fn tensors_of_another_shape_or_type() {
    let (config, tensors) = contents(small(1).path());
    let name = "esm.encoder.layer.1.output.dense.weight";
    let mut other = tensors.clone();
    other.get_mut(name).unwrap().shape = vec![24, 16];
    let wanted = format!("tensor \"{name}\": has shape [24, 16], wanted [16, 24]");
    refused(folder(&config, &other).path(), &wanted);
    let mut other = tensors.clone();
    let integers = other.get_mut(name).unwrap();
    integers.dtype = safetensors::Dtype::I32;
    refused(folder(&config, &other).path(), "has dtype I32, wanted F32, F16 or BF16");
    let doubles = other.get_mut(name).unwrap();
    (doubles.dtype, doubles.shape) = (safetensors::Dtype::F64, vec![8, 24]);
    refused(folder(&config, &other).path(), "has dtype F64, wanted F32, F16 or BF16");
}

/// Numbers that are none are found wherever they stand, and in every number type.
#[test]
fn weights_that_are_not_finite() {
    let (config, tensors) = contents(small(1).path());
    let name = "esm.embeddings.word_embeddings.weight";
    let last = tensors[name].bytes.len() - 4;
    for (bytes, value) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
        for at in [0, last] {
            let mut other = tensors.clone();
            other.get_mut(name).unwrap().bytes[at..at + 4].copy_from_slice(&bytes.to_le_bytes());
            let words = format!("tensor \"{name}\": element {} is {value}", at / 4);
            refused(folder(&config, &other).path(), &words);
        }
    }
    for (dtype, bits) in [(safetensors::Dtype::F16, 0x7c00u16), (safetensors::Dtype::BF16, 0x7f80)] {
        let mut other = tensors.clone();
        let stored = other.get_mut(name).unwrap();
        stored.dtype = dtype;
        stored.bytes = vec![0; stored.bytes.len() / 2];
        stored.bytes[20..22].copy_from_slice(&bits.to_le_bytes());
        refused(folder(&config, &other).path(), "element 10 is inf");
    }
}

#[test]
fn what_is_no_regular_file() {
    let folder = small(1);
    let path = folder.path().join(FILE);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    refused(folder.path(), "is no regular file");
    fs::remove_dir(&path).unwrap();
    symlink("/dev/zero", &path).unwrap();
    refused(folder.path(), "is no regular file");
    fs::remove_file(&path).unwrap();
    symlink("nowhere", &path).unwrap();
    refused(folder.path(), "No such file");
}
