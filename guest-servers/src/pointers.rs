//! Checks its own pointers into code, data, heap and stack for every call, and counts the calls in a state that it hands
//! over when it is relocated.
#![forbid(unsafe_code)]
#![no_std]
#![no_main]

use core::hint::black_box;

use abi::address::REGION_SIZE;
use rt::atomic::{AtomicU64, Ordering};
use rt::memory::working_set;
use rt::{Message, Start, Tag, reply_and_wait, wait};

rt::server!(serve);

/// The state: no pointers in it, so it is good at any address.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// Pointers that only the program's relocations make right.
static CODE: [fn() -> u64; 2] = [one, two];
static WORD: AtomicU64 = AtomicU64::new(0x5eed);
static DATA: &AtomicU64 = &WORD;

#[inline(never)]
fn one() -> u64 {
    black_box(1)
}

#[inline(never)]
fn two() -> u64 {
    black_box(2)
}

fn serve(start: Start) -> ! {
    rt::call::set_state(&COUNT);
    let heap = &working_set(&start)[0][0];
    heap.set(heap.as_ptr().addr() as u64);
    let local = start.base;
    let on_stack = black_box(&local);
    let mut received = wait();
    loop {
        let here = |address: usize| (address as u64).wrapping_sub(start.base) < REGION_SIZE;
        let data = black_box(DATA);
        let checks = [
            black_box(CODE)
                .iter()
                .enumerate()
                .all(|(index, code)| here(*code as usize) && code() == index as u64 + 1),
            here(core::ptr::from_ref(data).addr()) && data.load(Ordering::Relaxed) == 0x5eed,
            here(heap.as_ptr().addr()) && heap.get() == heap.as_ptr().addr() as u64,
            here(core::ptr::from_ref(on_stack).addr()) && *on_stack == start.base,
        ];
        let right = checks.into_iter().filter(|right| *right).count() as u64;
        let count = match received {
            Ok(_) => COUNT.fetch_add(1, Ordering::Relaxed) + 1,
            Err(_) => COUNT.load(Ordering::Relaxed),
        };
        received = reply_and_wait(Message { tag: Tag::new(0, 3), words: [count, right, start.base, 0] });
    }
}
