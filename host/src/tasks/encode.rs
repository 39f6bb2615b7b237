//! Proteins to numbers of a model that does not learn, each different one once.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Instant;

use pliant_models::heads::Pooling;
use pliant_seq::tables::LabelledSet;
use pliant_seq::{Failure, ReadOptions, RecordError, Source};
use serde_json::Value;

use crate::Context;
use crate::cli::cache::CachePlan;
use crate::cli::embed::{Pool, Written};
use crate::cli::reading::OnError;
use crate::cli::shared::{ComputePlan, LongPlan, RunPlan};
use crate::engine::Card;
use crate::exit::TaskError;
use crate::pipeline::{Masks, Output};
use crate::supervised::stored::Stored;
use crate::tasks::run::{Order, Ready, Sizes, refusing};

/// What is wanted of every protein.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    /// The layer, counted from 0, the embedding.
    pub(super) layer: usize,
    /// How states become one vector; `None`: the states of all residues.
    pub(super) pool: Option<Pool>,
    /// What becomes of long ones.
    pub(super) long: LongPlan,
    /// How to compute.
    pub(super) compute: ComputePlan,
    /// Where results of earlier runs are.
    pub(super) cache: Option<CachePlan>,
}

/// What was computed.
pub(super) struct Encoded {
    /// For each list of proteins their numbers, in their order.
    pub(super) sets: Vec<Stored>,
    /// What the model is, in hex.
    pub(super) identity: String,
    /// What was added to its weights, in hex.
    pub(super) adapter: Option<String>,
    /// The class of its numbers.
    pub(super) numerics: String,
}

/// How the pipeline pools for a head; attention reads the states of residues and needs no other, and what a head does with
/// pooled states it does itself.
pub(super) fn pool(pooling: Pooling) -> Pool {
    match pooling {
        Pooling::Mean | Pooling::Attention => Pool::Mean,
        Pooling::Cls | Pooling::Random => Pool::Cls,
        Pooling::Published => Pool::ClsApart,
        Pooling::Max => Pool::Max,
        Pooling::Sum => Pool::Sum,
    }
}

/// The sequences of a set.
pub(super) fn sequences(set: &LabelledSet) -> Vec<&[u8]> {
    (0..set.sequences()).map(|number| set.sequence(number)).collect()
}

/// What cannot be encoded under a policy for long proteins: a function that says why, if residues cannot. Whoever knows where
/// sequences stand asks it before [`encode`], which knows nothing but their numbers.
///
/// # Errors
/// Windows that cannot be.
pub(super) fn refused(
    card: &Card,
    long: &LongPlan,
) -> Result<impl Fn(&[u8]) -> Option<RecordError> + use<>, TaskError> {
    refusing(card, long, &states(Vec::new(), None))
}

/// The examples of a set whose proteins can all be encoded, and a failure for each of the others.
pub(super) fn encodable(
    set: LabelledSet,
    refused: impl Fn(&[u8]) -> Option<RecordError>,
) -> (Option<LabelledSet>, Vec<Failure>) {
    let reasons: Vec<Option<RecordError>> = sequences(&set).into_iter().map(refused).collect();
    if reasons.iter().all(Option::is_none) {
        return (Some(set), Vec::new());
    }
    let (mut stays, mut failures) = (Vec::new(), Vec::new());
    for example in 0..set.len() {
        let bad =
            set.members(example).into_iter().find_map(|number| Some((number, reasons[number].clone()?)));
        match bad {
            None => stays.push(example),
            Some((number, reason)) if set.are_pairs() => {
                let reason = of_pair(set.id(number), &reason);
                failures.push(set.failure(example, reason));
            }
            Some((_, reason)) => failures.push(set.failure(example, reason)),
        }
    }
    (set.select(&stays), failures)
}

/// Why a pair has no answer: what is wrong with one of its proteins.
pub(super) fn of_pair(id: &str, reason: &RecordError) -> RecordError {
    RecordError::NoAnswer { reason: format!("{id} {reason}") }
}

/// The states of a layer, pooled where that is wanted.
fn states(layers: Vec<usize>, pool: Option<Pool>) -> Output {
    Output::States { layers, pool: pool.unwrap_or_default(), residues: pool.is_none(), written: Written::H }
}

