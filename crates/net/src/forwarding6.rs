//! Whether the kernel forwards IPv6, of the network namespace of the calling thread (Documentation/networking/ip-sysctl.rst).
//!
//! Three switches belong together, all below `net.ipv6.conf`:
//!
//! - `all.forwarding` decides whether packets are forwarded at all. Since Linux 6.17 `NAME.force_forwarding` decides for one
//!   interface; before, there is only the one for all, and it sets `forwarding` of each interface.
//! - `NAME.forwarding` makes the machine a router on an interface: neighbours are told so.
//! - `NAME.accept_ra`: a router does not listen to other routers where this is 1, and the kernel drops every default route
//!   that it has learned there as soon as anything begins to forward. With 2 it goes on as before.
//!
//! What is changed here is told, so that it can be put back.

use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Error;

/// A value that was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// The interface, or `all`.
    pub interface: String,
    /// The name of the switch.
    pub key: String,
    /// What it was.
    pub before: i64,
    /// What it is to be.
    pub wanted: i64,
}

/// What has to change so that packets which come in by `names` are forwarded, and nothing else; in this order.
pub fn plan(names: &[String]) -> Vec<Setting> {
    let all = interfaces();
    settings(names, &all, read("all", "force_forwarding").is_some(), read)
}

/// [`plan`] with what `read` sees: `None` is a switch that is not there.
fn settings(
    names: &[String],
    all: &[String],
    has_own_switch: bool,
    read: impl Fn(&str, &str) -> Option<i64>,
) -> Vec<Setting> {
    let mut list: Vec<Setting> = Vec::new();
    let mut set = |interface: &str, key: &str, wanted: i64| {
        if let Some(before) = read(interface, key).filter(|before| *before != wanted) {
            list.push(Setting { interface: interface.to_owned(), key: key.to_owned(), before, wanted });
        }
    };
    let forwards = read("all", "forwarding").is_none_or(|value| value != 0);
    let is_router = |name: &str| read(name, "forwarding").is_some_and(|value| value != 0);
    let everywhere = !forwards && !has_own_switch;
    let changes = everywhere
        || names
            .iter()
            .any(|name| !is_router(name) || (!forwards && read(name, "force_forwarding") == Some(0)));
    if changes {
        // Those that listen now shall still do so.
        for name in all.iter().filter(|name| !is_router(name) && read(name, "accept_ra") == Some(1)) {
            set(name, "accept_ra", 2);
        }
    }
    if everywhere {
        set("all", "forwarding", 1);
        // Putting the one for all back takes it from those that had it, too: they are in the list for that.
        for name in all.iter().filter(|name| is_router(name)) {
            let before = read(name, "forwarding").unwrap_or(1);
            let kept =
                Setting { interface: name.clone(), key: "forwarding".to_owned(), before, wanted: before };
            list.insert(0, kept);
        }
        return list;
    }
    for name in names {
        set(name, "forwarding", 1);
        if !forwards {
            set(name, "force_forwarding", 1);
        }
    }
    list
}

/// Writes these values.
///
/// # Errors
/// [`Error::Permission`] without `CAP_NET_ADMIN`; [`Error::Kernel`] where `/proc/sys` cannot be written, as in containers, or
/// there is no such interface.
pub fn set(settings: &[Setting]) -> Result<(), Error> {
    settings.iter().try_for_each(|setting| write(setting, setting.wanted))
}

/// Puts back what nobody else has changed meanwhile. What is gone stays gone; returns what went wrong.
pub fn restore(settings: &[Setting]) -> Vec<Error> {
    let still = |setting: &&Setting| read(&setting.interface, &setting.key) == Some(setting.wanted);
    // First looked at, then done: one of them may change others.
    let ours: Vec<&Setting> = settings.iter().rev().filter(still).collect();
    ours.into_iter().filter_map(|setting| write(setting, setting.before).err()).collect()
}

/// Lets an interface forward that nobody has to put back: it goes with its director. One that is not there is left alone.
///
/// # Errors
/// As [`set`].
pub fn allow(name: &str) -> Result<(), Error> {
    let own: Vec<Setting> =
        plan(&[name.to_owned()]).into_iter().filter(|setting| setting.interface == name).collect();
    set(&own)
}

/// Interfaces where routers are not listened to because the machine is one: `forwarding` is on and `accept_ra` is 1.
pub fn deaf() -> Vec<String> {
    let is_deaf = |name: &String| {
        read(name, "forwarding").is_some_and(|value| value != 0) && read(name, "accept_ra") == Some(1)
    };
    interfaces().into_iter().filter(|name| name != "default").filter(is_deaf).collect()
}

/// Whether packets that come in there are forwarded; `None`: that cannot be known.
pub fn is_on(name: &str) -> Option<bool> {
    let own = read(name, "force_forwarding").unwrap_or(0) != 0;
    Some(own || read("all", "forwarding")? != 0)
}

