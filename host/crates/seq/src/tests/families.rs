//! Families: what is read, what is left out, and that pairs come as often as is stated.

use std::collections::BTreeMap;

use super::corpus::proteins;
use super::masking::{near, unevenness};
use crate::{
    Corpus, CorpusError, CorpusOptions, ESM2, ExcludeList, Families, FamilyOptions, FamilyReport,
    MlmSettings, Pair, PairForm, PairPack, PairSampler, PairSet, Replacement, Rounding, Sampler,
    SamplerSettings, SettingError, Source,
};

const APART: (PairForm, Option<usize>) = (PairForm::Apart, None);

fn read(sources: &[(&str, &str)], min_family: usize) -> Result<(Families, FamilyReport), CorpusError> {
    let sources: Vec<Source> =
        sources.iter().map(|(name, text)| Source::from_bytes(name, text.as_bytes())).collect();
    let exclude = ExcludeList::default();
    let corpus = CorpusOptions { vocabulary: &ESM2, exclude: &exclude, min_residues: 3 };
    Families::read(&sources, &FamilyOptions { corpus, max_residues: 1000, min_family })
}

/// Families of so many sequences each, of lengths from 20 to `longest`.
fn families(sizes: &[usize], longest: usize) -> Families {
    let all: usize = sizes.iter().sum();
    let names = sizes.iter().enumerate().flat_map(|(family, &size)| std::iter::repeat_n(family, size));
    let mut text = String::from("family\tsequence\n");
    for (family, residues) in names.zip(proteins(all, 20, longest)) {
        text.push_str(&format!("f{family}\t{}\n", String::from_utf8(residues).unwrap()));
    }
    read(&[("f.tsv", &text)], 1).unwrap().0
}

fn sampler(budget_tokens: usize) -> Sampler {
    let settings = SamplerSettings { seed: 5, budget_tokens, crop: None, masking: MlmSettings::default() };
    Sampler::new(&ESM2, settings).unwrap()
}

fn texts(corpus: &Corpus) -> Vec<&str> {
    corpus.iter().map(|residues| std::str::from_utf8(residues).unwrap()).collect()
}

#[test]
fn headers_of_pfam_and_tables_say_the_same() {
    let fasta = ">A_HUMAN/1-5 A1.1 PF00001.20;7tm_1;\nMKVAA\n>B_HUMAN/1-4 B1.1 PF00002.3;Globin;\nmk-vl\n\
                 >C_HUMAN/2-5 C1.1 PF00001.20;7tm_1;\nMKVLL*\n";
    let table = "id,sequence,family,more\na,MKVAA,7tm_1,x\nb,MKVL,Globin,\nc,MKVLL,7tm_1,y\n";
    let (one, report) = read(&[("a.fasta", fasta)], 1).unwrap();
    let (other, told) = read(&[("a.csv", table)], 1).unwrap();
    assert_eq!(one, other);
    assert_eq!(texts(one.corpus()), ["MKVAA", "MKVL", "MKVLL"]);
    assert_eq!((one.families(), one.name(0), one.name(1)), (2, "7tm_1", "Globin"));
    assert_eq!((one.members(0), one.members(1)), (&[0, 2][..], &[1][..]));
    assert_eq!([0, 1, 2].map(|number| one.family_of(number)), [0, 1, 0]);
    assert_eq!((report.corpus.totals.records, report.corpus.totals.warnings.gaps), (3, 1));
    assert_eq!((told.corpus.totals.records, told.corpus.totals.letters), (3, report.corpus.totals.letters));
    // The family is a part of what the digest names.
    let moved = table.replace("b,MKVL,Globin", "b,MKVL,Other");
    assert_ne!(read(&[("a.csv", &moved)], 1).unwrap().0.digest(), one.digest());
    assert_eq!(read(&[("a.csv", &moved)], 1).unwrap().0.corpus().digest(), one.corpus().digest());
}

