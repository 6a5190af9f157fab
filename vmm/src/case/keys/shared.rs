//! Keys of several workloads.

use abi::call::MESSAGE_WORDS_MAX;
use abi::region::WORKING_SET_PAGES_MAX;

use super::{named, numbered};
use crate::case::key::{Absent, Heading, InName, Key, Kind, Scope};
use crate::case::parameters::Parameters;
use crate::printable::grouped;

/// Words of the message and of the answer.
pub static WORDS: Key = Key {
    name: "words",
    kind: Kind::Number(0, |_| (MESSAGE_WORDS_MAX as i64, "the longest message")),
    absent: Absent::Number(0),
    help: "8-byte words of the message and of the answer; up to 4 travel in registers",
    order: 100,
    sorted: Some(190),
    in_name: Some(InName {
        order: 100,
        text: |key, case| if has_none_beside_pages(case) { None } else { named(key, case) },
    }),
    column: Some(Heading {
        tells: |case| !has_none_beside_pages(case),
        ..Heading::plain("words", 710, true)
    }),
    ..Key::USUAL
};

/// A call between touched pages has no words unless somebody asks for them: that goes without saying.
fn has_none_beside_pages(case: &Parameters) -> bool {
    case.number(&SERVER_PAGES).is_some() && case.number(&WORDS) == Some(0)
}

const WORKING_SET: fn(&Scope) -> (i64, &'static str) =
    |_| (WORKING_SET_PAGES_MAX as i64, "the largest working set");

/// Pages that the client and the server touch.
pub static PAGES: Key = Key {
    name: "pages",
    kind: Kind::Number(0, WORKING_SET),
    if_absent: "`client_pages` and `server_pages`",
    help: "pages that the client and the server touch, each its own",
    order: 105,
    in_csv: false,
    stands_for: &[&CLIENT_PAGES, &SERVER_PAGES],
    ..Key::USUAL
};

/// Pages that the client touches.
pub static CLIENT_PAGES: Key = Key {
    name: "client_pages",
    kind: Kind::Number(0, WORKING_SET),
    absent: Absent::Number(0),
    help: "pages that the client touches",
    order: 110,
    sorted: Some(150),
    ..Key::USUAL
};

/// Pages that the server touches. Name and column are those of both.
pub static SERVER_PAGES: Key = Key {
    name: "server_pages",
    kind: Kind::Number(0, WORKING_SET),
    absent: Absent::Number(0),
    help: "pages that the server touches",
    order: 120,
    sorted: Some(160),
    in_name: Some(InName {
        order: 110,
        text: |_, case| Some(format!("pages={}", both(case, |pages| pages.to_string())?)),
    }),
    column: Some(Heading {
        text: "pages",
        order: 700,
        is_number: true,
        cell: |_, case| both(case, grouped).unwrap_or_default(),
        tells: |_| true,
        usual: "",
    }),
    ..Key::USUAL
};

/// `16` where client and server touch as many pages, or only the server does; `1+2` where they differ.
fn both(case: &Parameters, text: fn(u64) -> String) -> Option<String> {
    Some(match (case.number(&CLIENT_PAGES), case.number(&SERVER_PAGES)?) {
        (Some(client), server) if client != server => format!("{}+{}", text(client), text(server)),
        (_, server) => text(server),
    })
}

/// Servers that take part. A workload says how many there may be.
pub const SERVERS: Key = Key {
    name: "servers",
    order: 130,
    sorted: Some(180),
    in_name: numbered(130),
    column: Some(Heading::plain("servers", 600, true)),
    ..Key::USUAL
};
