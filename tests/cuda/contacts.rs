//! Contacts.

use crate::program::program;
use crate::proof::check;
use crate::script::{PLANS, Script};
use pliant_kernels::ops::contacts::{Sizes, TOLERANCE, cpu};
use pliant_tests::kernels::inputs::reals;
use pliant_tests::kernels::{Expected, Inputs};

#[test]
fn maps_agree_with_the_oracle_and_are_symmetric() {
    for (length, channels) in [(1, 1), (7, 3), (33, 40), (40, 660)] {
        let name = format!("{length} {channels}");
        let mut inputs = Inputs::new(&format!("contacts {name}"));
        let map = inputs.normal(length * length, 1.0);
        let weights = inputs.normal(channels, 1.0 / (channels as f32).sqrt());
        let mut sums = inputs.uniform(channels * length, 0.5, 1.5);
        // A channel that saw nothing has no correction.
        sums[..length].fill(if channels > 1 { 0.0 } else { 1.0 });
        let mut y = vec![0.0; length * length];
        let evidence = (&reals(&map)[..], &reals(&sums)[..]);
        cpu::forward(Sizes { length, channels }, evidence, (&reals(&weights), f64::from(-0.3_f32)), &mut y);
        let mut script = Script::default();
        let [map, sums, weights] = [&map, &sums, &weights].map(|values| script.reads(values));
        let (factors, found) = (script.writes::<f32>(channels), script.writes::<f32>(length * length));
        script.launch("contacts_factors").give(sums).give(weights).give(factors).give(channels).give(length);
        let launch = script.launch("contacts_map").give(map).give(sums).give(factors).give(found);
        launch.give(channels).give(length).give(-0.3_f32);
        check("contacts", &name, &script, &[(found, Expected::new("y", y, TOLERANCE))]);
        let Some(program) = program("contacts") else { return };
        let bits = script.run(&program, PLANS[0]).unwrap().values(found).bits();
        for (i, j) in (0..length).flat_map(|i| (0..i).map(move |j| (i, j))) {
            assert_eq!(bits[i * length + j], bits[j * length + i], "{name} {i} {j}");
        }
    }
}
