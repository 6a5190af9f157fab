//! Who takes part in a case, and where.

use abi::plan::ARGUMENT_COUNT;
use abi::workload;

use super::unusual;
use crate::case::key::{Absent, Field, Key, Kind, Standing};
use crate::case::parameter::Transfer;
use crate::case::value::{Value, Word};
use crate::system::placement::Placement;

/// A placement that a workload may have; together they are the second part of a case's name, and one column.
const PLACEMENT: Key = Key { kind: Kind::Choice(Placement::NAMES), absent: Absent::First, ..Key::USUAL };

macro_rules! placement_field {
    ($field:ident) => {
        Some(Field {
            get: |case| case.$field.map(Word::value),
            set: |case, value| case.$field = Placement::of(value),
        })
    };
}

/// What is measured.
pub static WORKLOAD: Key = Key {
    name: "workload",
    kind: Kind::Text,
    values: "[a workload](#workloads), required",
    help: "what is measured",
    standing: Standing::EveryCase,
    multiplies: false,
    in_csv: false,
    ..Key::USUAL
};

/// First part of the case's name.
pub static NAME: Key = Key {
    name: "name",
    kind: Kind::Text,
    values: "text",
    if_absent: "the workload's name",
    help: "first part of the case's name",
    standing: Standing::EveryCase,
    multiplies: false,
    in_csv: false,
    ..Key::USUAL
};

/// Trust groups.
pub static GROUPS: Key = Key {
    name: "groups",
    kind: Kind::Table,
    values: "table: `client`, `server`, `relay`, `other_client` = 1 … 4",
    help: "[trust groups](#trust-groups) of these programs. If absent, the placement decides",
    standing: Standing::EveryCase,
    multiplies: false,
    in_csv: false,
    ..Key::USUAL
};

/// Where the client runs.
pub static CLIENT: Key = Key {
    name: "client",
    values: "`\"user\"`, `\"kernel\"`, `\"large\"`",
    help: "[where](#placements) the client runs; required unless `same_space`",
    if_absent: "–",
    standing: Standing::ItsWorkloads,
    order: 10,
    field: Some(Field {
        get: |case| Some(case.client.value()),
        set: |case, value| case.client = Placement::of(value).unwrap_or(case.client),
    }),
    ..PLACEMENT
};

/// Where the relay runs.
pub static RELAY: Key = Key {
    name: "relay",
    if_absent: "–",
    help: "where the relay runs; required",
    order: 20,
    field: placement_field!(relay),
    ..PLACEMENT
};

/// Where the server runs.
pub static SERVER: Key = Key {
    name: "server",
    if_absent: "–",
    help: "where the server runs; required unless `same_space`",
    order: 30,
    field: placement_field!(server),
    ..PLACEMENT
};

/// Where the other client runs.
pub static OTHER_CLIENT: Key = Key {
    name: "other_client",
    absent: Absent::Of(|case| {
        // Built as the client is.
        let own = if case.client.is_32_bit() { Placement::Large } else { Placement::User };
        Some(own.value())
    }),
    if_absent: "`\"user\"`, or `\"large\"` beside a 32-bit client",
    help: "where the other client runs",
    order: 40,
    field: placement_field!(other_client),
    ..PLACEMENT
};

/// Client and server share one user space.
pub static SAME_SPACE: Key = Key {
    name: "same_space",
    kind: Kind::Flag,
    absent: Absent::First,
    help: "client and server share one user space",
    order: 50,
    field: Some(Field {
        get: |case| Some(Value::Flag(case.same_space)),
        set: |case, value| case.same_space = value == Value::Flag(true),
    }),
    always_recorded: true,
    ..Key::USUAL
};

/// How calls reach the server.
pub static TRANSFER: Key = Key {
    name: "transfer",
    kind: Kind::Choice(Transfer::NAMES),
    absent: Absent::First,
    help: "`switch`: by a switch to the server's own thread; `direct`: the caller's thread runs the entry function of a server in \
           the kernel, for at most 4 words",
    order: 60,
    in_name: unusual(800),
    field: Some(Field {
        get: |case| Some(case.transfer.value()),
        set: |case, value| case.transfer = Transfer::of(value).unwrap_or_default(),
    }),
    always_recorded: true,
    ..Key::USUAL
};

/// Program of the server.
pub static SERVER_PROGRAM: Key = Key {
    name: "server_program",
    help: "another program in the server's place: a built-in one, or one of your own from `--servers DIR`",
    ..PROGRAM
};

/// What it is told.
pub static SERVER_ARGUMENTS: Key = Key {
    name: "server_arguments",
    kind: Kind::Numbers(ARGUMENT_COUNT),
    help: "arguments of the `server_program`, from its first one on",
    standing: Standing::EveryCase,
    ..ARGUMENTS
};

/// Program of the client.
pub static CLIENT_PROGRAM: Key = Key {
    name: "client_program",
    if_absent: "`client`",
    help: "another program in the client's place, which measures what the workload says",
    standing: Standing::EveryCase,
    ..PROGRAM
};

/// What it is told.
pub static CLIENT_ARGUMENTS: Key = Key {
    name: "client_arguments",
    kind: Kind::Numbers(workload::OWN_COUNT),
    if_absent: "those of the workload",
    help: "arguments of the `client_program`, in place of the workload's own",
    standing: Standing::EveryCase,
    ..ARGUMENTS
};

const PROGRAM: Key = Key {
    kind: Kind::Text,
    values: "name of a program",
    if_absent: "the workload's own",
    multiplies: false,
    in_csv: false,
    ..Key::USUAL
};

const ARGUMENTS: Key = Key { if_absent: "none", multiplies: false, in_csv: false, ..Key::USUAL };
