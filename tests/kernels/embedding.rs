//! Proofs of the token embedding.

use pliant_kernels::ops::embedding::{self, Sizes, TOLERANCE, TOLERANCE_TABLE, TokenDropout, cpu};
use pliant_kernels::{Device, KernelError, Tolerance};
use pliant_tests::kernels::inputs::{gather, offsets, reals, split};
use pliant_tests::kernels::{
    Case, Expected, Fixture, Found, Gradient, Inputs, Invariance, assert_close, devices,
};

const MASK: u32 = 32;
const ESM2: TokenDropout = TokenDropout { mask_id: MASK, train_fraction: 0.15 * 0.8 };

/// Widths with the lengths of the sequences.
const SIZES: [(usize, &[usize]); 6] =
    [(1, &[1]), (31, &[31, 1]), (32, &[2, 0, 32]), (33, &[33]), (320, &[65, 12]), (48, &[3000])];

#[derive(Clone)]
struct Problem {
    sizes: Sizes,
    offsets: Vec<usize>,
    ids: Vec<u32>,
    dropout: Option<TokenDropout>,
    table: Vec<f32>,
    dy: Vec<f32>,
}

impl Problem {
    /// Random tokens of which every eighth is a mask but for the first of each sequence; gradients so small
    /// that the sums of a table's row have size one.
    fn new(width: usize, lengths: &[usize], dropout: Option<TokenDropout>) -> Self {
        let mut inputs = Inputs::new(&format!("embedding {width} {lengths:?}"));
        let offsets = offsets(lengths);
        let tokens = offsets[lengths.len()];
        let mut ids = inputs.ids(tokens, MASK);
        for place in (0..tokens).filter(|place| place % 8 == 5 && !offsets.contains(place)) {
            ids[place] = MASK;
        }
        let sizes = Sizes { tokens, vocabulary: 33, width };
        let table = inputs.normal(33 * width, 1.0);
        let dy = inputs.normal(tokens * width, (33.0 / tokens as f32).sqrt().min(1.0));
        Self { sizes, offsets, ids, dropout, table, dy }
    }

    /// Plain forward, and the gradient added to the table itself.
    fn plain(&self) -> (Vec<f64>, Vec<f64>) {
        let (mut y, mut dtable) = (vec![0.0; self.dy.len()], reals(&self.table));
        cpu::forward(self.sizes, &self.offsets, &self.ids, &reals(&self.table), self.dropout, &mut y);
        cpu::backward(self.sizes, &self.offsets, &self.ids, self.dropout, &reals(&self.dy), &mut dtable);
        (y, dtable)
    }

    fn fast(&self, device: &Device) -> Vec<Found> {
        let (ids, table) = (device.upload(&self.ids), device.upload(&self.table));
        let (mut y, mut dtable) = (device.zeros(self.dy.len()), device.upload(&self.table));
        let dy = device.upload(&self.dy);
        embedding::forward(device, self.sizes, &self.offsets, &ids, &table, self.dropout, &mut y).unwrap();
        embedding::backward(device, self.sizes, &self.offsets, &ids, self.dropout, &dy, &mut dtable).unwrap();
        vec![Found::new("y", &y), Found::new("dtable", &dtable)]
    }
}

pub(crate) fn parity() -> Vec<Case> {
    let case = |(width, lengths): (usize, &[usize]), dropout| {
        let problem = Problem::new(width, lengths, dropout);
        let (y, dtable) = problem.plain();
        let oracle = vec![Expected::new("y", y, TOLERANCE), Expected::new("dtable", dtable, TOLERANCE_TABLE)];
        let name = format!("embedding {width} {lengths:?} {dropout:?}");
        Case { name, fast: Box::new(move |device| problem.fast(device)), oracle }
    };
    SIZES.into_iter().flat_map(|sizes| [case(sizes, None), case(sizes, Some(ESM2))]).collect()
}

pub(crate) fn invariance() -> Vec<Invariance> {
    const LENGTHS: [usize; 4] = [1, 31, 9, 70];
    let width = 35;
    let ids = LENGTHS.map(|length| Problem::new(1, &[length], None).ids);
    let table = Inputs::new("embedding sequences").normal(33 * width, 1.0);
    let run = move |device: &Device, order: &[usize]| {
        let ids = device.upload(&gather(&ids, order));
        let lengths: Vec<usize> = order.iter().map(|&sequence| LENGTHS[sequence]).collect();
        let sizes = Sizes { tokens: ids.len(), vocabulary: 33, width };
        let mut y = device.zeros(ids.len() * width);
        let table = device.upload(&table);
        embedding::forward(device, sizes, &offsets(&lengths), &ids, &table, Some(ESM2), &mut y).unwrap();
        split(&Found::new("y", &y).values.bits(), lengths.iter().map(|length| length * width))
    };
    vec![Invariance { name: "embedding".to_owned(), sequences: LENGTHS.len(), run: Box::new(run) }]
}

