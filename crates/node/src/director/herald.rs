//! Runs the operator's commands when a group changes its state: in order, one at a time, on a thread of its own for each
//! group. The director's thread never waits for them.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use relevo_model::{GroupName, NodeName};
use relevo_proto::health::ProbeResult;
use tracing::{debug, warn};

/// Most changes that wait; older ones are left out.
const MOST: usize = 64;
/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the end of the process waits for commands.
const FAREWELL: Duration = Duration::from_secs(5);

/// A change of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct News {
    pub(super) state: &'static str,
    pub(super) priority: u8,
    pub(super) reason: String,
}

/// Tells of one group.
#[derive(Debug)]
pub(super) struct Herald {
    shared: Arc<Shared>,
    /// What was told last.
    last: Option<&'static str>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    news: VecDeque<News>,
    /// Nothing more will come.
    closed: bool,
    /// The thread is gone.
    done: bool,
}

impl Herald {
    /// `None`: nobody wants to be told, or there is no thread for it. `state`: what was told by a former process.
    pub(super) fn start(
        node: &NodeName,
        group: &GroupName,
        commands: &[Vec<String>],
        state: Option<&'static str>,
    ) -> Option<Self> {
        if commands.is_empty() {
            return None;
        }
        let shared = Arc::<Shared>::default();
        let (node, group, commands) = (node.clone(), group.clone(), commands.to_vec());
        let theirs = Arc::clone(&shared);
        let run = move || {
            theirs.run(&node, &group, &commands);
            theirs.lock().done = true;
            theirs.changed.notify_all();
        };
        match std::thread::Builder::new().name("notify".to_owned()).spawn(run) {
            Ok(_) => Some(Self { shared, last: state }),
            Err(error) => {
                warn!(%error, "nobody is notified: there are no more threads");
                None
            }
        }
    }

    /// Tells of a change. The same state again is none.
    pub(super) fn tell(&mut self, news: News) {
        if self.last.replace(news.state) == Some(news.state) {
            return;
        }
        let mut queue = self.shared.lock();
        if queue.news.len() >= MOST {
            queue.news.pop_front();
        }
        queue.news.push_back(news);
        self.shared.changed.notify_all();
    }
}

impl Drop for Herald {
    /// What was told last shall be known, even at the end.
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.closed = true;
        self.shared.changed.notify_all();
        let waits = |queue: &mut Queue| !queue.done;
        drop(self.shared.changed.wait_timeout_while(queue, FAREWELL, waits));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<News> {
        let mut queue = self.lock();
        loop {
            if let Some(news) = queue.news.pop_front() {
                return Some(news);
            }
            if queue.closed {
                return None;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn run(&self, node: &NodeName, group: &GroupName, commands: &[Vec<String>]) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                warn!(%error, "nobody is notified");
                return;
            }
        };
        while let Some(news) = self.next() {
            let priority = news.priority.to_string();
            let about = [
                ("RELEVO_NODE", node.as_str()),
                ("RELEVO_GROUP", group.as_str()),
                ("RELEVO_STATE", news.state),
                ("RELEVO_PRIORITY", priority.as_str()),
                ("RELEVO_REASON", news.reason.as_str()),
            ];
            for command in commands {
                let mut argv = command.clone();
                argv.extend([group.to_string(), news.state.to_owned(), priority.clone()]);
                let begin = Instant::now();
                match runtime.block_on(relevo_lb::command(&argv, &about, PATIENCE)) {
                    ProbeResult::Good(_) | ProbeResult::Leaving(_) => {
                        debug!(%group, state = news.state, took = ?begin.elapsed(), "notified");
                    }
                    ProbeResult::Bad(why) | ProbeResult::NotAsked(why) => {
                        warn!(%group, state = news.state, "notify: {why}");
                    }
                    ProbeResult::TimedOut(after) => {
                        warn!(%group, state = news.state, "notify: no end within {after:?}");
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_in_order_and_all_before_the_end() {
        let path = std::env::temp_dir().join(format!("relevo-herald-{}", std::process::id()));
        let script = format!("sleep 0.05; echo \"$RELEVO_NODE $@\" >> {}", path.display());
        let command = ["/bin/sh", "-c", &script, "notify"].map(str::to_owned).to_vec();
        let (node, group) = (NodeName::new("lb1"), GroupName::new("web"));
        let mut herald = Herald::start(&node, &group, &[command], Some("backup")).unwrap();
        for (state, priority) in [("backup", 1), ("active", 150), ("active", 140), ("fault", 1), ("stop", 1)]
        {
            herald.tell(News { state, priority, reason: "because".to_owned() });
        }
        drop(herald);
        let told = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(told, "lb1 web active 150\nlb1 web fault 1\nlb1 web stop 1\n");
    }

    #[test]
    fn nobody_is_told_where_nobody_wants_to_be() {
        assert!(Herald::start(&NodeName::new("lb1"), &GroupName::new("web"), &[], None).is_none());
    }
}
