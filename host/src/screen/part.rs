//! A tally in a file, with what is needed to make an answer of it: the result of a shard, and of a screen that goes on.
//!
//! The bytes: [`MAGIC`], the length of a JSON object in eight, the object, then `[proteins]` counts (u32), sums (i64) and
//! squares (i64), and where the best are kept `[proteins]` numbers of partners (u32) and the partners (f32, u32) one protein
//! after the other; then the number of pairs (u64) and the pairs (u32, u32, f32); all little-endian; last BLAKE3 of
//! everything before.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use pliant_kernels::ops::pair_sums::Sums;
use pliant_store::{Access, Action, AtomicFile, StoreError};
use serde::{Deserialize, Serialize};

use super::report::About;
use super::tally::{Keep, Partner, Step, Tally, room};
use super::{Edge, Proteins, ScreenError, Shard};

/// How the file of a part begins.
pub const MAGIC: &[u8; 16] = b"pliant-screen-2\n";

/// Bytes of it that parts of every version have.
const KIND: usize = 14;

/// Bytes of the object, at most.
const LARGEST_HEAD: u64 = 1 << 32;

/// What a part says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// What is computed, in hex: parts of one screen have the same.
    pub screen: String,
    /// Which of its parts this is.
    pub shard: Shard,
    /// Its proteins.
    pub proteins: Proteins,
    /// What the answer is made with.
    pub about: About,
    /// The bits of a bound of all logits, which the steps of sums follow from.
    pub largest: u64,
    /// The best of every protein are kept, so many.
    pub best: Option<usize>,
    /// The bits of the least logit.
    pub least: u32,
    /// Units that are done, counted from the first of the shard.
    pub done: usize,
    /// Pairs in a file beside it, and BLAKE3 of that file, while the screen goes on.
    pub edges: Option<(u64, String)>,
}

/// A part that was read.
#[derive(Debug)]
pub struct Part {
    /// What it says of itself.
    pub head: Head,
    /// What it kept.
    pub tally: Tally,
}

impl Head {
    /// What is kept.
    pub fn keep(&self) -> Keep {
        Keep { best: self.best, least: f32::from_bits(self.least) }
    }

    /// In what steps logits are added up.
    pub fn step(&self) -> Step {
        Step::of(f64::from_bits(self.largest))
    }
}

/// Whether a file begins as a part does, of this version or another.
pub fn is_part(path: &Path) -> bool {
    let mut begin = [0; KIND];
    File::open(path).and_then(|mut file| file.read_exact(&mut begin)).is_ok() && begin == MAGIC[..KIND]
}

/// Writes a part, complete but for its name.
///
/// # Errors
/// What the system says.
pub fn write(path: &Path, head: &Head, tally: &Tally) -> anyhow::Result<AtomicFile> {
    let text = serde_json::to_vec(head)?;
    let mut file = Hashed { to: AtomicFile::create(path, Access::Stream)?, hasher: blake3::Hasher::new() };
    let written = file.put(&text, tally);
    written.map_err(|source| StoreError::io(Action::Write, path, source))?;
    Ok(file.to)
}

struct Hashed {
    to: AtomicFile,
    hasher: blake3::Hasher,
}

impl Hashed {
    fn all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.to.write_all(bytes)
    }

    fn put(&mut self, text: &[u8], tally: &Tally) -> io::Result<()> {
        self.all(MAGIC)?;
        self.all(&(text.len() as u64).to_le_bytes())?;
        self.all(text)?;
        let mut bytes = Vec::new();
        tally.moments.iter().for_each(|own| bytes.extend(own.count.to_le_bytes()));
        tally.moments.iter().for_each(|own| bytes.extend(own.sum.to_le_bytes()));
        tally.moments.iter().for_each(|own| bytes.extend(own.squares.to_le_bytes()));
        tally.best.iter().for_each(|own| bytes.extend((own.len() as u32).to_le_bytes()));
        self.all(&bytes)?;
        for partners in &tally.best {
            bytes.clear();
            for partner in partners {
                bytes.extend(partner.logit.to_le_bytes());
                bytes.extend(partner.number.to_le_bytes());
            }
            self.all(&bytes)?;
        }
        self.all(&(tally.edges.len() as u64).to_le_bytes())?;
        for edges in tally.edges.chunks(1 << 14) {
            bytes.clear();
            edges.iter().for_each(|edge| bytes.extend(edge_bytes(edge)));
            self.all(&bytes)?;
        }
        let digest = self.hasher.finalize();
        self.to.write_all(digest.as_bytes())
    }
}

/// Bytes of a pair in files.
pub(super) const EDGE_BYTES: usize = 12;

pub(super) fn edge_bytes(edge: &Edge) -> [u8; EDGE_BYTES] {
    let mut bytes = [0; EDGE_BYTES];
    bytes[..4].copy_from_slice(&edge.first.to_le_bytes());
    bytes[4..8].copy_from_slice(&edge.second.to_le_bytes());
    bytes[8..].copy_from_slice(&edge.logit.to_le_bytes());
    bytes
}

