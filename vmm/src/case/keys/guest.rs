//! What the guest of a case is: its CPUs, its memory, how many of it there are.

use abi::address::CPU_COUNT_MAX;

use super::effort::number_field;
use super::{numbered, unusual};
use crate::case::key::{Absent, Field, Heading, InName, Key, Kind, Standing};
use crate::case::parameter::Gate;
use crate::case::size::MemorySize;
use crate::case::value::{Value, Word as _};
use crate::machine::guest::HugePages;

/// What these keys have in common: a list of them multiplies the cases.
const GUEST: Key = Key { standing: Standing::Everywhere, may_be_set: true, ..Key::USUAL };

/// vCPUs of the guest.
pub static VCPUS: Key = Key {
    name: "vcpus",
    kind: Kind::Number(1, |scope| match scope.vcpus_max {
        CPU_COUNT_MAX => (CPU_COUNT_MAX as i64, "the room in the guest's address map"),
        most => (most as i64, "the most that KVM allows here"),
    }),
    absent: Absent::Number(1),
    values: "1 … KVM's limit",
    help: "vCPUs of the guest",
    order: 930,
    sorted: Some(200),
    in_name: unusual(930),
    column: Some(Heading { usual: "1", ..Heading::plain("vCPUs", 930, true) }),
    field: number_field!(vcpus),
    ..GUEST
};

/// Memory of the guest.
pub static MEMORY: Key = Key {
    name: "memory",
    recorded_as: Some("memory_bytes"),
    kind: Kind::Size,
    if_absent: "`\"128M\"`, or what the case needs",
    values: "`\"64M\"`, `\"1G\"`",
    help: "memory of the guest, suffixes are powers of 1,024; the host gives only what the guest touches",
    order: 935,
    field: Some(Field {
        get: |case| Some(Value::Size(MemorySize { bytes: case.memory_bytes })),
        set: |case, value| {
            if let Value::Size(size) = value {
                case.memory_bytes = size.bytes;
            }
        },
    }),
    ..GUEST
};

const PAGE_KINDS: [HugePages; 3] = [HugePages::No, HugePages::Transparent, HugePages::Reserved];

/// Pages of the host that the memory is made of.
pub static HUGE_PAGES: Key = Key {
    name: "huge_pages",
    kind: Kind::FlagOrChoice(&[
        HugePages::No.name(),
        HugePages::Transparent.name(),
        HugePages::Reserved.name(),
    ]),
    absent: Absent::First,
    if_absent: "`false`",
    values: "`false`, `true`, `\"transparent\"`, `\"reserved\"`",
    help: "pages of the host for guest memory. `false`: 4 KiB. `true` and `\"transparent\"`: 2 MiB where the host finds some. \
           `\"reserved\"`: 2 MiB out of `vm.nr_hugepages`, all taken when the guest is made",
    order: 940,
    sorted: Some(210),
    in_name: unusual(960),
    column: Some(Heading {
        text: "huge pages",
        order: 950,
        is_number: false,
        cell: |_, case| match case.huge_pages {
            HugePages::No => String::new(),
            kind => kind.name().to_owned(),
        },
        tells: |_| true,
        usual: "",
    }),
    field: Some(Field {
        get: |case| Some(Value::Choice(PAGE_KINDS.iter().position(|kind| *kind == case.huge_pages)?)),
        set: |case, value| {
            if let Value::Choice(index) = value {
                case.huge_pages = PAGE_KINDS[index];
            }
        },
    }),
    ..GUEST
};

/// Guests at once.
pub static GUESTS: Key = Key {
    name: "guests",
    kind: Kind::Number(1, |_| (1_024, "more than one machine is likely to hold")),
    if_absent: "none",
    help: "so many [guests at once](#many-guests-at-once), each in a process of its own; absent: one guest, in the process of \
           `inkbed run`",
    order: 950,
    sorted: Some(220),
    in_name: numbered(950),
    column: Some(Heading::plain("guests", 940, true)),
    field: Some(Field {
        get: |case| case.guests.map(|guests| Value::Number(guests.into())),
        set: |case, value| {
            if let Value::Number(guests) = value {
                case.guests = Some(guests as u32);
            }
        },
    }),
    ..GUEST
};

/// Process-context identifiers.
pub static PCID: Key = Key {
    name: "pcid",
    kind: Kind::Choice(&["auto", "off", "on"]),
    if_absent: "`\"auto\"`",
    help: "`auto`: off, and where the guest's CPU has PCIDs, on as well; `on` without hardware is an error",
    order: 920,
    sorted: Some(230),
    in_name: numbered(920),
    column: Some(Heading::plain("pcid", 960, false)),
    field: Some(Field {
        get: |case| Some(Value::Choice(1 + usize::from(case.pcid))),
        set: |case, value| case.pcid = value == Value::Choice(2),
    }),
    ..GUEST
};

/// Slot of a program in a small space.
pub static SLOT_SIZE: Key = Key {
    name: "slot_size",
    recorded_as: Some("slot_bytes"),
    kind: Kind::Size,
    values: "`\"2M\"`, `\"4M\"`, `\"8M\"`, `\"16M\"`, `\"32M\"`, `\"64M\"`",
    if_absent: "the smallest that it fits in",
    help: "size of the slot that each program in a `small` space gets",
    standing: Standing::EveryCase,
    order: 900,
    in_name: Some(InName { order: 900, text: |_, case| Some(format!("slot={}", case.chosen_slot()?)) }),
    column: Some(Heading {
        text: "slot",
        order: 900,
        is_number: true,
        cell: Key::text,
        tells: |case| case.chosen_slot().is_some(),
        usual: "",
    }),
    field: Some(Field {
        get: |case| case.slot_bytes.map(|bytes| Value::Size(MemorySize { bytes })),
        set: |case, value| {
            if let Value::Size(size) = value {
                case.slot_bytes = Some(size.bytes);
            }
        },
    }),
    ..Key::USUAL
};

/// How programs for 32 bits enter the kernel.
pub static GATE: Key = Key {
    name: "gate",
    kind: Kind::Choice(&["all", Gate::Int.name(), Gate::Sysenter.name(), Gate::Syscall.name()]),
    if_absent: "`\"int\"`",
    help: "how programs for 32 bits (`small`, `large`) enter the kernel; `all`: each way that the CPU has in compatibility mode; \
           one that it does not have is an error",
    standing: Standing::EveryCase,
    order: 910,
    in_name: Some(InName {
        order: 910,
        text: |_, case| Some(format!("gate={}", case.gate.filter(|gate| *gate != Gate::Int)?.name())),
    }),
    column: Some(Heading {
        text: "gate",
        order: 910,
        is_number: false,
        cell: |key, case| key.text(case).to_uppercase(),
        tells: |case| case.gate.is_some_and(|gate| gate != Gate::Int),
        usual: "",
    }),
    field: Some(Field {
        get: |case| case.gate.map(|gate| Value::Choice(1 + gate as usize)),
        set: |case, value| {
            if let Value::Choice(index @ 1..) = value {
                case.gate = Gate::of(Value::Choice(index - 1));
            }
        },
    }),
    ..Key::USUAL
};
