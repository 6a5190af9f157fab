//! Tests of where the server of `reach` reads.

use super::*;
use crate::case::tests::parameters;
use crate::workload::Reach;
use Placement::{Kernel, Large, Small, User};
use Reached::{Client, Neighbour};

const SLOT: u64 = 2 << 20;

/// Offset of the start information that is read, and the index of the program whose it is.
fn read(client: Placement, server: Placement, target: Reached) -> (u64, u64) {
    let case = Parameters {
        client,
        server: Some(server),
        slot_bytes: (server == Small).then_some(SLOT),
        ..parameters(&Reach)
    }
    .with(&TARGET, target);
    let (address, expected) = super::target(&case).unwrap();
    assert_eq!(expected as u32, abi::VERSION);
    (address.wrapping_sub(START_INFO_OFFSET), expected >> 32)
}

#[test]
fn a_client_is_read_where_it_lies() {
    for server in [User, Kernel, Large] {
        assert_eq!(read(User, server, Client), (REGION_SIZE, 0), "{server}");
        assert_eq!(read(Kernel, server, Client), (SLOT_BASE, 0), "{server}");
        assert_eq!(read(Large, server, Client), (0, 0), "{server}");
    }
    // From where the small server's segments begin, and around.
    assert_eq!(read(Large, Small, Client), (SMALL_BASE.wrapping_neg(), 0));
    assert_eq!(read(Large, Small, Client).0 as u32, 0x6000_0000);
}

#[test]
fn a_neighbour_is_read_behind_the_slots_of_those_before_it() {
    for client in [User, Large] {
        assert_eq!(read(client, Kernel, Neighbour), (SLOT_BASE + REGION_SIZE, 2), "{client}");
    }
    // The client has the first slot, the server the second one.
    assert_eq!(read(Kernel, Kernel, Neighbour), (SLOT_BASE + 2 * REGION_SIZE, 2));
    for client in [User, Kernel, Large] {
        assert_eq!(read(client, User, Neighbour), (REGION_SIZE, 2), "{client}");
        assert_eq!(read(client, Large, Neighbour), (0, 2), "{client}");
        assert_eq!(read(client, Small, Neighbour), (SLOT, 2), "{client}");
    }
}

#[test]
fn the_kernels_memory_is_read_where_it_is_mapped_whatever_lies_there() {
    for client in [User, Kernel, Large] {
        for server in [User, Kernel] {
            let case = Parameters { client, server: Some(server), ..parameters(&Reach) }
                .with(&TARGET, Reached::Kernel);
            assert_eq!(super::target(&case).unwrap(), (PHYSICAL_MAP_BASE, 0), "{client} {server}");
        }
    }
}
