//! The system calls that the fast path did not take.

use abi::call::{Tag, number, status};
use abi::plan::placement;
use abi::port::exit_code;
use abi::region::IMAGE_SIZE_MAX;
use abi::report::{FAULT_EXIT, Fault};

use crate::cpu::{Cpu, count};
use crate::lifecycle::start_stop;
use crate::lifecycle::start_stop::Regions;
use crate::lifecycle::{death, migrate, placing};
use crate::measure::mark;
use crate::object::server::{Placement, Server};
use crate::object::thread::Thread;
use crate::smp::world;
use crate::smp::world::Alone;
use crate::{arch, ipc};

/// Does system call `call` for the current thread, whose registers are in its context, and returns the thread that
/// runs next.
pub fn handle(cpu: &'static Cpu, thread: &'static Thread, call: u32) -> &'static Thread {
    let context = &thread.context;
    let (first, second) = (context.rdi.get(), context.rsi.get());
    count(if is_ipc(call) { &cpu.counters.ipc_slow } else { &cpu.counters.system_calls_not_ipc });
    match call {
        number::CALL | number::CALL_DIRECT => return ipc::slow::call(cpu, thread, first, Tag(second)),
        number::REPLY_AND_WAIT => return ipc::slow::reply_and_wait(cpu, thread, Tag(second)),
        number::SEND => return ipc::slow::send(cpu, thread, first, Tag(second)),
        number::WAIT => return ipc::slow::wait(cpu, thread),
        number::NOTIFY => return ipc::slow::notify(cpu, thread, first, second),
        number::YIELD => {
            thread.set_results(status::OK, 0, Tag(0));
            cpu.make_ready(thread);
            return cpu.run_next_instead_of(thread);
        }
        number::EXIT => return exit(cpu, thread, first),
        number::MEASURE_BEGIN => return mark::begin(cpu, thread, first, second != 0),
        number::MEASURE_END => return mark::end(cpu, thread, first, second),
        _ => {}
    }
    let result = match call {
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
        number::PART_MEASURED => mark::part_measured(cpu, thread, first, second),
        number::OTHERS_MEASURE => mark::others_measure(cpu, thread),
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
    death::kill(cpu, server, &fault)
}

fn set_message_buffer(thread: &Thread, address: u64) -> u64 {
    match arch::message_buffer(thread.server, address) {
        Some(buffer) => {
            thread.buffer.set(Some(buffer));
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
    server.direct_entry.set(address);
    if server.placement.get() == Placement::Kernel {
        thread.endpoint.get().direct_entry.set(address);
    }
    status::OK
}

fn set_state(thread: &Thread, address: u64, size: u64) -> u64 {
    let server = thread.server;
    let offset = address.wrapping_sub(server.program_base());
    if size != 0 && offset.checked_add(size).is_none_or(|end| end > IMAGE_SIZE_MAX) {
        return status::BAD_ARGUMENT;
    }
    server.state.set(if size == 0 { (0, 0) } else { (offset, size) });
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
/// right to it is checked before anybody has to stand still. Returns the thread that runs next.
fn change(
    cpu: &'static Cpu,
    thread: &'static Thread,
    index: u64,
    call: impl FnOnce(&Alone, &'static Server) -> Result<(), u64>,
) -> &'static Thread {
    let server = match server_of_driver(cpu, thread, index) {
        Ok(server) => server,
        Err(error) => {
            thread.set_error(error);
            return thread;
        }
    };
    let is_current = || cpu.current.get().is_some_and(|current| core::ptr::eq(current, thread));
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
        if is_current() { cpu.reschedule(thread, None) } else { cpu.run_next() }
    })
}

/// The server of the plan that a driver names.
fn server_of_driver(cpu: &Cpu, thread: &Thread, index: u64) -> Result<&'static Server, u64> {
    let kernel = cpu.kernel.get().filter(|_| thread.server.is_driver).ok_or(status::NOT_PERMITTED)?;
    let index = usize::try_from(index).map_err(|_| status::BAD_ARGUMENT)?;
    kernel.servers.get().get(index).ok_or(status::BAD_ARGUMENT)
}

fn move_thread(alone: &Alone, thread: &Thread, server: &Server, index: u64) -> Result<(), u64> {
    let moving = usize::try_from(index).ok().and_then(|index| server.threads.get().get(index));
    placing::move_thread(alone, moving.ok_or(status::BAD_ARGUMENT)?, thread.context.words[0].get())
}

fn migrate(alone: &Alone, thread: &Thread, server: &'static Server, how: u64) -> Result<(), u64> {
    let work = migrate::migrate(alone, server, how)?;
    let values = [work.servers, work.pages, work.flushed.invlpg, work.flushed.full];
    for (word, value) in thread.context.words.iter().zip(values) {
        word.set(value);
    }
    Ok(())
}

fn stop(alone: &Alone, thread: &Thread, server: &'static Server) -> Result<(), u64> {
    let stopped = start_stop::stop(alone, server);
    tell_frames_in_use(alone.cpu(), thread);
    stopped
}

fn start(alone: &Alone, thread: &Thread, server: &'static Server, place: u64) -> Result<(), u64> {
    let placement = match u32::try_from(place) {
        Ok(placement::USER) => Placement::User,
        Ok(placement::KERNEL) => Placement::Kernel,
        Ok(placement::SMALL) => Placement::Small,
        Ok(placement::LARGE) => Placement::Large,
        _ => return Err(status::BAD_ARGUMENT),
    };
    let started = start_stop::start(alone, server, placement);
    tell_frames_in_use(alone.cpu(), thread);
    started
}

/// Message word 0 of the answer.
fn tell_frames_in_use(cpu: &Cpu, thread: &Thread) {
    let regions = cpu.kernel.get().and_then(|kernel| kernel.regions.get());
    thread.context.words[0].set(regions.map_or(0, Regions::frames_in_use));
}

fn finish(cpu: &Cpu, thread: &Thread, exit_status: u64) -> u64 {
    let Some(kernel) = cpu.kernel.get().filter(|_| thread.server.is_driver) else {
        return status::NOT_PERMITTED;
    };
    let Ok(exit_status) = u32::try_from(exit_status) else { return status::BAD_ARGUMENT };
    kernel.report.finish(exit_status);
    arch::exit(exit_code::FINISHED)
}
