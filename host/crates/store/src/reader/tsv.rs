//! `.tsv`: see [`crate::tsv`]. Tables of other programs need a header line that begins with `id`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};

use super::{Head, ResultKind, StoredRecord, layers_in};
use crate::metadata::{METADATA_KEY, Metadata};
use crate::npy::bad;
use crate::tsv::unescape;
use crate::values::OutDtype;

/// Lines after the header.
pub(crate) struct TsvRows {
    lines: BufReader<File>,
    line: Vec<u8>,
    number: u64,
    width: usize,
}

impl TsvRows {
    /// Reads the head, then counts the lines.
    pub(crate) fn open(file: File) -> io::Result<(Head, Self)> {
        let mut rows = Self { lines: BufReader::new(file), line: Vec::new(), number: 0, width: 0 };
        let mut metadata = None;
        let mut header = rows.next_line()?.unwrap_or_default();
        if let Some(rest) = header.strip_prefix("# ").and_then(|rest| rest.strip_prefix(METADATA_KEY)) {
            let found = Metadata::from_json(rest.trim_start());
            metadata =
                Some(found.map_err(|cause| bad(&format!("its metadata is not a JSON object: {cause}")))?);
            header = rows.next_line()?.unwrap_or_default();
        }
        let mut columns = header.split('\t');
        if columns.next() != Some("id") {
            return Err(bad("its header line does not begin with the column id"));
        }
        rows.width = columns.count();
        if rows.width == 0 {
            return Err(bad("its rows have no numbers"));
        }
        let start = rows.lines.stream_position()?;
        let records = count_lines(&mut rows.lines)?;
        rows.lines.seek(SeekFrom::Start(start))?;
        let head = Head {
            kind: ResultKind::Pooled,
            width: rows.width,
            layers: layers_in(metadata.as_ref()),
            dtype: dtype_in(metadata.as_ref()),
            metadata,
            records,
            residues: None,
        };
        Ok((head, rows))
    }

    pub(crate) fn next_record(&mut self) -> io::Result<Option<StoredRecord>> {
        let Some(line) = self.next_line()? else { return Ok(None) };
        let place = |what: &str| bad(&format!("line {}: {what}", self.number));
        let mut cells = line.split('\t');
        let id = cells.next().and_then(unescape).ok_or_else(|| place("its id has an unknown escape"))?;
        let row: Result<Vec<f32>, _> = cells.map(str::parse).collect();
        let row = row.map_err(|_| place("a cell is no number"))?;
        if row.len() != self.width {
            let (wanted, found) = (self.width, row.len());
            return Err(place(&format!("{wanted} numbers were wanted, but there are {found}")));
        }
        Ok(Some(StoredRecord { id, length: None, layers: vec![row] }))
    }

    /// The next line without its end; its memory is at most what the file has of it.
    fn next_line(&mut self) -> io::Result<Option<String>> {
        self.line.clear();
        self.number += 1;
        if self.lines.read_until(b'\n', &mut self.line)? == 0 {
            return Ok(None);
        }
        if self.line.pop_if(|last| *last == b'\n').is_some() {
            let _ = self.line.pop_if(|last| *last == b'\r');
        }
        let text = std::str::from_utf8(&self.line);
        text.map(|text| Some(text.to_owned()))
            .map_err(|_| bad(&format!("line {}: it is not UTF-8", self.number)))
    }
}

/// Lines up to the end, a last one without an end among them.
fn count_lines(lines: &mut impl BufRead) -> io::Result<usize> {
    let (mut count, mut open) = (0, false);
    loop {
        let block = match lines.fill_buf() {
            Ok([]) => return Ok(count + usize::from(open)),
            Ok(block) => block,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
            Err(cause) => return Err(cause),
        };
        count += block.iter().filter(|byte| **byte == b'\n').count();
        open = block.last() != Some(&b'\n');
        let length = block.len();
        lines.consume(length);
    }
}

/// Text has no number type; ours is told by the metadata.
fn dtype_in(metadata: Option<&Metadata>) -> OutDtype {
    match metadata.and_then(|metadata| metadata.get("dtype")).and_then(|name| name.as_str()) {
        Some("f16") => OutDtype::F16,
        _ => OutDtype::F32,
    }
}
