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
