//! Exits of a vCPU, decoded: pure functions from what KVM tells to what the machine model does.

#![expect(unsafe_code, reason = "KVM's shared page")]

use abi::port::{DOORBELL, EXIT, SERIAL, SERIAL_COUNT};
use iced_x86::{Decoder, DecoderOptions, Formatter, NasmFormatter};
use kvm_bindings::{
    KVM_EXIT_INTERNAL_ERROR, KVM_INTERNAL_ERROR_DELIVERY_EV, KVM_INTERNAL_ERROR_EMULATION,
    KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES, KVM_INTERNAL_ERROR_SIMUL_EX,
    KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON, kvm_run,
};
use kvm_ioctls::VcpuExit;

/// What an exit means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// The guest wrote to a port.
    Write(PortWrite<'a>),
    /// The guest reads one register of the serial console, for each byte.
    SerialRead { register: u8, data: &'a mut [u8] },
    /// The guest asks whether others that were started with it still measure.
    OthersMeasure(&'a mut [u8]),
    /// The guest reads a port where nothing is.
    OtherRead(&'a mut [u8]),
    /// The guest reads a register that the VMM keeps; set the error to 1 for a general protection fault.
    RegisterRead { register: u32, value: &'a mut u64, error: &'a mut u8 },
    /// The guest writes such a register.
    RegisterWrite { register: u32, value: u64, error: &'a mut u8 },
    /// The vCPU stopped where the VMM had asked it to (KVM_EXIT_DEBUG).
    DebugStop,
    /// Nothing to do but to go on.
    Continue,
    /// The guest cannot go on.
    End(End),
}

/// A write to a port, which may be one of a string instruction's (REP OUTS): then KVM hands over many at once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PortWrite<'a> {
    /// Bytes for one register of the serial console.
    Serial { register: u8, bytes: &'a [u8] },
    /// The first of the values at the doorbell: more in one instruction can mean nothing.
    Doorbell(u32),
    /// The guest ends with this code.
    Exit(u32),
    /// Nothing is there, or not with this width.
    Nothing,
}

/// Why a guest cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It wrote this to the exit port.
    Code(u32),
    /// KVM_EXIT_SHUTDOWN.
    TripleFault,
    /// KVM cannot go on; why, in words.
    Kvm(String),
    /// Something that this machine model does not have.
    Unexpected(String),
}

/// Decodes an exit. An internal error comes without its details, see [`internal_error`].
pub(crate) fn decode(exit: VcpuExit<'_>) -> Event<'_> {
    match exit {
        VcpuExit::IoOut(port, data) => Event::Write(decode_write(port, data)),
        VcpuExit::IoIn(port, data) => match serial_register(port) {
            Some(register) => Event::SerialRead { register, data },
            None if port == DOORBELL => Event::OthersMeasure(data),
            None => Event::OtherRead(data),
        },
        VcpuExit::X86Rdmsr(exit) => {
            Event::RegisterRead { register: exit.index, value: exit.data, error: exit.error }
        }
        VcpuExit::X86Wrmsr(exit) => {
            Event::RegisterWrite { register: exit.index, value: exit.data, error: exit.error }
        }
        VcpuExit::MmioRead(address, data) => unexpected(mmio("read", address, data.len())),
        VcpuExit::MmioWrite(address, data) => unexpected(mmio("write", address, data.len())),
        VcpuExit::Shutdown => Event::End(End::TripleFault),
        VcpuExit::InternalError => Event::End(End::Kvm("internal error".to_owned())),
        VcpuExit::FailEntry(reason, cpu) => Event::End(End::Kvm(format!(
            "the processor refused to enter the guest on host CPU {cpu}: hardware reason {reason:#x}"
        ))),
        VcpuExit::Intr | VcpuExit::IrqWindowOpen | VcpuExit::SetTpr | VcpuExit::IoapicEoi(_) => {
            Event::Continue
        }
        VcpuExit::Debug(_) => Event::DebugStop,
        VcpuExit::Hlt => unexpected("HLT left the guest although KVM has the local APIC".to_owned()),
        VcpuExit::SystemEvent(kind, _) => unexpected(format!("system event {kind}")),
        VcpuExit::MemoryFault { gpa, size, .. } => {
            unexpected(format!("memory fault at physical address {gpa:#x}, {size} bytes"))
        }
        VcpuExit::Unsupported(reason) => unexpected(format!("exit reason {reason} of KVM")),
        other => unexpected(format!("exit {other:?} of KVM")),
    }
}

fn unexpected<'a>(reason: String) -> Event<'a> {
    Event::End(End::Unexpected(reason))
}

fn mmio(what: &str, address: u64, size: usize) -> String {
    format!("{what} of {size} bytes at physical address {address:#x}, where no memory is")
}

fn serial_register(port: u16) -> Option<u8> {
    let offset = port.checked_sub(SERIAL)?;
    (offset < SERIAL_COUNT).then_some(offset as u8)
}

fn decode_write(port: u16, data: &[u8]) -> PortWrite<'_> {
    if let Some(register) = serial_register(port) {
        return PortWrite::Serial { register, bytes: data };
    }
    match (port, data.first_chunk()) {
        (DOORBELL, Some(value)) => PortWrite::Doorbell(u32::from_le_bytes(*value)),
        (EXIT, Some(value)) => PortWrite::Exit(u32::from_le_bytes(*value)),
        _ => PortWrite::Nothing,
    }
}

/// KVM's details of KVM_EXIT_INTERNAL_ERROR (api.rst, kvm_run) in words. `None` when the last exit was another.
pub(crate) fn internal_error(run: &kvm_run, rip: u64) -> Option<String> {
    if run.exit_reason != KVM_EXIT_INTERNAL_ERROR {
        return None;
    }
    // SAFETY: The exit reason says that KVM has filled this member; it consists of integers, for which any bits will do.
    let error = unsafe { run.__bindgen_anon_1.internal };
    let known = (error.ndata as usize).min(error.data.len());
    Some(describe_internal_error(error.suberror, &error.data[..known], rip))
}

fn describe_internal_error(suberror: u32, data: &[u64], rip: u64) -> String {
    let what = match suberror {
        KVM_INTERNAL_ERROR_EMULATION => "KVM could not emulate the instruction",
        KVM_INTERNAL_ERROR_SIMUL_EX => "two exceptions at once",
        KVM_INTERNAL_ERROR_DELIVERY_EV => "KVM could not deliver an event",
        KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON => {
            "the processor gave an exit reason that KVM does not know"
        }
        _ => "internal error",
    };
    let mut text = format!("{what} (suberror {suberror})");
    // emulation_failure: flags, then one byte of length and up to 15 bytes of instructions.
    let flag = u64::from(KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES);
    let has_bytes =
        suberror == KVM_INTERNAL_ERROR_EMULATION && data.first().is_some_and(|flags| flags & flag != 0);
    if has_bytes && let Some(words) = data.get(1..3) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let count = usize::from(bytes[0]).min(15);
        text += &format!(": {}", disassemble(&bytes[1..=count], rip));
    } else if !data.is_empty() {
        let words: Vec<String> = data.iter().map(|word| format!("{word:#x}")).collect();
        text += &format!(", data {}", words.join(" "));
    }
    text
}

/// The first instruction in `bytes`, with the bytes themselves.
pub(crate) fn disassemble(bytes: &[u8], rip: u64) -> String {
    let instruction = Decoder::with_ip(64, bytes, rip, DecoderOptions::NONE).decode();
    let length = if instruction.is_invalid() { bytes.len() } else { instruction.len() };
    let hex: Vec<String> = bytes[..length].iter().map(|byte| format!("{byte:02x}")).collect();
    let mut text = String::new();
    NasmFormatter::new().format(&instruction, &mut text);
    format!("{text} [{}]", hex.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_widths() {
        let write = |port, data: &'static [u8]| match decode(VcpuExit::IoOut(port, data)) {
            Event::Write(write) => write,
            other => panic!("{other:?}"),
        };
        assert_eq!(write(SERIAL, b"ab"), PortWrite::Serial { register: 0, bytes: b"ab" });
        assert_eq!(write(SERIAL + 7, b"a"), PortWrite::Serial { register: 7, bytes: b"a" });
        assert_eq!(write(SERIAL + 8, b"a"), PortWrite::Nothing);
        assert_eq!(write(SERIAL - 1, b"a"), PortWrite::Nothing);
        assert_eq!(write(DOORBELL, &[2, 0, 0, 0]), PortWrite::Doorbell(2));
        assert_eq!(write(DOORBELL, &[2, 0]), PortWrite::Nothing);
        assert_eq!(write(EXIT, &[1, 0, 0, 0, 9, 9, 9, 9]), PortWrite::Exit(1));
        assert_eq!(write(EXIT, &[]), PortWrite::Nothing);
    }

    #[test]
    fn exits_that_end_a_guest() {
        assert_eq!(decode(VcpuExit::Shutdown), Event::End(End::TripleFault));
        assert_eq!(decode(VcpuExit::Intr), Event::Continue);
        let Event::End(End::Unexpected(reason)) = decode(VcpuExit::MmioWrite(0xfee0_0000_0000, &[0; 4]))
        else {
            panic!("memory-mapped I/O must end the guest");
        };
        assert_eq!(reason, "write of 4 bytes at physical address 0xfee000000000, where no memory is");
        assert!(matches!(decode(VcpuExit::FailEntry(0x80000021, 3)), Event::End(End::Kvm(_))));
        assert!(matches!(decode(VcpuExit::Unsupported(99)), Event::End(End::Unexpected(_))));
        assert!(matches!(decode(VcpuExit::Hlt), Event::End(End::Unexpected(_))));
    }

    #[test]
    fn an_emulation_failure_names_the_instruction() {
        // RDTSCP: 0f 01 f9, and bytes of the next instruction.
        let bytes = [4, 0x0f, 0x01, 0xf9, 0x90, 0, 0, 0];
        let text = describe_internal_error(1, &[1, u64::from_le_bytes(bytes), 0], 0x1000);
        assert_eq!(text, "KVM could not emulate the instruction (suberror 1): rdtscp [0f 01 f9]");
        let text = describe_internal_error(1, &[1, u64::MAX, u64::MAX], 0x1000);
        assert!(text.contains("(bad)"), "{text}");
        assert_eq!(describe_internal_error(1, &[], 0), "KVM could not emulate the instruction (suberror 1)");
        assert!(describe_internal_error(3, &[7, 8], 0).ends_with("data 0x7 0x8"));
    }
}
