//! Who takes part in a case, and in which order a round trip visits them.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::plan::PRIORITY;
use crate::case::Parameters;
use crate::case::groups::usual;
use crate::case::parameter::{HandlerShape, Serving};
use crate::system::placement::Placement;
use crate::workload::Workload;

/// The threads of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threads {
    /// Their number. Thread n starts on CPU `first_cpu + n % cpu_count`.
    pub count: u32,
    /// The first CPU that they are spread over.
    pub first_cpu: u32,
    /// Number of these CPUs.
    pub cpu_count: u32,
    /// Their priority.
    pub priority: u32,
    /// Pages of each one's stack; 0 for as many as there is room for.
    pub stack_pages: u32,
    /// Each has an endpoint of its own.
    pub own_endpoints: bool,
    /// The rights are dealt out to the CPUs in equal parts.
    pub rights_per_cpu: bool,
}

impl Threads {
    /// One thread on a CPU.
    pub const fn one_on(cpu: u32) -> Threads {
        Threads {
            count: 1,
            first_cpu: cpu,
            cpu_count: 1,
            priority: PRIORITY,
            stack_pages: 0,
            own_endpoints: false,
            rights_per_cpu: false,
        }
    }

    /// A thread on each of so many CPUs.
    pub const fn on_each(cpus: u32) -> Threads {
        Threads { count: cpus, cpu_count: cpus, ..Threads::one_on(0) }
    }
}

/// Whom a right leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Index of the participant.
    pub participant: usize,
    /// Number of its thread, if its threads have endpoints of their own.
    pub thread: u32,
}

impl From<usize> for Target {
    fn from(participant: usize) -> Target {
        Target { participant, thread: 0 }
    }
}

/// One program of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    /// Program to start.
    pub program: String,
    /// Where.
    pub placement: Placement,
    /// Its trust group, 1 to 4.
    pub trust_group: u32,
    /// User programs with the same number share a space.
    pub space: u32,
    /// Whom it may call, in the order of its handles.
    pub may_call: Vec<Target>,
    /// Pages of its working set.
    pub pages: u32,
    /// Where it runs while it is measured, if it migrates.
    pub moves_to: Option<Placement>,
    /// Its threads.
    pub threads: Threads,
}

/// The programs of a case and the way of a round trip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// In the order in which the kernel starts them; the first is the client, which drives the case.
    pub participants: Vec<Participant>,
    /// Indices of the participants that run one after the other in a round trip; it ends where it begins.
    pub way: Vec<usize>,
    /// Whether every round trip goes this way, and no other.
    pub is_regular: bool,
}

impl Topology {
    /// The topology of a case.
    pub fn of(case: &Parameters) -> Topology {
        let client = Participant {
            program: abi::program::CLIENT.to_owned(),
            placement: case.client,
            trust_group: case.groups.client.unwrap_or(usual(case.client)),
            space: 0,
            may_call: Vec::new(),
            pages: case.client_pages.unwrap_or(0),
            moves_to: None,
            threads: Threads::one_on(0),
        };
        let is_regular =
            !matches!(case.workload, Workload::MigrateUnderLoad | Workload::Faults | Workload::Reach);
        let mut topology = Topology { participants: vec![client], way: vec![0], is_regular };
        match case.workload {
            Workload::Chain => topology.add_chain(case),
            Workload::Migrate | Workload::MigrateUnderLoad => topology.add_hub(case),
            _ => {}
        }
        if case.workload.measures_on_all_cpus() {
            topology.participants[0].threads.count = case.measuring_threads();
            topology.participants[0].threads.cpu_count = case.measuring_threads();
        }
        let Some(placement) = case.server else { return topology };
        let server = Participant {
            program: case.server_program.clone().unwrap_or_else(|| abi::program::NULL.to_owned()),
            placement,
            trust_group: case.groups.server.unwrap_or(usual(placement)),
            space: if case.same_space { 0 } else { 1 },
            may_call: Vec::new(),
            pages: case.server_pages.unwrap_or(0),
            moves_to: None,
            threads: Threads::one_on(0),
        };
        topology.participants.push(server);
        match case.workload {
            Workload::Relay => {
                // client → relay → server and back
                topology.add_relay(case.relay.unwrap_or(Placement::User), case.groups.relay);
                topology.participants[0].may_call = vec![2.into()];
                topology.way = vec![0, 2, 1, 2, 0];
            }
            Workload::Alternate => {
                // The client calls the server, then the other client, which calls the same server.
                topology.add_relay(case.other_client.unwrap_or(Placement::User), case.groups.other_client);
                topology.participants[0].may_call = vec![1.into(), 2.into()];
                topology.way = vec![0, 1, 0, 2, 1, 2, 0];
            }
            Workload::Slots => {
                let servers = case.servers.unwrap_or(1);
                for index in 2..=servers {
                    let another = Participant { space: index, ..topology.participants[1].clone() };
                    topology.participants.push(another);
                }
                topology.participants[0].may_call = (1..=servers as usize).map(Target::from).collect();
                topology.way = vec![0, 1, 0, 1, 0];
            }
            Workload::Reach => {
                // The neighbour only has to be there.
                let program = abi::program::NULL.to_owned();
                let neighbour = Participant { program, space: 2, ..topology.participants[1].clone() };
                topology.participants.push(neighbour);
                topology.participants[0].may_call = vec![1.into()];
                topology.way = vec![0, 1, 0];
            }
            Workload::Scaling => topology.serve(case),
            Workload::HandlerCall | Workload::HandlerWakeUp | Workload::HandlerFault => {
                topology.add_handlers(case);
            }
            _ => {
                topology.participants[0].may_call = vec![1.into()];
                topology.way = vec![0, 1, 0];
            }
        }
        topology
    }

