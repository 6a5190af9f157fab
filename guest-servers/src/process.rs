//! A process of a replayed recording that is not the first: takes its turns, again and again.
#![forbid(unsafe_code)]
#![no_std]
#![no_main]

use abi::program::process;
use abi::replay::Table;
use rt::{Start, memory, replay, wait};

rt::server!(serve);

fn serve(start: Start) -> ! {
    let table = Table::read(memory::table(&start, start.argument(process::TABLE_BYTES)));
    let table = table.unwrap_or_else(|| panic!("no table"));
    let number = start.argument(process::NUMBER) as usize;
    if wait().is_ok() {
        while replay::play(&table, number).is_ok() {}
    }
    panic!("a service has failed")
}
