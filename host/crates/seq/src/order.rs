//! The order of examples in an epoch.

use crate::random::{self, Purpose};

/// The numbers 0 to below `count` in the order of an epoch, a function of the three.
pub fn epoch_order(seed: u64, epoch: u64, count: usize) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..count).collect();
    random::draw(&mut random::of_epoch(seed, Purpose::Order, epoch), &mut numbers, count);
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_has_an_order_of_its_own() {
        let orders = [(1, 0), (1, 1), (2, 0)].map(|(seed, epoch)| epoch_order(seed, epoch, 50));
        assert_eq!(orders[0], epoch_order(1, 0, 50));
        assert!(orders[0] != orders[1] && orders[0] != orders[2]);
        for mut order in orders {
            order.sort_unstable();
            assert_eq!(order, (0..50).collect::<Vec<_>>());
        }
        assert_eq!(epoch_order(1, 0, 0), []);
    }
}
