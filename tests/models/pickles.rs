//! Pickles and zip archives made by hand to do harm: each is an error that names the file, nothing is executed.

use std::fs;

use pliant_models::verify;
use tempfile::TempDir;

use crate::common::chain;
use crate::import::fixture;

/// The pickles before the one of what was saved: magic number, version, and a machine that is little-endian.
const BEFORE: &[u8] =
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}X\r\0\0\0little_endian\x88s.";

/// A storage `'0'` of six floats, and a tensor of it up to its offset.
const TENSOR: &[u8] = b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x06tQ";

/// A file in the container before PyTorch 1.6 with this pickle and six floats in storage `'0'`.
fn legacy(pickle: &[u8]) -> Vec<u8> {
    let mut bytes = [BEFORE, b"\x80\x02", pickle, b".", b"\x80\x02]X\x01\0\0\x000a."].concat();
    bytes.extend(6u64.to_le_bytes());
    bytes.extend([0; 24]);
    bytes
}

/// The same without storages.
fn bare(pickle: &[u8]) -> Vec<u8> {
    [BEFORE, b"\x80\x02", pickle, b".\x80\x02]."].concat()
}

/// A dictionary with one tensor, given from its offset on.
fn tensor(rest: &[u8]) -> Vec<u8> {
    legacy(&[b"}X\x01\0\0\0a", TENSOR, rest, b"tRs"].concat())
}

fn error(bytes: &[u8]) -> String {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("m.pt");
    fs::write(&path, bytes).unwrap();
    let text = chain(&verify(&path).unwrap_err());
    assert!(text.contains(path.to_str().unwrap()) && text.len() < 2_000, "{text}");
    text
}

#[track_caller]
fn refused(bytes: &[u8], words: &str) {
    let text = error(bytes);
    assert!(text.contains(words), "wanted \"{words}\": {text}");
}

/// The form of these tests is one that is read: only the model is missing.
#[test]
fn an_honest_pickle_is_read() {
    refused(&tensor(b"K\0K\x02K\x03\x86K\x03K\x01\x86\x89}"), "found no tensor embed_tokens.weight");
    let whole = tensor(b"K\0K\x02K\x03\x86K\x03K\x01\x86\x89}");
    for length in 0..whole.len() {
        let text = error(&whole[..length]);
        let told = ["truncated", "begins neither", "damaged"];
        assert!(told.iter().any(|words| text.contains(words)), "{length}: {text}");
    }
    refused(&[&whole[..], b"x"].concat(), "truncated or extended");
}

/// Whatever a name stands for, nothing is called: the file that the command would make is not there.
#[test]
fn nothing_is_executed() {
    let folder = TempDir::new().unwrap();
    let made = folder.path().join("made");
    let command = format!("touch {}", made.display());
    let text = [b"X".as_slice(), &(command.len() as u32).to_le_bytes(), command.as_bytes()].concat();
    for call in [
        b"cos\nsystem\n".as_slice(),
        b"cposix\nsystem\n",
        b"cbuiltins\nexec\n",
        b"X\x02\0\0\0osX\x06\0\0\0system\x93",
    ] {
        let pickle = [call, &text, b"\x85R"].concat();
        refused(&bare(&pickle), "holds no dictionary of tensors");
        let storage = [
            b"}X\x01\0\0\0actorch._utils\n_rebuild_tensor_v2\n(",
            &pickle[..],
            b"K\0K\x02\x85K\x01\x85\x89}tRs",
        ];
        refused(&legacy(&storage.concat()), "a tensor has no storage");
        let class = [
            b"}X\x01\0\0\0actorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storage",
            call,
            b"X\x01\0\0\x000X\x03\0\0\0cpuK\x06tQK\0K\x02\x85K\x01\x85\x89}tRs",
        ];
        refused(&bare(&class.concat()), "is made by");
    }
    assert!(!made.exists());
}

