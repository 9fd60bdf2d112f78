//! How servers are checked, in a backend's words.

use relevo_model::cluster::{CheckKind, Expect, HttpCheck, Pool, Step};

use super::Config;
use super::words::{quote, time};

/// Writes the check's lines; what `default-server` must say of it.
pub(super) fn write(out: &mut Config, pool: &Pool) -> String {
    let check = &pool.check;
    match &check.kind {
        CheckKind::None => return String::new(),
        CheckKind::Ping => {
            out.leave_out(format!("pool {}: HAProxy does not ping; its servers are not checked", pool.name));
            return String::new();
        }
        CheckKind::Connect => {}
        CheckKind::Http(http) => write_http(out, http),
        CheckKind::Script { steps } => {
            out.line("option tcp-check");
            out.line(if check.tls { "tcp-check connect ssl" } else { "tcp-check connect" });
            for step in steps {
                out.line(match step {
                    Step::Send(bytes) => format!("tcp-check send-binary {}", hex(bytes)),
                    Step::Expect(bytes) => format!("tcp-check expect binary {}", hex(bytes)),
                    Step::Regex(expression) => format!("tcp-check expect rstring {}", quote(expression)),
                });
            }
        }
        CheckKind::Command { argv } => {
            out.line("option external-check");
            out.line(format!("external-check command {}", quote(argv.first().map_or("", String::as_str))));
            if argv.len() > 1 {
                out.leave_out(format!("pool {}: arguments of the check's command", pool.name));
            }
        }
    }
    out.line(format!("timeout check {}", time(check.timeout)));
    let mut line = format!(" check inter {} rise {} fall {}", time(check.interval), check.rise, check.fall);
    if check.fast_interval != check.interval {
        line += &format!(" fastinter {}", time(check.fast_interval));
    }
    if check.down_interval != check.interval {
        line += &format!(" downinter {}", time(check.down_interval));
    }
    if check.tls {
        line += " check-ssl";
        if pool.tls.is_none() {
            line += " verify none";
        }
    }
    line
}

fn write_http(out: &mut Config, check: &HttpCheck) {
    out.line("option httpchk");
    let host = check.host.as_ref().map(|host| ("Host".to_owned(), host.clone()));
    let mut line =
        format!("http-check send meth {} uri {} ver HTTP/1.1", quote(&check.method), quote(&check.path));
    // A request of HTTP/1.1 has a Host; HAProxy writes none by itself.
    let host = host.unwrap_or_else(|| ("Host".to_owned(), "localhost".to_owned()));
    let close = ("Connection".to_owned(), "close".to_owned());
    for (name, value) in [&host, &close].into_iter().chain(&check.headers) {
        line += &format!(" hdr {} {}", quote(name), quote(value));
    }
    out.line(line);
    if check.disable_on_404 {
        out.line("http-check disable-on-404");
    }
    for expect in &check.expect {
        out.line(match expect {
            Expect::Status(ranges) => {
                let range = |(first, last): &(u16, u16)| {
                    if first == last { first.to_string() } else { format!("{first}-{last}") }
                };
                format!("http-check expect status {}", ranges.iter().map(range).collect::<Vec<_>>().join(","))
            }
            Expect::Text(text) => format!("http-check expect string {}", quote(text)),
            Expect::Regex(expression) => format!("http-check expect rstring {}", quote(expression)),
            Expect::Header(name, value) => {
                format!("http-check expect hdr name {} value -m sub {}", quote(name), quote(value))
            }
        });
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
