//! Why a guest could not be run at all. How a guest ended is [`crate::machine::guest::Outcome`].

use std::io;

/// Everything that keeps a guest from being started. Each message names the fix where there is one.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// There is no `/dev/kvm`.
    #[error(
        "there is no /dev/kvm: enable virtualization in the firmware and load KVM (modprobe kvm_intel or kvm_amd); \
         in a container, pass --device /dev/kvm; without KVM, install QEMU (Debian: apt install qemu-system-x86), and `inkbed run` \
         uses it"
    )]
    KvmMissing(#[source] io::Error),
    /// This user may not open `/dev/kvm`.
    #[error("no permission to open /dev/kvm: {advice}")]
    KvmPermission {
        /// What helps.
        advice: String,
        /// What the system said.
        source: io::Error,
    },
    /// Something else stands in the place of `/dev/kvm`.
    #[error(
        "/dev/kvm is {0} and not KVM's device: remove it and load KVM again (modprobe -r, then modprobe kvm_intel or \
         kvm_amd); in a container, pass --device /dev/kvm"
    )]
    KvmNoDevice(&'static str),
    /// `/dev/kvm` cannot be opened for another reason.
    #[error("cannot open /dev/kvm")]
    KvmOpen(#[source] io::Error),
    /// KVM lacks something that this machine model cannot do without.
    #[error("KVM on this host has no {0}; a Linux kernel of 4.13 or newer is needed")]
    KvmLacks(&'static str),
    /// A request to KVM failed.
    #[error("KVM refused to {action}")]
    Kvm {
        /// What was asked, as an infinitive.
        action: &'static str,
        /// What KVM said.
        source: vmm_sys_util::errno::Error,
    },
    /// A vCPU could not be created.
    #[error(
        "KVM refused to create vCPU {index}; where the cause is \"too many open files\", raise ulimit -n"
    )]
    CreateVcpu {
        /// Which.
        index: u32,
        /// What KVM said.
        source: vmm_sys_util::errno::Error,
    },
    /// A number of vCPUs that this host cannot run.
    #[error("{asked} vCPUs asked for; this host's KVM can run 1 to {limit} in one guest")]
    VcpuCount {
        /// How many were asked for.
        asked: u32,
        /// Most that can be had.
        limit: u32,
    },
    /// The guest memory is too small for what has to be in it before the kernel starts.
    #[error(
        "{have_mib} MiB of guest memory cannot hold kernel, servers, per-CPU areas and samples; \
         use --memory {needed_mib}M or more"
    )]
    MemoryTooSmall {
        /// What was asked for, MiB.
        have_mib: u64,
        /// What is needed, MiB.
        needed_mib: u64,
    },
    /// A memory size that cannot be had.
    #[error("guest memory of {0} bytes: it must be a multiple of 4 KiB and at most 511 GiB")]
    MemorySize(u64),
    /// The host does not give the memory.
    #[error("cannot reserve {bytes} bytes of guest memory: {reason}; use a smaller --memory")]
    MemoryReserve {
        /// How much was asked for, bytes.
        bytes: u64,
        /// What went wrong.
        reason: String,
    },
    /// The host keeps no transparent huge pages.
    #[error(
        "huge_pages = \"transparent\" is not possible here: the host has them switched off; \
         allow them (echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled), or set huge_pages = false"
    )]
    NoTransparentHugePages,
    /// The host has too few huge pages set aside.
    #[error(
        "huge_pages = \"reserved\" needs {needed} huge pages of 2 MiB for a guest, and {free} are free; \
         set them aside for all guests together (sudo sysctl vm.nr_hugepages={needed}, or more), or set huge_pages = false"
    )]
    NoHugePages {
        /// Huge pages that the guest needs.
        needed: u64,
        /// Huge pages that are free.
        free: u64,
    },
    /// Guest memory that huge pages cannot make up.
    #[error("guest memory of {0} bytes: with huge_pages = \"reserved\" it must be a multiple of 2 MiB")]
    HugePageMultiple(u64),
    /// An access to guest memory failed that the layout should have ruled out.
    #[error("cannot access guest memory")]
    GuestMemory(#[from] vm_memory::GuestMemoryError),
    /// The kernel's ELF file cannot be booted.
    #[error("kernel {name}: {reason}")]
    KernelImage {
        /// Its file name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The kernel cannot be started by anybody but this VMM.
    #[error(
        "kernel {name}: it has no notes that tell how it starts by itself (see abi::start); use the built-in kernel, or run it on KVM"
    )]
    NoOwnStart {
        /// Its file name.
        name: String,
    },
    /// Guest memory that another machine cannot have.
    #[error("guest memory of {0} bytes: outside of KVM a guest has at most 3 GiB; use a smaller --memory")]
    MemoryBeyondHole(u64),
    /// QEMU cannot be started.
    #[error("cannot start qemu-system-x86_64: install QEMU (Debian: apt install qemu-system-x86)")]
    NoQemu(#[source] io::Error),
    /// QEMU ended before the guest began.
    #[error("QEMU did not start the guest: {0}")]
    QemuFailed(String),
    /// The plan names something that is not there.
    #[error("{0}")]
    Plan(String),
    /// vCPU threads cannot be pinned as asked.
    #[error("cannot pin vCPU threads: {0}")]
    Pin(String),
    /// A thread, event or timer could not be had from the host.
    #[error("cannot {action}")]
    Host {
        /// What was tried, as an infinitive.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A bug of the VMM itself.
    #[error("internal error of the VMM: {0}")]
    Internal(&'static str),
}

/// Gives a failed request to the host the words for what was tried.
pub(crate) fn host(action: &'static str) -> impl FnOnce(io::Error) -> MachineError {
    move |source| MachineError::Host { action, source }
}
