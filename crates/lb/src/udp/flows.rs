//! The flows of one listening socket, by client; and which of them makes room for a new one.
//!
//! The one that goes is the one that was silent longest, nearly: flows stand in a queue, and one that was used since it
//! was last looked at goes to its end once more ("second chance"). So a datagram costs no reordering.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;

/// Flows by client.
#[derive(Debug)]
pub(super) struct Flows<F> {
    by_client: HashMap<SocketAddr, Entry<F>>,
    /// Clients in the order of their turn; those whose flow has another number, or none, are gone.
    queue: VecDeque<(SocketAddr, u64)>,
    next: u64,
}

#[derive(Debug)]
struct Entry<F> {
    number: u64,
    used: bool,
    flow: Rc<F>,
}

impl<F> Flows<F> {
    pub(super) fn new() -> Self {
        Self { by_client: HashMap::new(), queue: VecDeque::new(), next: 0 }
    }

    /// A client's flow, which counts as used.
    pub(super) fn find(&mut self, client: SocketAddr) -> Option<Rc<F>> {
        let entry = self.by_client.get_mut(&client)?;
        entry.used = true;
        Some(Rc::clone(&entry.flow))
    }

    /// Adds a client's flow; returns the number to remove it with.
    pub(super) fn add(&mut self, client: SocketAddr, flow: impl FnOnce(u64) -> F) -> Rc<F> {
        // Those that ended by themselves have left their places in the queue.
        if self.queue.len() > 2 * self.by_client.len() + 64 {
            let live = &self.by_client;
            self.queue
                .retain(|(client, number)| live.get(client).is_some_and(|entry| entry.number == *number));
        }
        let number = self.next;
        self.next += 1;
        let flow = Rc::new(flow(number));
        self.by_client.insert(client, Entry { number, used: false, flow: Rc::clone(&flow) });
        self.queue.push_back((client, number));
        flow
    }

    /// Removes a flow, unless the client has another one by now.
    pub(super) fn remove(&mut self, client: SocketAddr, number: u64) -> Option<Rc<F>> {
        if self.by_client.get(&client)?.number != number {
            return None;
        }
        self.by_client.remove(&client).map(|entry| entry.flow)
    }

    /// Removes the flow that makes room.
    pub(super) fn remove_oldest(&mut self) -> Option<Rc<F>> {
        // Each is looked at twice at most: the first time, it may have been used.
        for _ in 0..2 * self.queue.len() {
            let (client, number) = self.queue.pop_front()?;
            let Some(entry) = self.by_client.get_mut(&client).filter(|entry| entry.number == number) else {
                continue;
            };
            if std::mem::take(&mut entry.used) {
                self.queue.push_back((client, number));
                continue;
            }
            return self.remove(client, number);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn client(port: u16) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, port).into()
    }

    #[test]
    fn the_flow_that_was_silent_longest_makes_room() {
        let mut flows = Flows::new();
        for port in 1..=3 {
            flows.add(client(port), |_| port);
        }
        flows.find(client(1));
        assert_eq!(flows.remove_oldest().as_deref(), Some(&2));
        assert_eq!(flows.remove_oldest().as_deref(), Some(&3));
        assert_eq!(flows.remove_oldest().as_deref(), Some(&1));
        assert_eq!(flows.remove_oldest(), None);
    }

    #[test]
    fn a_client_that_comes_again_is_not_removed_by_its_former_flow() {
        let mut flows = Flows::new();
        flows.add(client(1), |number| number);
        let first = flows.remove_oldest().unwrap();
        flows.add(client(1), |number| number);
        assert_eq!(flows.remove(client(1), *first), None);
        assert!(flows.find(client(1)).is_some());
    }

    #[test]
    fn flows_that_come_and_go_leave_nothing_behind() {
        let mut flows = Flows::new();
        for _ in 0..100_000 {
            let flow = flows.add(client(1), |number| number);
            flows.remove(client(1), *flow);
        }
        assert!(flows.queue.len() <= 65, "{} places for nothing", flows.queue.len());
    }
}