#[test]
fn opcodes_that_torch_never_writes_are_refused() {
    for code in [
        b"\x82\x01".as_slice(),
        b"\x84\0\0\0\0",
        b"ios\nsystem\n",
        b"o",
        b"P1\n",
        b"I1\n",
        b"\x97",
        b"\x98",
        b"\xff",
    ] {
        refused(&legacy(&[b"(", code].concat()), &format!("has the opcode {:#04x} at byte ", code[0]));
    }
    for pickle in [
        b"0".as_slice(),
        b"1",
        b"R",
        b"\x81",
        b"b",
        b"Q",
        b"t",
        b"s",
        b"u",
        b"a",
        b"e",
        b"\x85",
        b"\x93",
        b"q\0",
        b"2",
        b"(Q",
    ] {
        refused(&legacy(pickle), "damaged at byte");
    }
    for pickle in [
        b"h\x07".as_slice(),
        b"j\xff\xff\xff\xff",
        b"NN\x86N\x86R",
        b"K\x01Na",
        b"K\x01NNs",
        b"}(Nu",
        b"X\x01\0\0\0\xff",
        b"\x80\x09N",
    ] {
        refused(&legacy(pickle), "damaged at byte");
    }
}

/// Lengths that no file has, read before any memory is asked for.
#[test]
fn lengths_that_cannot_be() {
    let huge = u64::MAX.to_le_bytes();
    for code in [b"\x8d", b"\x8e", b"\x96", b"\x95"] {
        refused(&legacy(&[code.as_slice(), &huge].concat()), "before its end: truncated?");
        refused(
            &legacy(&[code.as_slice(), &(1u64 << 40).to_le_bytes()].concat()),
            "before its end: truncated?",
        );
    }
    for code in [b"X", b"B", b"T", b"\x8b"] {
        refused(&legacy(&[code.as_slice(), b"\xff\xff\xff\xff"].concat()), "before its end: truncated?");
    }
    let name = [b"c".as_slice(), &[b'a'; 5_000], b"\nb\n"].concat();
    refused(&legacy(&name), "a name is too long");
}

/// Nesting costs no stack, and what a pickle multiplies is counted.
#[test]
fn bombs_do_not_go_off() {
    let times = 3_000_000;
    refused(&legacy(&[b"N".as_slice(), &b"\x85".repeat(times)].concat()), "needs more than 33554432 bytes");
    refused(&legacy(&b"(".repeat(times * 2)), "needs more than");
    refused(&legacy(&b"]".repeat(times)), "needs more than");
    refused(&legacy(&[b"]".as_slice(), &b"2".repeat(times)].concat()), "needs more than");
    // 250,000 levels deep, which stays below the limit.
    let deep = [b"N".as_slice(), &b"\x85".repeat(250_000)].concat();
    refused(&bare(&deep), "holds no dictionary of tensors");
    // Each round the list takes all that it has once more.
    let round = b"(h\0h\0h\0h\0h\0h\0h\0h\0e".repeat(400_000);
    refused(&legacy(&[b"]q\0".as_slice(), &round].concat()), "needs more than");
    let memo: Vec<u8> =
        (0..800_000u32).flat_map(|place| [&b"r"[..], &place.to_le_bytes()].concat()).collect();
    refused(&legacy(&[b"N".as_slice(), &memo].concat()), "needs more than");
    let sparse = [b"N".as_slice(), b"r\xff\xff\xff\xff", b"r\xfe\xff\xff\xff"].concat();
    refused(&bare(&sparse), "holds no dictionary of tensors");
}

/// Settings that hold themselves, or that many ways lead to, are looked at a bounded number of times.
#[test]
fn settings_that_hold_themselves_end() {
    let itself =
        b"}q\0X\x03\0\0\0cfg}q\x01X\x01\0\0\0ah\x01sX\x01\0\0\0bh\x01sX\x01\0\0\0ch\x01sX\x01\0\0\0dh\x01ss";
    let pickle =
        [&itself[..], b"X\x05\0\0\0model}X\x01\0\0\0a", TENSOR, b"K\0K\x02\x85K\x01\x85\x89}tRss"].concat();
    refused(&legacy(&pickle), "found no tensor embed_tokens.weight");
}

