//! All measures, by what is labelled.

use pliant_seq::tables::LabelKind;

use super::answers::Subject;
use super::confusion::OfClass;
use super::flags;
use super::metric::{Drawn, Metric, Ready};
use super::number;
use super::probability;
use super::undefined::{Measured, Undefined};

type Of = fn(&Ready<'_>, &Drawn<'_>) -> Measured;

const fn more(name: &'static str, about: &'static str, of: Of) -> Metric {
    Metric { name, about, higher_is_better: true, there: |_| true, of }
}

const fn less(name: &'static str, about: &'static str, of: Of) -> Metric {
    Metric { name, about, higher_is_better: false, there: |_| true, of }
}

const fn where_(there: fn(&Subject) -> bool, metric: Metric) -> Metric {
    Metric { there, ..metric }
}

const ACCURACY: Metric =
    more("accuracy", "the part that is right", |ready, drawn| ready.confusion(drawn)?.accuracy());

const MCC: Metric =
    more("mcc", "Matthews's correlation of labels and answers, of any number of classes", |ready, drawn| {
        ready.confusion(drawn)?.mcc()
    });

const BALANCED: Metric =
    more("balanced_accuracy", "the mean recall of the classes that labels have", |ready, drawn| {
        ready.confusion(drawn)?.balanced_accuracy()
    });

const MACRO_F1: Metric =
    more("macro_f1", "the mean F1 of the classes that labels or answers have", |ready, drawn| {
        ready.confusion(drawn)?.mean(OfClass::F1)
    });

const MACRO_PRECISION: Metric = more("macro_precision", "the mean precision of these", |ready, drawn| {
    ready.confusion(drawn)?.mean(OfClass::Precision)
});

const MACRO_RECALL: Metric = more("macro_recall", "the mean recall of these", |ready, drawn| {
    ready.confusion(drawn)?.mean(OfClass::Recall)
});

const MACRO_SPECIFICITY: Metric =
    more("macro_specificity", "the mean specificity of these", |ready, drawn| {
        ready.confusion(drawn)?.mean(OfClass::Specificity)
    });

const CROSS_ENTROPY: Metric =
    less("cross_entropy", "the mean of -ln p of what is right, in nats", |ready, drawn| {
        probability::cross_entropy(&ready.answers.chance, drawn.rows)
    });

const CALIBRATION: Metric = less(
    "calibration_error",
    "how far confidence is from the part that is right, in ten bins",
    |ready, drawn| {
        let rows = ready.answers.labels.iter().zip(&ready.answers.told);
        let right: Vec<bool> = rows.map(|(label, told)| label == told).collect();
        probability::calibration_error(&ready.answers.sure, &right, drawn.rows)
    },
);

/// A measure of the second of two classes.
const fn of_second(name: &'static str, about: &'static str, of: Of) -> Metric {
    where_(|subject| subject.width == 2, more(name, about, of))
}

/// The second of two classes, or the mean over those that have a value.
fn each(ready: &Ready<'_>, of: impl Fn(usize) -> Measured) -> Measured {
    match ready.answers.subject().width {
        0 => Err(Undefined::NoClass),
        1 => of(0),
        2 if ready.answers.subject().kind == LabelKind::Class => of(1),
        classes => flags::mean_of_defined((0..classes).map(of)),
    }
}

const AUROC: Metric = more(
    "auroc",
    "area under the curve of true against false positives, of the second of two classes or the mean over \
classes against all others",
    |ready, drawn| each(ready, |class| ready.class_auroc(class, drawn.rows)),
);

const AUPR: Metric = more(
    "aupr",
    "average precision, of the second of two classes or the mean over classes against all others",
    |ready, drawn| each(ready, |class| ready.class_aupr(class, drawn.rows)),
);

/// Measures of one class for each example.
static OF_CLASS: [Metric; 16] = [
    MCC,
    ACCURACY,
    BALANCED,
    MACRO_F1,
    MACRO_PRECISION,
    MACRO_RECALL,
    MACRO_SPECIFICITY,
    of_second("precision", "precision of the second class", |ready, drawn| {
        ready.confusion(drawn)?.of_class(OfClass::Precision, 1)
    }),
    of_second("recall", "recall of the second class", |ready, drawn| {
        ready.confusion(drawn)?.of_class(OfClass::Recall, 1)
    }),
    of_second("f1", "F1 of the second class", |ready, drawn| {
        ready.confusion(drawn)?.of_class(OfClass::F1, 1)
    }),
    of_second("specificity", "specificity of the second class", |ready, drawn| {
        ready.confusion(drawn)?.of_class(OfClass::Specificity, 1)
    }),
    AUROC,
    AUPR,
    CROSS_ENTROPY,
    less("brier", "mean squared distance of probabilities from what is right", |ready, drawn| {
        let answers = ready.answers;
        probability::brier(&answers.labels, &answers.scores, answers.subject().width, drawn.rows)
    }),
    CALIBRATION,
];

