//! Whether the counters count: a known number of instructions, nothing while stopped, every bit, and over their end.
//!
//! A hypervisor may accept everything that is written and count nothing, or count something else; nothing but this shows
//! it. The readings go to the VMM as they are.

use core::arch::asm;

use abi::pmu::{
    PmuCounter, PmuCounterTest, PmuPlan, PmuSelfTest, SELF_TEST_BEFORE_WRAP, SELF_TEST_TURNS,
    SELF_TEST_VALUE, bank, fixed_control, selector,
};

use super::registers::{Registers, global_bit};

/// Tests one counter of the plan after the other. Leaves all of them stopped.
pub fn run(plan: &PmuPlan, registers: &Registers) -> PmuSelfTest {
    let mut result = PmuSelfTest { is_done: 1, ..PmuSelfTest::default() };
    registers.write_global(0);
    for counter in plan.counters() {
        registers.write_control(counter, 0);
    }
    for (test, counter) in result.counters.iter_mut().zip(plan.counters()) {
        *test = test_counter(plan, registers, counter);
    }
    registers.clear_global_status();
    result
}

/// A fixed counter's bits at their place in the control register of all of them.
pub fn fixed_field(counter: &PmuCounter, bits: u64) -> u64 {
    (bits & 0xf) << (4 * (counter.index & 15))
}

fn test_counter(plan: &PmuPlan, registers: &Registers, counter: &PmuCounter) -> PmuCounterTest {
    let mut result = PmuCounterTest::default();
    let (on, set) = match counter.bank {
        bank::FIXED => (
            fixed_field(counter, fixed_control::KERNEL | fixed_control::USER),
            fixed_field(counter, counter.selector),
        ),
        _ => (plan.instructions_selector, counter.selector & !selector::ENABLE),
    };
    let control = registers.control_register(counter);
    registers.write_control(counter, set);
    result.selector = registers.read_control(counter);
    registers.write_control(counter, 0);
    registers.write_counter(counter, SELF_TEST_VALUE);
    result.written = registers.read_counter(counter);

    registers.write_counter(counter, 0);
    registers.write_global(global_bit(counter));
    count_loop(control, on);
    result.counted = registers.read_counter(counter);
    spin();
    result.stopped = registers.read_counter(counter).wrapping_sub(result.counted);
    let end = u64::MAX >> (64 - registers.width_of(counter));
    registers.write_counter(counter, end - (SELF_TEST_BEFORE_WRAP - 1));
    count_loop(control, on);
    result.wrapped = registers.read_counter(counter);
    registers.write_global(0);
    registers.write_counter(counter, 0);
    result
}

/// Starts a counter, executes [`abi::pmu::SELF_TEST_INSTRUCTIONS`] instructions, the last of which stops it.
fn count_loop(control: u32, on: u64) {
    // SAFETY: the register controls a counter and nothing else (`Registers`); the loop touches only its own registers.
    unsafe {
        asm!(
            "wrmsr",
            "mov {turns:e}, {count}",
            "2:",
            "dec {turns:e}",
            "jnz 2b",
            "xor eax, eax",
            "xor edx, edx",
            "wrmsr",
            count = const SELF_TEST_TURNS,
            turns = out(reg) _,
            in("ecx") control,
            inout("eax") on as u32 => _,
            inout("edx") (on >> 32) as u32 => _,
            options(nostack, nomem)
        );
    }
}

/// The same loop without a counter.
fn spin() {
    // SAFETY: the loop touches only its own register.
    unsafe {
        asm!(
            "mov {turns:e}, {count}",
            "2:",
            "dec {turns:e}",
            "jnz 2b",
            count = const SELF_TEST_TURNS,
            turns = out(reg) _,
            options(nostack, nomem)
        );
    }
}