#[test]
fn every_record_is_accounted_for() {
    let fasta = ">a x PF1;F;\nMKVA\n>b x\nMKVL\n>c x PF1;\nMKVM\n>d x PF1;F;\nM1\n>e x PF2;G;\nMKVW\n>f x PF1;F\nMK\n";
    let table = "family\tsequence\nF\tMKVC\n\tMKVD\nF\tMK1\nF\tMKVA\nH\tAAAA\nH\tAA-AC*\n";
    let (families, report) = read(&[("t.tsv", table), ("a.fasta", fasta)], 2).unwrap();
    assert_eq!(texts(families.corpus()), ["MKVA", "MKVC", "AAAA", "AAAC"], "FASTA comes before tables");
    assert_eq!((families.name(0), families.name(1)), ("F", "H"));
    let failed: Vec<(String, u64, String)> = report
        .corpus
        .failures
        .iter()
        .map(|failure| (failure.id.clone(), failure.line, failure.reason.to_string()))
        .collect();
    let names: Vec<(&str, u64)> = failed.iter().map(|(id, line, _)| (id.as_str(), *line)).collect();
    assert_eq!(names, [("b", 3), ("c", 5), ("d", 7), ("line3", 3), ("line4", 4)]);
    assert!(failed[0].2.contains("the header names no family; wanted a third word like"), "{}", failed[0].2);
    assert!(failed[3].2.starts_with("the column 'family': found nothing"), "{}", failed[3].2);
    assert!(failed[4].2.contains("found '1' at position 3 of the sequence (line 4)"), "{}", failed[4].2);
    let totals = report.corpus.totals;
    assert_eq!((totals.headers, totals.records, totals.failures), (12, 7, 5));
    assert_eq!((totals.warnings.gaps, totals.warnings.stop_records), (1, 1));
    let left_out = report.corpus.left_out;
    assert_eq!((left_out.short.records, left_out.identical.records), (1, 1));
    assert_eq!((report.small_families, report.small.records, report.small.residues), (1, 1, 4));
    let refused = read(&[("t.tsv", table)], 9).unwrap_err().to_string();
    assert!(refused.contains("each of the 2 families has fewer than 9"), "{refused}");
    let column = read(&[("t.tsv", "family\tseq\n")], 1).unwrap_err();
    let source = std::error::Error::source(&column).unwrap().to_string();
    assert!(source.contains("t.tsv has no column 'sequence'"), "{source}");
}

#[test]
fn what_is_held_out_is_what_a_corpus_holds_out() {
    let all = families(&[40, 30, 30], 40);
    let (train, apart) = all.hold_out(0.3, 7).unwrap();
    let (corpus_train, corpus_apart) = all.corpus().hold_out(0.3, 7).unwrap();
    assert_eq!(train.corpus(), &corpus_train);
    assert_eq!(apart.corpus(), &corpus_apart);
    for side in [&train, &apart] {
        for (number, residues) in side.corpus().iter().enumerate() {
            let old = all.corpus().iter().position(|found| found == residues).unwrap();
            assert_eq!(side.name(side.family_of(number)), all.name(all.family_of(old)));
            assert!(side.members(side.family_of(number)).contains(&(number as u32)));
        }
    }
    assert_eq!(all.without(apart.corpus()).unwrap(), (train, apart.corpus().sequences()));
    assert!(matches!(all.without(all.corpus()), Err(CorpusError::AllHeldOut { sequences: 100 })));
    assert!(matches!(all.hold_out(1e-12, 7), Err(CorpusError::OneSided { held_out: 0, .. })));
}

/// All pairs of some epochs.
fn pairs(families: &Families, sampler: &PairSampler, epochs: u64) -> Vec<Pair> {
    let all = 0..families.corpus().sequences() as u32;
    (0..epochs)
        .flat_map(|epoch| all.clone().map(move |number| (epoch, number)))
        .map(|(epoch, number)| sampler.pair(families, epoch, number))
        .collect()
}

/// Families of very different sizes: the size must not count where another family is drawn.
#[test]
fn pairs_come_as_often_as_is_stated() {
    let sizes = [200, 50, 20, 9, 1];
    let families = families(&sizes, 40);
    let sampler = PairSampler::new(sampler(4000), &families, APART).unwrap();
    let pairs = pairs(&families, &sampler, 150);
    let same = pairs.iter().filter(|pair| pair.same).count();
    assert!(near(same, pairs.len(), 0.5), "{same} of {}", pairs.len());
    let family = |number: u32| families.family_of(number as usize);
    // Of each family of first members: families of second ones, where they differ.
    let mut others = BTreeMap::<usize, [f64; 5]>::new();
    let mut partners = BTreeMap::<(bool, u32), f64>::new();
    let mut themselves = 0;
    for pair in &pairs {
        assert_eq!(pair.same, family(pair.first) == family(pair.second));
        if !pair.same {
            others.entry(family(pair.first)).or_default()[family(pair.second)] += 1.0;
        }
        themselves += usize::from(pair.first == pair.second);
        *partners.entry((pair.same, pair.second)).or_default() += 1.0;
    }
    for (own, counts) in others {
        assert_eq!(counts[own], 0.0);
        let rest: Vec<f64> =
            counts.iter().enumerate().filter(|(other, _)| *other != own).map(|(_, &count)| count).collect();
        assert!(unevenness(&rest).abs() < 4.0, "{own}: {counts:?}");
    }
    // A sequence is its own partner once in as many pairs of one family as that has sequences: once a family and epoch.
    let wanted = 0.5 * sizes.len() as f64 * 150.0;
    assert!((themselves as f64 - wanted).abs() < 4.0 * wanted.sqrt(), "{themselves}, wanted {wanted}");
    for family in 0..4 {
        for same in [true, false] {
            let members = families.members(family).iter();
            let counts: Vec<f64> =
                members.map(|&member| partners.get(&(same, member)).copied().unwrap_or(0.0)).collect();
            assert!(unevenness(&counts).abs() < 4.0, "{family}, {same}: {counts:?}");
        }
    }
}

