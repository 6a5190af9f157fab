//! Faults, loops or lies when told to, for the tests of what happens then.
#![expect(unsafe_code, reason = "it is what the program is for")]
#![no_std]
#![no_main]

use core::arch::asm;
use core::hint::black_box;
use core::ptr::{with_exposed_provenance, with_exposed_provenance_mut};

use abi::address::PHYSICAL_MAP_BASE;
use abi::call::{number, status};
use abi::program::crash;
use rt::call::status_of;
use rt::{Message, Start, Tag, reply_and_wait, wait};

rt::server!(serve);

/// The direct entry.
extern "C" fn answer(_badge: u64, tag: u64) -> u64 {
    misbehave(&Start::of_this_server(), Tag(tag).label());
    Message::EMPTY.tag.0
}

fn serve(start: Start) -> ! {
    rt::call::set_direct_entry(answer);
    let mut received = wait();
    loop {
        let message = received.map_or(Message::EMPTY, |received| received.message);
        let label = message.tag.label();
        received = if label == crash::READ_ADDRESS {
            reply_and_wait(Message::word(0, read(message.words[0])))
        } else if label == crash::WRITE_ADDRESS {
            write(message.words[0]);
            reply_and_wait(Message::EMPTY)
        } else if label == crash::PRIVILEGED_CALLS {
            let [refused, tried] = privileged_calls();
            reply_and_wait(Message { tag: Tag::new(label, 2), words: [refused, tried, 0, 0] })
        } else if label == crash::NO_REPLY {
            wait()
        } else {
            misbehave(&start, label);
            reply_and_wait(Message::EMPTY)
        };
    }
}

fn misbehave(start: &Start, label: u32) {
    match label {
        crash::PAGE_FAULT => drop(read(start.base - 4096)),
        // SAFETY: stops this server, which is the purpose.
        crash::INVALID_OPCODE => unsafe { asm!("ud2") },
        crash::WRITE_CODE => write(serve as *const () as u64),
        crash::STACK_OVERFLOW => {
            black_box(overflow(1));
        }
        crash::PANIC => panic!("as told"),
        crash::READ_KERNEL => drop(read(PHYSICAL_MAP_BASE)),
        // SAFETY: stops this server, which is the purpose; in the kernel it waits for an interrupt.
        crash::PRIVILEGED => unsafe { asm!("hlt") },
        crash::SPIN => loop {
            core::hint::spin_loop();
        },
        // SAFETY: stops this server, which is the purpose.
        crash::FLOATING_POINT => unsafe { asm!("fld1") },
        // SAFETY: none: it breaks the kernel, which is the purpose.
        crash::CORRUPT_KERNEL => unsafe { asm!("mov gs:[8], {}", in(reg) 1_usize) },
        crash::EXIT => rt::call::exit(77),
        crash::ENTER_64_BIT_CODE => rt::hostile::enter_64_bit_code(),
        crash::STEP_INTO_KERNEL => rt::hostile::step_into_kernel(),
        crash::CALL => drop(rt::call(0, Message::EMPTY)),
        crash::CALL_DIRECT => drop(rt::call::call_direct(0, Message::EMPTY)),
        crash::REPLY_AND_WAIT => drop(reply_and_wait(Message::EMPTY)),
        _ => {}
    }
}

/// Calls that would stop, start, move or end whatever there is, if they were allowed: how many were refused, and of how many.
fn privileged_calls() -> [u64; 2] {
    let statuses = [
        status_of::<{ number::MEASURE_BEGIN }>(1, 0),
        status_of::<{ number::MEASURE_END }>(1, 1),
        status_of::<{ number::PART_MEASURED }>(0, 0),
        status_of::<{ number::OTHERS_MEASURE }>(0, 0),
        status_of::<{ number::FINISH }>(0, 0),
        status_of::<{ number::MIGRATE }>(1, 0),
        status_of::<{ number::STOP }>(0, 0),
        status_of::<{ number::START }>(1, 0),
        status_of::<{ number::MOVE_THREAD }>(1, 0),
    ];
    let refused = statuses.iter().filter(|given| **given == status::NOT_PERMITTED).count();
    [refused as u64, statuses.len() as u64]
}

fn read(address: u64) -> u64 {
    // SAFETY: not at all: where the address is not mapped, this stops the server, which is the purpose.
    unsafe { with_exposed_provenance::<u64>(address as usize).read_volatile() }
}

fn write(address: u64) {
    // SAFETY: not at all: the page is not writable, so this stops the server, which is the purpose.
    unsafe { with_exposed_provenance_mut::<u64>(address as usize).write_volatile(0) };
}

/// Recurses for ever, each time with a frame of its own.
#[expect(unconditional_recursion, reason = "runs into the guard page, which is the purpose")]
fn overflow(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    overflow(frame[0] + 1) + black_box(frame)[1]
}
