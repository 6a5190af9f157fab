//! The transfer mode `direct`: the caller's own thread runs the entry function of a server in the kernel, as in LRPC.
//!
//! No thread is switched, no queue is touched. Both ways in make the same checks as the fast path (short message, right,
//! a thread of the server waiting, so that nobody is in the middle of a request) and one more (the server has a direct
//! entry); whatever fails, the call goes on as CALL. Interrupts stay off, see [`abi::call::DirectEntry`].

use core::arch::naked_asm;
use core::mem::offset_of;

use abi::call::{REGISTER_WORDS, number};

use super::system_call::{CONTEXT, call_from_direct_entry, call_path, exit_to_user};
use crate::arch::context::Context;
use crate::cpu;
use crate::object::endpoint::{self, Right};
use crate::object::thread;

const _: () = assert!(number::CALL == 0 && size_of::<Right>() == 16);

/// The jump from the `kernel` stub of CALL_DIRECT arrives here: in ring 0, on the server's own stack, whose top is the
/// return address. RDI = handle, RSI = tag, R12..R15 = message.
///
/// The entry function runs on the same stack. RSP, RBX and RBP are saved all the same, for a caller that gets an error
/// because the function faults.
#[unsafe(naked)]
pub(super) unsafe extern "sysv64" fn kernel_direct_call_entry() {
    naked_asm!(
        "cli",
        "cmp qword ptr gs:[{direct}], 0",
        "jne {call_from_direct_entry}",
        "mov rdx, gs:[{current}]",
        "cmp esi, {register_words}",
        "ja 2f",
        "cmp rdi, [rdx + {rights_count}]",
        "jae 2f",
        "mov r8, rdi",
        "shl r8, 4",
        "add r8, [rdx + {rights_first}]",
        "mov r9, [r8 + {endpoint}]",
        "cmp qword ptr [r9 + {receivers_top}], 0",
        "je 2f",
        "mov r10, [r9 + {direct_entry}]",
        "test r10, r10",
        "jz 2f",
        // The call.
        "mov [rdx + {rsp}], rsp",
        "mov [rdx + {rbx}], rbx",
        "mov [rdx + {rbp}], rbp",
        "mov gs:[{direct}], r9",
        "inc qword ptr gs:[{ipc_direct}]",
        "mov rdi, [r8 + {badge}]",
        "sub rsp, 8", // the stack is as after a CALL: align it for the next one
        "call r10",
        "add rsp, 8",
        "mov qword ptr gs:[{direct}], 0",
        "mov rsi, rax",
        "xor edi, edi",
        "xor eax, eax", // status::OK
        "sti", // takes effect after the next instruction
        "ret",
        // Not this way: as CALL.
        "2:",
        "jmp {call_path}",
        current = const cpu::offset::CURRENT,
        direct = const cpu::offset::DIRECT,
        ipc_direct = const cpu::offset::IPC_DIRECT,
        register_words = const REGISTER_WORDS,
        rights_count = const thread::offset::RIGHTS_COUNT,
        rights_first = const thread::offset::RIGHTS_FIRST,
        endpoint = const offset_of!(Right, endpoint),
        badge = const offset_of!(Right, badge),
        receivers_top = const endpoint::offset::RECEIVERS_TOP,
        direct_entry = const endpoint::offset::DIRECT_ENTRY,
        rsp = const CONTEXT + offset_of!(Context, rsp),
        rbx = const CONTEXT + offset_of!(Context, rbx),
        rbp = const CONTEXT + offset_of!(Context, rbp),
        call_from_direct_entry = sym call_from_direct_entry,
        call_path = sym call_path,
    )
}

/// CALL_DIRECT from ring 3: RDX = current thread, whose RSP, RBX, RBP and RIP are saved, RDI = handle, RSI = tag, RSP = the
/// kernel's stack, where the entry function runs.
#[unsafe(naked)]
pub(super) unsafe extern "sysv64" fn user_direct_call() {
    naked_asm!(
        "cmp esi, {register_words}",
        "ja 2f",
        "cmp rdi, [rdx + {rights_count}]",
        "jae 2f",
        "mov r8, rdi",
        "shl r8, 4",
        "add r8, [rdx + {rights_first}]",
        "mov r9, [r8 + {endpoint}]",
        "cmp qword ptr [r9 + {receivers_top}], 0",
        "je 2f",
        "mov r10, [r9 + {direct_entry}]",
        "test r10, r10",
        "jz 2f",
        // The call. The function keeps RBX, so the current thread waits there.
        "mov rbx, rdx",
        "mov gs:[{direct}], r9",
        "inc qword ptr gs:[{ipc_direct}]",
        "mov rdi, [r8 + {badge}]",
        "call r10",
        "mov qword ptr gs:[{direct}], 0",
        "mov rsi, rax",
        "xor edi, edi",
        "mov rcx, [rbx + {rip}]",
        "mov rsp, [rbx + {rsp}]",
        "mov rbp, [rbx + {rbp}]",
        "mov rbx, [rbx + {rbx}]",
        "xor eax, eax", // status::OK
        "jmp {exit_to_user}",
        // Not this way: as CALL, with the registers as they were at the entry.
        "2:",
        "mov rsp, [rdx + {rsp}]",
        "jmp {call_path}",
        direct = const cpu::offset::DIRECT,
        ipc_direct = const cpu::offset::IPC_DIRECT,
        register_words = const REGISTER_WORDS,
        rights_count = const thread::offset::RIGHTS_COUNT,
        rights_first = const thread::offset::RIGHTS_FIRST,
        endpoint = const offset_of!(Right, endpoint),
        badge = const offset_of!(Right, badge),
        receivers_top = const endpoint::offset::RECEIVERS_TOP,
        direct_entry = const endpoint::offset::DIRECT_ENTRY,
        rsp = const CONTEXT + offset_of!(Context, rsp),
        rbx = const CONTEXT + offset_of!(Context, rbx),
        rbp = const CONTEXT + offset_of!(Context, rbp),
        rip = const CONTEXT + offset_of!(Context, rip),
        call_path = sym call_path,
        exit_to_user = sym exit_to_user,
    )
}
