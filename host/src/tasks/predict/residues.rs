//! The numbers of residues, which a file of their own takes.

use std::path::Path;

use pliant_store::{H5Layout, OutDtype, OutputSet, ResidueWriter, TablePlan};

use super::labels::meanings;
use crate::cli::embed::residues_format;
use crate::cli::predict::PredictPlan;
use crate::cli::reading::OnError;
use crate::supervised::stored::Stored;
use crate::supervised::telling::Telling;
use crate::tasks::asked::Asked;
use crate::tasks::run::Session;

/// What the file tells of: the head, its telling, and the layer that it reads.
#[derive(Clone, Copy)]
pub(super) struct Told<'a> {
    pub(super) asked: &'a Asked,
    pub(super) telling: &'a Telling,
    pub(super) layer: usize,
}

/// The numbers of residues on their way to their file, which must know how many there are as it begins.
pub(super) enum Residues<'a> {
    /// Nobody asks for them.
    None,
    /// They are written as they come.
    Written(ResidueWriter),
    /// Those of records that may be left out, until it is known which are.
    Held {
        /// The file.
        out: &'a Path,
        /// The records that are in it.
        ids: Vec<String>,
        /// Their numbers.
        rows: Stored,
    },
}

impl<'a> Residues<'a> {
    /// Begins the file, where one is asked for.
    ///
    /// # Errors
    /// What the system says to a new file.
    pub(super) fn begin(
        plan: &'a PredictPlan,
        told: Told<'_>,
        session: &Session<'_>,
    ) -> anyhow::Result<Self> {
        let Some(out) = plan.residues.as_deref() else { return Ok(Self::None) };
        // A head that was taught here answers to everything.
        let may_fail = plan.run.on_error == OnError::Skip && !matches!(told.asked, Asked::Taught(_));
        if may_fail {
            let rows = Stored::new(told.telling.width);
            return Ok(Self::Held { out, ids: Vec::new(), rows });
        }
        let selection = session.selection();
        let counts = (selection.records, selection.residues);
        Ok(Self::Written(writer(out, told, (session, counts))?))
    }

    /// Takes what `given`, the numbers of the head, mean of a record.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn push(&mut self, id: &str, telling: &Telling, given: &[f32]) -> anyhow::Result<()> {
        match self {
            Self::None => Ok(()),
            Self::Written(writer) => Ok(writer.push(id, &[&meanings(telling, given)])?),
            Self::Held { ids, rows, .. } => {
                ids.push(id.to_owned());
                rows.push(&meanings(telling, given))
            }
        }
    }

    /// The file, complete but for its name.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn finish(self, told: Told<'_>, session: &Session<'_>) -> anyhow::Result<OutputSet> {
        match self {
            Self::None => Ok(OutputSet::new()),
            Self::Written(writer) => Ok(writer.finish()?),
            Self::Held { out, ids, rows } => {
                let residues = (0..ids.len()).map(|number| rows.rows(number)).sum();
                let mut writer = writer(out, told, (session, (ids.len(), residues)))?;
                let mut own = Vec::new();
                for (number, id) in ids.iter().enumerate() {
                    own.clear();
                    rows.read(number, &mut own)?;
                    writer.push(id, &[&own])?;
                }
                Ok(writer.finish()?)
            }
        }
    }
}

/// Begins the file of so many records and residues.
fn writer(
    out: &Path,
    Told { asked, telling, layer }: Told<'_>,
    (session, (records, residues)): (&Session<'_>, (usize, usize)),
) -> anyhow::Result<ResidueWriter> {
    let table = TablePlan {
        rows: records,
        width: telling.width,
        layers: vec![layer],
        dtype: OutDtype::F32,
        metadata: asked.describe(session.metadata("label-probabilities", OutDtype::F32.name())),
        h5_layout: H5Layout::default(),
    };
    Ok(ResidueWriter::create(out, residues_format(out)?, &table, residues)?)
}
