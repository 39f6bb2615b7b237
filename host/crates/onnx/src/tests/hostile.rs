//! Files and sidecars that are wrong, each refused with what is wrong, none of them a panic.

use std::fs;
use std::os::unix::fs::symlink;

use prost::Message;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::{StringStringEntryProto, TensorProto};

use super::{Scratch, fixture, floats, head, model, node, summed};
use crate::{Encoder, EncoderSidecar, HeadSidecar, Limits, OnnxError, Wanted};

#[test]
fn what_is_no_onnx_is_refused() {
    assert!(Scratch::of(b"").refusal().contains("it holds no graph"));
    assert!(Scratch::of(b"PK\x03\x04 no onnx").refusal().contains("is no ONNX file"));
    let scratch = Scratch::graph(summed());
    fs::remove_file(scratch.model()).unwrap();
    assert!(matches!(scratch.open(&Limits::default()), Err(OnnxError::Io { .. })));
    fs::create_dir(scratch.model()).unwrap();
    assert!(scratch.refusal().contains("no regular file"));
}

#[test]
fn no_beginning_and_no_damage_of_a_file_is_a_panic() {
    let whole = fs::read(fixture("mlp.onnx")).unwrap();
    let text = fs::read_to_string(fixture("mlp.onnx.toml")).unwrap();
    let tried = |bytes: &[u8]| {
        let scratch = Scratch::of(bytes);
        scratch.say(&text);
        scratch.open(&Limits::default()).map(drop)
    };
    assert!(tried(&whole).is_ok());
    for length in (0..whole.len()).step_by(whole.len() / 40) {
        assert!(tried(&whole[..length]).is_err(), "the first {length} bytes");
    }
    let mut refused = 0;
    for number in 0..240usize {
        let mut damaged = whole.clone();
        let place = number.wrapping_mul(7919) % damaged.len();
        damaged[place] ^= 1 << (number % 8);
        refused += usize::from(tried(&damaged).is_err());
    }
    assert!(refused > 40, "{refused}");
}

#[test]
fn operators_are_named_with_file_and_node() {
    let refused =
        |operator: &str| Scratch::graph(head(vec![node(operator, &["x"], "y")], Vec::new())).refusal();
    let unknown = refused("Frobnicate");
    assert!(
        unknown.contains("m.onnx") && unknown.contains("node \"Frobnicate_y\" is the operator Frobnicate"),
        "{unknown}"
    );
    assert!(refused("RandomNormalLike").contains("which draws random numbers"));
    let mut foreign = node("Gelu", &["x"], "y");
    foreign.domain = "my.own".to_owned();
    let foreign = Scratch::graph(head(vec![foreign], Vec::new())).refusal();
    assert!(foreign.contains("the operator my.own.Gelu, which is not supported"), "{foreign}");
    let mut nameless = node("Frobnicate", &["x"], "y");
    nameless.name.clear();
    assert!(Scratch::graph(head(vec![nameless], Vec::new())).refusal().contains("node \"y\""));
}

#[test]
fn tensors_are_what_they_say() {
    let refused = |tensor: TensorProto| {
        Scratch::graph(head(vec![node("MatMul", &["x", "w"], "y")], vec![tensor])).refusal()
    };
    let good = floats("w", &[4, 1], &[1.0; 4]);
    for (sides, wanted) in [
        (vec![4, 2], "found 4 numbers"),
        (vec![-1, 4], "wanted numbers of at least 0"),
        (vec![1 << 40, 1 << 40], "whose product is below"),
        (vec![i64::MAX, 2], "whose product is below"),
    ] {
        let found = refused(TensorProto { dims: sides, ..good.clone() });
        assert!(found.contains("tensor \"w\"") && found.contains(wanted), "{found}");
    }
    for dtype in
        [DataType::String, DataType::Complex64, DataType::Bfloat16, DataType::Uint4, DataType::Undefined]
    {
        assert!(
            refused(TensorProto { data_type: dtype as i32, ..good.clone() })
                .contains("which is not supported")
        );
    }
    assert!(refused(TensorProto { data_type: 9999, ..good.clone() }).contains("which is not supported"));
    let raw = TensorProto { raw_data: vec![0; 15], float_data: Vec::new(), ..good.clone() };
    assert!(refused(raw).contains("found 15 bytes"));
    assert!(refused(TensorProto { segment: Some(Default::default()), ..good }).contains("segments"));
}

