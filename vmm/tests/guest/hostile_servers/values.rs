//! Numbers of the kind that breaks things.

use abi::call::{Tag, number};
use abi::region;
use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use crate::raw::DATA;

/// Rights of a hostile server; the next handle is none.
pub const HANDLES: u64 = 24;

/// Flags that ring 3 can set, or try to: trap, direction, I/O privilege, nested task, resume, alignment check, virtual-8086,
/// identification, interrupt, and the arithmetic ones.
const FLAGS: [u32; 11] = [
    1 << 8,
    1 << 10,
    3 << 12,
    1 << 14,
    1 << 16,
    1 << 17,
    1 << 18,
    1 << 21,
    1 << 9,
    0x8d5,
    1 << 10 | 1 << 14 | 1 << 18,
];

/// Any number, above all those at the edges of something.
pub fn odd(random: &mut ChaCha8Rng) -> u64 {
    const EDGES: [u64; 20] = [
        0,
        1,
        2,
        0xfff,
        0x1000,
        0x7fff_ffff,
        0xffff_ffff,
        1 << 32,
        (1 << 47) - 4096,
        (1 << 47) - 1,
        1 << 47,
        1 << 63,
        u64::MAX,
        u64::MAX - 7,
        u64::MAX - 4095,
        abi::address::PHYSICAL_MAP_BASE,
        abi::address::SLOT_BASE,
        abi::address::CPU_AREA_BASE,
        abi::address::KERNEL_IMAGE_BASE,
        abi::address::SMALL_BASE,
    ];
    let edge = *EDGES.choose(random).unwrap();
    match random.random_range(0..5) {
        0 => random.random(),
        1 => edge ^ 1 << random.random_range(0..64),
        _ => edge,
    }
}

/// A place in the own region: what is there, what is a guard, what is nothing.
pub fn offset(random: &mut ChaCha8Rng) -> u64 {
    let places = [
        0,
        crate::raw::CODE,
        DATA,
        DATA + 8,
        DATA + 0x1000,
        DATA + 0x3000,
        DATA + 0x3ff8,
        DATA + crate::raw::DATA_SIZE,
        region::KERNEL_INTERFACE_OFFSET,
        region::START_INFO_OFFSET,
        region::CLOCK_OFFSET,
        region::THREAD_OFFSET,
        region::stack_end(0, 0) - 0x1000,
        region::stack_end(0, 0) - 8,
        region::stack_end(0, 0),
        region::WORKING_SET_OFFSET,
        region::SAMPLES_OFFSET,
        0xffff_f000,
    ];
    *places.choose(random).unwrap()
}

pub fn tag(random: &mut ChaCha8Rng) -> u64 {
    let words = *[0, 0, 1, 4, 4, 5, 100, 512, 513, 0xffff].choose(random).unwrap();
    let tag = Tag::new(*[0, 1, 2, 7, u32::MAX].choose(random).unwrap(), words).0;
    tag | if random.random_bool(0.15) { random.random::<u64>() & Tag::FLAGS } else { 0 }
}

pub fn flags(random: &mut ChaCha8Rng) -> u32 {
    *FLAGS.choose(random).unwrap()
}

/// A handle, mostly a good one. The first two lead to servers that answer; with others a caller may wait for long.
pub fn handle(random: &mut ChaCha8Rng) -> u64 {
    match random.random_range(0..10) {
        0..6 => random.random_range(0..2),
        6..9 => random.random_range(0..=HANDLES),
        _ => odd(random),
    }
}

/// Number of a system call, mostly of one that exists. Ending itself is dull, and so is waiting for ever.
pub fn call(random: &mut ChaCha8Rng) -> u64 {
    loop {
        let call = match random.random_bool(0.93) {
            true => random.random_range(0..number::COUNT).into(),
            false => *[number::COUNT.into(), 255, 1 << 31, 1 << 32, (1 << 32) + 6, u64::MAX]
                .choose(random)
                .unwrap(),
        };
        let is_dull = [number::EXIT, number::WAIT, number::REPLY_AND_WAIT].map(u64::from).contains(&call);
        if !is_dull || random.random_bool(0.1) {
            return call;
        }
    }
}

/// First and second argument of a system call of a server whose region is at `base`; of a 64-bit server, whose base only its
/// registers know, the first one may be [`Argument::InRegion`].
pub enum Argument {
    Value(u64),
    InRegion(u64),
}

pub fn arguments(call: u64, random: &mut ChaCha8Rng) -> (Argument, u64) {
    let address = |random: &mut ChaCha8Rng| match random.random_bool(0.7) {
        true => Argument::InRegion(offset(random)),
        false => Argument::Value(odd(random)),
    };
    match call as u32 {
        number::SET_MESSAGE_BUFFER | number::SET_DIRECT_ENTRY => (address(random), odd(random)),
        number::SET_STATE => {
            let sizes = [0, 8, 0x4000, 0x4001, 1 << 63, u64::MAX, u64::MAX - DATA];
            (address(random), *sizes.choose(random).unwrap())
        }
        number::WRITE_CONSOLE => {
            (Argument::Value(odd(random)), *[0, 1, 32, 33, 255, u64::MAX].choose(random).unwrap())
        }
        number::NOTIFY => (Argument::Value(handle(random)), odd(random)),
        number::MIGRATE | number::STOP | number::START | number::MOVE_THREAD => {
            (Argument::Value(handle(random)), handle(random))
        }
        number::MEASURE_BEGIN | number::MEASURE_END | number::PART_MEASURED => {
            let parties = [0, 1, 2, 100, u64::MAX];
            (Argument::Value(*parties.choose(random).unwrap()), random.random_range(0..3))
        }
        _ => (Argument::Value(handle(random)), tag(random)),
    }
}
