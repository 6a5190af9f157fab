//! Somebody who watches vCPU 0 from its own thread, exit by exit.

use crate::machine::error::MachineError;
use crate::machine::memory::GuestMemory;
use crate::machine::vcpu::Vcpu;

/// Watches a vCPU. All methods but the first are called by the vCPU's thread while the vCPU does not run; an error ends
/// the guest.
pub(crate) trait Observer: Send {
    /// The guest is complete and has not run yet; this is its memory.
    fn attach(&mut self, memory: &GuestMemory);

    /// The vCPU is about to run. `false`: not yet, because the observer has done something in the guest's place; the caller
    /// looks whether the guest is to stop, and asks again.
    fn before_entry(&mut self, vcpu: &mut Vcpu) -> Result<bool, MachineError>;

    /// The vCPU stopped where the observer has asked it to.
    fn stopped(&mut self, vcpu: &mut Vcpu) -> Result<(), MachineError>;

    /// The guest has rung the doorbell with this value. The instruction is complete only when the vCPU runs again.
    fn doorbell(&mut self, vcpu: &mut Vcpu, value: u32) -> Result<(), MachineError>;
}
