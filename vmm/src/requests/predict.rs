//! Page-table loads of a recorded sequence on one vCPU, by the rule of the resident space: a load happens exactly when the next
//! program has a space of its own and that is not the one loaded last.

use std::cmp::Reverse;
use std::collections::HashMap;

/// Servers that a [`Placement`] has bits for.
pub const SERVERS_MAX: usize = u64::BITS as usize;

/// Which servers are in the kernel, a bit a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Placement(pub u64);

impl Placement {
    /// Whether the server is in the kernel.
    pub fn has(self, server: usize) -> bool {
        self.0 >> server & 1 == 1
    }

    /// How many are in the kernel.
    pub fn count(self) -> usize {
        self.0.count_ones() as usize
    }
}

/// A recorded sequence, as far as page-table loads depend on it. A request ends in its own process, whose space is then resident. So the
/// next one depends on it only by whether it is of the same process: it is enough to count, for each way, how often it was taken by the
/// process of the request before, and how often by another. This takes the same memory for a sequence of any length.
#[derive(Clone, Debug, Default)]
pub struct Sequence {
    same: HashMap<Vec<usize>, u64>,
    other: HashMap<Vec<usize>, u64>,
    before: Option<u32>,
    /// Requests in all.
    pub requests: u64,
}

impl Sequence {
    /// Adds the next request: of this process, through these servers.
    pub fn add(&mut self, process: u32, way: &[usize]) {
        let counts = if self.before == Some(process) { &mut self.same } else { &mut self.other };
        match counts.get_mut(way) {
            Some(count) => *count += 1,
            None => {
                counts.insert(way.to_owned(), 1);
            }
        }
        self.before = Some(process);
        self.requests += 1;
    }

    /// Page-table loads with these servers in the kernel, the load of the first process included.
    pub fn loads(&self, placement: Placement) -> u64 {
        // There and back: of n servers with spaces all n are loaded on the way there, n - 1 on the way back, and then the process.
        let of = |way: &[usize]| 2 * way.iter().filter(|server| !placement.has(**server)).count() as u64;
        let same: u64 = self.same.iter().map(|(way, count)| count * of(way)).sum();
        let other: u64 = self.other.iter().map(|(way, count)| count * (of(way) + 1)).sum();
        same + other
    }

    /// Messages: a call and an answer for each server of a way.
    pub fn messages(&self) -> u64 {
        let all = self.same.iter().chain(&self.other);
        all.map(|(way, count)| count * 2 * way.len() as u64).sum()
    }

    /// These servers with the loads that each saves in the kernel, the one that saves most first.
    pub fn by_saving(&self, servers: impl IntoIterator<Item = usize>) -> Vec<(usize, u64)> {
        let nowhere = self.loads(Placement(0));
        let saved = |server: usize| nowhere - self.loads(Placement(1 << server));
        let mut order: Vec<(usize, u64)> =
            servers.into_iter().map(|server| (server, saved(server))).collect();
        order.sort_by_key(|(server, saved)| (Reverse(*saved), *server));
        order
    }

    /// For each number of servers in the kernel, from none to `limit`, the placement with the fewest loads among those that move only
    /// servers of `may_move`. It ends where one more server saves nothing.
    ///
    /// A server that is in the kernel saves two loads for each request that passes it, whatever the others do. So the savings of
    /// several add up, and the best set of n is the n that save most; a test compares this with every set there is.
    pub fn best(&self, may_move: &[usize], limit: usize) -> Vec<(Placement, u64)> {
        let order = self.by_saving(may_move.iter().copied());
        let mut placement = Placement(0);
        let mut found = vec![(placement, self.loads(placement))];
        for (server, _) in order.into_iter().filter(|(_, saved)| *saved > 0).take(limit) {
            placement.0 |= 1 << server;
            found.push((placement, self.loads(placement)));
        }
        found
    }

