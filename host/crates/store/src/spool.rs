//! Values that wait for their place in a file.

use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::path::Path;

use crate::atomic::scratch_file;

/// Bytes gathered before the system is called.
const BLOCK_BYTES: usize = 1 << 16;

/// An unnamed temporary file, written once and then read once.
pub(crate) struct Spool {
    writer: BufWriter<File>,
}

impl Spool {
    /// A spool in `folder`.
    ///
    /// # Errors
    /// Whatever the system says to a new file there.
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        Ok(Self { writer: BufWriter::with_capacity(BLOCK_BYTES, scratch_file(folder)?) })
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes)
    }

    /// What was written, from its start.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn into_reader(self) -> io::Result<File> {
        let mut file = self.writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        Ok(file)
    }
}