pub(crate) fn gradients() -> Vec<Gradient> {
    [None, Some(ESM2)].map(gradient).into()
}

fn gradient(dropout: Option<TokenDropout>) -> Gradient {
    let problem = Problem::new(2, &[1, 14], dropout);
    let (sizes, offsets, ids) = (problem.sizes, problem.offsets.clone(), problem.ids.clone());
    let forward = move |values: &[Vec<f64>]| {
        let mut y = vec![0.0; 30];
        cpu::forward(sizes, &offsets, &ids, &values[0], dropout, &mut y);
        y
    };
    let backward = move |_: &[Vec<f64>], dy: &[f64]| {
        let mut dtable = vec![0.0; 66];
        cpu::backward(sizes, &problem.offsets, &problem.ids, dropout, dy, &mut dtable);
        vec![dtable]
    };
    let name = format!("embedding {dropout:?}");
    let inputs = vec![("table", reals(&problem.table))];
    Gradient { name, inputs, forward: Box::new(forward), backward: Box::new(backward) }
}

#[test]
fn plain_and_fast_path_give_what_the_published_model_gives() {
    let file = Fixture::open("embedding");
    let offsets = offsets(&file.whole("lengths"));
    let ids: Vec<u32> = file.whole("ids").into_iter().map(|id| u32::try_from(id).unwrap()).collect();
    let (table, dy) = (file.f32("table"), file.f32("dy"));
    let sizes = Sizes { tokens: ids.len(), vocabulary: 33, width: table.len() / 33 };
    let problem = Problem { sizes, offsets, ids, dropout: Some(ESM2), table: table.clone(), dy };
    // Our fraction is the 32-bit 0.12, apart from the 64-bit one by 3e-8 of it.
    let exact = Tolerance { absolute: 1e-30, relative: 1e-8 };
    let (y, dtable) = problem.plain();
    let added: Vec<f64> =
        file.f64("dtable").iter().zip(&table).map(|(grad, &start)| grad + f64::from(start)).collect();
    assert_close("embedding y", &y, &file.f64("y"), exact);
    assert_close("embedding dtable", &dtable, &added, Tolerance { absolute: 1e-7, ..exact });
    for device in devices() {
        let found = problem.fast(device);
        assert_close("embedding y", &found[0].values.reals(), &file.f64("y"), TOLERANCE);
        assert_close("embedding dtable", &found[1].values.reals(), &added, TOLERANCE_TABLE);
    }
}

/// transformers computes `e · 0.88 / (1 - r)` in 32 bits, in this order.
#[test]
fn rows_are_rounded_where_the_published_model_rounds_them() {
    let problem = Problem { ids: vec![4, 5, MASK, 6, 7, 8, MASK], ..Problem::new(40, &[2, 5], Some(ESM2)) };
    let left = [1.0, 1.0 - 2.0_f32 / 5.0];
    let value = |place: usize| {
        let (token, column) = (place / 40, place % 40);
        let row = problem.table[problem.ids[token] as usize * 40 + column];
        if problem.ids[token] == MASK { 0.0 } else { row * 0.88 / left[usize::from(token >= 2)] }
    };
    let wanted: Vec<u32> = (0..7 * 40).map(|place| value(place).to_bits()).collect();
    for device in devices() {
        assert_eq!(problem.fast(device)[0].values.bits(), wanted, "{}", device.describe());
    }
}

/// The published code divides zero by zero here; a row of zeros says as much without spoiling a sum.
#[test]
fn a_sequence_of_masks_alone_is_zero() {
    let problem = Problem { ids: vec![MASK; 3], ..Problem::new(20, &[3], Some(ESM2)) };
    for device in devices() {
        assert!(problem.fast(device)[0].values.bits().iter().all(|&bits| bits == 0));
    }
}

#[test]
fn an_id_outside_the_vocabulary_is_refused() {
    let (device, problem) = (&devices()[0], Problem::new(4, &[2], None));
    let (ids, table) = (device.upload(&[3_u32, 33]), device.upload(&problem.table));
    let mut y = device.zeros(8);
    let found = embedding::forward(device, problem.sizes, &[0, 2], &ids, &table, None, &mut y);
    let error = KernelError::Index { op: "embedding", what: "token id", found: 33, limit: 33 };
    assert_eq!(found, Err(error));
}
