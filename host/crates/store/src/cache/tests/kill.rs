//! A process that is killed at any moment leaves a cache that is right.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use super::super::admin::{Limits, collect, merge};
use super::super::kill::{KILL_AT, POINTS};
use super::*;

/// Names the folder in which the process of [`works_until_it_is_killed`] works.
const FOLDER: &str = "PLIANT_TEST_KILL_FOLDER";

/// Names how it shares the cache.
const SHARING: &str = "PLIANT_TEST_KILL_SHARING";

/// The life of a cache, in a process of its own that is told where to end. Without being told it is no test.
#[test]
fn works_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let sharing =
        if std::env::var(SHARING).unwrap() == "network" { Sharing::Network } else { Sharing::Local };
    let options = options(&PathBuf::from(folder).join("cache.sqlite"), sharing);
    let cache = Cache::open(&options);
    (0..40).for_each(|number| keep(&cache, number));
    cache.finish();
    let network = CacheOptions { sharing: Sharing::Network, ..options.clone() };
    let cache = Cache::open(&network);
    (30..60).for_each(|number| keep(&cache, number));
    let shard = cache.finish().shard;
    // A shard whose files lie elsewhere.
    let target = options.path.with_file_name("other.sqlite");
    merge(&CacheOptions { path: target, ..options.clone() }, &shard.into_iter().collect::<Vec<_>>()).unwrap();
    merge(&options, &[]).unwrap();
    collect(&options, &Limits { max_bytes: Some(4000), ..Limits::default() }).unwrap();
}

/// Whether the process was killed; it may also come to its end.
fn killed_at(folder: &Path, sharing: &str, point: &str, times: u32) -> bool {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "cache::tests::kill::works_until_it_is_killed", "--quiet"]);
    command.env(FOLDER, folder).env(SHARING, sharing).env(KILL_AT, format!("{point}#{times}"));
    let output = command.output().unwrap();
    let killed = output.status.signal() == Some(9);
    assert!(killed || output.status.success(), "{point}: {output:?}");
    killed
}

#[test]
fn every_moment_is_a_good_one() {
    let mut reached = Vec::new();
    for (index, point) in POINTS.into_iter().enumerate() {
        for sharing in ["local", "network"] {
            // The first passing, and a later one that differs from point to point.
            for times in [0, 1 + (index as u32 * 7 + 3) % 11] {
                let folder = tempfile::tempdir().unwrap();
                if killed_at(folder.path(), sharing, point, times) {
                    reached.push(point);
                }
                let what = format!("{point}, {times} before, {sharing}");
                is_right(folder, if sharing == "local" { Sharing::Local } else { Sharing::Network }, &what);
            }
        }
    }
    reached.dedup();
    assert_eq!(reached, POINTS, "each of them was reached");
}

/// Whatever is there is right, sound, and can be gone on with.
fn is_right(folder: TempDir, sharing: Sharing, what: &str) {
    for name in ["cache.sqlite", "other.sqlite"] {
        let path = folder.path().join(name);
        let options = options(&path, sharing);
        if path.exists() {
            let checked = verify(&options).unwrap_or_else(|fault| panic!("{what}: {name}: {fault}"));
            assert!(checked.is_sound(), "{what}: {name}: {checked:?}");
        }
    }
    let place = Place { folder, sharing };
    let (_, report) = place.found(0..60);
    assert_eq!(report.stats.faults, 0, "{what}: {report:?}");
    let kept = place.keep(0..60);
    assert_eq!((kept.stats.faults, kept.stats.dropped), (0, 0), "{what}: {kept:?}");
    let merged = merge(&place.options(), &[]).unwrap();
    assert!(merged.bad.is_empty() && merged.refused.is_empty(), "{what}: {merged:?}");
    assert_eq!(place.found(0..60).0.len(), 60, "{what}");
    assert!(place.verify().is_sound(), "{what}");
}