#[test]
fn data_of_tensors_lie_below_the_folder() {
    let external = |entries: &[(&str, &str)]| {
        let entry = |&(key, value): &(&str, &str)| StringStringEntryProto {
            key: key.to_owned(),
            value: value.to_owned(),
        };
        let tensor = TensorProto {
            data_location: Some(DataLocation::External as i32),
            external_data: entries.iter().map(entry).collect(),
            float_data: Vec::new(),
            ..floats("w", &[4, 1], &[])
        };
        let scratch = Scratch::graph(head(vec![node("MatMul", &["x", "w"], "y")], vec![tensor]));
        let data: Vec<u8> = [1.0f32; 6].iter().flat_map(|value| value.to_le_bytes()).collect();
        fs::write(scratch.path("data.bin"), data).unwrap();
        fs::create_dir(scratch.path("below")).unwrap();
        symlink("/etc/passwd", scratch.path("outside")).unwrap();
        symlink("..", scratch.path("below/up")).unwrap();
        scratch
    };
    let honest = external(&[("location", "data.bin"), ("offset", "8"), ("length", "16")]);
    assert_eq!(honest.open(&Limits::default()).unwrap().answer(&[1.0, 2.0, 3.0, 4.0]).unwrap(), [10.0]);
    let little = Limits { data_bytes: 15, ..Limits::default() };
    assert!(honest.refusal_within(&little).contains("data in other files"));
    for location in ["/etc/passwd", "../m.onnx", "outside", "below/../../x", "", "."] {
        let found = external(&[("location", location)]).refusal();
        assert!(found.contains("below the folder of the model"), "{location}: {found}");
    }
    assert!(external(&[("location", "below")]).refusal().contains("of a regular file"));
    assert!(external(&[]).refusal().contains("does not say where"));
    assert!(external(&[("location", "data.bin"), ("offset", "12")]).refusal().contains("wanted 16 from 12"));
    assert!(
        external(&[("location", "data.bin"), ("offset", "18446744073709551615")])
            .refusal()
            .contains("wanted 16")
    );
    assert!(external(&[("location", "data.bin"), ("offset", "x")]).refusal().contains("no number"));
    assert!(external(&[("location", "data.bin"), ("length", "20")]).refusal().contains("20 bytes of data"));
    let missing = external(&[("location", "missing.bin")]).open(&Limits::default());
    assert!(matches!(missing, Err(OnnxError::Io { .. })));
}

#[test]
fn graphs_that_make_no_sense_are_errors() {
    for (nodes, tensors) in [
        (vec![node("MatMul", &["x", "nothing"], "y")], Vec::new()),
        (vec![node("Add", &["y", "x"], "y")], Vec::new()),
        (vec![node("Identity", &[], "y")], Vec::new()),
        (vec![node("MatMul", &["x", "w"], "y")], vec![floats("w", &[5, 1], &[1.0; 5])]),
        (vec![node("Reshape", &["x", "w"], "y")], vec![super::integers("w", &[-7, 3])]),
        (vec![node("Transpose", &["x"], "a"), node("Concat", &["a", "x"], "y")], Vec::new()),
        (vec![node("Constant", &[], "y")], Vec::new()),
        (
            vec![node("Gather", &["w", "i"], "g"), node("Add", &["x", "g"], "y")],
            vec![floats("w", &[4, 1], &[1.0; 4]), super::integers("i", &[1 << 40])],
        ),
        (vec![node("Cast", &["x"], "y")], Vec::new()),
        (vec![node("LSTM", &["x", "x", "x"], "y")], Vec::new()),
        (vec![node("Conv", &["x", "x"], "y")], Vec::new()),
    ] {
        let about = format!("{nodes:?}");
        assert!(Scratch::graph(head(nodes, tensors)).open(&Limits::default()).is_err(), "{about}");
    }
    let mut twice = summed();
    twice.node.push(node("MatMul", &["x", "w"], "y"));
    drop(Scratch::graph(twice).open(&Limits::default()));
    let mut functions = model(summed());
    functions.functions.push(Default::default());
    assert!(Scratch::of(&functions.encode_to_vec()).refusal().contains("functions of its own"));
    let mut sparse = summed();
    sparse.sparse_initializer.push(Default::default());
    assert!(Scratch::graph(sparse).refusal().contains("sparse"));
}

#[test]
fn numbers_that_are_none_are_told_with_their_place() {
    let nodes = vec![node("MatMul", &["x", "w"], "s"), node("Log", &["s"], "y")];
    let scratch = Scratch::graph(head(nodes, vec![floats("w", &[4, 1], &[1.0; 4])]));
    let head = scratch.open(&Limits::default()).unwrap();
    assert!(head.answer(&[1.0; 4]).is_ok());
    let rows = [[1.0; 4], [-1.0; 4]].concat();
    let told = head.answer(&rows).unwrap_err().to_string();
    assert!(told.contains("output \"y\" is NaN in row 1, column 0"), "{told}");
}

