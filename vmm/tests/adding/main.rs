//! What the pages on adding something say is enough, and works. Each page has a patch; all of them are applied to one copy of the
//! repository, which is built once. A server needs no patch: it lies outside of the repository.

mod copy;
mod lens;
mod placement;
mod server;
mod workload;

#[path = "../support/kvm.rs"]
mod kvm;
