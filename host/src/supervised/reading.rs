//! From files, and what a configuration says of them, to examples.

use std::path::PathBuf;
use std::sync::Arc;

use pliant_seq::tables::{
    ClassList, Columns, Domains, Form, GroupColumn, LabelForm, LabelledSet, ProteinColumns, ProteinTable,
    Proteins, ResidueAlphabet, SetOptions, SetReport, TableError, forms, wild_type,
};
use pliant_seq::{ExcludeList, Source};

use super::error::HeadError;
use super::registry::{self, SS8, SS8_COLUMN, Task, Written};
use crate::train::tuning::FormConfig;

/// How much the pairs of a level count among those that are drawn, as a power of their number (Bepler and Berger, ICLR 2019).
const LEVEL_POWER: f64 = 0.5;

/// How the examples of a task are read.
pub struct Reading<'a> {
    /// The task.
    pub task: &'static Task,
    /// What is not as the task has it.
    pub form: &'a FormConfig,
    /// The classes there are, where they are known already.
    pub classes: Option<&'a [String]>,
}

impl Reading<'_> {
    /// Reads `files` as one set.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn read(&self, files: &[PathBuf]) -> Result<(LabelledSet, SetReport), TableError> {
        let sources = Source::from_arguments(files)?;
        if sources.first().map(Proteins::is_fasta).transpose()?.unwrap_or(false) {
            return self.of(&sources, self.fasta()?);
        }
        let first = self.of(&sources, self.table((&self.task.columns, self.task.label))?);
        if !self.own_columns() || !matches!(first, Err(TableError::NoColumn { .. })) {
            return first;
        }
        for registry::Other { columns, label } in self.task.others {
            match self.table((columns, *label)).and_then(|options| self.of(&sources, options)) {
                Err(TableError::NoColumn { .. } | TableError::Options { .. }) => {}
                answer => return answer,
            }
        }
        // What the task is known to have is what is told.
        first
    }

    /// Reads `files` of domains with their codes of structure, and draws `count` pairs of them: see [`Domains`].
    ///
    /// # Errors
    /// [`TableError`], also for a task of no levels.
    pub fn draw(
        &self,
        files: &[PathBuf],
        (count, seed): (u32, u64),
    ) -> Result<(LabelledSet, SetReport), TableError> {
        if !matches!(self.task.label, Written::Level(_)) {
            let what = "pairs of domains are drawn for the task homology alone: leave data.draw out";
            return Err(TableError::Options { what });
        }
        let sources = Source::from_arguments(files)?;
        let is_fasta = sources.first().map(Proteins::is_fasta).transpose()?.unwrap_or(false);
        let options = if is_fasta { forms::plus_domains() } else { forms::domain_codes() };
        let (domains, report) = self.of(&sources, options)?;
        let pairs = Domains::of(&domains)?.draw(count as usize, seed, 0, LEVEL_POWER)?;
        Ok((pairs, report))
    }

    /// Whether nothing is said of the columns that an example needs.
    fn own_columns(&self) -> bool {
        let form = self.form;
        form.sequence_columns.is_empty() && form.label_columns.is_empty() && form.id_columns.is_empty()
    }

    fn of(
        &self,
        sources: &[Source],
        mut options: SetOptions,
    ) -> Result<(LabelledSet, SetReport), TableError> {
        options.max_residues = self.form.max_residues;
        loop {
            match LabelledSet::read(sources, &options) {
                // What names an example or masks residues need not be there.
                Err(TableError::NoColumn { column, .. }) if self.forgoes(&mut options, &column) => {}
                answer => return answer,
            }
        }
    }

    /// Whether a column that is not there was only the task's own wish; it is not looked for any more.
    fn forgoes(&self, options: &mut SetOptions, column: &str) -> bool {
        let Form::Table(columns) = &mut options.form else { return false };
        if self.form.id_columns.is_empty() && columns.id.iter().any(|name| name == column) {
            columns.id.clear();
            return true;
        }
        if self.form.mask_column.is_none() && columns.mask.as_deref() == Some(column) {
            columns.mask = None;
            return true;
        }
        match &mut columns.proteins {
            ProteinColumns::Two { ids, .. }
                if self.form.id_columns.is_empty()
                    && ids.as_ref().is_some_and(|ids| ids.iter().any(|name| name == column)) =>
            {
                *ids = None;
                true
            }
            _ => false,
        }
    }

    fn fasta(&self) -> Result<SetOptions, TableError> {
        let what =
            "the examples of this task stand in tables (.csv, .tsv), and this file begins as FASTA does";
        let mut options = self.task.fasta.ok_or(TableError::Options { what })?();
        if let LabelForm::Class(list) = &mut options.label
            && let Some(classes) = self.known_classes()
        {
            *list = ClassList::Given(classes);
        }
        Ok(options)
    }

    fn known_classes(&self) -> Option<Vec<String>> {
        let given = (!self.form.classes.is_empty()).then_some(self.form.classes.as_slice());
        self.classes.or(given).map(<[String]>::to_vec)
    }

    fn class_list(&self, own: &[&str]) -> ClassList {
        let own = || (!own.is_empty()).then(|| own.iter().map(|&name| name.to_owned()).collect());
        self.known_classes().or_else(own).map_or(ClassList::Found, ClassList::Given)
    }

    fn table(&self, (own, written): (&registry::Columns, Written)) -> Result<SetOptions, TableError> {
        let Self { task, form, .. } = self;
        let label = named(&form.label_columns, &[own.label]);
        let mut columns = Columns::of(self.proteins(own)?, "");
        columns.id = if task.kind.takes_pairs() { Vec::new() } else { named(&form.id_columns, own.id) };
        if self.own_columns() && matches!(columns.proteins, ProteinColumns::Named { .. }) {
            let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
            columns.headless = own.headless.map(names);
        }
        if matches!(columns.proteins, ProteinColumns::Mutants { .. }) && form.id_columns.is_empty() {
            columns.id.clear();
        }
        columns.part.clone_from(&form.part_column);
        columns.weight.clone_from(&form.weight_column);
        columns.mask = form.mask_column.clone().or_else(|| own.mask.map(str::to_owned));
        columns.group = form.group_column.clone().map(|column| GroupColumn { column, fields: None });
        let label_form = self.label_form(&label, written)?;
        if !matches!(label_form, LabelForm::Residues(_)) {
            columns.mask.clone_from(&form.mask_column);
        }
        columns.label = label;
        Ok(SetOptions::new(Form::Table(Box::new(columns)), label_form))
    }

    /// Where the proteins of an example are.
    fn proteins(&self, own: &registry::Columns) -> Result<ProteinColumns, TableError> {
        let Self { task, form, .. } = self;
        let two = |names: Vec<String>, what| {
            <[String; 2]>::try_from(names).map_err(|_| TableError::Options { what })
        };
        let sequences = named(&form.sequence_columns, own.sequences);
        if task.kind.takes_pairs() {
            let ids = two(named(&form.id_columns, own.id), "pairs need two columns of ids")?;
            if let Some(path) = &form.proteins {
                let source = Source::from_arguments(std::slice::from_ref(path))?;
                let source = source.first().ok_or(TableError::Options { what: "no file of proteins" })?;
                let table = if Proteins::is_fasta(source)? { None } else { Some(self.protein_table()) };
                let proteins = Proteins::read(source, form.max_residues, table.as_ref())?;
                return Ok(ProteinColumns::Named { ids, proteins: Arc::new(proteins) });
            }
            let sequences = two(sequences, "pairs need two columns of sequences, or a file of proteins")?;
            return Ok(ProteinColumns::Two { sequences, ids: Some(ids) });
        }
        if let Some(path) = &form.wild_type {
            let column = form.sequence_columns.first().map_or("aa_mutations", String::as_str).to_owned();
            return Ok(ProteinColumns::Mutants { column, wild_type: wild_type(path)? });
        }
        match <[String; 1]>::try_from(sequences) {
            Ok([sequence]) => Ok(ProteinColumns::One { sequence }),
            Err(_) => {
                Err(TableError::Options { what: "an example of this task has one column of sequences" })
            }
        }
    }

    /// The columns of a table of proteins that pairs name.
    fn protein_table(&self) -> ProteinTable {
        let group = self.form.group_column.clone().map(|column| GroupColumn { column, fields: None });
        match self.task.name {
            "homology" if group.is_none() => forms::domains(),
            _ => ProteinTable { id: "id".to_owned(), sequence: "sequence".to_owned(), group },
        }
    }

    fn label_form(&self, label: &[String], written: Written) -> Result<LabelForm, TableError> {
        let form = self.form;
        Ok(match written {
            Written::Class(own) => LabelForm::Class(self.class_list(own)),
            Written::Classes(between) => {
                LabelForm::Classes(self.class_list(&[]), form.separator.unwrap_or(between))
            }
            Written::Symmetries(words) => LabelForm::Symmetries(words),
            Written::Number => LabelForm::Number,
            Written::Level(highest) => LabelForm::Level(highest),
            Written::Residues(own, unknown) => {
                let ignored = form.ignored.as_deref().unwrap_or(unknown).as_bytes();
                let is_ss8 = self.task.name == "secstr" && label == [SS8_COLUMN];
                let letters = form.letters.as_deref().or(is_ss8.then_some(SS8));
                LabelForm::Residues(match letters {
                    Some(letters) => ResidueAlphabet::of_letters(letters, ignored),
                    None if own.is_empty() => {
                        let what = "the letters of the classes of residues must be named: data.letters, as in \
                                    --set data.letters=HEC";
                        return Err(TableError::Options { what });
                    }
                    None => {
                        let own: Vec<(&str, &[u8])> =
                            own.iter().map(|(name, letters)| (*name, letters.as_bytes())).collect();
                        ResidueAlphabet::new(&own, ignored)
                    }
                })
            }
        })
    }
}

