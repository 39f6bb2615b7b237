//! Heads that users bring, as the worst of them are: what they say of a pair depends on the others of a call.

use pliant_kernels::Device;
use pliant_kernels::rng::Philox;

use super::super::asks::Asks;
use super::*;

/// Numbers of a vector.
const WIDTH: usize = 4;

/// Says more of a pair where more are asked about at once, and refuses pairs of a protein whose last number is 9.
struct Sociable;

impl Asks for Sociable {
    fn logits(&mut self, both: &[f32]) -> anyhow::Result<Vec<f32>> {
        let (firsts, seconds) = both.split_at(both.len() / 2);
        let company = (both.len() / 2 / WIDTH) as f32 / 1024.0;
        let pairs = firsts.chunks_exact(WIDTH).zip(seconds.chunks_exact(WIDTH));
        pairs
            .map(|(first, second)| {
                anyhow::ensure!(first[3] != 9.0 && second[3] != 9.0, "nothing is known of it");
                Ok(first.iter().zip(second).map(|(one, other)| one * other).sum::<f32>() + company)
            })
            .collect()
    }
}

fn brought(threads: usize, change: impl Fn(&mut [f32])) -> Scorer {
    let random = Philox::new(11, 1, 0);
    let mut numbers: Vec<f32> = (0..PROTEINS * WIDTH).map(|place| random.normal(place as u64)).collect();
    change(&mut numbers);
    let heads = (0..threads).map(|_| Box::new(Sociable) as Box<dyn Asks>).collect();
    Scorer::of_brought(Device::cpu(1).unwrap(), &ids(), numbers, (heads, WIDTH)).unwrap()
}

#[test]
fn a_pair_is_always_asked_about_in_the_same_company() {
    let way = |threads, columns, shards| Way { threads, columns, shards };
    let ways = [way(2, 4096, 1), way(3, 48, 1), way(2, 1, 2), way(1, 333, 7)];
    for (name, asked) in [("all", Asked::All), ("between", sides()), ("listed", listed())] {
        for keep in [BEST, CUT] {
            let made = |way: Way| answer_of(&brought(way.threads, |_| {}), &asked, keep, way);
            let wanted = made(way(1, 4096, 1));
            assert!(wanted.lines().count() > 3, "{name} {keep:?}");
            for way in ways {
                assert!(made(way) == wanted, "{name} {keep:?} {} {}", way.columns, way.shards);
            }
        }
    }
}

#[test]
fn a_pair_without_an_answer_is_named() {
    let refused = |threads, change: fn(&mut [f32]), asked: &Asked| {
        let scorer = brought(threads, change);
        let (mut head, mut tally) = (head(&scorer, BEST, Shard::WHOLE), Tally::new(PROTEINS, BEST));
        let limits = Limits { columns: 300, most: u64::MAX };
        let ended = super::super::work::work((&scorer, asked), (&mut head, &mut tally), None, limits, |_| {});
        format!("{:#}", ended.unwrap_err())
    };
    for threads in [1, 3] {
        let told = refused(threads, |numbers| numbers[100 * WIDTH + 3] = 9.0, &Asked::All);
        assert_eq!(told, "pair \"p0/p100\": nothing is known of it");
        let told = refused(threads, |numbers| numbers[1010 * WIDTH + 3] = 9.0, &listed());
        assert!(told.contains("/p1010\": nothing is known of it"), "{told}");
        let told = refused(threads, |numbers| numbers[..2 * WIDTH].fill(30.0), &Asked::All);
        assert!(told.starts_with("pair \"p0/p1\": the head says 3600"), "{told}");
        assert!(told.contains("wanted a number from -512 to 512"), "{told}");
    }
}

/// A head that is not asked about what nobody wants to know.
#[test]
fn only_pairs_that_are_asked_for_are_scored() {
    let scorer = brought(1, |numbers| numbers[3 * WIDTH + 3] = 9.0);
    let asked = Asked::Listed(vec![[0, 1], [0, 700], [1, 2], [5, 1000]]);
    let keep = Keep { best: None, least: f32::NEG_INFINITY };
    let text = answer_of(&scorer, &asked, keep, Way { threads: 1, columns: 64, shards: 1 });
    assert_eq!(text.lines().filter(|line| line.starts_with('p')).count(), 4 + 1, "{text}");
}
