//! `pliant plugin new`: a folder to begin with, which builds and passes `check` as it is.

use std::fs;
use std::io::{Error, ErrorKind};
use std::path::Path;

use anyhow::Result;
use pliant_plugin::PluginError;

use crate::Context;
use crate::cli::plugin::{NewArgs, NewLanguage, NewWorld};
use crate::exit::TaskError;

const CONTRACT: &str = include_str!("../../../../plugins/wit/v0.1.0/plugin.wit");
const HEADER: &str = include_str!("../../../../plugins/c/pliant_plugin.h");

/// A file of the folder; `NAME` and `CRATE` in it are replaced.
type Template = (&'static str, &'static str);

const RUST: [Template; 4] = [
    ("Cargo.toml", include_str!("templates/Cargo.toml.txt")),
    (".cargo/config.toml", include_str!("templates/config.toml.txt")),
    ("wit/plugin.wit", CONTRACT),
    (".gitignore", "/target\n"),
];
const RUST_HEAD: [Template; 2] = [
    ("src/lib.rs", include_str!("templates/head.rs.txt")),
    ("plugin.toml", include_str!("templates/rust_plugin.toml.txt")),
];
const RUST_METRIC: [Template; 2] = [
    ("src/lib.rs", include_str!("templates/metric.rs.txt")),
    ("plugin.toml", include_str!("templates/rust_plugin.toml.txt")),
];
const C: [Template; 3] = [
    ("pliant_plugin.h", HEADER),
    ("build.sh", include_str!("templates/build.sh.txt")),
    ("plugin.toml", include_str!("templates/c_plugin.toml.txt")),
];
const C_HEAD: [Template; 1] = [("plugin.c", include_str!("templates/head.c.txt"))];
const C_METRIC: [Template; 1] = [("plugin.c", include_str!("templates/metric.c.txt"))];

pub(super) fn run(args: &NewArgs, context: &Context) -> Result<()> {
    let name = args.folder.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_lowercase();
    let letter =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-_".contains(letter);
    if !name.starts_with(|first: char| first.is_ascii_lowercase()) || !name.chars().all(letter) {
        let what = format!(
            "found {name:?}, wanted a folder named with letters, digits, - and _, beginning with a letter"
        );
        return Err(TaskError::Usage { what }.into());
    }
    let io = |path: &Path, source| PluginError::Io { action: "write", path: path.to_path_buf(), source };
    if fs::read_dir(&args.folder).is_ok_and(|mut entries| entries.next().is_some()) {
        let source = Error::new(ErrorKind::AlreadyExists, "the folder is not empty");
        return Err(io(&args.folder, source).into());
    }
    let (common, own): (&[Template], &[Template]) = match (args.language, args.world) {
        (NewLanguage::Rust, NewWorld::Head) => (&RUST, &RUST_HEAD),
        (NewLanguage::Rust, NewWorld::Metric) => (&RUST, &RUST_METRIC),
        (NewLanguage::C, NewWorld::Head) => (&C, &C_HEAD),
        (NewLanguage::C, NewWorld::Metric) => (&C, &C_METRIC),
    };
    for (file, text) in common.iter().chain(own) {
        let path = args.folder.join(file);
        let text = text
            .replace("@NAME@", &name)
            .replace("@CRATE@", &name.replace('-', "_"))
            .replace("@WORLD@", args.world.world().name());
        fs::create_dir_all(path.parent().unwrap_or(&args.folder)).map_err(|source| io(&path, source))?;
        fs::write(&path, text).map_err(|source| io(&path, source))?;
    }
    let build = match args.language {
        NewLanguage::Rust => "rustup target add wasm32-unknown-unknown && cargo build --release",
        NewLanguage::C => "sh build.sh",
    };
    let folder = args.folder.display();
    context.print.note(&format!(
        "{folder} is there; build it with 'cd {folder} && {build}', then 'pliant plugin check {folder}/plugin.toml --seal'"
    ));
    Ok(())
}
