//! Every byte of a row, changed in turn, is noticed.

use std::fs;

use rusqlite::Connection;

use super::super::admin::repair;
use super::super::entry::Columns;
use super::*;

/// Columns of a row and the lengths of their values in bytes, numbers as eight.
const PARTS: [(&str, usize); 8] = [
    ("key", 32),
    ("kind", 8),
    ("rows", 8),
    ("width", 8),
    ("data", 0),
    ("created", 8),
    ("last_used", 8),
    ("checksum", 16),
];

fn raw(place: &Place) -> Connection {
    Connection::open(place.path()).unwrap()
}

/// The entry is not found, the check lists it, and it can be kept again.
#[track_caller]
fn is_noticed(place: &Place, number: u32, what: &str) {
    let checked = place.verify();
    assert!(!checked.is_sound(), "{what}: the check found nothing");
    let (found, report) = place.found(number..number + 1);
    assert_eq!(found, [0_u32; 0], "{what}: it was found");
    assert!(report.stats.faults > 0 || what.starts_with("key"), "{what}: it was not counted");
    assert_eq!(place.keep(number..number + 1).stats.written, 1, "{what}: it was not kept again");
    assert_eq!(place.found(number..number + 1).0, [number], "{what}");
}

#[test]
fn every_byte_of_every_column_counts() {
    let place = Place::local();
    place.keep(0..4);
    for number in [0, 1] {
        for (column, bytes) in PARTS {
            let bytes = if column == "data" { shape(number).column_bytes() } else { bytes };
            for byte in 0..bytes {
                let connection = raw(&place);
                let (find, is_number) = (super::key(number).0, bytes == 8);
                let text = format!("SELECT {column} FROM entry WHERE key = ?1");
                let changed = if is_number {
                    let value: i64 = connection.query_row(&text, [find], |row| row.get(0)).unwrap();
                    rusqlite::types::Value::Integer(value ^ (1 << (8 * byte)))
                } else {
                    let mut value: Vec<u8> = connection.query_row(&text, [find], |row| row.get(0)).unwrap();
                    value[byte] ^= 0x10;
                    rusqlite::types::Value::Blob(value)
                };
                let text = format!("UPDATE entry SET {column} = ?2 WHERE key = ?1");
                assert_eq!(connection.execute(&text, rusqlite::params![find, changed]).unwrap(), 1);
                drop(connection);
                is_noticed(&place, number, &format!("{column} byte {byte} of entry {number}"));
                if column == "key" {
                    // Nobody asks for a key that was never given; it stays until somebody looks.
                    repair(&place.options()).unwrap();
                }
                assert_eq!((place.verify().is_sound(), place.verify().entries), (true, 4));
            }
        }
    }
}

#[test]
fn columns_of_another_type_or_length_are_damage() {
    for damage in [
        "data = x''",
        "data = zeroblob(100000)",
        "data = CAST(data || x'00' AS BLOB)",
        "width = 1000000000000",
        "rows = -1",
        "checksum = x''",
        "checksum = zeroblob(16)",
        "kind = 3",
    ] {
        for number in [0, 1] {
            let place = Place::local();
            place.keep(0..4);
            let text = format!("UPDATE entry SET {damage} WHERE key = ?1");
            raw(&place).execute(&text, [super::key(number).0]).unwrap();
            is_noticed(&place, number, damage);
        }
    }
}

/// Changes every byte of the file around the places where the key of an entry stands: its row and its place in the
/// index, with the numbers that say how long they are.
#[test]
fn every_byte_of_a_row_in_the_file_counts() {
    let place = Place::local();
    place.keep(0..40);
    let pristine = fs::read(place.path()).unwrap();
    let (key, bytes) = (super::key(20).0, shape(20).column_bytes());
    let places: Vec<usize> =
        (0..pristine.len() - 32).filter(|at| pristine[*at..].starts_with(&key)).collect();
    assert_eq!(places.len(), 2, "the row and the index");
    let mut noticed = 0;
    for at in places {
        // Length of the cell, number of the row and types of the columns stand before the key.
        let after = if pristine[at + 32..].starts_with(&[6]) { 32 } else { 32 + 3 + bytes + 16 };
        for byte in at - 12..at + after {
            let mut changed = pristine.clone();
            changed[byte] ^= 1 << (byte % 8);
            fs::write(place.path(), &changed).unwrap();
            for log in ["-wal", "-shm"] {
                let _ = fs::remove_file(format!("{}{log}", place.path().display()));
            }
            // Whatever is found is right: this is checked for each of them.
            place.found(0..40);
            fs::write(place.path(), &changed).unwrap();
            noticed += u32::from(!place.verify().is_sound());
            assert!(!place.verify().is_sound(), "byte {byte}, {} from the key", byte as i64 - at as i64);
        }
    }
    assert!(noticed > 120, "{noticed}");
}

