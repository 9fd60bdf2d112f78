//! The scheduler's `SCHED_FIFO` for the calling thread (sched(7)): on a busy machine it runs when its time has come.

use std::io;

use nix::libc;

/// Asks for the lowest real-time priority: before all ordinary threads, behind all other real-time ones. Threads
/// and processes that this thread starts do not inherit it.
///
/// # Errors
/// `EPERM` where the process may not (no `CAP_SYS_NICE`, or the control group has no real-time share).
#[allow(unsafe_code, reason = "nix has no sched_setscheduler")]
pub fn prefer_this_thread() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: the pointer is to a live sched_param of this frame; 0 is the calling thread.
    let result = unsafe {
        libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &raw const parameters)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_works_or_says_no_permission() {
        // In a thread of its own: the test runner's must not stay real-time.
        let asked = std::thread::spawn(prefer_this_thread).join().unwrap();
        assert!(asked.is_ok() || asked.unwrap_err().kind() == io::ErrorKind::PermissionDenied);
    }
}
