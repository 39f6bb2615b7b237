//! Labels of the pairs of a table.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use pliant_kernels::Device;
use pliant_seq::{Failure, Item, RecordError, RecordReader, Source};
use pliant_store::{Metadata, OutputSet, Sheet, StoreError, read_vectors};
use serde_json::{Value, json};

use super::labels::Labels;
use crate::Context;
use crate::cli::predict::PredictPlan;
use crate::cli::reading::OnError;
use crate::exit::TaskError;
use crate::supervised::HeadError;
use crate::supervised::stored::Stored;
use crate::supervised::telling::Telling;
use crate::tasks::asked::{Asked, Teller, concerns_record};
use crate::tasks::dry_run::{Proteins, Read, nothing_to_encode};
use crate::tasks::encode::{Encoded, Wish, of_pair, refused};
use crate::tasks::run::long_name;
use crate::tasks::{dry_run, encode, files, intake};

/// Pairs of a table.
struct Pairs {
    file: Arc<str>,
    pairs: Vec<Pair>,
    /// The ids of all that they name, each once.
    proteins: Vec<String>,
    failures: Vec<Failure>,
    /// Rows of the table.
    rows: u64,
}

/// What a dry run tells of beside the table.
struct Reads<'a> {
    proteins: Proteins,
    /// Those of the proteins.
    failures: Vec<Failure>,
    files: [&'a Path; 2],
    hash: Value,
}

/// Proteins of a FASTA.
struct Known {
    /// Their residues by their ids.
    residues: BTreeMap<String, Vec<u8>>,
    failures: Vec<Failure>,
    headers: u64,
}

/// A pair.
struct Pair {
    /// The ids of both.
    names: [String; 2],
    /// Their numbers among the proteins.
    members: [usize; 2],
    /// Where it stands in its file.
    line: u64,
    record: u64,
}

/// Numbers of proteins, and what they come from.
struct Given {
    stored: Stored,
    metadata: Metadata,
    model: Value,
}

/// Tells the labels of the pairs of a table.
///
/// # Errors
/// Whatever ends the run; no output has then changed, but for the list of failed pairs.
pub(super) fn run(
    plan: &PredictPlan,
    (asked, telling): (&mut Asked, &Telling),
    context: &Context,
) -> anyhow::Result<()> {
    let usage = |what: &str| TaskError::Usage { what: what.to_owned() };
    let [table] = plan.run.inputs.as_slice() else {
        return Err(usage("the head tells labels of pairs: name one table of them, .csv or .tsv").into());
    };
    let given = match &plan.embeddings {
        Some(file) => of_vectors(plan, (asked, telling), (table, file), context)?,
        None => of_proteins(plan, (asked, telling), table, context)?,
    };
    // In a dry run everything has been told.
    let Some((mut pairs, given)) = given else { return Ok(()) };
    let device = Device::cpu_with(plan.run.compute.threads, plan.run.compute.cpu_path)?;
    let out = plan.out.as_deref().context("--out names no file")?;
    let metadata = asked.describe(given.metadata.clone());
    let mut labels = Labels::create(out, plan.format, telling, (vec!["id_a", "id_b"], false), &metadata)?;
    let mut teller = asked.teller(&device, given.stored.width())?;
    let before = pairs.failures.len();
    pairs.told(&mut teller, &given.stored, (&mut labels, plan.run.on_error))?;
    if pairs.failures.len() > before {
        context.print.warning(&intake::unanswered(pairs.failures.len() - before));
    }
    let mut files: OutputSet = labels.finish()?;
    if let Some(path) = &plan.run.failures {
        files::add_failures(&mut files, path, &pairs.failures, plan.run.on_error)?;
    }
    if let Some(path) = &plan.run.summary {
        let mut summary = json!({
            "schema": 1, "task": "predict", "versions": { "pliant": env!("CARGO_PKG_VERSION") },
            "command": context.command_line, "model": given.model,
            "pairs": pairs.pairs.len(), "failures": pairs.failures.len(),
        });
        for (key, value) in asked.details() {
            summary[key] = value;
        }
        files.push(files::text_file(path, &format!("{summary:#}\n"))?);
    }
    Ok(files.commit()?)
}

