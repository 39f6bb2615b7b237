//! Merging and shrinking.

use std::fs::{self, File};
use std::time::SystemTime;

use rusqlite::Connection;

use super::super::admin::{Limits, collect, merge};
use super::*;

#[test]
fn shards_from_elsewhere_are_merged_and_stay() {
    for sharing in [Sharing::Local, Sharing::Network] {
        let (one, two) = (Place::local(), Place::network());
        one.keep(0..10);
        let shard = two.keep(5..20).shard.unwrap();
        let target = Place { sharing, ..Place::local() };
        let merged = merge(&target.options(), &[one.path(), shard.clone()]).unwrap();
        assert_eq!((merged.added, merged.known, merged.bad.len(), merged.refused.len()), (20, 5, 0, 0));
        assert!(shard.exists() && one.path().exists());
        drop((one, two));
        let (found, report) = target.found(0..20);
        assert_eq!((found.len(), report.stats.faults), (20, 0), "its files came with it");
        assert!(target.verify().is_sound());
    }
}

#[test]
fn damaged_rows_are_not_merged() {
    let (place, target) = (Place::network(), Place::local());
    let shard = place.keep(0..10).shard.unwrap();
    let raw = Connection::open(&shard).unwrap();
    raw.execute("UPDATE entry SET created = created + 1 WHERE key = ?1", [super::key(2).0]).unwrap();
    drop(raw);
    let file = files::StateFiles::beside(&place.path()).list().unwrap().remove(0).path;
    fs::write(file, "x").unwrap();
    let garbage = place.folder.path().join("garbage");
    fs::write(&garbage, "garbage").unwrap();
    let merged = merge(&target.options(), &[garbage, shard.clone(), target.path()]).unwrap();
    assert_eq!((merged.added, merged.bad.len(), merged.refused.len()), (8, 2, 2), "{merged:?}");
    assert_eq!(target.found(0..10).0.len(), 8);
    assert!(target.verify().is_sound());
}

#[test]
fn what_was_not_used_for_longest_goes_first() {
    let place = Place::local();
    place.keep(0..100);
    age(&place.path(), 40);
    place.keep(100..200);
    age(&place.path(), 10);
    assert_eq!(place.found(0..10).0.len(), 10);
    let all = collect(&place.options(), &Limits { dry_run: true, ..Limits::default() }).unwrap();
    assert_eq!((all.removed, all.left, all.orphans), (0, 200, 0));
    let limits = Limits { max_days: Some(30), dry_run: true, max_bytes: None };
    assert_eq!(collect(&place.options(), &limits).unwrap().removed, 90);
    assert_eq!(stats_of(&place).pooled + stats_of(&place).residues, 200, "a dry run removes nothing");
    let old = collect(&place.options(), &Limits { dry_run: false, ..limits }).unwrap();
    assert_eq!((old.removed, old.left), (90, 110));
    assert_eq!(place.found(0..200).0, (0..10).chain(100..200).collect::<Vec<_>>());
    let half = Limits { max_bytes: Some(old.left_bytes / 2), ..Limits::default() };
    let most = collect(&place.options(), &half).unwrap();
    assert!(most.left_bytes <= old.left_bytes / 2 && most.left > 40, "{most:?}");
    assert!(place.verify().is_sound());
    assert_eq!(stats_of(&place).files, stats_of(&place).residues, "files go with their rows");
    let none = collect(&place.options(), &Limits { max_bytes: Some(0), ..Limits::default() }).unwrap();
    assert_eq!((none.left, none.left_bytes, stats_of(&place).files), (0, 0, 0));
}

#[test]
fn files_that_nothing_names_go_when_they_are_old() {
    let place = Place::local();
    place.keep(0..10);
    let size = stats_of(&place).database_bytes;
    let folder = files::folder_beside(&place.path()).join("ab");
    fs::create_dir_all(&folder).unwrap();
    let named = |name: &str| folder.join(name);
    let names = ["ab".repeat(32), "ac".repeat(32), ".pliant-1.partial".to_owned(), "other".to_owned()];
    for name in &names {
        fs::write(named(name), "orphan").unwrap();
    }
    let old = SystemTime::now() - Duration::from_secs(3 * 60 * 60);
    for name in [&names[0], &names[2], &names[3]] {
        File::options().append(true).open(named(name)).unwrap().set_modified(old).unwrap();
    }
    let collected = collect(&place.options(), &Limits::default()).unwrap();
    assert_eq!((collected.removed, collected.orphans, collected.orphan_bytes), (0, 2, 12));
    assert!(!named(&names[0]).exists() && named(&names[1]).exists() && named(&names[3]).exists());
    assert_eq!(place.found(0..10).0.len(), 10);
    assert!(stats_of(&place).database_bytes <= size);
}

#[test]
fn a_merge_waits_for_tasks_that_write_meanwhile() {
    let (source, target) = (Place::local(), Place::local());
    source.keep(0..200);
    target.keep(200..202);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let other = Connection::open(target.path()).unwrap();
            other.busy_timeout(Duration::ZERO).unwrap();
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                // Takes every chance to be first, then lets others.
                if other.execute_batch("BEGIN IMMEDIATE").is_ok() {
                    std::thread::sleep(Duration::from_millis(2));
                    other.execute_batch("ROLLBACK").unwrap();
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        });
        let merged = merge(&target.options(), &[source.path()]);
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(merged.unwrap().added, 200);
    });
    assert_eq!(target.found(0..202).0.len(), 202);
}

#[test]
fn files_of_shards_that_wait_to_be_merged_stay() {
    let place = Place::network();
    place.keep(0..10);
    merge(&place.options(), &[]).unwrap();
    let shard = place.keep(10..20).shard.unwrap();
    fs::write(shard.with_file_name("broken.sqlite"), "broken").unwrap();
    let old = SystemTime::now() - Duration::from_secs(3 * 60 * 60);
    for file in files::StateFiles::beside(&place.path()).list().unwrap() {
        File::options().append(true).open(file.path).unwrap().set_modified(old).unwrap();
    }
    let limits = Limits { max_bytes: Some(0), ..Limits::default() };
    let collected = collect(&place.options(), &limits).unwrap();
    assert_eq!((collected.removed, collected.orphans), (10, 0), "{collected:?}");
    let merged = merge(&place.options(), &[]).unwrap();
    assert_eq!((merged.added, merged.bad.len(), merged.refused.len()), (10, 0, 1), "{merged:?}");
    assert!(!shard.exists());
    assert_eq!(place.found(0..20).0, (10..20).collect::<Vec<_>>());
}

#[test]
fn a_log_that_was_left_is_merged_with_its_cache_and_goes() {
    let (killed, place) = (Place::local(), Place::network());
    killed.keep(0..2);
    let reader = Connection::open(killed.path()).unwrap();
    reader.execute_batch("BEGIN; SELECT 1 FROM entry").unwrap();
    killed.keep(2..100);
    let log = |path: &Path| files::with_suffix(path, "-wal");
    fs::copy(killed.path(), place.path()).unwrap();
    fs::copy(log(&killed.path()), log(&place.path())).unwrap();
    assert!(fs::metadata(log(&place.path())).unwrap().len() > 0);
    merge(&place.options(), &[]).unwrap();
    assert!(!log(&place.path()).exists());
    let pooled = |place: &Place| stats_of(place).pooled;
    assert_eq!(pooled(&place), 50, "the rows of the log are in it");
    let local = Place { sharing: Sharing::Local, ..place };
    assert_eq!((pooled(&local), local.verify().structure.len()), (50, 0));
}
