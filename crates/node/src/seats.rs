//! How many connections there may be: all together, and of them from one address, so that nobody alone can keep the others out.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All seats of one listener, or of several together.
#[derive(Debug)]
pub(crate) struct Seats {
    all: Arc<Semaphore>,
    most_of_one: usize,
    of_one: Mutex<BTreeMap<IpAddr, usize>>,
}

/// A seat for somebody who has not come yet; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Free {
    _permit: OwnedSemaphorePermit,
}

/// A connection's seat; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Arc<Seats>,
    from: IpAddr,
    _free: Free,
}

impl Seats {
    /// So many all together, and so many from one address.
    pub(crate) fn new(most: usize, most_of_one: usize) -> Arc<Self> {
        Arc::new(Self { all: Arc::new(Semaphore::new(most)), most_of_one, of_one: Mutex::default() })
    }

    /// Waits until there is a seat.
    pub(crate) async fn free(&self) -> Option<Free> {
        Arc::clone(&self.all).acquire_owned().await.ok().map(|permit| Free { _permit: permit })
    }

    /// A seat, if there is one now.
    pub(crate) fn free_now(&self) -> Option<Free> {
        Arc::clone(&self.all).try_acquire_owned().ok().map(|permit| Free { _permit: permit })
    }

    /// The seat for a connection from this address; `None`: it has enough.
    pub(crate) fn take(self: &Arc<Self>, free: Free, from: IpAddr) -> Option<Seat> {
        let mut of_one = self.of_one.lock().unwrap_or_else(PoisonError::into_inner);
        let count = of_one.entry(from).or_default();
        (*count < self.most_of_one).then(|| {
            *count += 1;
            Seat { seats: Arc::clone(self), from, _free: free }
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut of_one = self.seats.of_one.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = of_one.get_mut(&self.from) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                of_one.remove(&self.from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_its_share_and_gets_it_back() {
        let seats = Seats::new(3, 2);
        let take = |last| seats.take(seats.free_now()?, [127, 0, 0, last].into());
        let (first, second) = (take(1), take(1));
        assert!(first.is_some() && second.is_some() && take(1).is_none());
        let other = take(2);
        assert!(other.is_some() && take(3).is_none(), "three are all there are");
        drop(first);
        assert!(take(1).is_some(), "it was given back");
        drop((second, other));
        assert!(seats.of_one.lock().unwrap().is_empty(), "nobody who has gone is remembered");
    }
}
