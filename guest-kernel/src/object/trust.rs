//! Trust: who may run in the kernel, and what the kernel decides by itself when a server proves stable or unstable.
//!
//! Trust is given by the plan, never earned: a server that has answered often enough moves into the kernel only if it is in
//! group 1 already. It can be lost: by order of the driver, or by faults in the kernel.

use core::cell::Cell;

use abi::plan::{PlanServer, trust};

use crate::memory::Placement;

/// The talk's rule: only group 1, critical and trusted, may run in the kernel.
pub fn may_run(group: u32, placement: Placement) -> bool {
    !placement.is_in_kernel() || group == trust::CRITICAL_TRUSTED
}

/// What the plan has the kernel decide about a server by itself.
#[derive(Default)]
pub struct Policy {
    /// Messages after which it has proved stable, 0 for never.
    promote_after: u32,
    /// Messages until then, since it started; 0 once they have come.
    messages_left: Cell<u32>,
    /// Faults in the kernel that it may still have; the last one costs it its trust. 0: the first one is its end.
    faults_left: Cell<u32>,
}

impl Policy {
    /// As the plan has it.
    pub fn new(plan: &PlanServer) -> Policy {
        Policy {
            promote_after: plan.promote_after,
            messages_left: Cell::new(plan.promote_after),
            faults_left: Cell::new(plan.demote_after),
        }
    }

    /// The server starts from its beginning, and has to prove itself again.
    pub fn start_over(&self) {
        self.messages_left.set(self.promote_after);
    }

    /// Counts a message. Whether it was the one that proved the server stable.
    pub fn proved_stable(&self) -> bool {
        let left = self.messages_left.get();
        if left != 0 {
            self.messages_left.set(left - 1);
        }
        left == 1
    }

    /// Counts a fault in this placement.
    pub fn judge_fault(&self, placement: Placement) -> Verdict {
        let left = self.faults_left.get();
        if !placement.is_in_kernel() || left == 0 {
            return Verdict::StaysDead;
        }
        self.faults_left.set(left - 1);
        if left == 1 { Verdict::Demoted } else { Verdict::Forgiven }
    }
}

/// What becomes of a server that has faulted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing, unless the driver starts it again.
    StaysDead,
    /// It starts again in the kernel.
    Forgiven,
    /// It starts again in user space, and may never come back.
    Demoted,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    #[test]
    fn only_group_1_may_run_in_the_kernel() {
        for group in 0..=5 {
            assert!(may_run(group, Placement::User));
            assert_eq!(may_run(group, Placement::Kernel), group == 1);
        }
    }

    fn policy(promote_after: u32, demote_after: u32) -> Policy {
        Policy::new(&PlanServer { promote_after, demote_after, ..PlanServer::default() })
    }

    proptest! {
        /// All faults in the kernel but the last allowed one are forgiven; that one demotes; none counts elsewhere.
        #[test]
        fn the_budget_of_faults_is_kept(allowed in 0_u32..9, in_kernel in proptest::collection::vec(any::<bool>(), 0..30)) {
            let policy = policy(0, allowed);
            let mut seen = 0;
            for in_kernel in in_kernel {
                let placement = if in_kernel { Placement::Kernel } else { Placement::User };
                seen += u32::from(in_kernel);
                let expected = match in_kernel {
                    true if seen < allowed => Verdict::Forgiven,
                    true if seen == allowed => Verdict::Demoted,
                    _ => Verdict::StaysDead,
                };
                prop_assert_eq!(policy.judge_fault(placement), expected);
            }
        }

        /// Exactly the message with the number of the plan proves it, counted from the last start.
        #[test]
        fn stability_is_proved_once_for_each_start(after in 0_u32..9, messages in proptest::collection::vec(0_u32..20, 1..5)) {
            let policy = policy(after, 0);
            for messages in messages {
                let proofs: Vec<u32> = (1..=messages).filter(|_| policy.proved_stable()).collect();
                prop_assert_eq!(proofs, if (1..=messages).contains(&after) { vec![after] } else { vec![] });
                policy.start_over();
            }
        }
    }
}