pub(super) fn edge_of(bytes: &[u8; EDGE_BYTES]) -> Edge {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *bytes;
    Edge {
        first: u32::from_le_bytes([a, b, c, d]),
        second: u32::from_le_bytes([e, f, g, h]),
        logit: f32::from_le_bytes([i, j, k, l]),
    }
}

/// Reads a part and compares every byte of it with what was written.
///
/// # Errors
/// [`ScreenError::Part`] for one that is damaged.
pub fn read(path: &Path) -> Result<Part, ScreenError> {
    let failed = |reason: String| ScreenError::Part { path: path.to_owned(), reason };
    let file = File::open(path).map_err(ScreenError::io("read", path))?;
    let size = file.metadata().map_err(ScreenError::io("read", path))?.len();
    let mut from = Checked { from: BufReader::new(file), hasher: blake3::Hasher::new(), left: size };
    match from.part() {
        Ok(part) => Ok(part),
        Err(error) if error.raw_os_error().is_some() => Err(ScreenError::io("read", path)(error)),
        Err(error) => Err(failed(error.to_string())),
    }
}

struct Checked {
    from: BufReader<File>,
    hasher: blake3::Hasher,
    /// Bytes that are still to come.
    left: u64,
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

impl Checked {
    fn bytes(&mut self, count: u64) -> io::Result<Vec<u8>> {
        if count > self.left {
            return Err(bad("it is cut short"));
        }
        self.left -= count;
        let mut bytes = vec![0; usize::try_from(count).map_err(|_| bad("it is too large"))?];
        self.from.read_exact(&mut bytes)?;
        self.hasher.update(&bytes);
        Ok(bytes)
    }

    fn number(&mut self) -> io::Result<u64> {
        let bytes = self.bytes(8)?;
        Ok(bytes.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes)))
    }

    fn part(&mut self) -> io::Result<Part> {
        let begin = self.bytes(MAGIC.len() as u64)?;
        if begin != MAGIC {
            let is_other = begin.starts_with(&MAGIC[..KIND]);
            let version = "another version of pliant wrote it, whose logits differ: score its shard again";
            return Err(bad(if is_other { version } else { "it does not begin as one" }));
        }
        let length = self.number()?;
        if length > LARGEST_HEAD {
            return Err(bad("its description is too long"));
        }
        let text = self.bytes(length)?;
        let head: Head = serde_json::from_slice(&text).map_err(|error| bad(&error.to_string()))?;
        let proteins = head.proteins.ids.len();
        let mut tally = Tally::new(proteins, head.keep());
        self.moments(&mut tally.moments)?;
        if head.best.is_some() {
            self.best(&mut tally)?;
        }
        let edges = self.number()?;
        let bytes = self.bytes(edges.saturating_mul(EDGE_BYTES as u64))?;
        tally.edges = bytes.as_chunks::<EDGE_BYTES>().0.iter().map(edge_of).collect();
        let wanted = self.hasher.finalize();
        if self.bytes(32)? != wanted.as_bytes() || self.left > 0 {
            return Err(bad("its bytes are not those that were written"));
        }
        let number = |edge: &Edge| edge.first < edge.second && (edge.second as usize) < proteins;
        let partners = tally.best.iter().flatten();
        if !tally.edges.iter().all(number)
            || !partners.into_iter().all(|partner| (partner.number as usize) < proteins)
        {
            return Err(bad("it names proteins that it has not"));
        }
        Ok(Part { head, tally })
    }

    fn moments(&mut self, moments: &mut [Sums]) -> io::Result<()> {
        let count = moments.len() as u64;
        let counts = self.bytes(4 * count)?;
        let [sums, squares] = [self.bytes(8 * count)?, self.bytes(8 * count)?];
        let numbers = counts.as_chunks::<4>().0.iter().zip(sums.as_chunks::<8>().0);
        for (own, ((count, sum), squares)) in moments.iter_mut().zip(numbers.zip(squares.as_chunks::<8>().0))
        {
            *own = Sums {
                count: u32::from_le_bytes(*count),
                sum: i64::from_le_bytes(*sum),
                squares: i64::from_le_bytes(*squares),
            };
        }
        Ok(())
    }

    fn best(&mut self, tally: &mut Tally) -> io::Result<()> {
        let most = room(tally.keep.best.unwrap_or_default()) as u64;
        let lengths = self.bytes(4 * tally.proteins() as u64)?;
        for (own, length) in lengths.as_chunks::<4>().0.iter().enumerate() {
            let length = u64::from(u32::from_le_bytes(*length));
            if length > most {
                return Err(bad("a protein has too many partners"));
            }
            for bytes in self.bytes(8 * length)?.as_chunks::<8>().0 {
                let [a, b, c, d, e, f, g, h] = *bytes;
                let (logit, number) = (f32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
                tally.best[own].push(Partner { logit, number });
            }
        }
        Ok(())
    }
}