#[test]
fn inputs_outputs_and_labels_go_together() {
    let scratch = Scratch::graph(summed());
    let begin = "format = \"pliant-onnx-1\"\nkind = \"head\"\n";
    let said = |text: &str| {
        scratch.say(&format!("{begin}{text}"));
        scratch.open(&Limits::default()).map(drop).map_err(|error| error.to_string())
    };
    let number = "[labels]\nkind = \"number\"\n";
    assert_eq!(said(number), Ok(()));
    // One score says which of two it is; one probability would leave the other open.
    let two = "[labels]\nkind = \"class\"\nnames = [\"a\", \"b\"]\n";
    assert_eq!(said(two), Ok(()));
    for (text, wanted) in [
        (format!("inputs = [\"z\"]\n{number}"), "the input \"x\""),
        (format!("output = \"z\"\n{number}"), "the output \"z\", and it has y"),
        (format!("inputs = [\"x\", \"z\"]\n{number}"), "\"inputs\" has 2 names"),
        (format!("[reads]\nwhat = \"pairs\"\n{number}"), "takes 2 input(s)"),
        (format!("[reads]\nmodel = \"short\"\n{number}"), "64 small hexadecimal digits"),
        ("[labels]\nkind = \"class\"\nnames = [\"a\", \"b\", \"c\"]\n".to_owned(), "has 1 numbers for a row"),
        (format!("{two}gives = \"probabilities\"\n"), "has 1 numbers for a row"),
        ("[labels]\nkind = \"class\"\n".to_owned(), "one for each class"),
        ("[labels]\nkind = \"residues\"\nnames = [\"a\"]\n".to_owned(), "must both be"),
        ("[labels]\nkind = \"number\"\ngives = \"probabilities\"\n".to_owned(), "which numbers are not"),
        ("[labels]\nkind = \"number\"\nmean = inf\n".to_owned(), "wanted finite numbers"),
        ("[labels]\nkind = \"number\"\nfoo = 1\n".to_owned(), "unknown field `foo`"),
        (String::new(), "missing field `labels`"),
    ] {
        let found = said(&text).unwrap_err();
        assert!(found.contains(wanted), "{text}: {found}");
    }
    for (text, wanted) in [
        ("kind = \"head\"", "\"format\" is missing"),
        ("format = \"pliant-onnx-2\"\nkind = \"head\"", "\"format\" is \"pliant-onnx-2\""),
        ("format = \"pliant-onnx-1\"\nkind = \"encoder\"", "\"kind\" is \"encoder\", wanted \"head\""),
        ("format = ", "is no TOML"),
    ] {
        scratch.say(text);
        assert!(scratch.refusal().contains(wanted), "{text}");
    }
    fs::remove_file(scratch.path("m.onnx.toml")).unwrap();
    assert!(matches!(HeadSidecar::read(&scratch.model()), Err(OnnxError::NoSidecar { .. })));
    fs::write(scratch.path("m.onnx.toml"), vec![b'#'; 2 << 20]).unwrap();
    assert!(HeadSidecar::read(&scratch.model()).unwrap_err().to_string().contains("more than"));
}

#[test]
fn encoders_take_what_their_sidecar_gives() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    fs::copy(fixture("bert.onnx"), &path).unwrap();
    let text = fs::read_to_string(fixture("bert.onnx.toml")).unwrap();
    let said = |text: &str| {
        fs::write(folder.path().join("m.onnx.toml"), text).unwrap();
        let sidecar = EncoderSidecar::read(&path)?;
        Encoder::open(&path, &sidecar, Wanted::States, &Limits::default())
    };
    let encoder = said(&text).unwrap();
    assert_eq!(encoder.run(&[&[2, 5, 6, 3]], 2, 1).unwrap()[0].len(), 64);
    // A token that the model has no row for, and more places than it has.
    assert!(encoder.run(&[&[2, 5000, 6, 3]], 2, 1).is_err());
    assert!(encoder.run(&[&[5; 400]], 2, 1).is_err());
    let refused = |text: String| said(&text).map(drop).unwrap_err().to_string();
    assert!(
        refused(text.replace("token_type_ids = \"zeros\"\n", ""))
            .contains("\"token_type_ids\", which the sidecar does not give")
    );
    assert!(
        refused(text.replace("[states]", "foo = \"ones\"\n[states]")).contains("the sidecar gives \"foo\"")
    );
    assert!(refused(text.replace("\"last_hidden_state\"", "\"other\"")).contains("the output \"other\""));
    assert!(
        refused(text.replace("input_ids = \"tokens\"", "input_ids = \"ones\""))
            .contains("0 that take the tokens")
    );
    assert!(refused(text.replace("longest = 126", "longest = 0")).contains("\"longest\" is 0"));
    let wrong = said(&text.replace("pooling = \"cls\"", "width = 17")).unwrap().run(&[&[2, 5, 3]], 2, 1);
    assert!(wrong.unwrap_err().to_string().contains("[1, 3, 17]"));
    let rows =
        said(&text.replace("pooling = \"cls\"", "rows = \"residues\"")).unwrap().run(&[&[2, 5, 3]], 2, 1);
    assert!(rows.unwrap_err().to_string().contains("[1, 1, 16] of 3 tokens"));
    assert!(matches!(
        Encoder::open(
            &path,
            &EncoderSidecar::read(&fixture("bert.onnx")).unwrap(),
            Wanted::Logits,
            &Limits::default()
        ),
        Err(OnnxError::Signature { .. })
    ));
}