#[test]
fn views_that_do_not_fit_their_storage_are_refused() {
    let outside = "reaches outside its storage, or has more elements than it";
    for rest in [
        b"K\x01K\x02K\x03\x86K\x03K\x01\x86\x89}".as_slice(),
        b"K\0K\x07\x85K\x01\x85\x89}",
        b"K\0K\x02K\x03\x86K\x04K\x01\x86\x89}",
        b"J\xff\xff\xff\xffK\x02\x85K\x01\x85\x89}",
        b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7fK\x02\x85K\x01\x85\x89}",
        b"K\0K\x02\x85K\x01K\x01\x86\x89}",
        // Stride 0: a few bytes as a tensor of 2^31, or of more elements than can be counted.
        b"K\0J\xff\xff\xff\x7f\x85K\0\x85\x89}",
        b"K\0\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x86K\0K\0\x86\x89}",
        b"K\0\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7fK\0\x87K\0K\0K\0\x87\x89}",
    ] {
        refused(&tensor(rest), outside);
    }
    for rest in [
        b"K\0J\xff\xff\xff\xff\x85K\x01\x85\x89}".as_slice(),
        b"K\0NN\x89}",
        b"K\0N\x85K\x01\x85\x89}",
        b"NK\x02\x85K\x01\x85\x89}",
    ] {
        refused(&tensor(rest), "sides or strides that are no counts");
    }
    refused(&tensor(b"K\0"), "made of other things than torch.save writes");
    let sides = [b"K\0(".as_slice(), &b"K\x01".repeat(9), b"t(", &b"K\x01".repeat(9), b"t\x89}"].concat();
    refused(&tensor(&sides), "sides or strides that are no counts");
    let negative =
        [b"((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuJ\xff\xff\xff\xfftQ"
            .as_slice()]
        .concat();
    refused(&legacy(&negative), "a storage has a negative size");
    let elements = tensor(b"K\0K\x02\x85K\x01\x85\x89}");
    let at = elements.windows(2).rposition(|pair| pair == [6, 0]).unwrap();
    let mut other = elements.clone();
    other[at] = 7;
    refused(&other, "a storage has another size than its pickle says");
}

/// Names are copied, so there are only so many and so long ones, whatever the pickle makes of a few bytes.
#[test]
fn names_have_a_bound() {
    let view = [TENSOR, b"K\0K\x02\x85K\x01\x85\x89}tRq\0"].concat();
    let long = [b"X\0\x01\x01\0".as_slice(), &[b'a'; 65_792]].concat();
    refused(&legacy(&[&view[..], b"0}", &long[..], b"h\0s"].concat()), "has a name of more than 1024 bytes");
    let again = b"h\x01h\0".repeat(10_000);
    let same = [&view[..], b"0", &long[..], b"q\x010}(", &again, b"u"].concat();
    refused(&legacy(&same), "has a name of more than 1024 bytes");
    let short = [&view[..], b"0X\x01\0\0\0aq\x010}(", &again[..], b"u"].concat();
    refused(&legacy(&short), "names \"a\" twice");
    let many: Vec<u8> =
        (0..16_385u16).flat_map(|number| [b"M".as_slice(), &number.to_le_bytes(), b"h\0"].concat()).collect();
    refused(&legacy(&[&view[..], b"0}(", &many[..], b"u"].concat()), "has more than 16384 members");
}