/// Interfaces, and `default` for those to come.
fn interfaces() -> Vec<String> {
    let entries = fs::read_dir("/proc/sys/net/ipv6/conf").into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name != "all")
        .collect();
    names.retain(|name| name != "lo");
    names.sort();
    names
}

fn read(interface: &str, key: &str) -> Option<i64> {
    fs::read_to_string(path(interface, key)).ok()?.trim().parse().ok()
}

fn write(setting: &Setting, value: i64) -> Result<(), Error> {
    let Setting { interface, key, .. } = setting;
    match fs::write(path(interface, key), value.to_string()) {
        // The interface has gone, and its switches with it.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|source| {
            Error::kernel(format!("set net.ipv6.conf.{interface}.{key} = {value}"), source)
        }),
    }
}

fn path(interface: &str, key: &str) -> PathBuf {
    ["/proc/sys/net/ipv6/conf", interface, key].iter().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Values of `all`, `eth0` (hears routers), `eth1`, `br0` (a router already).
    fn planned(forwards: i64, has_own_switch: bool) -> Vec<String> {
        let values: BTreeMap<(&str, &str), i64> = [
            (("all", "forwarding"), forwards),
            (("eth0", "forwarding"), forwards),
            (("eth0", "accept_ra"), 1),
            (("eth0", "force_forwarding"), 0),
            (("eth1", "forwarding"), 0),
            (("eth1", "accept_ra"), 0),
            (("eth1", "force_forwarding"), 0),
            (("br0", "forwarding"), 1),
            (("br0", "accept_ra"), 1),
        ]
        .into();
        let all = ["br0", "eth0", "eth1"].map(str::to_owned);
        let read = |interface: &str, key: &str| values.get(&(interface, key)).copied();
        let list = settings(&["eth1".to_owned()], &all, has_own_switch, read);
        list.iter().map(|it| format!("{}.{} {}->{}", it.interface, it.key, it.before, it.wanted)).collect()
    }

    #[test]
    fn routers_are_still_heard_and_what_forwarded_before_is_known() {
        assert_eq!(
            planned(0, true),
            ["eth0.accept_ra 1->2", "eth1.forwarding 0->1", "eth1.force_forwarding 0->1"],
            "eth0 and br0 forward nothing more than before"
        );
        assert_eq!(
            planned(0, false),
            ["br0.forwarding 1->1", "eth0.accept_ra 1->2", "all.forwarding 0->1"],
            "older kernels have one switch for all"
        );
        assert_eq!(planned(1, true), ["eth1.forwarding 0->1"], "somebody has turned it on for all");
    }

    /// In a network of its own with two interfaces: what all switches are after `work`, beside what they were.
    fn alone(work: impl FnOnce() + Send + 'static) {
        let alone = move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)
                .expect("a network namespace of our own");
            let ip = |words: &str| {
                let done = std::process::Command::new("ip").args(words.split(' ')).status().unwrap();
                assert!(done.success(), "ip {words}");
            };
            ip("link add six0 type veth peer name six1");
            let look = || {
                let mut seen = Vec::new();
                for name in interfaces().iter().map(String::as_str).chain(["all"]) {
                    for key in ["accept_ra", "forwarding", "force_forwarding"] {
                        seen.push((format!("{name}.{key}"), read(name, key)));
                    }
                }
                seen
            };
            let before = look();
            work();
            assert_eq!(look(), before, "all is as it was");
        };
        std::thread::spawn(alone).join().unwrap();
    }

    #[test]
    fn lab_an_interface_forwards_and_hears_routers_and_is_put_back() {
        alone(|| {
            let names = ["six0".to_owned()];
            let settings = plan(&names);
            set(&settings).unwrap();
            assert_eq!(is_on("six0"), Some(true));
            assert_eq!((read("six0", "forwarding"), read("six0", "accept_ra")), (Some(1), Some(2)));
            if read("all", "force_forwarding").is_some() {
                assert_eq!(is_on("six1"), Some(false), "this kernel has a switch for each");
            }
            assert_eq!(plan(&names), [], "there is nothing more to do");
            assert!(restore(&settings).is_empty());
        });
    }

    #[test]
    fn lab_with_one_switch_for_all_those_that_were_routers_stay_it() {
        alone(|| {
            fs::write(path("six1", "forwarding"), "1").unwrap();
            let settings = settings(&["six0".to_owned()], &interfaces(), false, read);
            set(&settings).unwrap();
            assert_eq!(is_on("six0"), Some(true));
            assert_eq!((read("six0", "forwarding"), read("six0", "accept_ra")), (Some(1), Some(2)));
            assert!(restore(&settings).is_empty());
            assert_eq!(read("six1", "forwarding"), Some(1));
            fs::write(path("six1", "forwarding"), "0").unwrap();
        });
    }
}