    /// The best of all placements but that of [`Sequence::best`], among those that move no more servers than it; none if it moves none.
    pub fn next_best(&self, may_move: &[usize], limit: usize) -> Option<(Placement, u64)> {
        let (best, _) = self.best(may_move, limit).pop().filter(|(placement, _)| placement.count() > 0)?;
        let order = self.by_saving(may_move.iter().copied());
        let (last, _) = order[best.count() - 1];
        let without = best.0 & !(1 << last);
        // Savings add up, so the one that saves least gives way to the one that would come next; if that saves nothing, to nobody.
        let next = order.get(best.count()).filter(|(_, saved)| *saved > 0);
        let placement = Placement(without | next.map_or(0, |(server, _)| 1 << server));
        Some((placement, self.loads(placement)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SERVERS: usize = 6;

    /// The rule word for word, over every switch.
    fn loads_switch_by_switch(requests: &[(u32, Vec<usize>)], placement: Placement) -> u64 {
        let mut resident = None;
        let mut loads = 0;
        let mut switch_to = |space| {
            if resident != Some(space) {
                resident = Some(space);
                loads += 1;
            }
        };
        for (process, way) in requests {
            let client = (true, *process as usize);
            switch_to(client);
            // The way back names the last server again, which is no switch.
            for server in way.iter().chain(way.iter().rev()).filter(|server| !placement.has(**server)) {
                switch_to((false, *server));
            }
            switch_to(client);
        }
        loads
    }

    fn requests() -> impl Strategy<Value = Vec<(u32, Vec<usize>)>> {
        let way = prop::sample::subsequence((0..SERVERS).collect::<Vec<_>>(), 0..=4).prop_shuffle();
        prop::collection::vec((0..3u32, way), 0..40)
    }

    fn sequence(requests: &[(u32, Vec<usize>)]) -> Sequence {
        let mut sequence = Sequence::default();
        requests.iter().for_each(|(process, way)| sequence.add(*process, way));
        sequence
    }

    proptest! {
        #[test]
        fn loads_are_those_of_the_rule(requests in requests(), bits in 0..1u64 << SERVERS) {
            let placement = Placement(bits);
            prop_assert_eq!(sequence(&requests).loads(placement), loads_switch_by_switch(&requests, placement));
        }

        #[test]
        fn no_other_placement_is_better(requests in requests(), allowed in 0..1u64 << SERVERS, limit in 0..=SERVERS) {
            let may_move: Vec<usize> = (0..SERVERS).filter(|server| Placement(allowed).has(*server)).collect();
            let all = (0..1u64 << SERVERS).filter(|bits| bits & !allowed == 0).map(Placement);
            let within = all.filter(|placement| placement.count() <= limit);
            let fewest = within.map(|placement| loads_switch_by_switch(&requests, placement)).min();
            let best = sequence(&requests).best(&may_move, limit);
            let (placement, loads) = *best.last().unwrap();
            prop_assert!(placement.count() <= limit && placement.0 & !allowed == 0);
            prop_assert_eq!(Some(loads), fewest);
            let others = (0..1u64 << SERVERS).filter(|bits| bits & !allowed == 0 && *bits != placement.0).map(Placement);
            let others = others.filter(|other| other.count() <= placement.count());
            let fewest = others.map(|other| loads_switch_by_switch(&requests, other)).min();
            let next = sequence(&requests).next_best(&may_move, limit);
            prop_assert_eq!(next.map(|(_, loads)| loads), fewest);
            if let Some((next, _)) = next {
                prop_assert!(next != placement && next.count() <= placement.count() && next.0 & !allowed == 0);
            }
        }
    }

    #[test]
    fn a_server_in_the_kernel_keeps_the_space_of_its_last_client() {
        let in_kernel = Placement(1);
        let load = |requests: &[u32]| {
            let requests: Vec<_> = requests.iter().map(|process| (*process, vec![0])).collect();
            sequence(&requests).loads(in_kernel)
        };
        // A → S → A loads nothing more; A → S → B loads B.
        assert_eq!((load(&[0]), load(&[0, 0]), load(&[0, 1])), (1, 1, 2));
    }
}