/// Encodes every different sequence of the lists once. `admit` is asked with the identity of the model before anything is
/// computed.
///
/// # Errors
/// A model that cannot be used, what `admit` says, and what the device cannot do.
pub(super) fn encode(
    card: Card,
    lists: &[Vec<&[u8]>],
    wish: &Wish,
    context: &Context,
    admit: impl FnOnce(&str) -> anyhow::Result<()>,
) -> anyhow::Result<Encoded> {
    let (places, text) = listed(lists);
    let (all, facts) = ready(card, &text, wish, |ready, sizes| {
        let session = ready.load(sizes, &context.print)?;
        let identity = session.engine().identity().to_owned();
        let adapter = session.engine().card().adapter_identity().map(str::to_owned);
        let numerics = session.engine().numerics();
        admit(&identity)?;
        let mut all = Stored::new(session.engine().width());
        session.compute(&context.print, |row| {
            let rows = if wish.pool.is_some() { row.pooled } else { row.residues };
            rows.first().map_or(Ok(()), |rows| all.push(rows))
        })?;
        session.close(&context.print);
        Ok((all, (identity, adapter, numerics)))
    })?;
    let (identity, adapter, numerics) = facts;
    if let [only] = places.as_slice()
        && only.iter().copied().eq(0..all.sequences())
    {
        return Ok(Encoded { sets: vec![all], identity, adapter, numerics });
    }
    let mut sets = Vec::with_capacity(places.len());
    let mut rows = Vec::new();
    for places in places {
        let mut own = Stored::new(all.width());
        for place in places {
            rows.clear();
            all.read(place, &mut rows)?;
            own.push(&rows)?;
        }
        sets.push(own);
    }
    Ok(Encoded { sets, identity, adapter, numerics })
}

/// What encoding every different one of some sequences would take: the answer to `--dry-run` of a run over them, which
/// knows nothing of their names. At least one sequence.
///
/// # Errors
/// A model that cannot be used.
pub(super) fn estimate(card: Card, list: &[&[u8]], wish: &Wish) -> anyhow::Result<Value> {
    let (_, text) = listed(&[list.to_vec()]);
    ready(card, &text, wish, |ready, sizes| Ok(ready.answer(sizes)))
}

/// Hands over what is ready to encode the sequences of `text`.
fn ready<T>(
    card: Card,
    text: &str,
    wish: &Wish,
    then: impl FnOnce(Ready<'_>, &Sizes) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let plan = RunPlan {
        inputs: Vec::new(),
        model: card.folder.clone(),
        adapter: None,
        read: ReadOptions { max_residues: u32::MAX, ..ReadOptions::default() },
        on_error: OnError::Fail,
        long: wish.long,
        compute: wish.compute,
        cache: wish.cache.clone(),
        summary: None,
        failures: None,
        dry_run: false,
    };
    let order = Order {
        start: Instant::now(),
        task: "encode",
        plan: &plan,
        sources: vec![Source::from_bytes("sequences", text.as_bytes())],
        output: states(vec![wish.layer], wish.pool),
        masks: Masks::None,
    };
    let ready = Ready::new(card, order)?;
    let rows = if wish.pool.is_some() { ready.selection().records } else { ready.selection().residues };
    let held = Stored::held_bytes(rows.saturating_mul(ready.width()));
    then(ready, &Sizes { held_bytes: held, output_bytes: Value::Null })
}

/// For each list the number of each of its sequences among the different ones, and these as FASTA.
fn listed(lists: &[Vec<&[u8]>]) -> (Vec<Vec<usize>>, String) {
    let (mut numbers, mut text) = (BTreeMap::new(), String::new());
    let mut number = |residues: &&[u8]| {
        let next = numbers.len();
        *numbers.entry(residues.to_vec()).or_insert_with(|| {
            // Writing into a text does not fail.
            let _ = write!(text, ">{next}\n{}\n", String::from_utf8_lossy(residues));
            next
        })
    };
    let places = lists.iter().map(|list| list.iter().map(&mut number).collect()).collect();
    (places, text)
}
