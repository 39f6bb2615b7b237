//! The paths that a protein can take through a membrane.

use super::{Place, Roles};

/// Residues of a helix that crosses the membrane.
pub const HELIX: usize = 21;

/// What a step costs that the grammar forbids: not without end, but as unlikely as the distance from 1 to the next number.
const LEAST: f64 = f64::EPSILON;

/// States outside helices: inner side, outer side, signal peptide.
const SIDES: usize = 3;

const INNER: usize = 0;
const OUTER: usize = 1;
const SIGNAL: usize = 2;

/// Which grammar.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum GrammarForm {
    /// A signal peptide tells its class, may be of any length, and helices that begin with the protein count.
    #[default]
    Corrected,
    /// As PLUS published it: no residue is ever in a signal peptide, and a helix that begins with the protein hides all.
    Published,
}

/// States and the steps between them, as logarithms.
///
/// | state | tells | goes on to |
/// |---|---|---|
/// | inner side | I or O | itself, the first of an outward helix |
/// | outer side | I or O | itself, the first of an inward helix |
/// | signal peptide | S, where the task has it | inner side, outer side; itself too in the corrected form |
/// | 21 of an outward helix | M | the next; the last to the outer side |
/// | 21 of an inward helix | M | the next; the last to the inner side |
///
/// A path begins on a side or in a signal peptide and ends on a side. The steps of a state are equally likely; any other
/// step, start or end has the chance of 2⁻⁵², so that a model that is sure of a shorter helix gets it.
#[derive(Debug, Clone)]
pub struct Grammar {
    form: GrammarForm,
    helix: usize,
    start: Vec<f64>,
    end: Vec<f64>,
    /// `[S]` the states from which each state may be reached, with the logarithms of these steps.
    from: Vec<Vec<(usize, f64)>>,
    /// `[S]` the logarithm of every other step of each state.
    other: Vec<f64>,
}

impl Grammar {
    /// The grammar with helices of [`HELIX`] residues.
    pub fn new(form: GrammarForm) -> Self {
        Self::with_helix(form, HELIX)
    }

    /// The grammar with helices of `helix` residues, at least 1.
    pub fn with_helix(form: GrammarForm, helix: usize) -> Self {
        let states = SIDES + 2 * helix;
        let mut next: Vec<Vec<usize>> = vec![Vec::new(); states];
        next[INNER] = vec![INNER, SIDES];
        next[OUTER] = vec![OUTER, SIDES + helix];
        next[SIGNAL] = match form {
            GrammarForm::Corrected => vec![INNER, OUTER, SIGNAL],
            GrammarForm::Published => vec![INNER, OUTER],
        };
        for (first, side) in [(SIDES, OUTER), (SIDES + helix, INNER)] {
            for state in first..first + helix {
                next[state] = vec![if state + 1 == first + helix { side } else { state + 1 }];
            }
        }
        let mut from = vec![Vec::new(); states];
        let mut other = vec![0.0; states];
        for (state, next) in next.iter().enumerate() {
            let all = libm::log(next.len() as f64 + LEAST);
            other[state] = libm::log(LEAST) - all;
            next.iter().for_each(|&to| from[to].push((state, libm::log(1.0 + LEAST) - all)));
        }
        Self { form, helix, start: chosen(states, SIDES), end: chosen(states, SIGNAL), from, other }
    }

    /// Which grammar it is.
    pub fn form(&self) -> GrammarForm {
        self.form
    }

    /// Number of states.
    pub fn states(&self) -> usize {
        self.start.len()
    }

    /// The logarithm of the chance that a path begins in a state.
    ///
    /// # Panics
    /// When there is no such state.
    pub fn start(&self, state: usize) -> f64 {
        self.start[state]
    }

    /// The logarithm of the chance that a path ends in a state.
    ///
    /// # Panics
    /// When there is no such state.
    pub fn end(&self, state: usize) -> f64 {
        self.end[state]
    }

