//! Whether this machine can boot guests.

/// Whether guests can be booted here; says why not. With INKBED_REQUIRE_KVM=1 a missing KVM fails the test.
pub(crate) fn require_kvm() -> bool {
    let Err(error) = std::fs::File::options().read(true).write(true).open("/dev/kvm") else { return true };
    assert!(std::env::var_os("INKBED_REQUIRE_KVM").is_none(), "/dev/kvm: {error}");
    println!("skipped: /dev/kvm: {error}");
    false
}
