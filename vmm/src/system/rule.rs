//! The programs of a guest, the way of a round trip, and what that costs by rule.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::participant::Participant;
use super::placement::Placement;

/// The programs of a case and the way of a round trip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct System {
    /// In the order in which the kernel starts them; the first is the client, which drives the case.
    pub participants: Vec<Participant>,
    /// Indices of the participants that run one after the other in a round trip; it ends where it begins.
    pub way: Vec<usize>,
    /// Whether every round trip goes this way, and no other.
    pub is_regular: bool,
}

impl System {
    /// A client that calls nobody.
    pub fn of(client: Participant) -> System {
        System { participants: vec![client], way: vec![0], is_regular: true }
    }

    /// Adds a program; returns its index.
    pub fn add(&mut self, participant: Participant) -> usize {
        self.participants.push(participant);
        self.participants.len() - 1
    }

    /// The client.
    pub fn client(&mut self) -> &mut Participant {
        &mut self.participants[0]
    }

    /// The client calls this one, and a round trip goes there and back.
    #[must_use]
    pub fn calling(mut self, index: usize) -> System {
        self.participants[0].may_call = vec![index.into()];
        self.way = vec![0, index, 0];
        self
    }

    /// Page-table loads of one round trip once the system has settled, by the rule of the resident space: a load
    /// happens exactly when the next program has a space of its own and that is not the one loaded last. `None` where
    /// the way depends on the timer, or on which server is alive.
    pub fn page_table_loads_per_round_trip(&self) -> Option<u64> {
        self.is_regular.then(|| self.loads_by_rule())
    }

    /// Threads of all participants.
    pub fn thread_count(&self) -> u64 {
        self.participants.iter().map(|participant| u64::from(participant.threads.count)).sum()
    }

    /// Page-table loads that so many switches between any threads may take: all of them if each thread has a space of its own
    /// all the time, none if there is one space at most, else nobody knows.
    pub fn page_table_loads_within(&self, switches: u64) -> RangeInclusive<u64> {
        let may_have_space = |one: &&Participant| {
            one.placement.has_own_space() || one.moves_to.is_some_and(Placement::has_own_space)
        };
        // Whoever moves may do so in every round trip.
        let always_has_space = |one: &Participant| {
            one.placement.has_own_space() && one.moves_to.is_none() && one.threads.count == 1
        };
        let spaces: BTreeSet<u32> =
            self.participants.iter().filter(may_have_space).map(|one| one.space).collect();
        let all_differ =
            spaces.len() == self.participants.len() && self.participants.iter().all(always_has_space);
        match spaces.len() {
            0 | 1 => 0..=0,
            _ if all_differ => switches..=switches,
            _ => 0..=switches,
        }
    }

    fn loads_by_rule(&self) -> u64 {
        let mut resident = None;
        let mut loads = 0;
        // The first turn only finds the space that is resident when a turn begins.
        for _ in 0..2 {
            loads = 0;
            for &next in &self.way {
                let participant = &self.participants[next];
                let placement = participant.moves_to.unwrap_or(participant.placement);
                if placement.has_own_space() && resident != Some(participant.space) {
                    resident = Some(participant.space);
                    loads += 1;
                }
            }
        }
        loads
    }
}
