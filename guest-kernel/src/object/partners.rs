//! With whom a server has exchanged messages lately: the talk's LRU queue, which group migration goes by.

use core::cell::Cell;
use core::ptr;

use abi::plan::PARTNERS_MAX;

use crate::object::endpoint::Endpoint;
use crate::object::server::Server;
use crate::object::thread::Thread;

/// Notes, on both sides, a message to a server that may migrate. Messages to others need no note: neither may such a
/// receiver move, nor could it be moved with its sender. A server is no partner of itself.
///
/// A sender on another CPU has noted its side before it went away.
pub fn note(sender: &Thread, receiver: &Thread) {
    if ptr::eq(sender.server, receiver.server) {
        return;
    }
    if sender.cpu() == receiver.cpu() {
        sender.endpoint().partners.note(receiver.server);
    }
    receiver.endpoint().partners.note(sender.server);
}

/// Notes, on the sender's side, a message to an endpoint on another CPU.
pub fn note_sent(sender: &Thread, target: &Endpoint) {
    let is_worth_it = |server: &&Server| server.home.is_some() && !ptr::eq(*server, sender.server);
    if let Some(server) = target.server().filter(is_worth_it) {
        sender.endpoint().partners.note(server);
    }
}

/// The trusted partners of a server, those of its first CPU first.
pub fn of(server: &Server) -> impl Iterator<Item = &'static Server> + '_ {
    server.endpoints().iter().flat_map(|endpoint| endpoint.partners.iter())
}

/// The trusted servers among the last partners, the latest first. Untrusted ones are not worth a place: they may not
/// migrate into the kernel.
pub struct Partners {
    queue: [Cell<Option<&'static Server>>; PARTNERS_MAX],
}

impl Default for Partners {
    fn default() -> Self {
        Self { queue: [const { Cell::new(None) }; PARTNERS_MAX] }
    }
}

impl Partners {
    /// Moves `partner` to the front. At most [`PARTNERS_MAX`] steps, and one as long as it is the same as last time.
    fn note(&self, partner: &'static Server) {
        if !partner.is_trusted() {
            return;
        }
        let mut moving = Some(partner);
        for place in &self.queue {
            let previous = place.replace(moving);
            if previous.is_none_or(|previous| ptr::eq(previous, partner)) {
                return;
            }
            moving = previous;
        }
    }

    /// The partners, the latest first.
    pub fn iter(&self) -> impl Iterator<Item = &'static Server> + '_ {
        self.queue.iter().map_while(Cell::get)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::thread;

    proptest! {
        /// Against a plain list: the latest first, each once, trusted ones only, no more than there is room for.
        #[test]
        fn remembers_the_latest_trusted_partners(exchanges in proptest::collection::vec(0_usize..24, 0..200)) {
            let servers: Vec<&'static Server> = (0..24).map(|_| thread().server).collect();
            for (index, server) in servers.iter().enumerate() {
                server.set_trust_group(if index % 5 == 4 { 2 } else { 1 });
            }
            let partners = Partners::default();
            let mut model: Vec<usize> = Vec::new();
            for index in exchanges {
                partners.note(servers[index]);
                if servers[index].is_trusted() {
                    model.retain(|&other| other != index);
                    model.insert(0, index);
                    model.truncate(PARTNERS_MAX);
                }
                let found: Vec<*const Server> = partners.iter().map(ptr::from_ref).collect();
                let expected: Vec<*const Server> = model.iter().map(|&index| ptr::from_ref(servers[index])).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }
}