/// Many tensors of one storage would make a large model of a small file.
#[test]
fn sharing_has_a_bound() {
    let mut pickle = b"}(".to_vec();
    for number in 0..200u8 {
        pickle.extend([b'X', 1, 0, 0, 0, b'0' + number % 10]);
        pickle.extend(TENSOR);
        pickle.extend(b"K\0K\x06\x85K\x01\x85\x89}tR");
    }
    pickle.push(b'u');
    refused(&legacy(&pickle), "twice");
    let storage = b"X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuJ\0\0\x01\0tQq\0";
    let mut pickle = [b"((".as_slice(), storage, b"1}("].concat();
    for number in 0..100u32 {
        let name = format!("{number:03}");
        pickle.extend(
            [
                b"X\x03\0\0\0",
                name.as_bytes(),
                b"ctorch._utils\n_rebuild_tensor_v2\n(h\0K\0J\0\0\x01\0\x85K\x01\x85\x89}tR",
            ]
            .concat(),
        );
    }
    let mut bytes = [BEFORE, b"\x80\x02", &pickle, b"u.", b"\x80\x02]X\x01\0\0\x000a."].concat();
    bytes.extend(65_536u64.to_le_bytes());
    bytes.extend(vec![0; 4 * 65_536]);
    refused(&bytes, "more than 16 times the file's");
}

/// Bytes of the archive that fair-esm's fixture is, its directory and its end.
fn archive() -> (Vec<u8>, usize, usize) {
    let bytes = fs::read(fixture("fair_esm/esm2_t2_tiny.pt")).unwrap();
    let end = bytes.windows(4).rposition(|window| window == b"PK\x05\x06").unwrap();
    let directory = bytes.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    (bytes, directory, end)
}

#[test]
fn archives_that_lie_are_refused() {
    let (bytes, directory, end) = archive();
    let changed = |at: usize, new: &[u8]| {
        let mut other = bytes.clone();
        other[at..at + new.len()].copy_from_slice(new);
        other
    };
    // The first entry is the pickle. Method deflated, encrypted, sizes that differ or are larger than the file.
    refused(
        &changed(directory + 10, &[8, 0]),
        "entry \"data.pkl\" of its zip archive is compressed or encrypted",
    );
    refused(&changed(directory + 8, &[1, 0]), "is compressed or encrypted");
    refused(&changed(directory + 24, &[0xff, 0xff, 0xff, 0x7f]), "is compressed or encrypted");
    let large = [0xff, 0xff, 0xff, 0x7f].repeat(2);
    refused(
        &changed(directory + 20, &large),
        "entry \"data.pkl\" of its zip archive reaches outside the archive",
    );
    refused(&changed(directory + 42, &[0xf0, 0xff, 0xff, 0x7f]), "reaches outside the archive");
    refused(&changed(directory + 42, &[1, 0, 0, 0]), "has no header");
    refused(&changed(directory, b"XX"), "its directory holds something else than entries");
    refused(&changed(0, b"PK\x03\x05"), "begins neither as a zip archive");
    refused(&changed(end, b"XX"), "it has no end");
    for at in [directory + 28, directory + 30, directory + 32] {
        let text = error(&changed(at, &[0xff, 0xff]));
        assert!(text.contains("its directory") || text.contains("data.pkl"), "{text}");
    }
    // The long end stands before the short one, with the place of the directory in it.
    let long = end - 20 - 56;
    assert_eq!(bytes[long..long + 4], *b"PK\x06\x06");
    for (at, new) in [
        (long + 32, u64::MAX),
        (long + 40, u64::MAX),
        (long + 48, u64::MAX),
        (end - 12, u64::MAX),
        (end - 12, 0),
    ] {
        let text = error(&changed(at, &new.to_le_bytes()));
        assert!(text.contains("its zip archive is damaged"), "{at}: {text}");
    }
    // A name that stands twice, and one in another folder.
    let name = |entry: &[u8]| {
        bytes[directory..].windows(entry.len()).position(|window| window == entry).unwrap() + directory
    };
    refused(&changed(name(b"/data/1"), b"/data/0"), "is there twice");
    refused(&changed(name(b"/data/1"), b"/data/x"), "entry \"data/1\" of its zip archive is not there");
    let first = directory + 46;
    refused(&changed(first, b"X"), "in several folders");
}
