//! A piece of a file, read once from front to back, with every length checked before memory is asked for.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;

use super::problem::PickleProblem;

/// Bytes gathered before the system is called.
const BUFFER_BYTES: usize = 64 * 1024;

/// Why reading a pickle ended early.
#[derive(Debug)]
pub(super) enum Fault {
    /// The system.
    Io(io::Error),
    /// The file.
    Problem(PickleProblem),
}

impl From<PickleProblem> for Fault {
    fn from(problem: PickleProblem) -> Self {
        Self::Problem(problem)
    }
}

/// Bytes `at..end` of a file.
#[derive(Debug)]
struct Section<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(bytes.len());
        let count = self.file.read_at(&mut bytes[..left], self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// A reader of one piece of a file that knows where it is.
#[derive(Debug)]
pub(super) struct Input<'a> {
    section: BufReader<Section<'a>>,
}

impl<'a> Input<'a> {
    /// Bytes `at..end`.
    pub(super) fn new(file: &'a File, at: u64, end: u64) -> Self {
        let section = Section { file, at, end: end.max(at) };
        Self { section: BufReader::with_capacity(BUFFER_BYTES, section) }
    }

    /// Byte of the file that is read next.
    pub(super) fn at(&self) -> u64 {
        self.section.get_ref().at - self.section.buffer().len() as u64
    }

    /// Bytes that are left, at most.
    fn left(&self) -> u64 {
        self.section.get_ref().end - self.at()
    }

    /// An error of form here.
    pub(super) fn form(&self, what: &'static str) -> Fault {
        PickleProblem::Form { what, at: self.at() }.into()
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        let at = self.at();
        self.section.read_exact(&mut bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => PickleProblem::Truncated { at }.into(),
            _ => Fault::Io(error),
        })?;
        Ok(bytes)
    }

    /// The next byte.
    pub(super) fn byte(&mut self) -> Result<u8, Fault> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Checks that `count` bytes are left.
    pub(super) fn require(&self, count: u64) -> Result<(), Fault> {
        if count <= self.left() { Ok(()) } else { Err(PickleProblem::Truncated { at: self.at() }.into()) }
    }

    /// The next `count` bytes, which the caller has paid for.
    pub(super) fn bytes(&mut self, count: usize) -> Result<Vec<u8>, Fault> {
        self.require(count as u64)?;
        let mut bytes = vec![0; count];
        let at = self.at();
        self.section.read_exact(&mut bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => PickleProblem::Truncated { at }.into(),
            _ => Fault::Io(error),
        })?;
        Ok(bytes)
    }

    /// Passes over `count` bytes.
    pub(super) fn skip(&mut self, count: u64) -> Result<(), Fault> {
        self.require(count)?;
        let mut left = count;
        while left > 0 {
            let there = self.section.fill_buf().map_err(Fault::Io)?.len();
            if there == 0 {
                return Err(PickleProblem::Truncated { at: self.at() }.into());
            }
            let step = usize::try_from(left).unwrap_or(usize::MAX).min(there);
            self.section.consume(step);
            left -= step as u64;
        }
        Ok(())
    }

    /// The text up to the next line feed, at most `limit` bytes of it.
    pub(super) fn line(&mut self, limit: usize) -> Result<String, Fault> {
        let mut bytes = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => break,
                _ if bytes.len() == limit => return Err(self.form("a name is too long")),
                byte => bytes.push(byte),
            }
        }
        String::from_utf8(bytes).map_err(|_| self.form("a name is no UTF-8 text"))
    }
}