fn epoch(sampler: &PairSampler, families: &Families, number: u64) -> Vec<PairPack> {
    let packs = sampler.epoch_start(families, number)..sampler.epoch_start(families, number + 1);
    packs.map(|pack| sampler.batch(families, pack)).collect()
}

#[test]
fn every_sequence_begins_one_pair_of_an_epoch() {
    let families = families(&[60, 40, 25], 80);
    for (least, budget) in [(1, 900), (20, 1), (64, 900)] {
        let sampler =
            PairSampler::new(sampler(budget).with_least_sequences(least), &families, APART).unwrap();
        let least = least.div_ceil(2).max(1);
        for number in [0, 3] {
            let packs = epoch(&sampler, &families, number);
            let mut firsts = Vec::new();
            for (place, pack) in packs.iter().enumerate() {
                let (chains, count) = (&pack.chains.pack, pack.pairs());
                assert_eq!((chains.sequences(), pack.chains.epoch), (2 * count, number));
                let last = place + 1 == packs.len();
                assert!(count >= least || last, "{count} pairs");
                // What is over the budget is there because there must be so many.
                assert!(chains.tokens() <= budget || count == least || last, "{} tokens", chains.tokens());
                for pair in 0..count {
                    let [first, second] = [pair, pair + count].map(|chain| chains.rows[chain] as u32);
                    let drawn = sampler.pair(&families, number, first);
                    assert_eq!(drawn, Pair { first, second, same: pack.same[pair] });
                    firsts.push(first);
                }
                let of_firsts = pack.chains.places.iter().filter(|place| **place < chains.offsets[count]);
                assert_eq!(of_firsts.count(), pack.first_places);
                assert!(pack.chains.places.is_sorted() && pack.first_places < pack.chains.places.len());
            }
            firsts.sort_unstable();
            assert!(firsts.into_iter().eq(0..125), "epoch {number}");
        }
    }
}

#[test]
fn packs_are_a_function_of_seed_and_number() {
    let families = families(&[30, 20, 10], 60);
    let make = |seed| {
        let settings =
            SamplerSettings { seed, budget_tokens: 700, crop: Some(30), masking: MlmSettings::default() };
        PairSampler::new(Sampler::new(&ESM2, settings).unwrap(), &families, APART).unwrap()
    };
    let (one, other) = (make(1), make(1));
    let forward: Vec<PairPack> = (0..40).map(|number| one.batch(&families, number)).collect();
    let mut backward: Vec<PairPack> = (0..40).rev().map(|number| other.batch(&families, number)).collect();
    backward.reverse();
    assert_eq!(forward, backward);
    assert_ne!(make(2).batch(&families, 0), forward[0]);
    // A sequence that is its own partner is hidden in two ways.
    let own = forward.iter().find_map(|pack| {
        let count = pack.pairs();
        let rows = &pack.chains.pack.rows;
        (0..count).find(|&pair| rows[pair] == rows[pair + count]).map(|pair| (pack, pair, pair + count))
    });
    let (pack, first, second) = own.unwrap();
    let ids = |chain: usize| {
        let offsets = &pack.chains.pack.offsets;
        pack.chains.pack.ids[offsets[chain]..offsets[chain + 1]].to_vec()
    };
    assert_ne!(ids(first), ids(second));
}

