//! How long and how often a case is measured.

use abi::region::SAMPLES_SIZE_MAX;

use crate::case::key::{Absent, Field, Key, Kind, Standing};
use crate::case::value::Value;

/// What these keys have in common: one value for a case, in no name and no table.
const EFFORT: Key =
    Key { standing: Standing::Everywhere, multiplies: false, may_be_set: true, in_csv: false, ..Key::USUAL };

macro_rules! number_field {
    ($field:ident) => {
        Some(Field {
            get: |case| Some(Value::Number(case.$field as i64)),
            set: |case, value| {
                if let Value::Number(number) = value {
                    case.$field = number as _;
                }
            },
        })
    };
}
pub(super) use number_field;

/// How long to measure.
pub static SECONDS: Key = Key {
    name: "seconds",
    kind: Kind::Seconds,
    values: "0.001 … 3,600, at most half of `deadline_seconds`",
    if_absent: "0.5 where ticks are time, else none",
    help: "how long each guest measures, [at least](#how-long-a-case-measures)",
    field: Some(Field {
        get: |case| case.seconds.map(Value::Seconds),
        set: |case, value| {
            if let Value::Seconds(seconds) = value {
                case.seconds = Some(seconds);
            }
        },
    }),
    ..EFFORT
};

/// Round trips to sample.
pub static SAMPLES: Key = Key {
    name: "samples",
    kind: Kind::Number(1, |scope| ((SAMPLES_SIZE_MAX / 8 / scope.channels) as i64, "the room for samples")),
    absent: Absent::Number(300),
    values: "1 … 134,217,728 divided by the number of channels",
    if_absent: "300 where `seconds` is none",
    help: "round trips that each measuring thread of a guest makes, instead of `seconds`",
    field: number_field!(samples),
    ..EFFORT
};

/// Round trips before the first sample.
pub static WARM_UP: Key = Key {
    name: "warm_up",
    kind: Kind::Number(0, |_| (1_000_000_000, "longer than any case needs")),
    absent: Absent::Number(20),
    help: "round trips before the first sample",
    field: number_field!(warm_up),
    ..EFFORT
};

/// Guests booted afresh.
pub static LAUNCHES: Key = Key {
    name: "launches",
    kind: Kind::Number(1, |_| (10_000, "longer than any case needs")),
    if_absent: "6 where ticks are time, else 1",
    help: "guests booted afresh for the case; the launches of all cases take turns (A B C C B A …); with more than one the \
           interval of the median is over launches",
    field: number_field!(launches),
    ..EFFORT
};

/// Round trips to trace.
pub static TRACE_ROUND_TRIPS: Key = Key {
    name: "trace_round_trips",
    kind: Kind::Number(0, |_| (1_000, "`inkbed trace` takes more")),
    absent: Absent::Number(0),
    values: "0 … 1,000 (0 with `--no-trace`)",
    help: "round trips to trace in one more guest, of one vCPU; what the trace and the other lenses count must then agree, or \
           the case has failed",
    field: number_field!(trace_round_trips),
    ..EFFORT
};

/// Models of TLBs.
pub static TLB_MODELS: Key = Key {
    name: "tlb_models",
    kind: Kind::Text,
    values: "list of texts",
    if_absent: "none",
    help: "[models of TLBs](tlb-models.md) to run the traced round trips on: built-in ones by name, others by the path of a \
           geometry file, from the working directory",
    may_be_set: false,
    ..EFFORT
};

/// Seconds after which a guest is taken for hung.
pub static DEADLINE_SECONDS: Key = Key {
    name: "deadline_seconds",
    kind: Kind::Number(1, |_| (86_400, "a day")),
    absent: Absent::Number(60),
    help: "a guest that takes longer is a hang",
    field: number_field!(deadline_seconds),
    ..EFFORT
};