/// Pairs of proteins whose sequences are given, encoded; nothing in a dry run.
fn of_proteins(
    plan: &PredictPlan,
    (asked, telling): (&Asked, &Telling),
    table: &Path,
    context: &Context,
) -> anyhow::Result<Option<(Pairs, Given)>> {
    let Some(sequences) = &plan.sequences else {
        let what = "pairs name proteins whose sequences must be given: --sequences FILE".to_owned();
        return Err(HeadError::Unfit { what }.into());
    };
    let (model, card) = asked.card(plan.model.as_deref(), plan.run.adapter.as_deref())?;
    let (family, layer) = (card.about.family, asked.layer(card.about.layers)?);
    let Known { residues: known, failures, headers } = Known::read(plan, sequences)?;
    let (refused, long) = (refused(&card, &plan.run.long)?, long_name(&card, &plan.run.long)?);
    let admit = |id: &str| match known.get(id) {
        None => Some(unknown(id, sequences)),
        Some(residues) => refused(residues).map(|reason| of_pair(id, &reason)),
    };
    let pairs = Pairs::read(plan, asked, table, (|id: &str| known.contains_key(id), admit))?;
    let wish = Wish {
        layer,
        pool: (!asked.reads_states()).then(|| asked.pool()),
        long: plan.run.long,
        compute: plan.run.compute,
        cache: plan.run.cache.clone(),
    };
    let list: Vec<&[u8]> = pairs.proteins.iter().map(|id| known[id].as_slice()).collect();
    if plan.run.dry_run {
        let encoding = if list.is_empty() {
            nothing_to_encode(&plan.run.compute)
        } else {
            encode::estimate(card, &list, &wish)?
        };
        let proteins = Proteins::of(pairs.proteins.iter().map(String::as_str).zip(list.iter().copied()));
        let hash = json!(pairs.digest(|id| known[id].as_slice()));
        let would_read = Reads { proteins, failures, files: [table, sequences], hash };
        return pairs.tell(plan, telling, would_read, (&encoding, context)).map(|()| None);
    }
    if !failures.is_empty() && plan.run.on_error == OnError::Fail {
        intake::refuse(&failures, headers, None)?;
    }
    pairs.refuse(plan)?;
    let Encoded { sets, identity, adapter, numerics } =
        encode::encode(card, &[list], &wish, context, |identity| {
            Ok(asked.check_encoder(&model, (identity, family))?)
        })?;
    let stored = sets.into_iter().next().context("nothing was encoded")?;
    let metadata = Metadata::new()
        .with("schema", 1)
        .with("output", "labels")
        .with("model", identity.as_str())
        .with("adapter", adapter)
        .with("precision", plan.run.compute.precision.name())
        .with("numerics", numerics)
        .with("layers", json!([layer]))
        .with("long", long)
        .with("input", pairs.digest(|id| known[id].as_slice()));
    Ok(Some((pairs, Given { stored, metadata, model: json!(identity) })))
}

/// Pairs of vectors that were computed before; nothing in a dry run.
fn of_vectors(
    plan: &PredictPlan,
    (asked, telling): (&Asked, &Telling),
    (table, file): (&Path, &Path),
    context: &Context,
) -> anyhow::Result<Option<(Pairs, Given)>> {
    let vectors = read_vectors(file, asked.width())?;
    asked.check_vectors(file, vectors.metadata.as_ref(), context)?;
    let row = |number: usize| &vectors.values[number * vectors.width..(number + 1) * vectors.width];
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, id) in vectors.ids.iter().enumerate() {
        let first = *known.entry(id.as_str()).or_insert(number);
        if row(first) != row(number) {
            let reason = format!(
                "the id {id:?} has two vectors, those of the records {} and {}",
                first + 1,
                number + 1
            );
            return Err(StoreError::Malformed { path: file.to_owned(), reason }.into());
        }
    }
    let is_known = |id: &str| known.contains_key(id);
    let admit = |id: &str| (!is_known(id)).then(|| unknown(id, file));
    let pairs = Pairs::read(plan, asked, table, (is_known, admit))?;
    if plan.run.dry_run {
        let hash =
            vectors.metadata.as_ref().and_then(|about| about.get("input")).cloned().unwrap_or_default();
        let (proteins, failures) = (Proteins::default(), Vec::new());
        let would_read = Reads { proteins, failures, files: [table, file], hash };
        let encoding = nothing_to_encode(&plan.run.compute);
        return pairs.tell(plan, telling, would_read, (&encoding, context)).map(|()| None);
    }
    pairs.refuse(plan)?;
    let mut stored = Stored::new(vectors.width);
    for id in &pairs.proteins {
        stored.push(row(known[id.as_str()]))?;
    }
    let metadata = vectors.metadata.unwrap_or_default().with("output", "labels");
    let model = metadata.get("model").cloned().unwrap_or_default();
    Ok(Some((pairs, Given { stored, metadata, model })))
}

