//! What heads on pairs compute: ordered levels, features of pairs of residues, filters over maps.

use crate::proof::check;
use crate::script::Script;
use pliant_kernels::bf16;
use pliant_kernels::ops::{conv2d, ordinal, pair_features, pair_logits};
use pliant_tests::kernels::inputs::reals;
use pliant_tests::kernels::{Expected, Inputs};

#[test]
fn ordered_levels_agree_with_the_oracle() {
    for (rows, thresholds) in [(1, 1), (33, 4), (140, 1)] {
        let sizes = ordinal::Sizes { rows, thresholds };
        let name = format!("{rows}x{thresholds}");
        let mut inputs = Inputs::new(&format!("ordinal {name}"));
        let (scores, weights) = (inputs.uniform(rows, -10.0, 0.0), inputs.uniform(thresholds, 0.5, 1.5));
        let (shifts, given) = (inputs.uniform(thresholds, 1.0, 8.0), inputs.normal(rows * thresholds, 20.0));
        let (mut logits, mut levels) = (vec![0.0; rows * thresholds], vec![0.0; rows * (thresholds + 1)]);
        ordinal::cpu::forward(sizes, &reals(&scores), (&reals(&weights), &reals(&shifts)), &mut logits);
        ordinal::cpu::levels(sizes, &reals(&given), &mut levels);
        let mut script = Script::default();
        let [scores, weights, shifts, given] =
            [&scores, &weights, &shifts, &given].map(|values| script.reads(values));
        let (found, shares) = (script.writes::<f32>(logits.len()), script.writes::<f32>(levels.len()));
        let launch = script.launch("ordinal_logits").give(scores).give(weights).give(shifts);
        launch.give(found).give(rows).give(thresholds);
        script.launch("ordinal_levels").give(given).give(shares).give(rows).give(thresholds);
        let results = [
            (found, Expected::new("logits", logits, ordinal::TOLERANCE)),
            (shares, Expected::new("levels", levels, ordinal::TOLERANCE_LEVELS)),
        ];
        check("ordinal", &name, &script, &results);
    }
}

#[test]
fn features_of_pairs_agree_with_the_oracle() {
    use pair_features::{Sizes, TOLERANCE, TOLERANCE_BF16, cpu};
    for (length, width) in [(1, 2), (5, 31), (3, 128), (11, 100)] {
        let (sizes, name) = (Sizes { length, width }, format!("{length}x{width}"));
        let z = Inputs::new(&format!("pair_features {name}")).normal(length * width, 1.0);
        let mut features = vec![0.0; sizes.features()];
        cpu::forward(sizes, &reals(&z), &mut features);
        let mut script = Script::default();
        let (place, wide) = (script.reads(&z), script.writes::<f32>(features.len()));
        let narrow = script.writes::<bf16>(features.len());
        for (kernel, to) in [("pair_features_f32", wide), ("pair_features_bf16", narrow)] {
            script.launch(kernel).give(place).give(to).give(length).give(width);
        }
        let results = [
            (wide, Expected::new("features", features.clone(), TOLERANCE)),
            (narrow, Expected::new("features in bf16", features, TOLERANCE_BF16)),
        ];
        check("pair_features", &name, &script, &results);
    }
}

#[test]
fn filters_over_maps_agree_with_the_oracle() {
    use conv2d::{Sizes, TOLERANCE, cpu};
    let of = [[1, 1, 1, 1, 1], [1, 1, 3, 2, 7], [2, 5, 4, 3, 7], [9, 8, 5, 1, 3], [7, 9, 50, 1, 7]];
    for [height, breadth, inputs, outputs, side] in of {
        let sizes = Sizes { height, breadth, inputs, outputs, side };
        let name = format!("{sizes:?}");
        let mut draw = Inputs::new(&format!("conv2d {name}"));
        let spread = 1.0 / ((inputs * side * side) as f32).sqrt();
        let (x, weights) = (draw.normal(sizes.places() * inputs, 1.0), draw.normal(sizes.weights(), spread));
        let (shifts, mut y) = (draw.normal(outputs, 1.0), vec![0.0; sizes.places() * outputs]);
        cpu::forward(sizes, &reals(&x), (&reals(&weights), &reals(&shifts)), &mut y);
        let mut script = Script::default();
        let [x, weights, shifts] = [&x, &weights, &shifts].map(|values| script.reads(values));
        let found = script.writes::<f32>(y.len());
        let launch = script.launch("conv2d_forward").give(x).give(weights).give(shifts).give(found);
        launch.give(height).give(breadth).give(inputs).give(outputs).give(side);
        check("conv2d", &name, &script, &[(found, Expected::new("y", y, TOLERANCE))]);
    }
}

#[test]
fn logits_of_pairs_agree_with_the_oracle() {
    use pair_logits::{Sizes, cpu, tolerance};
    for (rows, columns, units) in [(1, 1, 1), (5, 33, 31), (33, 7, 40), (40, 65, 128)] {
        let (sizes, name) = (Sizes { rows, columns, units }, format!("{rows}x{columns} {units}"));
        let mut inputs = Inputs::new(&format!("pair_logits on the device {name}"));
        let (first, second) = (inputs.normal(rows * units, 2.0), inputs.normal(columns * units, 2.0));
        let (weights, mut y) = (inputs.normal(units, 1.0), vec![0.0; rows * columns]);
        cpu::forward(sizes, (&reals(&first), &reals(&second)), (&reals(&weights), -0.75), &mut y);
        let mut script = Script::default();
        let [first, second, factors] = [&first, &second, &weights].map(|values| script.reads(values));
        let found = script.writes::<f32>(y.len());
        let launch = script.launch("pair_logits_forward").give(first).give(second).give(factors).give(found);
        launch.give(rows).give(columns).give(units).give(-0.75_f32);
        check("pair_logits", &name, &script, &[(found, Expected::new("y", y, tolerance(&weights)))]);
    }
}
