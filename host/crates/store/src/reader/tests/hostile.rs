//! Files that nobody should have written: an error or what was written, never a panic, a crash or a lot of memory.

use super::*;

/// Files per format and kind of result.
const FILES: usize = 1000;

/// The most that reading files of a few kilobytes may ever take, with all tests of this crate beside it.
const MAX_MEMORY_KB: u64 = 2 << 20;

/// Numbers of SplitMix64, a published generator of random numbers for tests.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Damages `bytes` in one of the ways that disks, networks and enemies know.
fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    let place = random.below(bytes.len());
    match random.below(6) {
        0 => bytes.truncate(place),
        1 => {
            let end = (place + 1 + random.below(64)).min(bytes.len());
            bytes[place..end].fill(if random.below(2) == 0 { 0 } else { 0xff });
        }
        2 => {
            let end = (place + 8).min(bytes.len());
            let number = (random.next() >> random.below(64)).to_le_bytes();
            bytes[place..end].copy_from_slice(&number[..end - place]);
        }
        3 => {
            let from = random.below(bytes.len());
            let length = (1 + random.below(64)).min(bytes.len() - place.max(from));
            bytes.copy_within(from..from + length, place);
        }
        _ => {
            for _ in 0..=random.below(4) {
                let place = random.below(bytes.len());
                bytes[place] ^= 1 << random.below(8);
            }
        }
    }
}

fn peak_memory_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn damage_is_an_error_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(20_240_511);
    for format in Format::ALL {
        for residues in [false, true] {
            if residues && !format.holds_residues() {
                continue;
            }
            let path = folder.path().join(format!("damaged.{}", format.name()));
            match residues {
                true => write_residues(&path, format, &[6], OutDtype::F32),
                false => write_pooled(&path, format, &[6], OutDtype::F16),
            }
            let whole = std::fs::read(&path).unwrap();
            let mut refused = 0;
            for _ in 0..FILES * if format.holds_residues() { 1 } else { 2 } {
                let mut bytes = whole.clone();
                damage(&mut bytes, &mut random);
                std::fs::write(&path, &bytes).unwrap();
                match read(&path) {
                    Err(_) => refused += 1,
                    Ok((reader, records)) => assert_eq!(reader.records(), records.len()),
                }
            }
            assert!(refused > FILES / 20, "{}: only {refused} refused", format.name());
        }
    }
    let peak = peak_memory_kb();
    assert!(peak < MAX_MEMORY_KB, "{peak} kB");
}

/// Every truncation, as a full disk or a broken transfer leaves it. A table of text that ends between two lines is
/// whole; all others need their end.
#[test]
fn a_cut_file_is_refused_at_every_length() {
    let folder = tempfile::tempdir().unwrap();
    for format in Format::ALL.into_iter().filter(|format| *format != Format::Tsv) {
        let path = folder.path().join(format!("cut.{}", format.name()));
        write_pooled(&path, format, &[6], OutDtype::F32);
        let whole = std::fs::read(&path).unwrap();
        for end in (0..whole.len()).step_by(if whole.len() > 4096 { 17 } else { 1 }) {
            std::fs::write(&path, &whole[..end]).unwrap();
            assert!(read(&path).is_err(), "{} cut at {end} of {}", format.name(), whole.len());
        }
    }
}

#[test]
fn what_is_no_regular_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(ResultReader::open(folder.path()), Err(StoreError::Io { action: Action::Read, .. })));
    assert!(matches!(ResultReader::open(Path::new("/dev/null")), Err(StoreError::Malformed { .. })));
    let missing = ResultReader::open(&folder.path().join("no.npz")).err().unwrap();
    assert_eq!(missing.io_error().unwrap().kind(), io::ErrorKind::NotFound);
}