impl Pairs {
    /// Reads a table of pairs to its end: whether an id is that of a protein, and why the protein of an id cannot be asked
    /// about, if it cannot.
    fn read(
        plan: &PredictPlan,
        asked: &Asked,
        table: &Path,
        (is_known, admit): (impl Fn(&str) -> bool, impl Fn(&str) -> Option<RecordError>),
    ) -> anyhow::Result<Self> {
        let sheet = files::sheet(table)?;
        let (sheet, ids) = columns(plan, asked, (table, sheet), is_known)?;
        let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
        let (mut pairs, mut failures, mut rows, mut proteins) = (Vec::new(), Vec::new(), 0, Vec::new());
        let file: Arc<str> = table.display().to_string().into();
        for row in sheet.rows() {
            rows += 1;
            let cells = ids.map(|column| row.cell(column).trim());
            if let Some(reason) = cells.into_iter().find_map(&admit) {
                let (file, id) = (Arc::clone(&file), cells.join("/"));
                failures.push(Failure { file, line: row.line(), record: rows, id, reason });
                continue;
            }
            let members = cells.map(|id| {
                let next = numbers.len();
                *numbers.entry(id.to_owned()).or_insert_with(|| {
                    proteins.push(id.to_owned());
                    next
                })
            });
            pairs.push(Pair { names: cells.map(str::to_owned), members, line: row.line(), record: rows });
        }
        if rows == 0 {
            return Err(not_a_table(table, "found no pair below the names of the columns".to_owned()).into());
        }
        Ok(Self { file, pairs, proteins, failures, rows })
    }

    /// Whether the failures end a run, or that nothing else is there.
    fn would_fail(&self, plan: &PredictPlan) -> bool {
        self.pairs.is_empty() || (plan.run.on_error == OnError::Fail && !self.failures.is_empty())
    }

    fn refuse(&self, plan: &PredictPlan) -> anyhow::Result<()> {
        if self.would_fail(plan) {
            intake::refuse(&self.failures, self.rows, plan.run.failures.as_deref())?;
        }
        Ok(())
    }

    /// Writes the answer to `--dry-run`.
    fn tell(
        &self,
        plan: &PredictPlan,
        telling: &Telling,
        Reads { proteins, mut failures, files, hash }: Reads<'_>,
        (encoding, context): (&Value, &Context),
    ) -> anyhow::Result<()> {
        let fails = plan.run.on_error == OnError::Fail && !failures.is_empty();
        failures.extend(self.failures.iter().cloned());
        let read = Read {
            inputs: files.map(|path| path.display().to_string()).to_vec(),
            input_hash: hash,
            headers: self.rows,
            records: self.pairs.len(),
            proteins,
            duplicates: 0,
            failures: &failures,
            would_fail: fails || self.would_fail(plan),
            warnings: &[],
        };
        let ids: usize = self.pairs.iter().flat_map(|pair| &pair.names).map(String::len).sum();
        let numbers = self.pairs.len() * super::NUMBER_CHARS * (1 + telling.width);
        let more = json!({ "pairs": self.pairs.len(), "estimated_output_bytes": { "total": ids + numbers } });
        dry_run::tell(&dry_run::answer(read, encoding, more), context)
    }

