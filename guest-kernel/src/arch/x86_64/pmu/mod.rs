//! The guest's performance counters: programmed, started at the first mark, stopped and read at the second.
//!
//! Every access to their registers leaves the guest, so that nothing is read during a round trip: only whole batches are
//! counted, and reading happens while the counters are stopped.

mod registers;
mod self_test;

use core::cell::Cell;

use abi::pmu::{COUNTERS_MAX, PmuCounts, PmuPlan, PmuReport, bank, kind, selector, status};

use registers::{Registers, global_bit};

/// The counters of the CPU that executes the marks.
pub struct Pmu {
    plan: PmuPlan,
    /// `None`: nothing is counted, and no register touched.
    registers: Option<Registers>,
    report: Cell<PmuReport>,
}

impl Pmu {
    /// Looks whether this CPU has what the plan counts with. Touches nothing.
    pub fn new(plan: &PmuPlan) -> Pmu {
        let wanted = plan.kind != kind::NONE && plan.counter_count as usize <= COUNTERS_MAX;
        let registers = if wanted { Registers::find(plan) } else { None };
        let mut report = PmuReport::default();
        match registers {
            Some(registers) => {
                report.status = status::PROGRAMMED;
                report.counter_count = plan.counter_count;
                (report.width, report.fixed_width) = (registers.width, registers.fixed_width);
            }
            None if plan.kind != kind::NONE => report.status = status::MISMATCH,
            None => {}
        }
        Pmu { plan: *plan, registers, report: Cell::new(report) }
    }

    /// Before the first mark: the self-test, an empty measurement, and everything set up but for the start.
    pub fn prepare(&self) {
        let Some(registers) = &self.registers else { return };
        let mut report = self.report.get();
        report.self_tests[0] = self_test::run(&self.plan, registers);
        report.empty = PmuCounts::default();
        self.set_up(registers, &mut report.empty);
        self.switch_on(registers);
        self.switch_off(registers);
        self.read(registers, &mut report.empty);
        self.set_up(registers, &mut report.counts);
        self.report.set(report);
    }

    /// At the first mark: the last thing that is done there.
    pub fn start(&self) {
        if let Some(registers) = &self.registers {
            self.switch_on(registers);
        }
    }

    /// At the second mark: the first thing that is done there.
    pub fn stop(&self) {
        let Some(registers) = &self.registers else { return };
        self.switch_off(registers);
        let mut report = self.report.get();
        self.read(registers, &mut report.counts);
        self.report.set(report);
    }

    /// Behind the second mark: the self-test once more, so that a counter that has died in between is found.
    pub fn finish(&self) -> PmuReport {
        if let Some(registers) = &self.registers {
            let mut report = self.report.get();
            report.self_tests[1] = self_test::run(&self.plan, registers);
            self.report.set(report);
        }
        self.report.get()
    }

    /// Everything stopped, at 0 and selected (Intel SDM vol. 3, 21.2.2; AMD APM vol. 2, 13.2.3).
    fn set_up(&self, registers: &Registers, counts: &mut PmuCounts) {
        registers.write_global(0);
        for counter in self.plan.counters() {
            registers.write_control(counter, 0);
            registers.write_counter(counter, 0);
        }
        registers.clear_global_status();
        for counter in self.plan.counters().iter().filter(|counter| counter.bank != bank::FIXED) {
            let kept_off = if registers.has_global() { 0 } else { selector::ENABLE };
            registers.write_control(counter, counter.selector & !kept_off);
        }
        if let Some(fixed) = self.plan.counters().iter().find(|counter| counter.bank == bank::FIXED) {
            registers.write_control(fixed, self.fixed_control());
        }
        for (begin, counter) in counts.begin.iter_mut().zip(self.plan.counters()) {
            *begin = registers.read_counter(counter);
        }
    }

    /// The control fields of all fixed counters in one word.
    fn fixed_control(&self) -> u64 {
        let fixed = self.plan.counters().iter().filter(|counter| counter.bank == bank::FIXED);
        fixed.fold(0, |word, counter| word | self_test::fixed_field(counter, counter.selector))
    }

    /// One write where there is a switch for all; otherwise one for each counter, in the order of the plan, which is also
    /// that of [`Pmu::switch_off`], so that each is on for the same time.
    fn switch_on(&self, registers: &Registers) {
        if registers.has_global() {
            let bits = self.plan.counters().iter().map(global_bit);
            registers.write_global(bits.fold(0, |mask, bit| mask | bit));
            return;
        }
        for counter in self.plan.counters() {
            registers.write_control(counter, counter.selector);
        }
    }

    fn switch_off(&self, registers: &Registers) {
        if registers.has_global() {
            registers.write_global(0);
            return;
        }
        for counter in self.plan.counters() {
            registers.write_control(counter, counter.selector & !selector::ENABLE);
        }
    }

    fn read(&self, registers: &Registers, counts: &mut PmuCounts) {
        for (end, counter) in counts.end.iter_mut().zip(self.plan.counters()) {
            *end = registers.read_counter(counter);
        }
        counts.global_status = registers.global_status();
    }
}