/// The examples without those of whose proteins one is on a list of SHA-256 hashes, and how many these were.
///
/// # Errors
/// Lists that cannot be read, and examples that are all on them.
pub fn without(set: LabelledSet, lists: &[PathBuf]) -> anyhow::Result<(LabelledSet, u64)> {
    if lists.is_empty() {
        return Ok((set, 0));
    }
    let list = ExcludeList::read(&Source::from_arguments(lists)?)?;
    let listed: Vec<bool> = (0..set.sequences()).map(|number| list.holds(set.sequence(number))).collect();
    let stays = |example: &usize| !set.members(*example).into_iter().any(|sequence| listed[sequence]);
    let left: Vec<usize> = (0..set.len()).filter(stays).collect();
    let excluded = (set.len() - left.len()) as u64;
    if excluded == 0 {
        return Ok((set, 0));
    }
    let what = || HeadError::Unfit {
        what: "every example to learn from is on the lists of what is to be left out (data.exclude)"
            .to_owned(),
    };
    Ok((set.select(&left).ok_or_else(what)?, excluded))
}

/// The examples of some parts; all of them where none is named.
///
/// # Errors
/// A part that there is not.
pub fn of_parts(set: LabelledSet, parts: &[String]) -> Result<LabelledSet, TableError> {
    if parts.is_empty() {
        return Ok(set);
    }
    for part in parts {
        // Names the parts that there are.
        set.of_part(part).map(drop)?;
    }
    let of = |example: &usize| set.part(*example).is_some_and(|part| parts.iter().any(|named| named == part));
    let chosen: Vec<usize> = (0..set.len()).filter(of).collect();
    Ok(set.select(&chosen).unwrap_or(set))
}

/// The columns that were named, else the task's own.
fn named(given: &[String], own: &[&str]) -> Vec<String> {
    if given.is_empty() { own.iter().map(|&name| name.to_owned()).collect() } else { given.to_vec() }
}
