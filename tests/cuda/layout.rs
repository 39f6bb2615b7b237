//! Rows and columns picked out.

use crate::proof::{check, indices};
use crate::script::Script;
use pliant_kernels::ops::layout::{Columns, cpu};
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

#[test]
fn rows_are_added_where_they_belong() {
    // A sum is rounded once.
    const ROUNDED: Tolerance = Tolerance { absolute: 1e-7, relative: 1e-7 };
    for (rows, width, picked) in [(1, 1, &[0_usize][..]), (9, 31, &[8, 0, 3]), (40, 129, &[1, 39, 38, 2])] {
        let mut inputs = Inputs::new(&format!("scatter {rows} {width}"));
        let (dy, before) = (inputs.normal(picked.len() * width, 1.0), inputs.normal(rows * width, 1.0));
        let mut dx = reals(&before);
        cpu::scatter_rows(width, picked, &reals(&dy), &mut dx);
        let mut script = Script::default();
        let (places, given) = (script.reads(&indices(picked)), script.reads(&dy));
        let sum = script.changes(&before);
        let launch = script.launch("layout_scatter").give(places).give(given).give(sum);
        launch.give(picked.len()).give(width);
        check("layout", &format!("{rows}x{width}"), &script, &[(sum, Expected::new("sum", dx, ROUNDED))]);
    }
}

#[test]
fn columns_are_copies_and_leave_the_others_as_they_are() {
    const EXACT: Tolerance = Tolerance { absolute: 1e-30, relative: 1e-9 };
    for (rows, width, from, to) in
        [(1, 1, (1, 0), (1, 0)), (9, 31, (40, 9), (31, 0)), (40, 33, (33, 0), (70, 30))]
    {
        let columns = Columns { rows, width, from, to };
        let mut inputs = Inputs::new(&format!("columns {rows} {width}"));
        let (x, before) = (inputs.normal(rows * from.0, 1.0), inputs.normal(rows * to.0, 1.0));
        let mut y = reals(&before);
        cpu::copy_columns(columns, &reals(&x), &mut y);
        let mut script = Script::default();
        let (wide, there) = (script.reads(&x), script.changes(&before));
        let launch =
            script.launch("layout_columns").give(wide).give(there).give((rows * width) as u64).give(width);
        launch.give(from.0).give(from.1).give(to.0).give(to.1);
        check("layout", &format!("{columns:?}"), &script, &[(there, Expected::new("columns", y, EXACT))]);
    }
}
