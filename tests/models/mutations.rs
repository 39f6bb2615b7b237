//! Ten thousand damaged files in one go: no panic, and no more memory than the file's size and a stated bound.
//!
//! Memory is measured from outside, by the system: the files are read in a process of its own that may not have
//! more address space than it had at its start, the largest file and the bound (`RLIMIT_AS`). A counting allocator
//! would be exact to the byte but is `unsafe`, which only kernels may be; the system's limit also counts what
//! an allocator keeps. One request too many ends the process, and the test with it.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use pliant_models::{inspect, verify};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;

use crate::common::{chain, small};
use crate::import::fixture;

/// What reading may take besides the file's own size: the bound that `checkpoint::pickle` states.
const BOUND: u64 = 192 << 20;

/// Damaged files of each kind.
const PICKLES: usize = 7_000;
const SAFETENSORS: usize = 3_000;

/// Set in the process that reads them.
const INSIDE: &str = "PLIANT_TEST_MUTATIONS";

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// Opcodes of pickles, those of every kind.
const CODES: &[u8] = b"().012NJKMGXBCTUabcdehjlqrstu]}RQ\x80\x81\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96";

/// Numbers at the edges of what lengths can be.
const EDGES: [u64; 8] = [0, 1, 0x7fff_ffff, 0xffff_ffff, 1 << 40, 1 << 62, u64::MAX >> 1, u64::MAX];

/// One to four changes of `bytes`, most of them in `part`, where the structure is.
fn mutate(bytes: &mut Vec<u8>, part: (usize, usize), random: &mut Random) {
    for _ in 0..=random.below(4) {
        let (from, to) = if random.below(8) == 0 { (0, bytes.len()) } else { part };
        let to = to.min(bytes.len());
        let at = from.min(to) + random.below(to.saturating_sub(from));
        if at >= bytes.len() {
            continue;
        }
        match random.below(9) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => bytes[at] = CODES[random.below(CODES.len())],
            3 | 4 => {
                let edge = EDGES[random.below(EDGES.len())].to_le_bytes();
                let count = [1, 2, 4, 8][random.below(4)].min(bytes.len() - at);
                bytes[at..at + count].copy_from_slice(&edge[..count]);
            }
            5 => bytes.truncate(at),
            6 => {
                let end = (at + random.below(64)).min(bytes.len());
                bytes.drain(at..end);
            }
            7 => {
                let end = (at + random.below(256)).min(bytes.len());
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            _ => {
                let code = CODES[random.below(CODES.len())];
                bytes.splice(at..at, vec![code; 1 << random.below(14)]);
            }
        }
    }
}

/// A file, and the part of it where its structure is.
struct Seed {
    bytes: Vec<u8>,
    part: (usize, usize),
}

fn seeds() -> Vec<Seed> {
    let read = |name: &str| fs::read(fixture(name)).unwrap();
    let found =
        |bytes: &[u8], word: &[u8]| bytes.windows(word.len()).position(|window| window == word).unwrap();
    let mut seeds = Vec::new();
    for name in ["fair_esm/esm2_t2_tiny.pt", "fair_esm/esm2_t2_tiny_half.pt", "views.pt"] {
        let bytes = read(name);
        // The pickle is the first entry; the directory ends the file.
        let (second, directory) = (4 + found(&bytes[4..], b"PK\x03\x04"), found(&bytes, b"PK\x01\x02"));
        seeds.push(Seed { bytes: bytes.clone(), part: (directory, bytes.len()) });
        seeds.push(Seed { bytes, part: (0, second) });
    }
    let bytes = read("fair_esm/esm2_t2_tiny_legacy.pt");
    seeds.push(Seed { bytes, part: (0, 6_500) });
    seeds
}

/// Reads a damaged file as everything that reads models does; an error must name it.
fn read(source: &Path, names: &Path) -> bool {
    let answers = [inspect(source).map(drop), verify(source).map(drop)];
    for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        let text = chain(error);
        assert!(text.contains(names.to_str().unwrap()), "{text}");
    }
    answers[1].is_ok()
}

/// The process that reads: its address space is limited first.
#[test]
fn inside_the_limit() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("m.pt");
    let model = small(1);
    let safetensors = fs::read(model.path().join("model.safetensors")).unwrap();
    let header = 8 + u64::from_le_bytes(safetensors[..8].try_into().unwrap()) as usize;
    let seeds = seeds();
    // Everything is touched once, so that what the program itself needs is there.
    fs::write(&path, &seeds[1].bytes).unwrap();
    assert!(read(&path, folder.path()) && read(model.path(), model.path()));
    let largest = seeds.iter().map(|seed| seed.bytes.len()).max().unwrap() as u64 + (1 << 16);
    let open = |path: &Path| OpenOptions::new().write(true).open(path).unwrap();
    let (file, weights) = (open(&path), open(&model.path().join("model.safetensors")));
    limit_memory(largest + BOUND);

    let (mut random, mut harmless) = (Random(20_261_121), 0);
    for round in 0..PICKLES {
        let seed = &seeds[round % seeds.len()];
        let mut bytes = seed.bytes.clone();
        mutate(&mut bytes, seed.part, &mut random);
        overwrite(&file, &bytes);
        harmless += usize::from(read(&path, folder.path()));
    }
    for _ in 0..SAFETENSORS {
        let mut bytes = safetensors.clone();
        mutate(&mut bytes, (0, header), &mut random);
        overwrite(&weights, &bytes);
        harmless += usize::from(read(model.path(), model.path()));
    }
    println!("{harmless} of {} changes did no harm", PICKLES + SAFETENSORS);
    assert!(harmless < (PICKLES + SAFETENSORS) / 4, "the changes must reach the structure: {harmless}");
}

/// Gives a file other bytes. Emptied first, it would be sent to the disk ten thousand times.
fn overwrite(file: &File, bytes: &[u8]) {
    file.write_all_at(bytes, 0).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
}

fn limit_memory(more: u64) {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    let kilobytes: u64 = size.trim().trim_end_matches(" kB").parse().unwrap();
    let limit = Some((kilobytes << 10) + more);
    setrlimit(Resource::As, Rlimit { current: limit, maximum: getrlimit(Resource::As).maximum }).unwrap();
    assert!(Vec::<u8>::new().try_reserve_exact(2 * more as usize).is_err(), "the limit does not bite");
}

#[test]
fn ten_thousand_damaged_files_do_no_harm() {
    let program: PathBuf = std::env::current_exe().unwrap();
    let begun = Instant::now();
    let ended = Command::new(program)
        .args(["--exact", "mutations::inside_the_limit", "--nocapture", "--test-threads", "1"])
        .env(INSIDE, "1")
        // Memory that the allocator sets aside for every thread would count.
        .env("MALLOC_ARENA_MAX", "1")
        .output()
        .unwrap();
    let (said, complaint) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{:?}\n{said}\n{complaint}", ended.status);
    assert!(said.contains("did no harm"), "{said}");
    println!("{:.1} s: {said}", begun.elapsed().as_secs_f64());
}
