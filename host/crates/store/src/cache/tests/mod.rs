//! The cache as a whole: what is kept comes back bit for bit or not at all.

mod admin;
mod damage;
mod faults;
mod kill;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::admin::{Checked, verify};
use super::*;
use crate::metadata::Metadata;

/// C of the vectors of these tests.
const WIDTH: usize = 6;

/// A folder with a cache to be.
struct Place {
    folder: TempDir,
    sharing: Sharing,
}

impl Place {
    fn local() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), sharing: Sharing::Local }
    }

    fn network() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), sharing: Sharing::Network }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("cache.sqlite")
    }

    fn options(&self) -> CacheOptions {
        options(&self.path(), self.sharing)
    }

    fn open(&self) -> Cache {
        Cache::open(&self.options())
    }

    /// Keeps entries `numbers` in one run.
    fn keep(&self, numbers: std::ops::Range<u32>) -> CacheReport {
        let cache = self.open();
        numbers.for_each(|number| keep(&cache, number));
        cache.finish()
    }

    /// Which of the entries are found, each of them right.
    #[track_caller]
    fn found(&self, numbers: std::ops::Range<u32>) -> (Vec<u32>, CacheReport) {
        let cache = self.open();
        let found = numbers.filter(|number| is_found(&cache, *number)).collect();
        (found, cache.finish())
    }

    #[track_caller]
    fn verify(&self) -> Checked {
        verify(&self.options()).unwrap()
    }
}

fn options(path: &Path, sharing: Sharing) -> CacheOptions {
    CacheOptions { path: path.to_path_buf(), sharing, wait: Duration::from_secs(10) }
}

/// Even numbers are pooled vectors, odd ones states.
fn shape(number: u32) -> Shape {
    match number % 2 {
        0 => Shape { kind: Kind::Pooled, rows: 1, width: WIDTH },
        _ => Shape { kind: Kind::Residues, rows: 3 + number as usize % 5, width: WIDTH },
    }
}

fn key(number: u32) -> Key {
    KeyBase::new(&Metadata::new().with("model", "m")).key(&number.to_le_bytes())
}

fn values(number: u32) -> Vec<f32> {
    let shape = shape(number);
    (0..shape.rows * shape.width).map(|place| (number as f32 + 0.1).sin() * (place as f32 + 0.7)).collect()
}

fn keep(cache: &Cache, number: u32) {
    cache.put(&[NewEntry { key: key(number), shape: shape(number), values: &values(number) }]);
}

#[track_caller]
fn is_found(cache: &Cache, number: u32) -> bool {
    let found = cache.get(&key(number), shape(number));
    if let Some(found) = &found {
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(found), bits(&values(number)), "entry {number} is wrong");
    }
    found.is_some()
}

#[test]
fn what_is_kept_comes_back_and_nothing_else() {
    let place = Place::local();
    let report = place.keep(0..600);
    assert_eq!((report.stats.written, report.stats.dropped, report.stats.faults), (600, 0, 0));
    assert!(report.stats.bytes_written > 600 * 4 * WIDTH as u64);
    let (found, report) = place.found(0..700);
    assert_eq!(found, (0..600).collect::<Vec<_>>());
    assert_eq!((report.stats.written, report.stats.faults), (0, 0));
    let again = place.keep(590..610);
    assert_eq!(again.stats.written, 10, "what is there already is not written again");
    let checked = place.verify();
    assert_eq!((checked.entries, checked.is_sound()), (610, true), "{checked:?}");
}

#[test]
fn entries_of_another_shape_are_no_entries() {
    let place = Place::local();
    place.keep(0..2);
    let cache = place.open();
    for number in 0..2 {
        let shape = shape(number);
        let wider = Shape { width: shape.width + 1, ..shape };
        let other = Shape { kind: if number == 0 { Kind::Residues } else { Kind::Pooled }, ..shape };
        assert_eq!(cache.get(&key(number), wider), None);
        assert_eq!(cache.get(&key(number), other), None);
    }
}

#[test]
fn what_is_no_number_is_not_kept() {
    let place = Place::local();
    let cache = place.open();
    for (number, value) in [(0, f32::NAN), (2, f32::INFINITY)] {
        let mut values = values(number);
        values[3] = value;
        cache.put(&[NewEntry { key: key(number), shape: shape(number), values: &values }]);
    }
    keep(&cache, 4);
    assert_eq!(cache.finish().stats.written, 1);
    assert_eq!(place.found(0..6).0, [4]);
}

#[test]
fn use_is_noted_once_a_day() {
    let place = Place::local();
    place.keep(0..4);
    age(&place.path(), 3);
    let day = || stats_of(&place).used.unwrap();
    assert_eq!(day(), (entry::today() - 3, entry::today() - 3));
    assert_eq!(place.found(0..3).0.len(), 3);
    assert_eq!(day(), (entry::today() - 3, entry::today()));
    assert!(place.verify().is_sound(), "the checksum holds the new day");
    let unchanged = std::fs::read(place.path()).unwrap();
    place.found(0..3);
    assert!(std::fs::read(place.path()).unwrap() == unchanged, "the second reading of a day writes nothing");
}

/// Makes every entry look as if it was last used some days ago.
fn age(path: &Path, days: i64) {
    let connection = database::open(path, Use::Write).unwrap();
    let mut statement =
        connection.prepare(&format!("SELECT {COLUMNS}, rowid FROM entry ORDER BY rowid")).unwrap();
    let mut rows = statement.query(params![0, 1 << 20]).unwrap();
    let mut changed = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        let (columns, _) = Columns::read(row).unwrap();
        let old = Columns { last_used: columns.last_used - days, ..columns };
        changed.push((row.get::<_, i64>(8).unwrap(), old.last_used, old.checksum()));
    }
    drop(rows);
    for (rowid, last_used, checksum) in changed {
        let text = "UPDATE entry SET last_used = ?2, checksum = ?3 WHERE rowid = ?1";
        connection.execute(text, params![rowid, last_used, checksum]).unwrap();
    }
}

fn stats_of(place: &Place) -> super::admin::Overview {
    super::admin::stats(&place.options()).unwrap()
}

#[test]
fn many_threads_share_one_file() {
    let place = Place::local();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let place = &place;
            scope.spawn(move || {
                let report = place.keep(thread * 50..thread * 50 + 200);
                assert_eq!((report.stats.faults, report.stats.dropped), (0, 0), "{report:?}");
            });
        }
    });
    assert_eq!(place.found(0..550).0.len(), 550);
    assert!(place.verify().is_sound());
}

#[test]
fn a_network_cache_is_read_and_gets_shards() {
    let place = Place::network();
    let first = place.keep(0..10);
    assert_eq!((first.stats.written, first.stats.faults), (10, 0));
    assert!(
        first.shard.is_some_and(|shard| shard.starts_with(place.folder.path().join("cache.sqlite.d/shards")))
    );
    assert!(!place.path().exists());
    assert_eq!(place.found(0..10).0, [0_u32; 0], "a shard is not read before it is merged");
    place.keep(5..15);
    let merged = super::admin::merge(&place.options(), &[]).unwrap();
    assert_eq!((merged.shards.len(), merged.added, merged.known), (2, 15, 5));
    let before = std::fs::read(place.path()).unwrap();
    let (found, report) = place.found(0..20);
    assert_eq!((found.len(), report.shard, report.stats.faults), (15, None, 0));
    assert!(std::fs::read(place.path()).unwrap() == before, "nobody writes to it");
    let names: Vec<_> =
        std::fs::read_dir(place.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "the cache and its folder, no log: {names:?}");
}