#[test]
fn every_byte_of_a_file_of_states_counts() {
    let place = Place::local();
    place.keep(0..2);
    let file = files::StateFiles::beside(&place.path()).list().unwrap().remove(0).path;
    let pristine = fs::read(&file).unwrap();
    for byte in 0..pristine.len() {
        let mut changed = pristine.clone();
        changed[byte] ^= 1;
        fs::write(&file, &changed).unwrap();
        is_noticed(&place, 1, &format!("byte {byte} of the file"));
    }
    for content in [&pristine[1..], &[], &[pristine.as_slice(), &[0]].concat()] {
        fs::write(&file, content).unwrap();
        is_noticed(&place, 1, &format!("a file of {} bytes", content.len()));
    }
    fs::remove_file(&file).unwrap();
    is_noticed(&place, 1, "no file");
}

/// A row that says what nobody kept, with a checksum that fits.
#[test]
fn a_row_that_was_made_up_does_no_harm() {
    let place = Place::local();
    place.keep(0..2);
    for (number, kind, rows, width, data) in [
        (0, 1, 1, WIDTH as i64, f32::NAN.to_le_bytes().repeat(WIDTH)),
        (0, 2, 1 << 40, WIDTH as i64, vec![1; 32]),
        (0, 2, i64::MAX, i64::MAX, vec![1; 32]),
        (1, 2, 4, WIDTH as i64, vec![1; 32]),
    ] {
        let columns = Columns {
            key: super::key(number),
            kind,
            rows,
            width,
            data: &data,
            created: -5,
            last_used: i64::MIN,
        };
        let values =
            rusqlite::params![columns.key.0, kind, rows, width, data, -5, i64::MIN, columns.checksum()];
        raw(&place)
            .execute("INSERT OR REPLACE INTO entry VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)", values)
            .unwrap();
        assert_eq!(place.found(number..number + 1).0, [0_u32; 0]);
    }
}

#[test]
fn repair_removes_what_is_damaged_and_keeps_the_rest() {
    let place = Place::local();
    place.keep(0..10);
    raw(&place).execute("UPDATE entry SET width = width + 1 WHERE key = ?1", [super::key(4).0]).unwrap();
    raw(&place)
        .execute("UPDATE entry SET checksum = zeroblob(16) WHERE key = ?1", [super::key(5).0])
        .unwrap();
    assert_eq!(place.verify().bad.len(), 2);
    let repaired = repair(&place.options()).unwrap();
    assert!(repaired.repaired && repaired.bad.len() == 2 && repaired.moved_to.is_none(), "{repaired:?}");
    assert!(place.verify().is_sound());
    assert_eq!(place.found(0..10).0, [0, 1, 2, 3, 6, 7, 8, 9]);
}

#[test]
fn repair_saves_what_can_be_read_of_a_damaged_file() {
    let place = Place::local();
    place.keep(0..400);
    let mut bytes = fs::read(place.path()).unwrap();
    let pages = bytes.len() / (16 << 10);
    assert!(pages > 6, "{pages}");
    // A page of the middle is lost.
    bytes[(pages / 2) << 14..(pages / 2 + 1) << 14].fill(0xab);
    fs::write(place.path(), &bytes).unwrap();
    assert!(!place.verify().structure.is_empty());
    place.found(0..400);
    let repaired = repair(&place.options()).unwrap();
    let aside = repaired.moved_to.unwrap();
    assert!(aside.ends_with("cache.sqlite.damaged-1") && aside.exists());
    assert!(place.verify().is_sound());
    let (found, report) = place.found(0..400);
    assert!(!found.is_empty() && report.stats.faults == 0, "{} {report:?}", found.len());
    assert_eq!(place.keep(0..400).stats.dropped, 0);
    assert_eq!(place.found(0..400).0.len(), 400);
}
