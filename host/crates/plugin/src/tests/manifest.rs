use super::*;
use crate::manifest::Manifest;
use crate::plugin::sha256;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

const TEXT: &str = r#"
name = "plain"
version = "0.1.0"
world = "head-plugin"
file = "guest.wasm"
sha256 = "SUM"
license = "MIT"

[weights]
file = "weights.bin"
sha256 = "WEIGHTS"

[limits]
memory_mib = 32

[config.scale]
type = "number"
default = 1.5
min = 0.0
max = 10.0

[config.classes]
type = "strings"
one_of = ["H", "E", "C"]
"#;

/// What is replaced by what.
type Words = &'static [(&'static str, &'static str)];

struct Folder {
    folder: tempfile::TempDir,
}

impl Folder {
    /// A plugin whose manifest is [`TEXT`] with replaced words.
    fn new(words: Words) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (guest, weights) = (bytes(HEAD), b"weights".to_vec());
        fs::write(folder.path().join("guest.wasm"), &guest).unwrap();
        fs::write(folder.path().join("weights.bin"), &weights).unwrap();
        let mut text = TEXT.to_owned();
        for (from, to) in words {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        let text = text.replace("SUM", &sha256(&guest)).replace("WEIGHTS", &sha256(&weights));
        fs::write(folder.path().join("plugin.toml"), text).unwrap();
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("plugin.toml")
    }

    fn load(&self, config: &Map<String, Value>) -> Result<Plugin, PluginError> {
        Manifest::read(&self.path())?.load(sandbox(), config, &BTreeMap::new())
    }
}

fn config() -> Map<String, Value> {
    json!({"classes": ["H", "E"]}).as_object().unwrap().clone()
}

