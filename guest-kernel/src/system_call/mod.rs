//! The system calls that the fast path did not take.

mod measure;

use abi::call::{Tag, number, status};
use abi::port::exit_code;
use abi::region::IMAGE_SIZE_MAX;
use abi::report::{FAULT_EXIT, Fault};

use crate::arch;
use crate::cpu::Cpu;
use crate::cpu::counters::count;
use crate::cpu::world::Alone;
use crate::ipc::{Next, slow};
use crate::lifecycle::{migrate, placing, start_stop};
use crate::memory::Placement;
use crate::object::message::Buffer;
use crate::object::server::Server;
use crate::object::thread::Thread;
use crate::sched::{self, fault};
use crate::smp::world;

/// Does system call `call` for the current thread, whose registers are in its context, and returns the thread that
/// runs next.
pub fn handle(cpu: &'static Cpu, thread: &'static Thread, call: u32) -> &'static Thread {
    let context = &thread.context;
    let (first, second) = (context.rdi.get(), context.rsi.get());
    count(if is_ipc(call) { &cpu.counters().ipc_slow } else { &cpu.counters().system_calls_not_ipc });
    let next = match call {
        number::CALL | number::CALL_DIRECT => slow::call(cpu, thread, first, Tag(second)),
        number::REPLY_AND_WAIT => slow::reply_and_wait(cpu, thread, Tag(second)),
        number::SEND => slow::send(cpu, thread, first, Tag(second)),
        number::WAIT => slow::wait(cpu, thread),
        number::NOTIFY => slow::notify(cpu, thread, first, second),
        number::YIELD => {
            thread.set_results(status::OK, 0, Tag(0));
            cpu.make_ready(thread);
            Next::Departed
        }
        _ => return handle_other(cpu, thread, call),
    };
    sched::after_call(cpu, thread, next)
}

/// Does a system call that is none of IPC.
fn handle_other(cpu: &'static Cpu, thread: &'static Thread, call: u32) -> &'static Thread {
    let (first, second) = (thread.context.rdi.get(), thread.context.rsi.get());
    let result = match call {
        number::EXIT => return exit(cpu, thread, first),
        number::MEASURE_BEGIN => return measure::begin(cpu, thread, first, second != 0),
        number::MEASURE_END => return measure::end(cpu, thread, first, second),
        number::NULL => status::OK,
        number::SET_MESSAGE_BUFFER => set_message_buffer(thread, first),
        number::SET_DIRECT_ENTRY => set_direct_entry(thread, first),
        number::SET_STATE => set_state(thread, first, second),
        number::WRITE_CONSOLE => write_console(thread, second),
        number::MIGRATE => {
            return change(cpu, thread, first, |alone, server| migrate(alone, thread, server, second));
        }
        number::STOP => return change(cpu, thread, first, |alone, server| stop(alone, thread, server)),
        number::START => {
            return change(cpu, thread, first, |alone, server| start(alone, thread, server, second));
        }
        number::MOVE_THREAD => {
            return change(cpu, thread, first, |alone, server| move_thread(alone, thread, server, second));
        }
        number::PART_MEASURED => measure::part_measured(cpu, thread, first, second),
        number::OTHERS_MEASURE => measure::others_measure(cpu, thread),
        number::FINISH => finish(cpu, thread, first),
        _ => status::NO_SUCH_CALL,
    };
    thread.set_results(result, 0, Tag(0));
    thread
}

fn is_ipc(call: u32) -> bool {
    call <= number::NOTIFY || call == number::CALL_DIRECT
}

fn exit(cpu: &'static Cpu, thread: &'static Thread, exit_status: u64) -> &'static Thread {
    let server = thread.server;
    let fault = Fault {
        server: server.index,
        vector: FAULT_EXIT,
        error_code: exit_status,
        rsp: thread.context.rsp.get(),
        rbp: thread.context.rbp.get(),
        region_base: server.program_base(),
        ..Fault::default()
    };
    fault::kill(cpu, server, &fault)
}

fn set_message_buffer(thread: &Thread, address: u64) -> u64 {
    match Buffer::of(thread.server, address) {
        Some(buffer) => {
            thread.set_buffer(buffer);
            status::OK
        }
        None => status::NO_BUFFER,
    }
}

fn set_direct_entry(thread: &Thread, address: u64) -> u64 {
    let server = thread.server;
    if address != 0 && address.wrapping_sub(server.program_base()) >= IMAGE_SIZE_MAX {
        return status::BAD_ARGUMENT;
    }
    server.set_direct_entry(address, thread.endpoint());
    status::OK
}

