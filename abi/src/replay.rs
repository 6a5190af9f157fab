//! What the programs of a replay are told of a recording: a table of bytes that the VMM puts into their images.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | number of ways |
//! | 4 | number of services |
//! | 4 | number of processes |
//! | 8 × ways | each way: its services, from the lowest byte on, each its handle + 1; 0 behind the last |
//! | 4 × processes | where the steps of each process end, in bytes from where those of the first one begin |
//! | … | the steps of all processes, a byte each |
//!
//! Numbers are little-endian. Each process has the same handles: first the services, then the processes.

/// Where the table lies in the image of a program that has one.
pub const OFFSET: u64 = 0x8_0000;

/// Most bytes of a table.
pub const SIZE_MAX: u64 = crate::region::IMAGE_SIZE_MAX - OFFSET;

/// Most ways, and most processes: a step names one of either.
pub const NUMBERS_MAX: usize = 128;

/// Most services that a request passes.
pub const DEPTH_MAX: usize = 8;

const WAYS: usize = 12;

/// What a process does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A request that takes this way.
    Request(u8),
    /// It is the turn of this process; wait until it is one's own again.
    HandOver(u8),
}

impl Step {
    /// As a byte of the table.
    pub const fn encode(self) -> u8 {
        match self {
            Step::Request(way) => way,
            Step::HandOver(process) => process | NUMBERS_MAX as u8,
        }
    }

    /// From a byte of the table.
    pub const fn decode(byte: u8) -> Step {
        match byte & NUMBERS_MAX as u8 {
            0 => Step::Request(byte),
            _ => Step::HandOver(byte & !(NUMBERS_MAX as u8)),
        }
    }
}

/// The handles of a way's services as one number.
pub fn encode_way(handles: &[usize]) -> u64 {
    handles.iter().rev().fold(0, |way, handle| way << 8 | (*handle as u64 + 1))
}

/// The handle of the first service of a way, and the way from there on; none at its end.
#[inline(always)]
pub const fn next_service(way: u64) -> Option<(u64, u64)> {
    match way & 0xff {
        0 => None,
        handle => Some((handle - 1, way >> 8)),
    }
}

/// A table that somebody has written.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    ways: &'a [[u8; 8]],
    services: u64,
    ends: &'a [[u8; 4]],
    steps: &'a [u8],
}

impl<'a> Table<'a> {
    /// None if the bytes are no whole table.
    pub fn read(bytes: &'a [u8]) -> Option<Table<'a>> {
        let number =
            |place: usize| Some(u32::from_le_bytes(bytes.get(4 * place..4 * place + 4)?.try_into().ok()?));
        let (ways, processes) = (number(0)? as usize, number(2)? as usize);
        let (ways, rest) = bytes.get(WAYS..)?.split_at_checked(ways.checked_mul(8)?)?;
        let (ends, steps) = rest.split_at_checked(processes.checked_mul(4)?)?;
        let table =
            Table { ways: ways.as_chunks().0, services: number(1)?.into(), ends: ends.as_chunks().0, steps };
        let is_whole = table.ends.iter().all(|end| u32::from_le_bytes(*end) as usize <= steps.len());
        is_whole.then_some(table)
    }

    /// The services of a way, as [`next_service`] reads them.
    #[inline(always)]
    pub fn way(&self, way: u8) -> u64 {
        self.ways.get(way as usize).map_or(0, |way| u64::from_le_bytes(*way))
    }

    /// The handle that leads to a process.
    pub fn process(&self, process: u8) -> u64 {
        self.services + u64::from(process)
    }

    /// The steps of a process.
    pub fn steps(&self, process: usize) -> &'a [u8] {
        let end = |process: usize| self.ends.get(process).map_or(0, |end| u32::from_le_bytes(*end) as usize);
        let first = process.checked_sub(1).map_or(0, end);
        self.steps.get(first..end(process)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_and_ways_are_read_as_they_were_written() {
        for step in [Step::Request(0), Step::Request(127), Step::HandOver(0), Step::HandOver(127)] {
            assert_eq!(Step::decode(step.encode()), step);
        }
        let mut way = encode_way(&[3, 0, 12]);
        for handle in [3, 0, 12] {
            let (next, rest) = next_service(way).unwrap();
            assert_eq!(next, handle);
            way = rest;
        }
        assert_eq!(next_service(way), None);
    }

    #[test]
    fn a_table_that_is_cut_is_none() {
        let mut bytes = [0; 12 + 8 + 8 + 3];
        (bytes[0], bytes[4], bytes[8], bytes[12]) = (1, 5, 2, 4);
        (bytes[20], bytes[24]) = (1, 3);
        bytes[28..].copy_from_slice(&[7, 8, 9]);
        let table = Table::read(&bytes).unwrap();
        assert_eq!((table.way(0), table.way(1), table.process(1)), (4, 0, 6));
        assert_eq!((table.steps(0), table.steps(1), table.steps(2)), (&[7][..], &[8, 9][..], &[][..]));
        for length in 0..bytes.len() {
            assert!(Table::read(&bytes[..length]).is_none(), "{length}");
        }
    }
}