    /// The clients of `scaling` get their server, or their servers.
    fn serve(&mut self, case: &Parameters) {
        let cpus = case.vcpus;
        self.participants[0].may_call = vec![1.into()];
        self.way = vec![0, 1, 0];
        let threads = match case.serving.unwrap_or(Serving::Pairs) {
            Serving::Pairs => {
                for cpu in 1..cpus {
                    let another = Participant {
                        space: cpu + 1,
                        threads: Threads::one_on(cpu),
                        ..self.participants[1].clone()
                    };
                    self.participants.push(another);
                }
                self.participants[0].may_call = (1..=cpus as usize).map(Target::from).collect();
                self.participants[0].threads.rights_per_cpu = true;
                Threads::one_on(0)
            }
            Serving::PerCpu => Threads::on_each(cpus),
            Serving::Central => Threads::one_on(0),
            Serving::Across => Threads::one_on(cpus - 1),
        };
        self.participants[1].threads = threads;
        // Between CPUs each has its own resident space, and who comes when is nobody's rule.
        self.is_regular = matches!(case.serving, Some(Serving::Pairs | Serving::PerCpu)) || cpus == 1;
    }

    /// Handlers on all CPUs: threads of one server, or servers of their own. The client's thread on each CPU reaches those of
    /// its CPU; one that is alone reaches all.
    fn add_handlers(&mut self, case: &Parameters) {
        let (cpus, per_cpu) = (case.vcpus, case.handlers_per_cpu.unwrap_or(1));
        let handlers = cpus * per_cpu;
        // Whoever is woken runs at once. A handler needs no more stack than a page in either shape.
        let handler = Threads { priority: PRIORITY + 1, stack_pages: 1, ..Threads::one_on(0) };
        let is_monolith = case.shape == Some(HandlerShape::Monolith);
        if is_monolith {
            self.participants[1].threads =
                Threads { count: handlers, cpu_count: cpus, own_endpoints: true, ..handler };
        } else {
            let first = self.participants[1].clone();
            self.participants.truncate(1);
            self.participants.extend((0..handlers).map(|index| Participant {
                space: index + 1,
                threads: Threads { first_cpu: index % cpus, ..handler },
                ..first.clone()
            }));
        }
        let target = |index: u32| match is_monolith {
            true => Target { participant: 1, thread: index },
            false => Target::from(index as usize + 1),
        };
        // Part after part, each those of one CPU.
        let in_order = (0..cpus).flat_map(|cpu| (0..per_cpu).map(move |turn| turn * cpus + cpu));
        self.participants[0].may_call = in_order.map(target).collect();
        self.participants[0].threads.rights_per_cpu = case.workload.measures_on_all_cpus();
        self.way = vec![0, 1, 0];
        self.is_regular = case.workload.measures_on_all_cpus();
    }