    /// The logarithm of the chance of a step.
    ///
    /// # Panics
    /// When there is no such state.
    pub fn step(&self, from: usize, to: usize) -> f64 {
        let allowed = self.from[to].iter().find(|(state, _)| *state == from);
        allowed.map_or(self.other[from], |(_, step)| *step)
    }

    /// `[S]` the logarithms of what a residue with the probabilities `[K]` is in each state.
    pub(super) fn tells(&self, roles: &Roles, probabilities: &[f64]) -> Vec<f64> {
        let chance = |class: usize| probabilities.get(class).copied().unwrap_or_default();
        let log = |chance: f64| match self.form {
            // A model that is too sure to leave anything to the other classes would forbid every path.
            GrammarForm::Corrected => libm::log(chance + LEAST),
            GrammarForm::Published => libm::log(chance),
        };
        let side = log(chance(roles.inner) + chance(roles.outer));
        let mut tells = vec![log(chance(roles.membrane)); self.states()];
        tells[INNER] = side;
        tells[OUTER] = side;
        tells[SIGNAL] = match (self.form, roles.signal) {
            (GrammarForm::Corrected, Some(signal)) => log(chance(signal)),
            _ => f64::NEG_INFINITY,
        };
        tells
    }

    /// The place of a state.
    pub(super) fn place(&self, state: usize) -> Place {
        match state {
            INNER => Place::Inner,
            OUTER => Place::Outer,
            SIGNAL => Place::Signal,
            _ => Place::Membrane,
        }
    }

    /// `[L]` the places on the likeliest path under `probabilities` `[L, K]`. Of paths that are as likely it is the one with
    /// the lower states, looked at from the end.
    pub fn path(&self, roles: &Roles, probabilities: &[f64], classes: usize) -> Vec<Place> {
        let mut rows = probabilities.chunks(classes.max(1));
        let Some(first) = rows.next() else { return Vec::new() };
        let told = self.tells(roles, first);
        let mut best: Vec<f64> = self.start.iter().zip(&told).map(|(start, tells)| start + tells).collect();
        let mut back: Vec<Vec<usize>> = Vec::new();
        for row in rows {
            let told = self.tells(roles, row);
            let forbidden =
                first_largest(best.iter().zip(&self.other).map(|(best, step)| best + step).enumerate());
            let reached = |state: usize| {
                let allowed = self.from[state].iter().map(|&(from, step)| (from, best[from] + step));
                let steps = allowed.chain([forbidden]);
                steps.map(|(from, sum)| (from, sum + told[state])).fold((usize::MAX, f64::NAN), better)
            };
            let (states, sums): (Vec<usize>, Vec<f64>) = (0..self.states()).map(reached).unzip();
            best = sums;
            back.push(states);
        }
        let (mut state, _) =
            first_largest(best.iter().zip(&self.end).map(|(best, end)| best + end).enumerate());
        let mut path = vec![self.place(state)];
        for states in back.iter().rev() {
            state = states[state];
            path.push(self.place(state));
        }
        path.reverse();
        path
    }

    /// Residues of a helix.
    pub fn helix(&self) -> usize {
        self.helix
    }
}

/// The better of two, the lower state of equal ones; the first that is asked of is no state yet.
fn better(one: (usize, f64), other: (usize, f64)) -> (usize, f64) {
    if one.1.is_nan() || other.1 > one.1 || (other.1 == one.1 && other.0 < one.0) { other } else { one }
}

fn first_largest(each: impl Iterator<Item = (usize, f64)>) -> (usize, f64) {
    let found = each.fold((usize::MAX, f64::NAN), better);
    if found.0 == usize::MAX { (0, f64::NEG_INFINITY) } else { found }
}

/// The logarithms of beginning or ending in one of the first states, equally likely.
fn chosen(states: usize, first: usize) -> Vec<f64> {
    let all = libm::log(first as f64 + LEAST);
    let one = |state: usize| if state < first { 1.0 } else { 0.0 };
    (0..states).map(|state| libm::log(one(state) + LEAST) - all).collect()
}
