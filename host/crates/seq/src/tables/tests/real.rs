//! Every labelled file of the reference data, where the environment names its folder: as many examples as it promises.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::super::forms;
use super::*;

fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("PLIANT_TEST_DATA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!(
            "SKIPPED labelled sets of real proteins: PLIANT_TEST_DATA names no folder with reference data"
        );
    }
    folder
}

/// A set of which no example failed, with its report.
fn whole(folder: &Path, file: &str, options: &SetOptions) -> (LabelledSet, SetReport) {
    let begun = Instant::now();
    let (set, report) =
        LabelledSet::read(&[Source::from_path(&folder.join(file)).unwrap()], options).unwrap();
    assert_eq!(report.failures, [], "{file}");
    assert_eq!(set.len() as u64 + report.duplicates + report.left_out, report.rows);
    eprintln!(
        "{file}: {} examples, {} sequences, {} residues, {}, {} repeated, {} contradictions; {:.2?}",
        set.len(),
        set.sequences(),
        set.residues(),
        set.digest(),
        report.repeated,
        report.contradictions,
        begun.elapsed()
    );
    (set, report)
}

fn parts(set: &LabelledSet) -> Vec<(&str, usize)> {
    let count = |part: &String| (0..set.len()).filter(|&at| set.part(at) == Some(part)).count();
    set.parts().iter().map(|part| (part.as_str(), count(part))).collect()
}

#[test]
fn tables_of_single_proteins_are_read_whole() {
    let Some(folder) = data() else { return };
    let wild = super::super::wild_type(&folder.join("fluorescence_gfp/wt.fasta.gz")).unwrap();
    assert_eq!(wild.len(), 237);
    let (gfp, _) = whole(&folder, "fluorescence_gfp/gfp.tsv.gz", &forms::fluorescence(wild));
    assert_eq!(parts(&gfp), [("test", 12_831), ("train", 20_887), ("valid", 5_311)]);
    let (rocklin, _) = whole(&folder, "stability_rocklin/rd1_4.tsv.gz", &forms::stability());
    assert_eq!(parts(&rocklin), [("train", 50_562), ("valid", 5_533)]);
    for (file, options, examples, counts) in [
        ("stability_meltome/train.tsv.gz", forms::melting_points(), 2_940, vec![]),
        ("solubility/esol_regression_train.tsv.gz", forms::soluble_part(), 2_364, vec![]),
        ("solubility/train_solpro.tsv.gz", forms::solubility(), 17_067, vec![8_549, 8_518]),
        ("solubility/valid_deepsol.tsv.gz", forms::solubility(), 6_942, vec![4_045, 2_897]),
    ] {
        let (set, _) = whole(&folder, file, &options);
        assert_eq!((set.len(), set.counts()), (examples, counts), "{file}");
    }
    let hal = whole(&folder, "oligomer_symmetry_hal_designs/hal.tsv.gz", &forms::cyclic_designs()).0;
    let found = hal.counts();
    assert_eq!((hal.len(), &found[..8]), (352, &[45, 23, 50, 23, 42, 46, 30, 4][..]), "{found:?}");
    assert_eq!((found[8..17].iter().sum::<u64>(), found[17]), (0, 89));
    let states = whole(&folder, "oligomeric_state_ecoli/ecoli.tsv.gz", &forms::oligomeric_states()).0;
    assert_eq!((states.len(), states.counts()), (951, vec![245, 444, 45, 135, 5, 47, 5, 10, 11, 4]));
    let (families, _) = whole(&folder, "pfam_homfam_families/train.tsv.gz", &forms::families());
    assert_eq!((families.len(), families.classes().len()), (35_255, 89));
}

#[test]
fn tables_of_places_are_read_whole() {
    let Some(folder) = data() else { return };
    let (deeploc2, _) =
        whole(&folder, "localization_deeploc2/partitions_train.tsv.gz", &forms::locations(ClassList::Found));
    assert_eq!(parts(&deeploc2), [("0", 5_963), ("1", 5_451), ("2", 5_731), ("3", 5_696)]);
    assert_eq!(deeploc2.counts(), [3_490, 8_039, 1_784, 2_702, 1_087, 1_253, 2_074, 7_703, 251, 825]);
    let one = "localization_deeploc1_10class/valid_set.tsv.gz";
    let (valid, _) = whole(&folder, one, &forms::location(ClassList::Found));
    assert_eq!(
        (valid.len(), valid.classes().len(), &valid.classes()[2]),
        (1_366, 11, &"Cytoplasm-Nucleus".to_owned())
    );
    let two = "localization_deeploc1_10class/test_set_overlapping_deeploc2_train.tsv.gz";
    let classes = ClassList::Given(forms::LOCATIONS.map(str::to_owned).to_vec());
    let (test, _) = whole(&folder, two, &forms::location(classes.clone()));
    assert_eq!((test.len(), test.classes().len()), (2_135, 10));
    // Proteins of two places are told, each with its line.
    let source = Source::from_path(&folder.join(one)).unwrap();
    let (set, report) = LabelledSet::read(&[source], &forms::location(classes)).unwrap();
    assert_eq!((set.len(), report.failures.len()), (1_347, 19));
}

