//! Token embedding with token dropout.

use crate::proof::{blind_to_neighbours, check, indices};
use crate::script::{NULL, Place, Script};
use pliant_kernels::ops::embedding::{Sizes, TOLERANCE, TokenDropout, cpu};
use pliant_tests::kernels::inputs::{gather, offsets, reals};
use pliant_tests::kernels::{Expected, Inputs};

const DROPOUT: TokenDropout = TokenDropout { mask_id: 3, train_fraction: 0.15 * 0.8 };

/// Vocabulary, width, lengths of sequences.
const SIZES: [(usize, usize, &[usize]); 4] =
    [(4, 1, &[5]), (5, 31, &[1, 33, 0, 32]), (33, 128, &[200, 2]), (33, 320, &[31, 1, 64])];

fn rows(
    script: &mut Script,
    (ids, lengths, width): (&[u32], &[usize], usize),
    table: &[f32],
    dropout: bool,
) -> Place {
    let factors = dropout.then(|| script.writes::<f32>(ids.len()));
    let (table, y) = (script.reads(table), script.writes::<f32>(ids.len() * width));
    let (places, ids_place) = (script.reads(&indices(&offsets(lengths))), script.reads(ids));
    if let Some(factors) = factors {
        let launch = script.launch("embedding_factors").give(places).give(ids_place).give(factors);
        launch.give(lengths.len()).give(DROPOUT.mask_id as usize).give(DROPOUT.train_fraction);
    }
    let launch = script.launch("embedding_rows").give(ids_place).give(table);
    launch.give(factors.map_or(NULL, Into::into)).give(y).give(ids.len()).give(width);
    y
}

#[test]
fn rows_agree_with_the_oracle() {
    for (vocabulary, width, lengths) in SIZES {
        let name = format!("{vocabulary}x{width} {lengths:?}");
        let mut inputs = Inputs::new(&format!("embedding {name}"));
        let offsets = offsets(lengths);
        let tokens = offsets[lengths.len()];
        let (ids, table) = (inputs.ids(tokens, vocabulary as u32), inputs.normal(vocabulary * width, 1.0));
        for dropout in [None, Some(DROPOUT)] {
            let mut y = vec![0.0; tokens * width];
            cpu::forward(
                Sizes { tokens, vocabulary, width },
                &offsets,
                &ids,
                &reals(&table),
                dropout,
                &mut y,
            );
            let mut script = Script::default();
            let place = rows(&mut script, (&ids, lengths, width), &table, dropout.is_some());
            check("embedding", &name, &script, &[(place, Expected::new("y", y, TOLERANCE))]);
        }
    }
}

#[test]
fn sequences_are_blind_to_their_neighbours() {
    const LENGTHS: [usize; 4] = [1, 33, 2, 70];
    let mut inputs = Inputs::new("embedding sequences");
    let ids: Vec<Vec<u32>> = LENGTHS.map(|length| inputs.ids(length, 9)).into();
    let table = inputs.normal(9 * 40, 1.0);
    blind_to_neighbours("embedding", &LENGTHS.map(|length| 40 * length), |order| {
        let lengths: Vec<usize> = order.iter().map(|&sequence| LENGTHS[sequence]).collect();
        let mut script = Script::default();
        let y = rows(&mut script, (&gather(&ids, order), &lengths, 40), &table, true);
        (script, y)
    });
}
