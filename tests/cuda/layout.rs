//! Rows picked out.

use crate::proof::{check, indices};
use crate::script::Script;
use pliant_kernels::ops::layout::cpu;
use pliant_kernels::{Tolerance, bf16};
use pliant_tests::kernels::inputs::{reals, rounded, rounded_reals};
use pliant_tests::kernels::{Expected, Inputs};

#[test]
fn picked_rows_are_copies() {
    const EXACT: Tolerance = Tolerance { absolute: 1e-30, relative: 1e-9 };
    for (rows, width, picked) in
        [(1, 1, &[0_usize][..]), (9, 31, &[8, 0, 3]), (40, 129, &[1, 39, 38, 2, 20, 7])]
    {
        let x = Inputs::new(&format!("layout {rows} {width}")).normal(rows * width, 1.0);
        let plain = |x: &[f64]| {
            let mut y = vec![0.0; picked.len() * width];
            cpu::gather_rows(width, picked, x, &mut y);
            y
        };
        let mut script = Script::default();
        let (places, wide, narrow) =
            (script.reads(&indices(picked)), script.reads(&x), script.reads(&rounded(&x)));
        let (y, half) =
            (script.writes::<f32>(picked.len() * width), script.writes::<bf16>(picked.len() * width));
        script.launch("layout_gather_f32").give(places).give(wide).give(y).give(picked.len()).give(width);
        script
            .launch("layout_gather_bf16")
            .give(places)
            .give(narrow)
            .give(half)
            .give(picked.len())
            .give(width);
        let results = [
            (y, Expected::new("f32", plain(&reals(&x)), EXACT)),
            (half, Expected::new("bf16", plain(&rounded_reals(&x)), EXACT)),
        ];
        check("layout", &format!("{rows}x{width}"), &script, &results);
    }
}