    /// BLAKE3 of the pairs in their order, and of the proteins that they name, in hex.
    fn digest<'a>(&self, residues: impl Fn(&str) -> &'a [u8]) -> String {
        let mut hasher = blake3::Hasher::new();
        for id in &self.proteins {
            for text in [id.as_bytes(), residues(id)] {
                hasher.update(&(text.len() as u64).to_le_bytes()).update(text);
            }
        }
        for member in self.pairs.iter().flat_map(|pair| pair.members) {
            hasher.update(&(member as u64).to_le_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// Asks about every pair and writes what is told. One without an answer is left out where the run is told to go on.
    fn told(
        &mut self,
        teller: &mut Teller<'_>,
        stored: &Stored,
        (labels, on_error): (&mut Labels<'_>, OnError),
    ) -> anyhow::Result<()> {
        for Pair { names, members, line, record } in &self.pairs {
            match teller.told_of(stored, members) {
                Ok(given) => labels.push(&[&names[0], &names[1]], 0, &given)?,
                Err(error) if on_error == OnError::Skip && concerns_record(&error) => {
                    let (file, id) = (Arc::clone(&self.file), names.join("/"));
                    let reason = RecordError::NoAnswer { reason: format!("{error:#}") };
                    self.failures.push(Failure { file, line: *line, record: *record, id, reason });
                }
                Err(error) => return Err(error.context(format!("pair {:?}", names.join("/")))),
            }
        }
        self.failures.sort_by_key(|failure| failure.record);
        Ok(())
    }
}

/// The columns of the ids of both. A table whose first line is a pair itself, as D-SCRIPT has them, has no names: its first two
/// columns are taken, where nobody names others.
fn columns(
    plan: &PredictPlan,
    asked: &Asked,
    (table, sheet): (&Path, Sheet),
    is_known: impl Fn(&str) -> bool,
) -> anyhow::Result<(Sheet, [usize; 2])> {
    let ids: Vec<&str> = match plan.id_columns.as_slice() {
        [] => asked.id_columns(&sheet),
        names => names.iter().map(String::as_str).collect(),
    };
    let [first, second] = ids.as_slice() else {
        let what = "wanted two columns of ids, as in --id-column id_a,id_b".to_owned();
        return Err(HeadError::Unfit { what }.into());
    };
    let first_line: Vec<&str> = sheet.columns().take(2).map(str::trim).collect();
    let is_pair = matches!(first_line.as_slice(), [one, other] if is_known(one) && is_known(other));
    // Proteins may be called as columns are, but a name is no number.
    let is_row = || sheet.columns().skip(2).all(|cell| cell.trim().parse::<f64>().is_ok());
    if plan.id_columns.is_empty() && is_pair && (sheet.column(first).is_none() || is_row()) {
        return Ok((sheet.without_names(), [0, 1]));
    }
    let place = |name: &str| {
        let found = || sheet.columns().collect::<Vec<_>>().join(", ");
        match sheet.places(name).as_slice() {
            [place] => Ok(*place),
            [] => Err(not_a_table(table, format!("found no column {name:?}, only {}", found()))),
            _ => Err(not_a_table(table, format!("more than one column is named {name:?}"))),
        }
    };
    let both = [place(first)?, place(second)?];
    Ok((sheet, both))
}

fn not_a_table(path: &Path, reason: String) -> StoreError {
    StoreError::NotATable { path: path.to_owned(), reason }
}

/// Why a pair is none: no protein has one of its ids.
fn unknown(id: &str, of: &Path) -> RecordError {
    RecordError::Cell {
        place: "the pair".to_owned(),
        found: format!("the id '{id}'"),
        wanted: format!("an id of {}", of.display()),
    }
}

impl Known {
    /// Reads all proteins. One that cannot be read is to end the run, as a pair may name it.
    fn read(plan: &PredictPlan, path: &Path) -> anyhow::Result<Self> {
        let sources = Source::from_arguments(&[path])?;
        let mut known = Self { residues: BTreeMap::new(), failures: Vec::new(), headers: 0 };
        for item in RecordReader::new(&sources, plan.run.read) {
            known.headers += 1;
            match item? {
                Item::Record(record) => drop(known.residues.insert(record.id, record.residues)),
                Item::Failure(failure) => known.failures.push(failure),
                Item::Duplicate(_) => {}
            }
        }
        Ok(known)
    }
}