/// Measures of any of several classes for each example.
static OF_CLASSES: [Metric; 18] = [
    more("macro_f1", "the mean F1 of the classes that have one", |ready, drawn| {
        let tallies = ready.tallies(drawn)?;
        flags::mean_of_defined(tallies.iter().zip(0..).map(|(tally, class)| tally.f1(class)))
    }),
    more("macro_precision", "the mean precision of the classes that are told", |ready, drawn| {
        let tallies = ready.tallies(drawn)?;
        flags::mean_of_defined(tallies.iter().zip(0..).map(|(tally, class)| tally.precision(class)))
    }),
    more("macro_recall", "the mean recall of the classes that labels have", |ready, drawn| {
        let tallies = ready.tallies(drawn)?;
        flags::mean_of_defined(tallies.iter().zip(0..).map(|(tally, class)| tally.recall(class)))
    }),
    more(
        "macro_specificity",
        "the mean specificity of the classes that not all labels have",
        |ready, drawn| {
            let tallies = ready.tallies(drawn)?;
            flags::mean_of_defined(tallies.iter().zip(0..).map(|(tally, class)| tally.specificity(class)))
        },
    ),
    more("micro_f1", "F1 of the sums over classes", |ready, drawn| flags::micro_f1(&ready.tallies(drawn)?)),
    more("macro_mcc", "the mean of Matthews's correlation over the classes that have one", |ready, drawn| {
        let tallies = ready.tallies(drawn)?;
        flags::mean_of_defined(tallies.iter().zip(0..).map(|(tally, class)| tally.mcc(class)))
    }),
    more(
        "jaccard",
        "the mean over examples of the classes right and told among those right or told",
        |ready, drawn| {
            let answers = ready.answers;
            flags::jaccard(&answers.flags, &ready.told_flags, answers.subject().width, drawn.rows)
        },
    ),
    more("subset_accuracy", "the part of examples with every class right", |ready, drawn| {
        let answers = ready.answers;
        flags::subset_accuracy(&answers.flags, &ready.told_flags, answers.subject().width, drawn.rows)
    }),
    more("label_accuracy", "the part of all single decisions that is right", |ready, drawn| {
        let tallies = ready.tallies(drawn)?;
        let wrong: u64 = tallies.iter().map(|tally| tally.labels + tally.answers - 2 * tally.both).sum();
        let all: u64 = tallies.iter().map(|tally| tally.all).sum();
        if all == 0 { Err(Undefined::Empty) } else { Ok(1.0 - wrong as f64 / all as f64) }
    }),
    AUROC,
    AUPR,
    less(
        "brier",
        "mean over classes and examples of the squared distance of a probability from what is right",
        |ready, drawn| {
            let answers = ready.answers;
            probability::brier_of_flags(&answers.flags, &answers.scores, answers.subject().width, drawn.rows)
        },
    ),
    more(
        "first_class_aupr",
        "as published for symmetry: the mean average precision of being the first class of an example",
        |ready, drawn| ready.first_aupr(drawn.rows),
    ),
    more(
        "first_class_recall",
        "the mean recall of first classes by likeliest ones, which is the accuracy there",
        |ready, drawn| ready.firsts()?.mean(OfClass::Recall, drawn.rows),
    ),
    more("first_class_precision", "their mean precision", |ready, drawn| {
        ready.firsts()?.mean(OfClass::Precision, drawn.rows)
    }),
    more("first_class_f1", "their mean F1", |ready, drawn| ready.firsts()?.mean(OfClass::F1, drawn.rows)),
    more("first_class_specificity", "their mean specificity", |ready, drawn| {
        ready.firsts()?.mean(OfClass::Specificity, drawn.rows)
    }),
    more("first_class_mcc", "Matthews's correlation of first classes and likeliest ones", |ready, drawn| {
        ready.firsts()?.confusion(drawn.rows)?.mcc()
    }),
];

/// Measures of numbers and of expected levels.
const SPEARMAN: Metric = more("spearman", "correlation of ranks", |ready, drawn| {
    let (column, labels) = ready.scale()?;
    number::spearman_in([&column.order, labels], &column.scores, &ready.answers.numbers, drawn.rows)
});

const PEARSON: Metric = more("pearson", "correlation", |ready, drawn| {
    let (column, _) = ready.scale()?;
    number::pearson_of(&column.scores, &ready.answers.numbers, drawn.rows)
});

