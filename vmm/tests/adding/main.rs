//! What the pages on adding something say is enough, and works. Each page has a patch; all of them are applied to one copy of the
//! repository, which is built once.

mod copy;
mod lens;
mod placement;
mod workload;

#[path = "../support/kvm.rs"]
mod kvm;