    fn add_relay(&mut self, placement: Placement, group: Option<u32>) {
        self.participants.push(Participant {
            program: abi::program::RELAY.to_owned(),
            placement,
            trust_group: group.unwrap_or(usual(placement)),
            space: 2,
            may_call: vec![1.into()],
            pages: 0,
            moves_to: None,
            threads: Threads::one_on(0),
        });
    }

    /// Adds a server that may migrate, `is_in` or not while it is measured, and starts in a space of its own; returns its
    /// index. With a client for 32 bits servers are that, too, and move between large spaces and small ones; with others
    /// between user space and the kernel.
    fn add_moving(&mut self, program: &str, is_in: bool, may_call: Vec<Target>, pages: u32) -> usize {
        let index = self.participants.len();
        let (outside, inside) = match self.participants[0].placement.is_32_bit() {
            true => (Placement::Large, Placement::Small),
            false => (Placement::User, Placement::Kernel),
        };
        self.participants.push(Participant {
            program: program.to_owned(),
            placement: outside,
            trust_group: usual(inside),
            space: index as u32,
            may_call,
            pages,
            moves_to: Some(if is_in { inside } else { outside }),
            threads: Threads::one_on(0),
        });
        index
    }

    /// client → A → B → … and back.
    fn add_chain(&mut self, case: &Parameters) {
        let (servers, moved) = (case.servers.unwrap_or(0) as usize, case.moved.unwrap_or(0) as usize);
        self.participants[0].may_call = vec![1.into()];
        for index in 1..=servers {
            let is_in = index <= moved || case.promote_after.is_some();
            if index < servers {
                self.add_moving(abi::program::RELAY, is_in, vec![(index + 1).into()], 0);
            } else {
                self.add_moving(abi::program::NULL, is_in, Vec::new(), 0);
            }
        }
        self.way = (0..=servers).chain((0..servers).rev()).collect();
    }

    /// client → hub, which calls each of its partners; all of them move. Of a round trip's four calls two find them in
    /// user space; the other two load nothing, as long as the client itself is the only user space on the way.
    fn add_hub(&mut self, case: &Parameters) {
        let partners = case.partners.unwrap_or(0) as usize;
        self.participants[0].may_call = vec![1.into()];
        let targets = (2..2 + partners).map(Target::from).collect();
        let hub = self.add_moving(abi::program::HUB, false, targets, case.server_pages.unwrap_or(0));
        let mut call = vec![hub];
        for _ in 0..partners {
            let partner = self.add_moving(abi::program::NULL, false, Vec::new(), 0);
            call.extend([partner, hub]);
        }
        call.push(0);
        self.way = std::iter::once(0).chain(call.repeat(2)).collect();
    }

    /// Page-table loads of one round trip once the system has settled, by the rule of the resident space: a load
    /// happens exactly when the next program has a space of its own and that is not the one loaded last. `None` where
    /// the way depends on the timer, or on which server is alive.
    pub fn page_table_loads_per_round_trip(&self) -> Option<u64> {
        self.is_regular.then(|| self.loads_by_rule())
    }

    /// Threads of all participants.
    pub fn thread_count(&self) -> u64 {
        self.participants.iter().map(|participant| u64::from(participant.threads.count)).sum()
    }

    /// Page-table loads that so many switches between any threads may take: all of them if each thread has a space of its own
    /// all the time, none if there is one space at most, else nobody knows.
    pub fn page_table_loads_within(&self, switches: u64) -> RangeInclusive<u64> {
        let may_have_space = |one: &&Participant| {
            one.placement.has_own_space() || one.moves_to.is_some_and(Placement::has_own_space)
        };
        // Whoever moves may do so in every round trip.
        let always_has_space = |one: &Participant| {
            one.placement.has_own_space() && one.moves_to.is_none() && one.threads.count == 1
        };
        let spaces: BTreeSet<u32> =
            self.participants.iter().filter(may_have_space).map(|one| one.space).collect();
        let all_differ =
            spaces.len() == self.participants.len() && self.participants.iter().all(always_has_space);
        match spaces.len() {
            0 | 1 => 0..=0,
            _ if all_differ => switches..=switches,
            _ => 0..=switches,
        }
    }

