//! The talk's rule for which servers move into the kernel together: each server has a queue of its latest partners, and takes them along
//! when it moves. Here it is run over a recorded sequence, to be compared with the order that saves most.

use std::cmp::Reverse;

use abi::plan::PARTNERS_MAX;

/// Latest partners of each server, and how often it was asked. Clients are no partners: they are not trusted.
#[derive(Clone, Debug)]
pub struct Partners {
    may_move: Vec<bool>,
    /// The latest first.
    queues: Vec<Vec<usize>>,
    calls: Vec<u64>,
}

impl Partners {
    /// None yet, of so many servers. Only those of `may_move` are trusted.
    pub fn new(servers: usize, may_move: &[usize]) -> Partners {
        let may_move = (0..servers).map(|server| may_move.contains(&server)).collect();
        Partners { may_move, queues: vec![Vec::new(); servers], calls: vec![0; servers] }
    }

    /// Adds the next request: it passes these servers, and its answer goes the same way back.
    pub fn add(&mut self, way: &[usize]) {
        for server in way {
            self.calls[*server] += 1;
        }
        for pair in way.windows(2).chain(way.windows(2).rev()) {
            self.note(pair[0], pair[1]);
            self.note(pair[1], pair[0]);
        }
    }

    /// The kernel's own note of a message.
    fn note(&mut self, of: usize, partner: usize) {
        if !self.may_move[partner] {
            return;
        }
        let queue = &mut self.queues[of];
        if let Some(place) = queue.iter().position(|known| *known == partner) {
            queue.remove(place);
        }
        queue.insert(0, partner);
        queue.truncate(PARTNERS_MAX);
    }

    /// The order in which servers move: the one that was asked most, which has proved stable first, with its partners, the latest first;
    /// then the same of those that are left. Servers that were never asked stay where they are.
    pub fn order(&self) -> Vec<usize> {
        let is_asked = |server: &usize| self.may_move[*server] && self.calls[*server] > 0;
        let mut first: Vec<usize> = (0..self.calls.len()).filter(is_asked).collect();
        first.sort_by_key(|server| (Reverse(self.calls[*server]), *server));
        let mut order: Vec<usize> = Vec::new();
        for server in first {
            if order.contains(&server) {
                continue;
            }
            order.push(server);
            for partner in &self.queues[server] {
                if !order.contains(partner) {
                    order.push(*partner);
                }
            }
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn order(may_move: &[usize], ways: &[&[usize]]) -> Vec<usize> {
        let mut partners = Partners::new(6, may_move);
        ways.iter().for_each(|way| partners.add(way));
        partners.order()
    }

    #[test]
    fn the_busiest_moves_with_its_latest_partners() {
        let all = [0, 1, 2, 3, 4, 5];
        // 2 is asked most; it met 3 last and 0 before. 4 is asked more often than 3, and knows nobody.
        let ways: [&[usize]; 7] = [&[0, 2], &[2], &[2, 3], &[4], &[4], &[4], &[1, 4]];
        assert_eq!(order(&all, &ways), [4, 1, 2, 3, 0]);
        assert_eq!(order(&all, &[&[2], &[2], &[0, 2], &[2, 3], &[4]]), [2, 3, 0, 4]);
        // Who is not trusted neither moves nor is remembered.
        assert_eq!(order(&[0, 2, 4], &[&[2], &[2], &[0, 2], &[2, 3], &[4]]), [2, 0, 4]);
    }

    #[test]
    fn on_the_way_back_the_next_server_was_the_last_partner_but_for_the_one_that_asked() {
        let mut partners = Partners::new(3, &[0, 1, 2]);
        partners.add(&[0, 1, 2]);
        assert_eq!(partners.queues, [vec![1], vec![0, 2], vec![1]]);
    }

    proptest! {
        #[test]
        fn every_server_that_was_asked_and_may_move_moves_once(
            ways in prop::collection::vec(
                prop::sample::subsequence((0..24usize).collect::<Vec<_>>(), 0..=4).prop_shuffle(), 0..60
            ),
            allowed in 0..1u32 << 24,
        ) {
            let may_move: Vec<usize> = (0..24).filter(|server| allowed >> server & 1 == 1).collect();
            let mut partners = Partners::new(24, &may_move);
            ways.iter().for_each(|way| partners.add(way));
            let mut order = partners.order();
            prop_assert!(partners.queues.iter().all(|queue| queue.len() <= PARTNERS_MAX));
            order.sort_unstable();
            let mut asked: Vec<usize> = ways.concat();
            asked.retain(|server| may_move.contains(server));
            asked.sort_unstable();
            asked.dedup();
            prop_assert_eq!(order, asked);
        }
    }
}
