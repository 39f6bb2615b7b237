use super::*;
use crate::contract::{Meaning, Row, Score};
use crate::metric::Rows;

#[test]
fn a_head_says_what_it_is_and_answers() {
    let mut head = head(&[]).unwrap();
    let about = head.about().clone();
    assert_eq!((about.name.as_str(), about.version.as_str()), ("plain", "0.1.0"));
    assert!(about.takes_pooled && about.takes_residues && about.takes_pairs);
    assert_eq!((about.width, about.row, about.meaning), (None, Row::Residue, Meaning::Values));
    assert_eq!(about.outputs, ["value"]);
    let states = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    assert_eq!(head.predict(&states, 2).unwrap(), [1.0, 3.0, 5.0]);
    assert_eq!(head.predict_residues(&states, 2, &[0, 1, 1, 3]).unwrap(), [1.0, 3.0, 5.0]);
    assert_eq!(head.predict_pairs(&states, &states, 3).unwrap(), [1.0, 4.0]);
    assert_eq!(head.predict(&[], 2).unwrap(), [0.0; 0]);
}

#[test]
fn many_vectors_go_in_parts_and_come_back_as_one() {
    let limits = Limits { batch_mib: 1, ..limits() };
    let mut head = compile(&bytes(HEAD), World::Head, limits).unwrap().head().unwrap();
    let vectors: Vec<f32> = (0..1_000_000).map(|place| place as f32).collect();
    let wanted: Vec<f32> = vectors.iter().step_by(100).copied().collect();
    assert_eq!(head.predict(&vectors, 100).unwrap(), wanted);
    let offsets: Vec<usize> = (0..=100).map(|protein| protein * 100).collect();
    assert_eq!(head.predict_residues(&vectors, 100, &offsets).unwrap(), wanted);
    assert_eq!(head.predict_pairs(&vectors, &vectors, 100).unwrap(), wanted);
}

#[test]
fn a_metric_adds_up_and_begins_anew() {
    let mut metric = metric(&[]).unwrap();
    let rows = Rows {
        predictions: &[0.1, 0.9, 0.8],
        columns: 1,
        labels: &[0.0, f32::NAN, 1.0],
        label_columns: 1,
        offsets: &[0, 2, 3],
    };
    metric.add(&rows).unwrap();
    metric.add(&rows).unwrap();
    let score = |value| vec![Score { name: "rows".to_owned(), value: Some(value) }];
    assert_eq!(metric.finish().unwrap(), score(6.0));
    metric.restart().unwrap();
    metric.add(&rows).unwrap();
    assert_eq!(metric.finish().unwrap(), score(3.0));
}

#[test]
fn several_guests_run_at_once() {
    let plugin = compile(&bytes(HEAD), World::Head, limits()).unwrap();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let plugin = plugin.clone();
                scope.spawn(move || {
                    let mut head = plugin.head().unwrap();
                    (0..200).all(|turn| {
                        let value = (number * 1000 + turn) as f32;
                        head.predict(&[value, 0.0], 2).unwrap() == [value]
                    })
                })
            })
            .collect();
        assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
    });
}

#[test]
fn the_identity_follows_from_all_that_a_guest_is_given() {
    let of = |config: &str, weights: Option<&[u8]>, text: &str| {
        let setup = Setup { config: config.to_owned(), weights: weights.map(Into::into) };
        let plugin = Plugin::compile(sandbox(), &bytes(text), World::Head, setup, limits()).unwrap();
        plugin.identity().to_owned()
    };
    let other = text(HEAD, &[("predict", "nop")]);
    let identities = [
        of("{}", None, HEAD),
        of("{\"a\":1}", None, HEAD),
        of("{}", Some(b""), HEAD),
        of("{}", None, &other),
    ];
    for (place, identity) in identities.iter().enumerate() {
        assert_eq!(identity.len(), 64);
        assert!(!identities[..place].contains(identity), "{place}");
    }
    assert_eq!(of("{}", None, HEAD), identities[0]);
}

#[test]
fn what_a_guest_writes_is_kept_for_the_user() {
    let marks = [
        ("imports", "(import \"pliant:plugin/host@0.1.0\" \"log\" (func $say (type $log)))"),
        ("predict", "(call $say (i32.const 2) (i32.const 128) (i32.const 5))"),
    ];
    let mut head = head(&marks).unwrap();
    head.predict(&[1.0], 1).unwrap();
    let log = head.take_log();
    assert_eq!(log.len(), 1);
    assert_eq!((log[0].level, log[0].message.as_str()), (crate::LogLevel::Warning, "plain"));
    assert!(head.take_log().is_empty());
}

#[test]
fn a_component_is_taken_as_a_module_is() {
    let module = bytes(HEAD);
    let structure = crate::examine(&module, &limits()).unwrap();
    let component = crate::encode::component(&module, &structure, World::Head).unwrap();
    assert!(crate::examine(&component, &limits()).unwrap().component);
    let mut head = compile(&component, World::Head, limits()).unwrap().head().unwrap();
    assert_eq!(head.predict(&[7.0], 1).unwrap(), [7.0]);
}

#[test]
fn what_was_compiled_waits_in_a_cache() {
    let folder = tempfile::tempdir().unwrap();
    let options =
        SandboxOptions { cache: Some(folder.path().canonicalize().unwrap()), ..SandboxOptions::default() };
    for _ in 0..2 {
        let sandbox = Sandbox::new(options.clone()).unwrap();
        let setup = Setup { config: "{}".to_owned(), weights: None };
        let plugin = Plugin::compile(&sandbox, &bytes(HEAD), World::Head, setup, limits()).unwrap();
        assert_eq!(plugin.head().unwrap().predict(&[2.0], 1).unwrap(), [2.0]);
    }
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_some(), "the cache is empty");
}
