//! Whether a process runs, by its name or by its program (proc(5)).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use relevo_proto::track::Reading;

use super::look::Seen;

/// Bytes of a name that the kernel keeps (`TASK_COMM_LEN` without its end).
const NAME: usize = 15;

/// Processes that were found, looked at first the next time.
#[derive(Debug, Default)]
pub(super) struct Processes {
    found: BTreeMap<String, u32>,
}

impl Processes {
    /// Looks for a process. One that has ended and waits for its parent (a zombie) does not run.
    pub(super) fn look(&mut self, what: &str) -> Seen {
        if let Some(pid) = self.found.get(what).copied().filter(|pid| fits(*pid, what)) {
            return (Reading::Up, format!("process {pid} runs"));
        }
        self.found.remove(what);
        let entries = match fs::read_dir("/proc") {
            Ok(entries) => entries,
            Err(error) => return (Reading::Unknown, format!("cannot look: /proc: {error}")),
        };
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        for pid in pids {
            if fits(pid, what) {
                self.found.insert(what.to_owned(), pid);
                return (Reading::Up, format!("process {pid} runs"));
            }
        }
        (Reading::Down, format!("no process {what} runs"))
    }
}

fn fits(pid: u32, what: &str) -> bool {
    let is_it = if what.starts_with('/') {
        fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|program| program == Path::new(what))
    } else {
        let name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
        let name = name.strip_suffix(b"\n").unwrap_or(&name);
        !name.is_empty() && name == what.as_bytes().get(..NAME).unwrap_or(what.as_bytes())
    };
    is_it && !is_zombie(pid)
}

/// The state stands behind the name, which may have anything in it (proc_pid_stat(5)).
fn is_zombie(pid: u32) -> bool {
    let stat = fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    let end = stat.iter().rposition(|byte| *byte == b')');
    let state = end.and_then(|end| stat.get(end + 2));
    matches!(state, None | Some(b'Z' | b'X'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_runs_by_its_name_and_by_its_program() {
        let mut processes = Processes::default();
        let name = fs::read_to_string("/proc/self/comm").unwrap();
        let program = fs::read_link("/proc/self/exe").unwrap();
        for what in [name.trim(), program.to_str().unwrap()] {
            assert_eq!(processes.look(what).0, Reading::Up, "{what}");
            assert_eq!(processes.look(what).0, Reading::Up, "{what}");
        }
        for what in ["no-such-one", "/no/such/program", ""] {
            assert_eq!(processes.look(what).0, Reading::Down, "{what}");
        }
    }
}
