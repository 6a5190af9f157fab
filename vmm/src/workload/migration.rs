//! What the workloads have in common in which servers migrate in every round trip.

use abi::plan::{PARTNERS_MAX, flag};
use abi::program;
use abi::workload::method;

use super::{Workload, parts};
use crate::case::key::{Absent, Heading, Key, Kind};
use crate::case::value::words;
use crate::case::workload::{CountColumn, Crowd, Figure, Refused};
use crate::case::{Parameters, keys};
use crate::system::{System, Target};

words! {
    /// How servers are migrated; see [`abi::workload::method`].
    Migration {
        /// One after the other.
        OneByOne = "one_by_one",
        /// The first one with its group, in one system call.
        Group = "group",
        /// One after the other, each to another address.
        Relocate = "relocate",
        /// One after the other, each by being stopped and started again.
        Restart = "restart",
    }
}

impl Migration {
    /// One of [`abi::workload::method`].
    pub const fn abi(self) -> u64 {
        match self {
            Migration::OneByOne => method::ONE_BY_ONE,
            Migration::Group => method::GROUP,
            Migration::Relocate => method::RELOCATE,
            Migration::Restart => method::RESTART,
        }
    }

    /// Whether the servers keep their addresses, for which each needs a home.
    pub const fn is_in_place(self) -> bool {
        matches!(self, Migration::OneByOne | Migration::Group)
    }
}

words! {
    /// How the kernel has the TLB forget pages.
    Flush {
        /// Page by page up to the threshold that it finds at boot.
        Threshold = "threshold",
        /// Always page by page.
        ByPage = "by_page",
        /// Always all at once.
        Full = "full",
    }
}

/// Partners of the server.
pub static PARTNERS: Key = Key {
    name: "partners",
    kind: Kind::Number(0, |_| (PARTNERS_MAX as i64, "the partners that a server remembers")),
    absent: Absent::Number(0),
    help: "further servers. The server calls them for each call that it gets, and they move with it",
    order: 150,
    sorted: Some(170),
    in_name: keys::numbered(150),
    column: Some(Heading::plain("partners", 620, true)),
    ..Key::USUAL
};

/// How they move.
pub static MIGRATION: Key = Key {
    name: "migration",
    kind: Kind::Choice(<Migration as crate::case::value::Word>::NAMES),
    absent: Absent::First,
    help: "`one_by_one`: in place, with a system call and a flush decision for each server. `group`: in place, with one of both for all. \
           `relocate`: each server to another address. `restart`: each server stopped, and started again",
    order: 160,
    in_name: keys::bare(160),
    column: Some(Heading { cell: keys::spaced, ..Heading::plain("migration", 630, false) }),
    ..Key::USUAL
};

/// How the kernel has the TLB forget pages.
pub static FLUSH: Key = Key {
    name: "flush",
    kind: Kind::Choice(<Flush as crate::case::value::Word>::NAMES),
    absent: Absent::First,
    help: "how the kernel flushes pages. `threshold`: up to the threshold by page, above it all. `by_page`: page by page. `full`: all",
    order: 170,
    in_name: keys::unusual(170),
    column: Some(Heading {
        text: "flush",
        order: 640,
        is_number: false,
        cell: |key, case| match flush(case) {
            Flush::Threshold => String::new(),
            _ => keys::spaced(key, case),
        },
        tells: |_| true,
        usual: "",
    }),
    always_recorded: true,
    ..Key::USUAL
};

pub(super) static KEYS: &[&Key] = &[&keys::CLIENT, &keys::SERVER_PAGES, &PARTNERS, &MIGRATION, &FLUSH];

/// What a move costs.
pub(super) static COLUMNS: [CountColumn; 3] = [
    CountColumn::early("pages\nremapped", Figure::PerRoundTrip("pages_remapped")),
    CountColumn::early("INVLPGs", Figure::PerRoundTrip("invlpg")),
    CountColumn::early("full\nflushes", Figure::PerRoundTrip("tlb_full_flushes")),
];

/// How the kernel has the TLB forget pages in a case.
pub fn flush(case: &Parameters) -> Flush {
    case.word(&FLUSH).unwrap_or(Flush::Threshold)
}

fn migration(case: &Parameters) -> Migration {
    case.word(&MIGRATION).unwrap_or(Migration::OneByOne)
}

fn partners(case: &Parameters) -> u64 {
    case.number(&PARTNERS).unwrap_or(0)
}

pub(super) fn check(case: &Parameters) -> Result<(), Refused> {
    // A fresh server first runs when the scheduler says: with several of them, page-table loads are nobody's rule.
    if !migration(case).is_in_place() && partners(case) > 0 {
        let message = "`relocate` and `restart` are measured with a server alone";
        let fix = "put them into a [[case]] of their own without `partners`";
        return Err(Refused::at(&MIGRATION, message, fix));
    }
    if case.has_32_bit() && !matches!(migration(case), Migration::OneByOne | Migration::Restart) {
        let message = "servers for 32 bits move in place one by one, or by being restarted";
        let fix = "put the other ways of `migration` into a [[case]] of their own with `client = \"user\"`";
        return Err(Refused::at(&MIGRATION, message, fix).or(&keys::CLIENT));
    }
    Ok(())
}

/// client → hub, which calls each of its partners; all of them move. Of a round trip's four calls two find them in user space; the
/// other two load nothing, as long as the client itself is the only user space on the way.
pub(super) fn system(workload: &dyn Workload, case: &Parameters) -> System {
    let partners = partners(case) as usize;
    let mut system = parts::system(workload, case);
    system.client().may_call = vec![1.into()];
    let targets = (2..2 + partners).map(Target::from).collect();
    let hub = parts::add_moving(&mut system, program::HUB, false, targets);
    system.participants[hub].pages = case.server_pages();
    system.participants[hub].arguments[program::touch::PAGES] = case.server_pages().into();
    let mut call = vec![hub];
    for _ in 0..partners {
        let partner = parts::add_moving(&mut system, program::NULL, false, Vec::new());
        call.extend([partner, hub]);
    }
    call.push(0);
    system.way = std::iter::once(0).chain(call.repeat(2)).collect();
    // Only with a home does a server for 32 bits get a slot to be started in.
    let needs_home = migration(case).is_in_place() || case.client.is_32_bit();
    system.participants.iter_mut().skip(1).for_each(|server| server.has_home = needs_home);
    system
}

/// Servers that move, and how.
pub(super) fn moving(case: &Parameters) -> (u64, u64) {
    (1 + partners(case), migration(case).abi())
}

pub(super) fn plan_flags(case: &Parameters) -> u64 {
    match flush(case) {
        Flush::Threshold => 0,
        Flush::ByPage => flag::FLUSH_BY_PAGE,
        Flush::Full => flag::FLUSH_FULL,
    }
}

pub(super) fn crowd(case: &Parameters) -> Crowd {
    Crowd { servers: partners(case), threads: 0 }
}
