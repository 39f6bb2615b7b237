//! Caches that cannot be used: a fault that is counted, nothing found, nothing kept, nothing destroyed.

use std::fs;

use rusqlite::Connection;

use super::super::admin::{Limits, collect, merge, repair};
use super::*;

/// Opens what is at the path of `place`; it must be of no use, say why, and be left as it is.
#[track_caller]
fn is_refused(place: &Place, why: &str) {
    let before = fs::read(place.path()).ok();
    for sharing in [Sharing::Local, Sharing::Network] {
        let cache = Cache::open(&options(&place.path(), sharing));
        keep(&cache, 0);
        assert!(!is_found(&cache, 0));
        let report = cache.finish();
        assert_eq!(
            (report.stats.written, report.stats.dropped, report.stats.faults),
            (0, 1, 1),
            "{report:?}"
        );
        assert!(report.faults[0].to_string().contains(why), "{}", report.faults[0]);
        assert_eq!(fs::read(place.path()).ok(), before, "it was changed");
    }
    assert!(verify(&place.options()).is_err());
    assert!(repair(&place.options()).is_err());
    assert!(collect(&place.options(), &Limits::default()).is_err());
    assert_eq!(fs::read(place.path()).ok(), before, "it was changed");
}

#[test]
fn a_file_that_is_something_else_is_left_alone() {
    for (content, why) in [
        (&b"no database at all, but long enough to be read as the head of one, which has a hundred bytes of its own"[..], "no SQLite database"),
        (b"short", "no SQLite database"),
        (b"", "an empty file"),
    ] {
        let place = Place::local();
        fs::write(place.path(), content).unwrap();
        is_refused(&place, why);
        assert!(merge(&place.options(), &[]).is_err());
        assert_eq!(fs::read(place.path()).unwrap(), content);
    }
    let place = Place::local();
    let other = Connection::open(place.path()).unwrap();
    other.execute_batch("CREATE TABLE mine (x); INSERT INTO mine VALUES (1)").unwrap();
    drop(other);
    is_refused(&place, "a database of another program");
    let place = Place::local();
    fs::create_dir(place.path()).unwrap();
    is_refused(&place, "no regular file");
}

#[test]
fn a_newer_schema_is_left_alone() {
    let place = Place::local();
    place.keep(0..2);
    Connection::open(place.path()).unwrap().pragma_update(None, "user_version", 77).unwrap();
    is_refused(&place, "has schema 77, and this version knows none above 1");
}

#[test]
fn a_missing_folder_is_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    for sharing in [Sharing::Local, Sharing::Network] {
        let cache = Cache::open(&options(&folder.path().join("no/cache.sqlite"), sharing));
        assert!(!cache.is_usable());
        keep(&cache, 0);
        let report = cache.finish();
        assert!(matches!(report.faults[..], [CacheFault::MissingFolder { .. }]), "{report:?}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_truncated_cache_is_a_fault() {
    let place = Place::local();
    place.keep(0..300);
    let bytes = fs::read(place.path()).unwrap();
    for length in [100, 16 << 10, 20 << 10, bytes.len() - 100] {
        fs::write(place.path(), &bytes[..length]).unwrap();
        // Whatever is found is right: this is checked for each of them.
        let (found, report) = place.found(0..300);
        assert!(found.len() < 300 && report.stats.faults > 0, "{length}: {} {report:?}", found.len());
        place.keep(0..300);
    }
}

#[test]
fn a_batch_that_waits_too_long_is_dropped() {
    let place = Place::local();
    place.keep(0..2);
    let holder = Connection::open(place.path()).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let cache = Cache::open(&CacheOptions { wait: Duration::from_millis(300), ..place.options() });
    assert!(is_found(&cache, 0), "readers do not wait for writers");
    (2..600).for_each(|number| keep(&cache, number));
    let report = cache.finish();
    assert_eq!((report.stats.written, report.stats.dropped), (0, 598));
    assert!(matches!(report.faults[..], [CacheFault::Locked { .. }]), "{report:?}");
    holder.execute_batch("ROLLBACK").unwrap();
    assert_eq!(place.keep(2..600).stats.written, 598);
}

#[test]
fn a_batch_waits_for_others() {
    let place = Place::local();
    place.keep(0..2);
    let holder = Connection::open(place.path()).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let cache = place.open();
    keep(&cache, 2);
    let release = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(400));
        holder.execute_batch("ROLLBACK").unwrap();
    });
    assert_eq!(cache.finish().stats.written, 1);
    release.join().unwrap();
}

#[test]
fn a_cache_that_another_has_for_itself_is_a_fault() {
    let place = Place::local();
    place.keep(0..2);
    let holder = Connection::open(place.path()).unwrap();
    holder.pragma_update_and_check(None, "locking_mode", "EXCLUSIVE", |_| Ok(())).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE; DELETE FROM entry; ROLLBACK; SELECT 1 FROM entry").unwrap();
    let cache = place.open();
    keep(&cache, 4);
    assert!(!is_found(&cache, 0));
    let report = cache.finish();
    assert_eq!((report.stats.written, report.stats.dropped), (0, 1), "{report:?}");
    drop(holder);
    assert_eq!(place.found(0..2).0, [0, 1]);
}

#[test]
fn one_owner_at_a_time() {
    let place = Place::local();
    place.keep(0..2);
    fs::create_dir_all(files::folder_beside(&place.path())).unwrap();
    let lock = fs::File::create(files::folder_beside(&place.path()).join("lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let fault = merge(&place.options(), &[]).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Busy, "{fault}");
    assert_eq!(place.found(0..2).0, [0, 1], "tasks go on");
    drop(lock);
    merge(&place.options(), &[]).unwrap();
}

#[test]
fn a_log_of_garbage_does_no_harm() {
    let place = Place::local();
    place.keep(0..20);
    for part in ["-wal", "-shm"] {
        let path = format!("{}{part}", place.path().display());
        fs::write(path, [0x37; 100_000]).unwrap();
    }
    place.found(0..20);
    place.keep(0..20);
    assert_eq!(place.found(0..20).0.len(), 20);
}