#[test]
fn pairs_over_the_limit_are_drawn_again() {
    // Tokens are residues and two more: the longest sequences go with short ones alone.
    let families = families(&[60, 40, 25], 100);
    let longest = families.corpus().lengths().longest + families.corpus().lengths().shortest + 4 + 20;
    let free = PairSampler::new(sampler(900), &families, APART).unwrap();
    let bound = PairSampler::new(sampler(900), &families, (PairForm::Apart, Some(longest))).unwrap();
    let length = |number: u32| families.corpus().sequence(number as usize).len();
    let (mut kept, mut advanced, mut over) = (0, 0, 0);
    for number in
        (0..125).cycle().take(125 * 20).enumerate().map(|(turn, number)| (turn as u64 / 125, number))
    {
        let (epoch, number) = number;
        let pair = bound.pair(&families, epoch, number);
        assert!(length(pair.first) + length(pair.second) + 4 <= longest);
        let first_try = free.pair(&families, epoch, number);
        if length(first_try.first) + length(first_try.second) + 4 <= longest {
            assert_eq!(pair, first_try, "what fits is not drawn again");
            kept += 1;
        } else {
            over += 1;
        }
        advanced += u32::from(pair.first != number);
    }
    assert!(kept > 100 && over > 100 && advanced > 0, "{kept}, {over}, {advanced}");
    let refused =
        PairSampler::new(sampler(900), &families, (PairForm::Apart, Some(longest - 21))).unwrap_err();
    assert!(matches!(refused, SettingError::Sampler { name: "the limit of pairs", .. }), "{refused}");
    let one = read(&[("a.csv", "family,sequence\nF,MKVA\nF,MKVL\n")], 1).unwrap().0;
    let refused = PairSampler::new(sampler(900), &one, APART).unwrap_err().to_string();
    assert!(refused.contains("all sequences are of the family 'F'"), "{refused}");
}

#[test]
fn fixed_pairs_are_those_of_the_table() {
    let table = "sequence_A\tsequence_B\tx\tis_samefamily\nMKVA\tMKVL\t-\t1\nmkvl\tMKVA\t\t0\nMKVA\tMKVA\t\tTrue\nMKVA\tM1\t\t0\n\
                 MKVA\tMKVC\t\tyes\n";
    let (set, report) = PairSet::read(&[Source::from_bytes("p.tsv", table.as_bytes())], 100).unwrap();
    assert_eq!(texts(set.corpus()), ["MKVA", "MKVL"]);
    let pair = |first, second, same| Pair { first, second, same };
    assert_eq!(set.pairs(), [pair(0, 1, true), pair(1, 0, false), pair(0, 0, true)]);
    let failed: Vec<(u64, String)> =
        report.failures.iter().map(|failure| (failure.line, failure.reason.to_string())).collect();
    assert_eq!(report.rows, 5);
    assert!(failed[0].0 == 5 && failed[0].1.contains("found '1' at position 2"), "{failed:?}");
    assert_eq!(failed[1], (6, "the column 'is_samefamily': found 'yes', wanted 1 or 0".to_owned()));
    let none = "sequence_A,sequence_B,is_samefamily\nA,C,2\n";
    let refused = PairSet::read(&[Source::from_bytes("p.csv", none.as_bytes())], 100).unwrap_err();
    assert!(matches!(refused, CorpusError::NoPairs { rows: 1, failures: 1 }), "{refused}");
}

#[test]
fn drawn_pairs_never_change_and_are_asked_alike_in_every_company() {
    let families = families(&[50, 30, 20], 60);
    let set = PairSet::drawn(&families, 250, 9).unwrap();
    assert_eq!(set, PairSet::drawn(&families, 250, 9).unwrap());
    assert_ne!(set, PairSet::drawn(&families, 250, 8).unwrap());
    assert_eq!(set.pairs().len(), 250);
    let same = set.pairs().iter().filter(|pair| pair.same).count();
    assert!(near(same, 250, 0.5), "{same}");
    let mut firsts: Vec<&[u8]> =
        set.pairs()[..100].iter().map(|pair| set.corpus().sequence(pair.first as usize)).collect();
    firsts.sort_unstable();
    firsts.dedup();
    assert_eq!(firsts.len(), 100, "each once before one comes again");
    let asked = |budget| {
        let pairs = PairSampler::new(sampler(budget), &families, APART).unwrap();
        let mut asked = BTreeMap::new();
        let mut count = 0;
        for pack in pairs.evaluation_packs(&set) {
            count += pack.pairs();
            let chains = &pack.chains.pack;
            for (chain, &row) in chains.rows.iter().enumerate() {
                let ids = &chains.ids[chains.offsets[chain]..chains.offsets[chain + 1]];
                let before = asked.insert(row, ids.to_vec());
                assert!(before.is_none_or(|before| before == ids), "a sequence is always asked the same");
            }
        }
        assert_eq!(count, 250);
        asked
    };
    assert_eq!(asked(100), asked(10_000));
}

