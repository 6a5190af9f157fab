//! Moving servers while they are called.

use abi::call::migrate;
use abi::workload::{method, status};
use rt::clock::{StealTime, mark, now, sample};
use rt::place::{INSIDE, MOVE_IN, OUTSIDE};

use crate::load::Load;
use crate::measure::{Failure, empty_call};

/// How long to wait for a server that is busy when it is to be relocated: the deadline of the case ends it, on a busy host as well.
const DEADLINE_CYCLES: u64 = u64::MAX;

/// The servers that this client has the kernel move, and how.
pub struct Movers {
    last: u64,
    method: u64,
}

impl Movers {
    /// Servers 1 to `last`, each moved by this one of [`method`].
    pub fn new(last: u64, method: u64) -> Result<Movers, Failure> {
        if method > method::RESTART {
            return Err(Failure(status::BAD_ARGUMENT));
        }
        Ok(Movers { last, method })
    }

    /// Moves all of them; it is a failure if one stays.
    pub fn move_all(&self, how: u64) -> Result<(), Failure> {
        let moved = if self.method == method::GROUP {
            rt::call::migrate(1, how | migrate::WITH_GROUP)?[0]
        } else {
            let mut moved = 0;
            for server in 1..=self.last {
                moved += self.move_one(server, how)?;
            }
            moved
        };
        if moved == self.last { Ok(()) } else { Err(Failure(status::WRONG_ANSWER)) }
    }

    /// Moves one; returns the number moved.
    fn move_one(&self, server: u64, how: u64) -> Result<u64, Failure> {
        match self.method {
            method::RELOCATE => rt::call::relocate(server, how, DEADLINE_CYCLES)?,
            method::RESTART => {
                let into_kernel = how & MOVE_IN != 0;
                rt::call::stop(server)?;
                rt::call::start(server, if into_kernel { INSIDE } else { OUTSIDE })?;
            }
            _ => return Ok(rt::call::migrate(server, how)?[0]),
        }
        Ok(1)
    }

    /// Moves all of them, then calls: what the move takes, and how long the caller is without an answer.
    fn move_and_call(&self, how: u64, steal_time: &StealTime) -> Result<[u64; 2], Failure> {
        let stolen_ns = steal_time.stolen_ns();
        let begin = now();
        self.move_all(how)?;
        let moved = now();
        empty_call()?;
        let end = now();
        Ok([moved.wrapping_sub(begin), end.wrapping_sub(begin)].map(|span| mark(steal_time, stolen_ns, span)))
    }

    pub fn there_and_back(&self, steal_time: &StealTime) -> Result<[u64; 6], Failure> {
        let (before, answer) = sample(steal_time, empty_call);
        answer?;
        let [move_in, gap_in] = self.move_and_call(MOVE_IN, steal_time)?;
        let (after, answer) = sample(steal_time, empty_call);
        answer?;
        let [move_out, gap_out] = self.move_and_call(0, steal_time)?;
        Ok([before, move_in, gap_in, after, move_out, gap_out])
    }

    /// Moves all of them in and out while the second thread calls.
    pub fn there_and_back_under_load(
        &self,
        steal_time: &StealTime,
        load: &Load,
    ) -> Result<[u64; 4], Failure> {
        let [move_in, gap_in] = self.move_under_load(MOVE_IN, steal_time, load)?;
        let [move_out, gap_out] = self.move_under_load(0, steal_time, load)?;
        Ok([move_in, gap_in, move_out, gap_out])
    }

    fn move_under_load(&self, how: u64, steal_time: &StealTime, load: &Load) -> Result<[u64; 2], Failure> {
        load.wait_for_answer();
        let stolen_ns = steal_time.stolen_ns();
        load.watch();
        let begin = now();
        self.move_all(how)?;
        let moved = now();
        load.moved();
        // Only then the gap around the move has ended.
        load.wait_for_answer();
        Ok([moved.wrapping_sub(begin), load.longest_gap()].map(|span| mark(steal_time, stolen_ns, span)))
    }
}
