//! Balances one service without a cluster file: `balance http|tcp LISTEN WORKERS SERVER...`.
//!
//! For measuring and for trying out; it runs until it is killed, and prints the servers' state every ten seconds.

#![allow(clippy::print_stdout, reason = "an example talks to its user")]

use std::net::SocketAddrV4;
use std::time::Duration;

use relevo_lb::{Engine, Settings};
use relevo_model::cluster::{Balance, Check, CheckKind, Listen, Mode, Server, Service, Timeouts};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, listen, workers, servers @ ..] = &arguments[..] else {
        return Err("usage: balance http|tcp LISTEN WORKERS SERVER...".into());
    };
    let mode = if mode == "tcp" { Mode::Tcp } else { Mode::Http };
    let server = |(number, at): (usize, &String)| -> Result<Server, std::net::AddrParseError> {
        let name = format!("server{}", number + 1);
        Ok(Server { name: name.as_str().into(), node: None, at: at.parse()?, weight: 1 })
    };
    let second = Duration::from_secs(1);
    let service = Service {
        name: "web".into(),
        listen: vec![Listen { address: None, at: listen.parse::<SocketAddrV4>()? }],
        mode,
        balance: Balance::RoundRobin,
        check: Check {
            kind: if mode == Mode::Http {
                CheckKind::Http { path: "/".to_owned(), host: None }
            } else {
                CheckKind::Connect
            },
            interval: second,
            timeout: second / 2,
            rise: 2,
            fall: 2,
        },
        forwarded_for: true,
        timeouts: Timeouts {
            connect: second,
            client: 30 * second,
            server: 30 * second,
            request: 10 * second,
            keep_alive: 10 * second,
        },
        fallback: None,
        max_connections: 10_000,
        max_header: 16 * 1024,
        servers: servers.iter().enumerate().map(server).collect::<Result<_, _>>()?,
    };
    let engine = Engine::start(Settings { workers: workers.parse()?, ..Settings::default() }, &[service])?;
    loop {
        std::thread::sleep(10 * second);
        for service in engine.snapshot() {
            println!("{} requests {} errors {}", service.name, service.requests, service.errors);
            for server in service.servers {
                println!("  {} {:?} {} ({})", server.name, server.health, server.requests, server.reason);
            }
        }
    }
}
