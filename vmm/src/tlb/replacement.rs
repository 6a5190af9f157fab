//! Which way of a full set is given up.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::tlb::geometry::{Replacement, Shape};

/// What an array remembers to choose its victims.
#[derive(Clone, Debug)]
pub(crate) enum Policy {
    /// The way with the oldest time stamp; the array keeps those anyway.
    Lru,
    /// One bit for each inner node of the tree of each set. Node 1 is the root, node n has the children 2n and 2n + 1;
    /// a set bit sends the search for a victim to the right.
    TreePlru(Vec<u64>),
    /// Anything may go. The generator is the same on every host and in every version of its crate.
    Random(Box<ChaCha8Rng>),
}

impl Policy {
    /// For an array of this shape.
    pub(crate) fn new(shape: &Shape, seed: u64) -> Policy {
        match shape.replacement {
            Replacement::Lru => Policy::Lru,
            Replacement::TreePlru => Policy::TreePlru(vec![0; shape.sets() as usize]),
            Replacement::Random => Policy::Random(Box::new(ChaCha8Rng::seed_from_u64(seed))),
        }
    }

    /// A way was used: the tree's bits on the path to it point elsewhere.
    pub(crate) fn touch(&mut self, set: usize, way: usize, ways: usize) {
        let Policy::TreePlru(trees) = self else { return };
        let mut node = 1;
        for half in halves(ways) {
            let is_right = way & half != 0;
            let bit = 1 << node;
            if is_right {
                trees[set] &= !bit;
            } else {
                trees[set] |= bit;
            }
            node = 2 * node + usize::from(is_right);
        }
    }

    /// The way to give up; `stamps` are the times at which the ways of this set were last used.
    pub(crate) fn victim(&mut self, set: usize, stamps: &[u64]) -> usize {
        let ways = stamps.len();
        match self {
            Policy::Lru => oldest(stamps),
            Policy::TreePlru(trees) => {
                let (mut node, mut way) = (1, 0);
                for half in halves(ways) {
                    let is_right = trees[set] >> node & 1 == 1;
                    way |= if is_right { half } else { 0 };
                    node = 2 * node + usize::from(is_right);
                }
                way
            }
            // The bias of the remainder is below 2^-40 for any array that is accepted.
            Policy::Random(generator) => (generator.next_u64() % ways as u64) as usize,
        }
    }
}

/// The way that was used longest ago.
pub(crate) fn oldest(stamps: &[u64]) -> usize {
    (0..stamps.len()).min_by_key(|way| stamps[*way]).unwrap_or(0)
}

/// Half the ways, a quarter, … 1: the bit of the way number that each level of the tree decides.
fn halves(ways: usize) -> impl Iterator<Item = usize> {
    (0..ways.trailing_zeros()).rev().map(|shift| 1 << shift)
}