    fn loads_by_rule(&self) -> u64 {
        let mut resident = None;
        let mut loads = 0;
        // The first turn only finds the space that is resident when a turn begins.
        for _ in 0..2 {
            loads = 0;
            for &next in &self.way {
                let participant = &self.participants[next];
                let placement = participant.moves_to.unwrap_or(participant.placement);
                if placement.has_own_space() && resident != Some(participant.space) {
                    resident = Some(participant.space);
                    loads += 1;
                }
            }
        }
        loads
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::tests::parameters;
    use Placement::{Kernel, User};

    fn loads(case: &Parameters) -> u64 {
        Topology::of(case).page_table_loads_per_round_trip().unwrap()
    }

    #[test]
    fn a_call_loads_a_page_table_only_between_two_user_spaces() {
        for (client, server, expected) in
            [(User, User, 2), (User, Kernel, 0), (Kernel, User, 0), (Kernel, Kernel, 0)]
        {
            let case = Parameters { client, server: Some(server), ..parameters(Workload::Call) };
            assert_eq!(loads(&case), expected, "{client} → {server}");
        }
        let shared = Parameters { server: Some(User), same_space: true, ..parameters(Workload::Call) };
        assert_eq!(loads(&shared), 0);
    }

    /// Liedtke's rule: into small spaces and between them nothing is loaded, nor back to the large space that was there before.
    #[test]
    fn small_spaces_load_what_the_kernel_does() {
        use Placement::{Large, Small};
        let call = |server| Parameters { client: Large, server: Some(server), ..parameters(Workload::Call) };
        assert_eq!([Large, Small, Kernel].map(|server| loads(&call(server))), [2, 0, 0]);
        let relay = |relay, server| Parameters {
            client: Large,
            relay: Some(relay),
            server: Some(server),
            ..parameters(Workload::Relay)
        };
        assert_eq!(loads(&relay(Large, Large)), 4);
        assert_eq!(loads(&relay(Small, Large)), 2);
        assert_eq!(loads(&relay(Small, Small)), 0);
        let alternate = |server| Parameters {
            client: Large,
            other_client: Some(Large),
            server: Some(server),
            ..parameters(Workload::Alternate)
        };
        assert_eq!([Large, Small, Kernel].map(|server| loads(&alternate(server))), [6, 2, 2]);
    }

    #[test]
    fn switches_between_any_threads_load_what_their_spaces_say() {
        let within = |case: &Parameters| Topology::of(case).page_table_loads_within(7);
        let call = |server| Parameters { server: Some(server), ..parameters(Workload::Call) };
        assert_eq!(within(&call(User)), 7..=7);
        assert_eq!(within(&call(Kernel)), 0..=0);
        assert_eq!(within(&Parameters { same_space: true, ..call(User) }), 0..=0);
        let relay = Parameters { relay: Some(Kernel), ..parameters(Workload::Relay) };
        assert_eq!(within(&Parameters { server: Some(User), ..relay }), 0..=7);
        let moving = Parameters { partners: Some(0), ..parameters(Workload::Migrate) };
        assert_eq!(within(&moving), 0..=7, "it is in the kernel half of the time");
    }

    #[test]
    fn what_has_no_server_loads_nothing() {
        assert_eq!(loads(&parameters(Workload::Empty)), 0);
        assert_eq!(loads(&parameters(Workload::NullSystemCall)), 0);
    }

    /// The talk's other case: the server in the kernel serves two spaces, and the loads that remain are those of the
    /// switches between the two.
    #[test]
    fn alternating_clients_cost_what_the_talk_says() {
        let case = |server| Parameters { server: Some(server), ..parameters(Workload::Alternate) };
        assert_eq!(loads(&case(Kernel)), 2);
        assert_eq!(loads(&case(User)), 6);
    }

    #[test]
    fn clients_on_all_cpus_load_what_one_does() {
        for serving in [Serving::Pairs, Serving::PerCpu] {
            let case = |server| Parameters {
                server: Some(server),
                serving: Some(serving),
                vcpus: 4,
                ..parameters(Workload::Scaling)
            };
            assert_eq!((loads(&case(User)), loads(&case(Kernel))), (2, 0), "{serving:?}");
        }
        let central = Parameters {
            server: Some(User),
            serving: Some(Serving::Central),
            vcpus: 4,
            ..parameters(Workload::Scaling)
        };
        assert_eq!(Topology::of(&central).page_table_loads_per_round_trip(), None);
    }

    /// Whatever the shape, the n-th part of the client's rights leads to the handlers of the n-th CPU, each once.
    #[test]
    fn each_client_reaches_the_handlers_of_its_cpu() {
        for shape in [HandlerShape::Monolith, HandlerShape::Natural] {
            let case = Parameters {
                server: Some(User),
                shape: Some(shape),
                handlers_per_cpu: Some(3),
                vcpus: 4,
                ..parameters(Workload::HandlerCall)
            };
            let topology = Topology::of(&case);
            let client = &topology.participants[0];
            assert_eq!((client.threads.count, client.threads.cpu_count, client.may_call.len()), (4, 4, 12));
            let mut seen = std::collections::BTreeSet::new();
            for (index, target) in client.may_call.iter().enumerate() {
                let handler = &topology.participants[target.participant].threads;
                let cpu = handler.first_cpu + target.thread % handler.cpu_count;
                assert_eq!(cpu as usize, index / 3, "{shape:?}");
                assert!(seen.insert((target.participant, target.thread)));
            }
            let fault = Parameters { workload: Workload::HandlerFault, ..case };
            let topology = Topology::of(&fault);
            let client = &topology.participants[0];
            assert_eq!((client.threads.count, client.may_call.len()), (1, 12));
            assert!(!client.threads.rights_per_cpu);
        }
    }

    #[test]
    fn a_chain_that_moves_in_loads_less_with_every_server() {
        let case = |moved| Parameters { servers: Some(3), moved: Some(moved), ..parameters(Workload::Chain) };
        assert_eq!([0, 1, 2, 3].map(|moved| loads(&case(moved))), [6, 4, 2, 0]);
    }

    #[test]
    fn a_chain_that_moves_by_itself_loads_nothing_and_irregular_ways_have_no_rule() {
        let promoted = Parameters { servers: Some(3), promote_after: Some(5), ..parameters(Workload::Chain) };
        assert_eq!(loads(&promoted), 0);
        for workload in [Workload::Faults, Workload::MigrateUnderLoad, Workload::Reach] {
            let case = Parameters { server: Some(User), ..parameters(workload) };
            assert_eq!(Topology::of(&case).page_table_loads_per_round_trip(), None);
        }
    }

    #[test]
    fn a_migrating_hub_loads_for_the_two_calls_that_find_it_in_user_space() {
        let case = |client, partners| Parameters {
            client,
            partners: Some(partners),
            ..parameters(Workload::Migrate)
        };
        assert_eq!(loads(&case(User, 0)), 4);
        assert_eq!(loads(&case(User, 4)), 20);
    }

    #[test]
    fn servers_of_a_32_bit_client_move_between_large_and_small_spaces() {
        use Placement::{Large, Small};
        let migrate = Parameters { client: Large, ..parameters(Workload::Migrate) };
        let hub = &Topology::of(&migrate).participants[1];
        assert_eq!((hub.placement, hub.moves_to, hub.trust_group), (Large, Some(Large), 3));
        assert_eq!(loads(&migrate), 4);
        let chain = |moved| Parameters {
            client: Large,
            servers: Some(3),
            moved: Some(moved),
            ..parameters(Workload::Chain)
        };
        assert_eq!(Topology::of(&chain(1)).participants[1].moves_to, Some(Small));
        assert_eq!([0, 1, 2, 3].map(|moved| loads(&chain(moved))), [6, 4, 2, 0]);
    }

    #[test]
    fn each_server_of_a_chain_that_moves_into_the_kernel_saves_its_loads() {
        let case = |relay, server| Parameters {
            relay: Some(relay),
            server: Some(server),
            ..parameters(Workload::Relay)
        };
        assert_eq!(loads(&case(User, User)), 4);
        assert_eq!(loads(&case(User, Kernel)), 2);
        assert_eq!(loads(&case(Kernel, User)), 2);
        assert_eq!(loads(&case(Kernel, Kernel)), 0);
    }
}
