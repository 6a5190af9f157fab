//! How every CPU starts, and guests that cannot be started.

use super::*;

#[test]
fn every_cpu_starts_as_agreed() {
    if !require_kvm() {
        return;
    }
    let cpu = 2;
    let mut config = kernel(|a| {
        let mut halt = a.create_label();
        a.cmp(esi, cpu)?;
        a.jne(halt)?;
        a.push(rax)?;
        a.mov(r8, rsp)?;
        a.mov(r9, cr0)?;
        a.mov(r10, cr4)?;
        a.mov(r11, qword_ptr(rdi))?;
        out(a, port::EXIT, exit_code::PANIC)?;
        a.set_label(&mut halt)?;
        a.hlt()?;
        a.jmp(halt)
    });
    config.vcpus = 3;
    let outcome = run(&config).outcome;
    let Outcome::Panic { last_words, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(last_words.cpu, cpu as u32);
    let registers = last_words.registers;
    assert_eq!(registers.general[8], KERNEL_STACK.end(cpu as u32) - 16);
    assert_eq!(registers.general[9], 0x8005_0033);
    assert_eq!(registers.general[10], 0xa0);
    assert_eq!(registers.general[11], abi::boot::BOOT_MAGIC);
    assert_eq!((registers.cs, registers.ss), (0x10, 0x18));
    assert_eq!(registers.rflags & 0x200, 0, "interrupts are off");
}

#[test]
fn three_hundred_cpus_have_identifiers_of_their_own() {
    if !require_kvm() {
        return;
    }
    let (vcpus, last) = (300, 299);
    let mut config = kernel(|a| {
        let mut halt = a.create_label();
        a.cmp(esi, last)?;
        a.jne(halt)?;
        a.mov(eax, 0xb)?;
        a.xor(ecx, ecx)?;
        a.cpuid()?;
        a.mov(r8d, edx)?;
        out(a, port::EXIT, exit_code::PANIC)?;
        a.set_label(&mut halt)?;
        a.hlt()?;
        a.jmp(halt)
    });
    config.vcpus = vcpus;
    config.memory_bytes = 64 << 20;
    config.deadline = Some(Duration::from_secs(60));
    let run = match machine::run(&config, &StopFlag::new().unwrap()) {
        Err(MachineError::VcpuCount { limit, .. }) if limit < vcpus => {
            println!("skipped: this host's KVM runs at most {limit} vCPUs");
            return;
        }
        result => result.unwrap(),
    };
    println!("created in {} ms", run.create_ns / 1_000_000);
    let Outcome::Panic { last_words, .. } = run.outcome else { panic!("{:?}", run.outcome) };
    assert_eq!(last_words.cpu, last as u32);
    assert_eq!(last_words.registers.general[8], last as u64, "CPUID leaf 0xb tells the APIC identifier");
}

#[test]
fn impossible_guests_are_refused_with_the_fix() {
    if !require_kvm() {
        return;
    }
    let refusal = |change: fn(&mut GuestConfig)| {
        let mut config = kernel(|a| a.hlt());
        change(&mut config);
        machine::run(&config, &StopFlag::new().unwrap()).unwrap_err().to_string()
    };
    let message = refusal(|config| config.vcpus = 100_000);
    assert!(message.contains("100000 vCPUs") && message.contains("can run 1 to"), "{message}");
    assert!(refusal(|config| config.vcpus = 0).contains("0 vCPUs asked for"));
    let message = refusal(|config| config.memory_bytes = 1 << 20);
    assert!(message.contains("--memory"), "{message}");
    assert!(refusal(|config| config.memory_bytes = 12_345).contains("multiple of 4 KiB"));
    assert!(refusal(|config| config.pin = Pin::List(vec![100_000])).contains("host CPU 100000"));
    assert!(refusal(|config| config.kernel.bytes = vec![0; 100].into()).contains("test-kernel"));
    assert!(refusal(|config| config.servers.push(PlanServer::default())).contains("there are 0 programs"));
}
