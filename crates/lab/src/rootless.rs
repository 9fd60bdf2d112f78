//! Running without root: a user namespace in which this user is root, where the kernel allows it.

use std::fs;

use anyhow::Context as _;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

use crate::{LabError, Result};

/// Whether the lab must run without root.
pub(crate) fn is_needed() -> bool {
    !geteuid().is_root()
}

/// Says what stands in the way, as far as the kernel tells beforehand.
pub(crate) fn check() -> Result<()> {
    let read = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    if !std::path::Path::new("/proc/self/ns/user").exists() {
        return Err(LabError::wrong(
            "this kernel has no user namespaces: run the lab as root (sudo relevo lab up FILE)",
        ));
    }
    if read("/proc/sys/user/max_user_namespaces").as_deref() == Some("0") {
        return Err(LabError::wrong(
            "user namespaces are switched off (user.max_user_namespaces is 0): run the lab as root, or \
             allow them: sudo sysctl user.max_user_namespaces=10000",
        ));
    }
    if read("/proc/sys/kernel/unprivileged_userns_clone").as_deref() == Some("0") {
        return Err(LabError::wrong(
            "user namespaces are for root only here (kernel.unprivileged_userns_clone is 0): run the lab as \
             root, or allow them: sudo sysctl kernel.unprivileged_userns_clone=1",
        ));
    }
    Ok(())
}

/// Moves the calling process into a user namespace of its own, as its root, and into a network of its own.
///
/// The caller must have one thread.
pub(crate) fn enter() -> Result<()> {
    let (user, group) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER).map_err(|errno| refused("make a user namespace", errno))?;
    let map = || -> std::io::Result<()> {
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("0 {user} 1"))?;
        fs::write("/proc/self/gid_map", format!("0 {group} 1"))
    };
    map().context("cannot become root of a user namespace")?;
    unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| refused("make a network namespace", errno))
}

/// The kernel said no: what to do about it.
pub(crate) fn refused(what: &str, errno: nix::Error) -> LabError {
    let restricted = fs::read_to_string("/proc/sys/kernel/apparmor_restrict_unprivileged_userns");
    let hint = if !is_needed() && !inside_user_namespace() {
        "this root may not: in a container, start it with --privileged (or CAP_SYS_ADMIN and CAP_NET_ADMIN)"
    } else if restricted.is_ok_and(|text| text.trim() == "1") {
        "AppArmor restricts user namespaces here: run the lab as root, or allow them: \
         sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"
    } else {
        "run the lab as root (sudo relevo lab up FILE)"
    };
    LabError::wrong(format!("cannot {what}: {}; {hint}", errno.desc()))
}

fn inside_user_namespace() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().nth(2).is_some_and(|count| count != "4294967295")
}