#[test]
fn labels_of_residues_are_read_whole() {
    let Some(folder) = data() else { return };
    for (file, examples, options, residues) in [
        ("train", 9_712, forms::secondary_structure_3(), 2_319_963),
        ("valid", 1_080, forms::secondary_structure_3(), 262_853),
        ("test_cb513", 511, forms::secondary_structure_3(), 140_486),
        ("test_cb513", 511, forms::secondary_structure_8(), 140_486),
    ] {
        let (set, _) = whole(&folder, &format!("secondary_structure/{file}.tsv.gz"), &options);
        assert_eq!((set.len(), set.counts().iter().sum::<u64>()), (examples, residues), "{file}");
    }
    let (membranes, _) = whole(&folder, "transmembrane/folds_0_3.tsv.gz", &forms::transmembrane());
    assert_eq!((membranes.len(), membranes.parts().len()), (5_217, 4));
    assert_eq!(membranes.counts(), [2_644_682, 268_504, 53_712, 14_590]);
    let strands = whole(&folder, "transmembrane/folds_0_3.tsv.gz", &forms::transmembrane_with_strands()).0;
    assert_eq!(strands.counts()[4], 6_480);
}

#[test]
fn pairs_are_read_whole() {
    let Some(folder) = data() else { return };
    let fasta = |file: &str| {
        let source = Source::from_path(&folder.join(file)).unwrap();
        Arc::new(Proteins::read(&source, 65_536, None).unwrap())
    };
    let bernett = fasta("ppi_bernett_human/proteins.fasta.gz");
    assert_eq!(bernett.len(), 7_997);
    for (file, proteins, examples, counts, duplicates) in [
        ("ppi_bernett_human/train_pairs", bernett.clone(), 163_192, [81_596, 81_596], 0),
        ("ppi_bernett_human/valid_pairs", bernett, 59_260, [29_630, 29_630], 0),
        ("ppi_dscript_yeast/pairs", fasta("ppi_dscript_yeast/proteins.fasta.gz"), 55_000, [50_000, 5_000], 0),
        (
            "ppi_guo_yeast_small/pairs",
            fasta("ppi_guo_yeast_small/proteins.fasta.gz"),
            11_164,
            [5_583, 5_581],
            24,
        ),
    ] {
        let (set, report) = whole(&folder, &format!("{file}.tsv.gz"), &forms::interactions(proteins));
        assert_eq!(
            (set.len(), set.counts(), report.duplicates),
            (examples, counts.to_vec(), duplicates),
            "{file}"
        );
        assert!(set.residues() < 8_000_000, "a sequence is held once");
    }
}

#[test]
fn homologous_domains_are_read_and_split_by_folds() {
    let Some(folder) = data() else { return };
    let source = Source::from_path(&folder.join("homology_scope/domains.tsv.gz")).unwrap();
    let domains = Arc::new(Proteins::read(&source, 65_536, Some(&forms::domains())).unwrap());
    assert_eq!(domains.len(), 9_535);
    let (pairs, _) = whole(&folder, "homology_scope/pairs.tsv.gz", &forms::homology_pairs(domains));
    assert_eq!(pairs.counts(), [6_000; 5]);
    let sides = pairs.hold_out(0.3, 1).unwrap();
    eprintln!(
        "folds held out: {} pairs, {} to train on, {} between",
        sides.held_out.len(),
        sides.train.len(),
        sides.dropped
    );
    assert!(sides.held_out.counts().iter().all(|&count| count > 100), "{:?}", sides.held_out.counts());
}

#[test]
fn pairs_of_every_level_are_drawn_of_real_domains() {
    let Some(folder) = data() else { return };
    let (set, _) = whole(&folder, "homology_scope/domains.tsv.gz", &forms::domain_codes());
    let domains = super::super::Domains::of(&set).unwrap();
    assert_eq!(domains.pairs().iter().sum::<u64>(), 9_535 * 9_534);
    let begun = Instant::now();
    let drawn = domains.draw(100_000, 1, 0, 0.5).unwrap();
    eprintln!("{:?} pairs by level, drawn {:?} in {:.2?}", domains.pairs(), drawn.counts(), begun.elapsed());
    // The rarest level has one in thousands of all pairs, and is drawn often.
    assert!(drawn.counts().iter().all(|&count| count > 500), "{:?}", drawn.counts());
}
