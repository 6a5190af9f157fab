//! Exceptions in words (Intel SDM vol. 3, table 6-1 and 4.7).

use abi::report::{FAULT_EXIT, Fault};

const NAMES: [(u32, &str, &str); 21] = [
    (0, "#DE", "division by zero"),
    (1, "#DB", "debug"),
    (2, "NMI", "non-maskable interrupt"),
    (3, "#BP", "breakpoint"),
    (4, "#OF", "overflow"),
    (5, "#BR", "bound range exceeded"),
    (6, "#UD", "invalid opcode"),
    (7, "#NM", "floating point not available"),
    (8, "#DF", "double fault"),
    (10, "#TS", "invalid task state"),
    (11, "#NP", "segment not present"),
    (12, "#SS", "stack segment fault"),
    (13, "#GP", "general protection fault"),
    (14, "#PF", "page fault"),
    (16, "#MF", "x87 floating point error"),
    (17, "#AC", "alignment check"),
    (18, "#MC", "machine check"),
    (19, "#XM", "SIMD floating point error"),
    (20, "#VE", "virtualization exception"),
    (21, "#CP", "control protection fault"),
    (29, "#VC", "VMM communication"),
];

const PAGE_FAULT: u32 = 14;

/// `#UD invalid opcode` and the like; `vector 77` for those without a name.
pub(crate) fn name(vector: u32) -> String {
    match NAMES.iter().find(|(number, ..)| *number == vector) {
        Some((_, short, long)) => format!("{short} {long}"),
        None => format!("vector {vector}"),
    }
}

/// A server's death in words.
pub(crate) fn describe(fault: &Fault) -> String {
    let name = name(fault.vector);
    match fault.vector {
        FAULT_EXIT => format!("ended itself with status {}", fault.error_code),
        PAGE_FAULT => format!("{name} at {:#x}, {}", fault.address, describe_access(fault.error_code)),
        _ if fault.error_code != 0 => format!("{name}, error code {:#x}", fault.error_code),
        _ => name,
    }
}

/// A page fault's error code.
fn describe_access(code: u64) -> String {
    let access = match (code & 1 << 4 != 0, code & 1 << 1 != 0) {
        (true, _) => "fetching an instruction",
        (false, true) => "writing",
        (false, false) => "reading",
    };
    let mode = if code & 1 << 2 != 0 { "user mode" } else { "kernel mode" };
    let reason = match (code & 1 << 3 != 0, code & 1 != 0) {
        (true, _) => "a reserved bit is set in the page table",
        (false, true) => "no permission",
        (false, false) => "page not present",
    };
    format!("{access} in {mode}: {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deaths_in_words() {
        let fault = |vector, error_code| Fault { vector, error_code, address: 0xfff0, ..Fault::default() };
        assert_eq!(
            describe(&fault(14, 0x6)),
            "#PF page fault at 0xfff0, writing in user mode: page not present"
        );
        assert_eq!(
            describe(&fault(14, 0x11)),
            "#PF page fault at 0xfff0, fetching an instruction in kernel mode: no permission"
        );
        assert_eq!(describe(&fault(6, 0)), "#UD invalid opcode");
        assert_eq!(describe(&fault(13, 0x33)), "#GP general protection fault, error code 0x33");
        assert_eq!(describe(&fault(FAULT_EXIT, 77)), "ended itself with status 77");
        assert_eq!(describe(&fault(9000, 0)), "vector 9000");
    }
}