fn set_state(thread: &Thread, address: u64, size: u64) -> u64 {
    let server = thread.server;
    let offset = address.wrapping_sub(server.program_base());
    if size != 0 && offset.checked_add(size).is_none_or(|end| end > IMAGE_SIZE_MAX) {
        return status::BAD_ARGUMENT;
    }
    server.set_state(offset, size);
    status::OK
}

fn write_console(thread: &Thread, size: u64) -> u64 {
    let words = thread.context.words.each_ref().map(|word| word.get().to_le_bytes());
    let Some(bytes) = usize::try_from(size).ok().and_then(|size| words.as_flattened().get(..size)) else {
        return status::BAD_ARGUMENT;
    };
    arch::write_console(bytes);
    status::OK
}

/// Does a system call of the driver that changes what all CPUs use, for the server with this index, and sets its result. The
/// right to it is checked before anybody has to stop. Returns the thread that runs next.
fn change(
    cpu: &'static Cpu,
    thread: &'static Thread,
    index: u64,
    call: impl FnOnce(&Alone<'_>, &'static Server) -> Result<(), u64>,
) -> &'static Thread {
    let server = match server_of_driver(cpu, thread, index) {
        Ok(server) => server,
        Err(error) => {
            thread.set_error(error);
            return thread;
        }
    };
    let is_current = || cpu.is_current(thread);
    // Unless its turn comes: another CPU may move the caller away meanwhile.
    thread.set_error(status::BUSY);
    cpu.because_of_lifecycle(|| {
        world::stop(cpu, |alone| {
            // Another CPU may have ended the caller meanwhile.
            if is_current() {
                let result = call(alone, server).err().unwrap_or(status::OK);
                thread.set_results(result, 0, Tag(0));
            }
        });
        if is_current() { sched::after_call(cpu, thread, Next::Caller) } else { sched::run_next(cpu) }
    })
}

/// The server of the plan that a driver names.
fn server_of_driver(cpu: &Cpu, thread: &Thread, index: u64) -> Result<&'static Server, u64> {
    let kernel = cpu.kernel().filter(|_| thread.server.is_driver).ok_or(status::NOT_PERMITTED)?;
    let index = usize::try_from(index).map_err(|_| status::BAD_ARGUMENT)?;
    kernel.servers().get(index).ok_or(status::BAD_ARGUMENT)
}

fn move_thread(alone: &Alone<'_>, thread: &Thread, server: &Server, index: u64) -> Result<(), u64> {
    let moving = usize::try_from(index).ok().and_then(|index| server.threads().get(index));
    placing::move_thread(alone, moving.ok_or(status::BAD_ARGUMENT)?, thread.context.words[0].get())
}

fn migrate(alone: &Alone<'_>, thread: &Thread, server: &'static Server, how: u64) -> Result<(), u64> {
    let work = migrate::migrate(alone, server, how)?;
    let values = [work.servers, work.pages, work.flushed.invlpg, work.flushed.full];
    for (word, value) in thread.context.words.iter().zip(values) {
        word.set(value);
    }
    Ok(())
}

fn stop(alone: &Alone<'_>, thread: &Thread, server: &'static Server) -> Result<(), u64> {
    let stopped = start_stop::stop(alone, server);
    tell_frames_in_use(alone.cpu(), thread);
    stopped
}

fn start(alone: &Alone<'_>, thread: &Thread, server: &'static Server, place: u64) -> Result<(), u64> {
    let placement = Placement::of_number(place).ok_or(status::BAD_ARGUMENT)?;
    let started = start_stop::start(alone, server, placement);
    tell_frames_in_use(alone.cpu(), thread);
    started
}

/// Message word 0 of the answer.
fn tell_frames_in_use(cpu: &Cpu, thread: &Thread) {
    thread.context.words[0].set(cpu.frames_in_use());
}

fn finish(cpu: &Cpu, thread: &Thread, exit_status: u64) -> u64 {
    let Some(kernel) = cpu.kernel().filter(|_| thread.server.is_driver) else {
        return status::NOT_PERMITTED;
    };
    let Ok(exit_status) = u32::try_from(exit_status) else { return status::BAD_ARGUMENT };
    kernel.report.finish(exit_status);
    arch::exit(exit_code::FINISHED)
}

#[cfg(test)]
mod tests;