#[test]
fn a_manifest_runs_its_guest() {
    let folder = Folder::new(&[]);
    let manifest = Manifest::read(&folder.path()).unwrap();
    assert_eq!((manifest.name(), manifest.version(), manifest.license()), ("plain", "0.1.0", "MIT"));
    let setup = manifest.setup(&config(), &Limits::default()).unwrap();
    assert_eq!(setup.config, r#"{"classes":["H","E"],"scale":1.5}"#);
    assert_eq!(setup.weights.as_deref(), Some(b"weights".as_slice()));
    let mut head = folder.load(&config()).unwrap().head().unwrap();
    assert_eq!(head.predict(&[3.0], 1).unwrap(), [3.0]);
}

#[test]
fn other_bytes_than_the_manifest_was_written_for_do_not_run() {
    for (file, name) in [("guest.wasm", "guest.wasm"), ("weights.bin", "weights.bin")] {
        let folder = Folder::new(&[]);
        let path = folder.folder.path().join(file);
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let error = refused(name, folder.load(&config()).map(drop), name);
        assert!(error.to_string().contains(&sha256(&bytes)), "{error}");
        assert!(matches!(error, PluginError::Hash { .. }), "{error}");
    }
}

#[test]
fn manifests_that_are_wrong_say_where() {
    let cases: [(&str, Words, &str); 15] = [
        ("an unknown key", &[("license", "licence")], "unknown field `licence`"),
        ("no TOML", &[("[weights]", "[weights")], "TOML"),
        ("another world", &[("head-plugin", "task-plugin")], "unknown variant `task-plugin`"),
        ("a name with a path", &[("\"plain\"", "\"../plain\"")], "name: found \"../plain\", wanted letters"),
        ("a file outside", &[("\"guest.wasm\"", "\"../guest.wasm\"")], "a path below the folder"),
        ("a file by its full name", &[("\"guest.wasm\"", "\"/etc/passwd\"")], "a path below the folder"),
        ("no sum", &[("\"SUM\"", "\"12\"")], "sha256: found \"12\", wanted 64 small hexadecimal digits"),
        ("no licence", &[("\"MIT\"", "\" \"")], "license"),
        ("a limit that is not known", &[("memory_mib", "memory_gib")], "memory_gib"),
        (
            "more than is allowed",
            &[("= 32", "= 512")],
            "found 512, wanted at most 256; to allow the plugin more, give --limit memory_mib=512",
        ),
        ("a default of another type", &[("= 1.5", "= \"x\"")], "config.scale"),
        ("a default out of bounds", &[("= 1.5", "= 11.0")], "config.scale"),
        (
            "a model that is no sum",
            &[("[limits]", "[reads]\nmodel = \"12\"\n\n[limits]")],
            "reads.model: found \"12\"",
        ),
        (
            "another pooling",
            &[("[limits]", "[reads]\npool = \"median\"\n\n[limits]")],
            "unknown variant `median`",
        ),
        (
            "a metric that reads",
            &[("head-plugin", "metric-plugin"), ("[limits]", "[reads]\nlayer = 1\n\n[limits]")],
            "a head, which alone reads an encoder",
        ),
    ];
    for (name, words, wanted) in cases {
        refused(name, Folder::new(words).load(&config()).map(drop), wanted);
    }
    refused("no file", Manifest::read(&PathBuf::from("no/such/plugin.toml")).map(drop), "cannot read");
}

#[test]
fn keys_are_held_to_their_declarations() {
    let folder = Folder::new(&[]);
    let cases = [
        (json!({}), "config.classes: found nothing, wanted a list of texts, one of H, E, C"),
        (json!({"classes": ["X"]}), "config.classes: found [\"X\"]"),
        (json!({"classes": "H"}), "a list of texts"),
        (
            json!({"classes": [], "scale": "2"}),
            "config.scale: found \"2\", wanted a number, at least 0, at most 10",
        ),
        (json!({"classes": [], "scale": -1}), "config.scale: found -1"),
        (
            json!({"classes": [], "scales": 1}),
            "config.scales: found a key that the plugin does not know, wanted one of classes, scale",
        ),
    ];
    for (given, wanted) in cases {
        let answer = folder.load(given.as_object().unwrap()).map(drop);
        refused(&given.to_string(), answer, wanted);
    }
}

#[test]
fn the_user_decides_how_much_a_plugin_may_take() {
    let folder = Folder::new(&[("= 32", "= 512")]);
    let manifest = Manifest::read(&folder.path()).unwrap();
    let given = |name: &str, number| BTreeMap::from([(name.to_owned(), number)]);
    assert_eq!(manifest.limits(&given("memory_mib", 600)).unwrap().memory_mib, 600);
    refused(
        "unknown",
        manifest.limits(&given("memory", 1)),
        "limits.memory: found a limit that is not known",
    );
    refused("zero", manifest.limits(&given("memory_mib", 0)), "wanted a whole number from 1 to 4096");
    let less = Folder::new(&[]);
    assert_eq!(Manifest::read(&less.path()).unwrap().limits(&BTreeMap::new()).unwrap().memory_mib, 32);
}

#[test]
fn sums_are_brought_up_to_date_and_nothing_else() {
    let folder = Folder::new(&[]);
    let before = fs::read_to_string(folder.path()).unwrap();
    crate::seal(&folder.path()).unwrap();
    assert_eq!(fs::read_to_string(folder.path()).unwrap(), before);
    fs::write(folder.folder.path().join("weights.bin"), "other weights").unwrap();
    refused("before", folder.load(&config()).map(drop), "weights.bin");
    crate::seal(&folder.path()).unwrap();
    folder.load(&config()).unwrap();
    let after = fs::read_to_string(folder.path()).unwrap();
    let differ = before.lines().zip(after.lines()).filter(|(before, after)| before != after).count();
    assert_eq!((differ, before.lines().count()), (1, after.lines().count()));
    let without = Folder::new(&[("sha256 = \"WEIGHTS\"", "")]);
    refused("no line", crate::seal(&without.path()), "sha256 = \"…\" is missing in [weights]");
}