const MSE: Metric = less("mse", "mean squared error", |ready, drawn| {
    let (column, _) = ready.scale()?;
    number::mean_squared_error_of(&column.scores, &ready.answers.numbers, drawn.rows)
});

const MAE: Metric = less("mae", "mean absolute error", |ready, drawn| {
    let (column, _) = ready.scale()?;
    number::mean_absolute_error_of(&column.scores, &ready.answers.numbers, drawn.rows)
});

static OF_NUMBER: [Metric; 5] = [
    SPEARMAN,
    PEARSON,
    MSE,
    MAE,
    more("r2", "the part of the variance that is explained", |ready, drawn| {
        let (column, _) = ready.scale()?;
        number::r_squared_of(&column.scores, &ready.answers.numbers, drawn.rows)
    }),
];

/// Measures of levels. Of SCOP, level 1 is the class, 2 the fold, 3 the superfamily, 4 the family.
static OF_LEVEL: [Metric; 11] = [
    more("accuracy", "the part whose likeliest level is right", |ready, drawn| {
        ready.confusion(drawn)?.accuracy()
    }),
    MCC,
    SPEARMAN,
    PEARSON,
    MAE,
    aupr_of_level::<1>("aupr_1", "average precision of the expected level for level 1 and higher"),
    aupr_of_level::<2>("aupr_2", "average precision of the expected level for level 2 and higher"),
    aupr_of_level::<3>("aupr_3", "average precision of the expected level for level 3 and higher"),
    aupr_of_level::<4>("aupr_4", "average precision of the expected level for level 4 and higher"),
    CROSS_ENTROPY,
    CALIBRATION,
];

const fn aupr_of_level<const LEVEL: usize>(name: &'static str, about: &'static str) -> Metric {
    let of: Of = |ready, drawn| ready.class_aupr(LEVEL - 1, drawn.rows);
    where_(|subject| subject.width > LEVEL, more(name, about, of))
}

/// Measures of a class for each residue.
static OF_RESIDUES: [Metric; 11] = [
    ACCURACY,
    MCC,
    BALANCED,
    MACRO_F1,
    MACRO_PRECISION,
    MACRO_RECALL,
    CROSS_ENTROPY,
    CALIBRATION,
    where_(
        |subject| subject.groups.is_some(),
        more(
            "q3",
            "accuracy of helix, strand and coil, by the sums of the probabilities of their classes",
            |ready, drawn| ready.groups(drawn),
        ),
    ),
    where_(
        |subject| subject.membrane.is_some(),
        more(
            "proteins_right",
            "the part of proteins with the right helices through the membrane, or none",
            |ready, drawn| ready.helices(drawn, false),
        ),
    ),
    where_(
        |subject| subject.membrane.is_some(),
        more(
            "membrane_proteins_right",
            "that part of the proteins that have such helices",
            |ready, drawn| ready.helices(drawn, true),
        ),
    ),
];

/// A name that is no measure of what is labelled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("found the metric '{found}', wanted one of {wanted} for labels that are {kind}")]
pub struct NoMetric {
    /// The name.
    pub found: String,
    /// Those that there are.
    pub wanted: String,
    /// What is labelled.
    pub kind: LabelKind,
}

impl Metric {
    /// The measures of labels of a kind; the first is the one to stop early by where nothing else is said.
    pub fn of_kind(kind: LabelKind) -> &'static [Self] {
        match kind {
            LabelKind::Class => &OF_CLASS,
            LabelKind::Classes => &OF_CLASSES,
            LabelKind::Number => &OF_NUMBER,
            LabelKind::Level => &OF_LEVEL,
            LabelKind::Residues => &OF_RESIDUES,
        }
    }

    /// The measures of what answers are about.
    pub fn of_subject(subject: &Subject) -> Vec<&'static Self> {
        Self::of_kind(subject.kind).iter().filter(|metric| (metric.there)(subject)).collect()
    }

    /// The measure of that name.
    ///
    /// # Errors
    /// [`NoMetric`] with the names that there are.
    pub fn named(subject: &Subject, name: &str) -> Result<&'static Self, NoMetric> {
        let known = Self::of_subject(subject);
        let wanted = || known.iter().map(|metric| metric.name).collect::<Vec<_>>().join(", ");
        let found = known.iter().find(|metric| metric.name == name);
        found.copied().ok_or_else(|| NoMetric {
            found: name.to_owned(),
            wanted: wanted(),
            kind: subject.kind,
        })
    }

    /// A number of which less is better.
    pub fn rank(&self, value: f64) -> f64 {
        if self.higher_is_better { -value } else { value }
    }
}
