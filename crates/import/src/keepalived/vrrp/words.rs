//! Words of keepalived that the cluster file has nothing for: why not, and what to use instead.

/// Of `global_defs`, or of an instance or a sync group, where some stand as well.
pub(super) fn why_not(word: &str) -> Option<&'static str> {
    let why = match word {
        "notification_email"
        | "notification_email_from"
        | "smtp_server"
        | "smtp_connect_timeout"
        | "smtp_helo_name"
        | "email_faults"
        | "smtp_alert"
        | "smtp_alerts"
        | "smtp_alert_vrrp"
        | "smtp_alert_checker"
        | "no_email_faults" => MAIL,
        "enable_snmp_vrrp"
        | "enable_snmp_rfc"
        | "enable_snmp_rfcv2"
        | "enable_snmp_rfcv3"
        | "enable_snmp_checker"
        | "enable_traps"
        | "snmp_socket"
        | "snmp_vrrp" => {
            "no SNMP: the statistics page has metrics for Prometheus ([stats]), and `relevo status --json` the same on the spot"
        }
        "enable_dbus" | "dbus_service_name" | "dbus_no_interface_name" => {
            "no D-Bus: `relevo status --json`, the control API on its socket, and `notify`"
        }
        "notify_fifo"
        | "notify_fifo_script"
        | "vrrp_notify_fifo"
        | "vrrp_notify_fifo_script"
        | "lvs_notify_fifo"
        | "lvs_notify_fifo_script" => {
            "a program of `notify` gets every change in order; one that writes to the FIFO is notify = [\"/path/to/it\"]"
        }
        "notify_deleted"
        | "notify_master_rx_lower_pri"
        | "notify_priority_changes"
        | "vrrp_notify_priority_changes"
        | "fifo_write_vrrp_states_on_reload" => {
            "`notify` tells of active, backup, fault and stop; `relevo incidents --json` of more"
        }
        "script_user" | "enable_script_security" => {
            "programs run as the user that Relevo runs as, without a shell"
        }
        "vrrp_strict" | "strict_mode" => "there is one way: that of the RFCs, and an address can be pinged",
        "vrrp_skip_check_adv_addr" | "skip_check_adv_addr" => {
            "every advert is looked at whole: it costs nothing that matters"
        }
        "vrrp_lower_prio_no_advert" | "lower_prio_no_advert" => {
            "a lower advert is answered, as RFC 9568 section 6.4.3 says"
        }
        "vrrp_higher_prio_send_advert" | "higher_prio_send_advert" => {
            "it is so always: who loses tells it once"
        }
        "vrrp_check_unicast_src"
        | "check_unicast_src"
        | "vrrp_unicast_fault_no_peer"
        | "unicast_fault_no_peer" => "it is so always with `unicast`",
        "dynamic_interfaces" => {
            "an interface that goes and comes back is used again; it must be there when the node starts"
        }
        "default_interface" => "instances say their interface",
        "vrrp_iptables" | "vrrp_ipsets" | "nftables" | "nftables_priority" | "nftables_counters"
        | "nftables_ifindex" | "iptables" => {
            "rules of nftables stand in tables of our own, for `accept = false`, [firewall] and [gateway]"
        }
        "net_namespace" | "net_namespace_ipvs" | "namespace_with_ipsets" => {
            "start the node inside: ip netns exec NAME relevo node run ..."
        }
        "instance" => {
            "several nodes on one machine have folders of their own: relevo node run --run-dir, --state-dir"
        }
        "vrf" => "start the node inside: ip vrf exec NAME relevo node run ...",
        "promote_secondaries" => "an address has /32 or /128 unless written: none goes when another one does",
        "use_vmac_addr" | "use_ipvlan" => {
            "addresses are on their interface, or with mac = \"virtual\" on a macvlan"
        }
        "log_unknown_vrids" | "vrrp_log_unknown_vrids" => {
            "`relevo doctor` looks for other routers' adverts with a router id of ours"
        }
        "garp_extra_if" | "vrrp_garp_extra_if" | "vrrp_min_garp" => {
            "addresses are announced on the interface that they are on"
        }
        "linkbeat_use_polling" | "linkbeat_interfaces" => {
            "the kernel tells of links at once; a tracker with `delay` waits"
        }
        "lvs_sync_daemon" | "lvs_sync_daemon_interface" => {
            "connections on the kernel's path need no table to be sent: the other director finds their server by itself"
        }
        "router_id" => "the node's name",
        "process_names"
        | "use_pid_file"
        | "use_pid_dir"
        | "tmp_config_directory"
        | "use_symlink_paths"
        | "child_wait_time"
        | "umask"
        | "log_file"
        | "debug"
        | "reload_check_config"
        | "reload_time_file"
        | "reload_file"
        | "shutdown_script"
        | "startup_script"
        | "startup_script_timeout"
        | "shutdown_script_timeout"
        | "data_use_instance"
        | "json_version"
        | "disable_local_igmp"
        | "keep_script_fds"
        | "random_seed"
        | "include_check" => "it is about keepalived's own process",
        "vrrp_rx_bufs_policy"
        | "vrrp_rx_bufs_multiplier"
        | "vrrp_netlink_cmd_rcv_bufs"
        | "vrrp_netlink_monitor_rcv_bufs"
        | "lvs_netlink_cmd_rcv_bufs"
        | "lvs_netlink_monitor_rcv_bufs"
        | "vrrp_netlink_cmd_rcv_bufs_force"
        | "vrrp_netlink_monitor_rcv_bufs_force"
        | "kernel_rx_buf_size"
        | "process_monitor_rcv_bufs"
        | "bfd_netlink_monitor_rcv_bufs" => "sockets have room enough for the adverts of 255 groups",
        word if word.starts_with("lvs_") || word.starts_with("checker_") => {
            "the balancer is Relevo's own, not IPVS"
        }
        word if word.contains("priority")
            || word.contains("no_swap")
            || word.contains("rt_")
            || word.contains("affinity")
            || word.contains("rlimit") =>
        {
            "the director's thread has its own precautions against being late"
        }
        _ => return None,
    };
    Some(why)
}

/// Of mail.
pub(super) const MAIL: &str =
    "Relevo sends no mail: let `notify` call a program that does, as in docs/guide/from-keepalived.md";

/// Of blocks beside `global_defs`, instances and groups.
pub(super) fn block(word: &str) -> Option<&'static str> {
    let why = match word {
        "static_ipaddress" => {
            "what does not move is the system's own: put it into its network configuration, as in `ip address add` with these words"
        }
        "static_routes" => {
            "what does not move is the system's own: put it into its network configuration, as in `ip route add` with these words"
        }
        "static_rules" => {
            "what does not move is the system's own: put it into its network configuration, as in `ip rule add` with these words"
        }
        "track_group" | "static_track_group" => "it is about static addresses and routes",
        "garp_group" => "announce = { interval } of a group spaces announcements",
        "linkbeat_interfaces" | "interface_up_down_delays" => {
            "a tracker has it: track.NAME = { interface = \"eth0\", delay = { up = \"10s\" } }"
        }
        "SSL" | "ssl" => "certificates are of services and of checks (`server_tls`)",
        _ => return None,
    };
    Some(why)
}
