//! Who takes part in a case, and in which order a round trip visits them.

use super::case::Parameters;
use super::groups::usual;
use super::parameter::{Placement, Workload};

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
    /// Indices of the participants that it may call, in the order of its handles.
    pub may_call: Vec<usize>,
    /// Pages of its working set.
    pub pages: u32,
}

/// The programs of a case and the way of a round trip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// In the order in which the kernel starts them; the first is the client, which drives the case.
    pub participants: Vec<Participant>,
    /// Indices of the participants that run one after the other in a round trip; it ends where it begins.
    pub way: Vec<usize>,
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
        };
        let mut topology = Topology { participants: vec![client], way: vec![0] };
        let Some(placement) = case.server else { return topology };
        let server = Participant {
            program: case.server_program.clone().unwrap_or_else(|| abi::program::NULL.to_owned()),
            placement,
            trust_group: case.groups.server.unwrap_or(usual(placement)),
            space: if case.same_space { 0 } else { 1 },
            may_call: Vec::new(),
            pages: case.server_pages.unwrap_or(0),
        };
        topology.participants.push(server);
        match case.workload {
            Workload::Relay => {
                // client → relay → server and back
                topology.add_relay(case.relay.unwrap_or(Placement::User), case.groups.relay);
                topology.participants[0].may_call = vec![2];
                topology.way = vec![0, 2, 1, 2, 0];
            }
            Workload::Alternate => {
                // The client calls the server, then the other client, which calls the same server.
                topology.add_relay(case.other_client.unwrap_or(Placement::User), case.groups.other_client);
                topology.participants[0].may_call = vec![1, 2];
                topology.way = vec![0, 1, 0, 2, 1, 2, 0];
            }
            _ => {
                topology.participants[0].may_call = vec![1];
                topology.way = vec![0, 1, 0];
            }
        }
        topology
    }

    fn add_relay(&mut self, placement: Placement, group: Option<u32>) {
        self.participants.push(Participant {
            program: abi::program::RELAY.to_owned(),
            placement,
            trust_group: group.unwrap_or(usual(placement)),
            space: 2,
            may_call: vec![1],
            pages: 0,
        });
    }

    /// Page-table loads of one round trip once the system has settled, by the rule of the resident space: a load
    /// happens exactly when the next program is placed in user space and its space is not the one loaded last.
    pub fn page_table_loads_per_round_trip(&self) -> u64 {
        let mut resident = None;
        let mut loads = 0;
        // The first turn only finds the space that is resident when a turn begins.
        for _ in 0..2 {
            loads = 0;
            for &next in &self.way {
                let participant = &self.participants[next];
                if participant.placement == Placement::User && resident != Some(participant.space) {
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
    use super::super::tests::parameters;
    use super::*;
    use Placement::{Kernel, User};

    fn loads(case: &Parameters) -> u64 {
        Topology::of(case).page_table_loads_per_round_trip()
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
