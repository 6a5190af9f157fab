//! A recording as the programs of a guest replay it: which process makes which request after which, and which servers answer.

use std::io::BufRead;
use std::sync::Arc;

use abi::region::WORKING_SET_PAGES_MAX;
use abi::replay::{DEPTH_MAX, NUMBERS_MAX, SIZE_MAX, Step, encode_way};
use indexmap::{IndexMap, IndexSet};

use super::error::RecordingError;
use super::mapping::{Mapping, Server};
use super::predict::{Placement, Sequence};
use super::read::Reader;

/// A recording that cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It cannot be read.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// Nothing to replay.
    #[error("it has no requests, so there is nothing to replay")]
    Empty,
    /// More of something than a replay has room for.
    #[error("it has {found} {what}, and a replay holds {most}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        most: usize,
    },
}

/// A recording without times: its requests in the order of their answers.
#[derive(Clone, Debug)]
pub struct Replay {
    /// The servers, in the order of the mapping.
    pub servers: IndexMap<String, Server>,
    /// Processes of the recording.
    pub processes: usize,
    /// What the prediction is made of.
    pub sequence: Sequence,
    /// The table of [`abi::replay`].
    pub table: Arc<[u8]>,
    ways: IndexSet<Vec<usize>>,
    /// Process and way of each request.
    requests: Vec<(u8, u8)>,
}

impl Replay {
    /// Reads a recording.
    pub fn read<R: BufRead>(reader: Reader<R>, mapping: &Mapping) -> Result<Replay, ReplayError> {
        let mut replay = Replay {
            servers: mapping.servers().clone(),
            processes: 0,
            sequence: Sequence::default(),
            table: Arc::default(),
            ways: IndexSet::new(),
            requests: Vec::new(),
        };
        let pages = mapping.servers().values().map(|server| server.pages).max().unwrap_or(0);
        if pages > WORKING_SET_PAGES_MAX.into() {
            let (found, most) = (pages as usize, WORKING_SET_PAGES_MAX as usize);
            return Err(ReplayError::TooMany { what: "pages of a server", found, most });
        }
        for request in reader {
            let request = request?;
            let way = mapping.way(&request.kind, request.descriptor);
            replay.sequence.add(request.process, way);
            let known = replay.ways.get_index_of(way);
            let index = known.unwrap_or_else(|| replay.ways.insert_full(way.to_owned()).0);
            replay.processes = replay.processes.max(request.process as usize + 1);
            let found = [
                ("ways of requests", index + 1, NUMBERS_MAX),
                ("processes", replay.processes, NUMBERS_MAX),
                ("servers on a request's way", way.len(), DEPTH_MAX),
                ("requests", replay.requests.len() + 1, SIZE_MAX as usize / 2),
            ];
            if let Some((what, found, most)) = found.into_iter().find(|(_, found, most)| found > most) {
                return Err(ReplayError::TooMany { what, found, most });
            }
            replay.requests.push((request.process as u8, index as u8));
        }
        if replay.requests.is_empty() {
            return Err(ReplayError::Empty);
        }
        replay.table = replay.written().into();
        // Each turn of another process is a step, too.
        let (found, most) = (replay.table.len(), SIZE_MAX as usize);
        if found > most {
            return Err(ReplayError::TooMany { what: "bytes of requests and turns", found, most });
        }
        Ok(replay)
    }

    /// The first so many servers of those that save most page-table loads in the kernel.
    pub fn first(&self, count: usize) -> Placement {
        let order = self.sequence.by_saving(0..self.servers.len());
        Placement(order.into_iter().take(count).fold(0, |bits, (server, _)| bits | 1 << server))
    }

    /// Page-table loads of a replay that follows another one: where it ends in the process that it begins in, that one is loaded already.
    pub fn loads(&self, placement: Placement) -> u64 {
        let process = |request: Option<&(u8, u8)>| request.map(|(process, _)| *process);
        let is_loaded = process(self.requests.first()) == process(self.requests.last());
        self.sequence.loads(placement) - u64::from(is_loaded)
    }

    /// Process and servers of each request, in order.
    pub fn requests(&self) -> impl Iterator<Item = (usize, &[usize])> {
        self.requests.iter().map(|(process, way)| (*process as usize, self.ways[*way as usize].as_slice()))
    }

    fn written(&self) -> Vec<u8> {
        let mut steps = vec![Vec::new(); self.processes];
        let mut running = 0;
        for (process, way) in &self.requests {
            if *process != running {
                steps[running as usize].push(Step::HandOver(*process).encode());
                running = *process;
            }
            steps[running as usize].push(Step::Request(*way).encode());
        }
        // The next round begins with the first process.
        if running != 0 {
            steps[running as usize].push(Step::HandOver(0).encode());
        }
        let mut table = Vec::new();
        for number in [self.ways.len(), self.servers.len(), self.processes] {
            table.extend((number as u32).to_le_bytes());
        }
        self.ways.iter().for_each(|way| table.extend(encode_way(way).to_le_bytes()));
        let mut end = 0;
        for steps in &steps {
            end += steps.len() as u32;
            table.extend(end.to_le_bytes());
        }
        steps.iter().for_each(|steps| table.extend(steps));
        table
    }
}

#[cfg(test)]
mod tests {
    use abi::replay::Table;

    use super::*;
    use crate::requests::kept;

    /// What a guest does with the table, step by step.
    fn played(table: &Table<'_>, processes: usize) -> Vec<(usize, u64)> {
        let mut places = vec![0; processes];
        let (mut running, mut requests) = (0, Vec::new());
        while let Some(step) = table.steps(running).get(places[running]) {
            places[running] += 1;
            match Step::decode(*step) {
                Step::Request(way) => requests.push((running, table.way(way))),
                Step::HandOver(next) => running = next.into(),
            }
        }
        assert_eq!(running, 0, "the first process has the last turn");
        assert!((0..processes).all(|process| places[process] == table.steps(process).len()));
        requests
    }

    #[test]
    fn a_table_holds_every_request_in_its_order() {
        for name in kept::NAMES {
            let replay = kept::replay(name).unwrap();
            assert!(replay.table.len() as u64 <= SIZE_MAX, "{name}");
            let table = Table::read(&replay.table).unwrap();
            let expected = replay.requests().map(|(process, way)| (process, encode_way(way)));
            assert!(played(&table, replay.processes).into_iter().eq(expected), "{name}");
            assert_eq!(replay.requests().count() as u64, replay.sequence.requests, "{name}");
        }
    }

    #[test]
    fn the_first_servers_are_those_that_advise_moves() {
        for name in kept::NAMES {
            let replay = kept::replay(name).unwrap();
            let all: Vec<usize> = (0..replay.servers.len()).collect();
            for (placement, loads) in replay.sequence.best(&all, usize::MAX) {
                assert_eq!(replay.first(placement.count()), placement, "{name}");
                assert_eq!(replay.sequence.loads(placement), loads, "{name}");
            }
            assert_eq!(replay.first(all.len()).count(), all.len(), "{name}");
        }
    }
}
