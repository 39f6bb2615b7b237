//! One device against another: every operation of inference on both, from the same inputs.
//!
//! Tests hold the processor to an oracle in 64 bits; here another device is held to the processor, each being allowed
//! its own distance from the oracle. A sequence is computed alone and among others, too, and must have the same bits.

mod cases;
mod inputs;
mod lstm;
mod pairs;

use crate::error::KernelError;
use crate::{Device, Tolerance};

/// Numbers of one result, as both devices have them.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The operation.
    pub op: &'static str,
    /// Sizes, number types, and which result.
    pub what: String,
    /// The largest distance, as a part of what is allowed; not finite where one device has a number and the other none.
    pub worst: f64,
    /// Or why there is no result.
    pub fault: Option<KernelError>,
}

impl Finding {
    /// Whether the devices agree.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.fault.is_none() && self.worst <= 1.0
    }
}

/// How much is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// One size of each operation.
    Few,
    /// Awkward sizes too.
    All,
}

/// A result of an operation, with its distance from the oracle that its contract allows; `None` where bits must be equal.
struct Outcome {
    what: &'static str,
    values: Vec<f32>,
    tolerance: Option<Tolerance>,
}

/// What a device makes of inputs.
type Run = Box<dyn Fn(&Device) -> Result<Vec<Outcome>, KernelError>>;

/// One operation on inputs of its own.
struct Case {
    op: &'static str,
    what: String,
    run: Run,
}

/// Runs every operation on both devices and compares what it gives.
#[must_use]
pub fn compare(reference: &Device, device: &Device, extent: Extent) -> Vec<Finding> {
    let mut findings = Vec::new();
    for case in cases::all(extent) {
        let Case { op, what, run } = case;
        let results = run(reference).and_then(|wanted| Ok((wanted, run(device)?)));
        let results = results.and_then(|results| device.check().map(|()| results));
        match results {
            Err(fault) => findings.push(Finding { op, what, worst: f64::INFINITY, fault: Some(fault) }),
            Ok((wanted, found)) => findings.extend(wanted.iter().zip(&found).map(|(wanted, found)| {
                let what = format!("{what} {}", wanted.what);
                Finding { op, what, worst: worst(wanted, found), fault: None }
            })),
        }
    }
    findings
}

/// The largest distance of two results, as a part of what is allowed.
fn worst(wanted: &Outcome, found: &Outcome) -> f64 {
    if wanted.values.len() != found.values.len() {
        return f64::INFINITY;
    }
    let distance = |(&wanted_value, &value): (&f32, &f32)| match wanted.tolerance {
        None if wanted_value.to_bits() == value.to_bits() => 0.0,
        Some(_) if wanted_value.is_nan() && value.is_nan() => 0.0,
        Some(tolerance) if wanted_value.is_finite() && value.is_finite() => {
            let distance = (f64::from(wanted_value) - f64::from(value)).abs();
            distance / (2.0 * tolerance.at(f64::from(wanted_value)))
        }
        _ => f64::INFINITY,
    };
    wanted.values.iter().zip(&found.values).map(distance).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CpuPath;

    #[test]
    fn the_processor_agrees_with_itself_on_another_path() {
        let reference = Device::cpu(2).unwrap();
        let other = Device::cpu_with(1, CpuPath::Portable).unwrap();
        let findings = compare(&reference, &other, Extent::All);
        let ops: std::collections::BTreeSet<&str> = findings.iter().map(|finding| finding.op).collect();
        let wanted: std::collections::BTreeSet<&str> =
            crate::cuda::SOURCES.iter().map(|source| source.op).collect();
        assert_eq!(ops, wanted);
        let apart: Vec<&Finding> = findings.iter().filter(|finding| !finding.agrees()).collect();
        assert!(apart.is_empty(), "{apart:?}");
    }

    #[test]
    fn distances_are_found() {
        let outcome = |values: &[f32], tolerance| Outcome { what: "y", values: values.to_vec(), tolerance };
        let near = Some(Tolerance { absolute: 0.5, relative: 0.0 });
        let to = |wanted: &[f32], found: &[f32], tolerance| {
            worst(&outcome(wanted, tolerance), &outcome(found, tolerance))
        };
        assert_eq!(to(&[1.0, 2.0], &[1.0, 3.0], near), 1.0);
        assert_eq!(to(&[f32::NAN], &[f32::NAN], near), 0.0);
        assert_eq!(to(&[1.0], &[f32::NAN], near), f64::INFINITY);
        assert_eq!(to(&[1.0], &[1.0, 2.0], near), f64::INFINITY);
        assert_eq!(to(&[0.0], &[-0.0], None), f64::INFINITY);
        assert_eq!(to(&[0.5], &[0.5], None), 0.0);
    }
}
