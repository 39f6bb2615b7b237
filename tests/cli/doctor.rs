//! `pliant doctor`.

use crate::tool::{Run, Scratch};

#[test]
fn doctor_tells_what_there_is() {
    let scratch = Scratch::new();
    let folder = scratch.folder().to_str().unwrap();
    let run = |words: &[&str]| {
        let run = Run::new(words).within(scratch.folder());
        run.env("TMPDIR", folder)
            .env("PLIANT_CACHE", "/no/such/cache")
            .env("LD_LIBRARY_PATH", folder)
            .go()
            .code(0)
    };
    let said = run(&["doctor", "--json"]).json();
    assert_eq!(said["version"], env!("CARGO_PKG_VERSION"));
    let paths: Vec<&str> =
        said["cpu_paths"].as_array().unwrap().iter().map(|path| path.as_str().unwrap()).collect();
    assert!(paths.contains(&"portable") && paths.contains(&said["cpu_path"].as_str().unwrap()), "{paths:?}");
    assert!(said["threads"].as_u64().unwrap() >= 1);
    assert!(said["memory_limit_bytes"].as_u64().unwrap() > 1 << 28);
    let places = said["file_systems"].as_array().unwrap();
    let names: Vec<&str> = places.iter().map(|place| place["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["current folder", "TMPDIR", "PLIANT_CACHE"]);
    assert_eq!((&places[1]["exists"], &places[2]["exists"]), (&true.into(), &false.into()));
    let text = run(&["doctor"]).text();
    assert!(text.starts_with(&format!("pliant {}\n", env!("CARGO_PKG_VERSION"))), "{text}");
    assert!(text.contains("/no/such/cache: does not exist"), "{text}");
}

#[test]
fn doctor_finds_a_driver_where_the_loader_would() {
    let scratch = Scratch::new();
    let folder = scratch.folder().to_str().unwrap();
    scratch.write("libcuda.so.1", "no library at all: it is looked for, not loaded");
    let said = Run::new(&["doctor", "--json"]).env("LD_LIBRARY_PATH", folder).go().code(0).json();
    assert_eq!(said["cuda"]["driver"], scratch.path("libcuda.so.1").to_str().unwrap());
    assert_eq!(said["cuda"]["usable"], false);
}