/// The rule of PLUS: a share rounded down, so many at most, and replacements from 1 on.
#[test]
fn the_masks_of_plus_are_counted_as_it_counts_them() {
    let table = format!(
        "family,sequence\nF,{}\nF,{}\nG,AJJJJJJJJJJJJJJJJJJJ\n",
        "MKV".repeat(40),
        "ACDEFGH".repeat(90)
    );
    let families = read(&[("a.csv", &table)], 1).unwrap().0;
    let masked = |replacement| {
        let sampler = sampler(1).with_masking(Rounding::Down { most: 50 }, replacement);
        let mut counts = BTreeMap::<u64, Vec<usize>>::new();
        let mut replaced = BTreeMap::<u32, usize>::new();
        for number in 0..3000 {
            let batch = sampler.batch(families.corpus(), number);
            counts.entry(batch.pack.rows[0]).or_default().push(batch.places.len());
            for (&place, &target) in batch.places.iter().zip(&batch.targets) {
                let shown = batch.pack.ids[place];
                if shown != ESM2.mask && shown != target {
                    *replaced.entry(shown).or_default() += 1;
                }
            }
        }
        (counts, replaced)
    };
    let (counts, standard) = masked(Replacement::Standard);
    for (row, wanted) in [(0, 18), (1, 50), (2, 1)] {
        assert!(counts[&row].iter().all(|&count| count == wanted), "{row}: {:?}", counts[&row]);
    }
    assert!(standard.keys().all(|&token| (4..24).contains(&token)), "{standard:?}");
    let (_, published) = masked(Replacement::UpTo(21));
    let tokens: Vec<u32> = published.keys().copied().collect();
    assert_eq!(tokens, (1..=21).collect::<Vec<u32>>());
}

/// One chain of both members: what each is asked follows from the lengths of both, as PLUS-TFM has it.
#[test]
fn joined_members_share_what_is_asked_by_their_lengths() {
    let families = families(&[30, 20, 10], 80);
    let most = 12;
    let make = |form| {
        let sampler = sampler(900).with_masking(Rounding::Down { most }, Replacement::Standard);
        PairSampler::new(sampler, &families, (form, None)).unwrap()
    };
    let (joined, apart) = (make(PairForm::Joined), make(PairForm::Apart));
    let mut capped = 0;
    for number in 0..30 {
        let pack = joined.batch(&families, number);
        assert_eq!(pack.first_places, pack.chains.places.len());
        let chains = &pack.chains.pack;
        let mut shown = chains.ids.clone();
        for (&place, &target) in pack.chains.places.iter().zip(&pack.chains.targets) {
            shown[place] = target;
        }
        let mut residues = 0;
        for pair in 0..pack.pairs() {
            let own = chains.offsets[pair]..chains.offsets[pair + 1];
            let [first, second] = [chains.rows[pair], pack.seconds[pair]]
                .map(|number| ESM2.encode(families.corpus().sequence(number as usize)).ids);
            assert_eq!(shown[own.clone()], [first.as_slice(), &second[1..]].concat());
            let lengths = [first.len() - 2, second.len() - 2];
            residues += (lengths[0] + lengths[1]) as u64;
            let all = (0.15 * own.len() as f64) as usize;
            capped += usize::from(all > most);
            let all = all.min(most);
            let wanted = all * lengths[0] / (lengths[0] + lengths[1]);
            let border = own.start + first.len();
            let asked: Vec<usize> =
                pack.chains.places.iter().copied().filter(|place| own.contains(place)).collect();
            let of_first = asked.iter().filter(|place| **place < border).count();
            assert_eq!((of_first, asked.len()), (wanted, all));
            assert!(
                !asked.contains(&own.start)
                    && !asked.contains(&(border - 1))
                    && !asked.contains(&(own.end - 1))
            );
        }
        assert_eq!(pack.residues(), residues);
    }
    assert!(capped > 0);
    // The same pairs, whatever their form.
    for number in 0..60 {
        assert_eq!(joined.pair(&families, 1, number), apart.pair(&families, 1, number));
    }
}
