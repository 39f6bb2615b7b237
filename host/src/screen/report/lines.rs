//! Pairs as other programs write them, a line each.

use std::io::{self, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use pliant_store::{Access, Action, AtomicFile, OutputSet, StoreError};

use super::{Report, positive_path, rounded};
use crate::screen::answer::Answer;

/// As D-SCRIPT does. Where no cut was asked for there are no positive ones.
pub(super) fn dscript(out: &Path, report: &Report<'_>, answer: &Answer) -> anyhow::Result<OutputSet> {
    let mut all = AtomicFile::create(out, Access::Stream)?;
    let path = positive_path(out);
    let mut positive = report
        .cut
        .map(|cut| AtomicFile::create(&path, Access::Stream).map(|file| (cut, file)))
        .transpose()?;
    for row in answer.rows() {
        let (first, second) = (report.id(row.edge.first), report.id(row.edge.second));
        let line = format!("{first}\t{second}\t{}\n", rounded(report.probability(&row)));
        write(&mut all, out, &line)?;
        if let Some((cut, file)) = &mut positive
            && row.edge.logit >= *cut
        {
            write(file, &path, &line)?;
        }
    }
    let mut files = vec![all];
    files.extend(positive.map(|(_, file)| file));
    Ok(OutputSet::from(files))
}

/// As STRING does.
pub(super) fn links(out: &Path, report: &Report<'_>, answer: &Answer) -> anyhow::Result<OutputSet> {
    let file = AtomicFile::create(out, Access::Stream)?;
    let is_packed = out.extension().is_some_and(|suffix| suffix.eq_ignore_ascii_case("gz"));
    let mut to = if is_packed {
        // The head of the stream holds neither time nor name.
        Lines::Packed(GzEncoder::new(file, Compression::default()))
    } else {
        Lines::Plain(file)
    };
    write(&mut to, out, "protein1 protein2 combined_score\n")?;
    for row in answer.rows() {
        let score = (1000.0 * report.probability(&row)).round();
        // A blank in an id would make two of it.
        let [first, second] =
            [row.edge.first, row.edge.second].map(|number| report.id(number).replace(' ', "_"));
        write(&mut to, out, &format!("{first} {second} {score}\n"))?;
    }
    let file = match to {
        Lines::Plain(file) => file,
        Lines::Packed(packed) => {
            packed.finish().map_err(|source| StoreError::io(Action::Write, out, source))?
        }
    };
    Ok(OutputSet::from(vec![file]))
}

enum Lines {
    Plain(AtomicFile),
    Packed(GzEncoder<AtomicFile>),
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.write(bytes),
            Self::Packed(packed) => packed.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.flush(),
            Self::Packed(packed) => packed.flush(),
        }
    }
}

pub(super) fn write(to: &mut impl Write, path: &Path, text: &str) -> Result<(), StoreError> {
    to.write_all(text.as_bytes()).map_err(|source| StoreError::io(Action::Write, path, source))
}
