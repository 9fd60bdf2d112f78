//! `relevo origin`: the small web server that stands behind the balancer in labs, drills and benches.

use std::net::SocketAddr;
use std::process::ExitCode;

use relevo_lab::origin::{Options, Origin};

use crate::failure::Failure;

/// Arguments of `relevo origin`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Pages: / says who answered, when and who asked (HTML for a browser); /healthz; /bytes/N; /slow/MS; /checked (is the body right).
It runs until SIGTERM or Ctrl-C and then finishes the requests in progress.")]
pub(crate) struct Args {
    /// Where to listen, such as 127.0.0.1:8081; may be given several times.
    #[arg(long, required = true, value_name = "ADDRESS:PORT")]
    listen: Vec<SocketAddr>,
    /// What it calls itself, on its page and in the response field `Server-Name`.
    #[arg(long, default_value = "origin")]
    name: String,
    /// Answer / with this many bytes rather than with words, for measurements.
    #[arg(long, value_name = "N")]
    body_bytes: Option<usize>,
    /// Answer this path, too, as checks ask for it; may be given several times.
    #[arg(long, value_name = "PATH")]
    page: Vec<String>,
}

/// Runs it until it is told to stop.
pub(crate) fn run(args: Args, json: bool) -> Result<ExitCode, Failure> {
    let options = Options {
        listen: args.listen,
        name: args.name.clone(),
        body_bytes: args.body_bytes,
        pages: args.page,
    };
    let origin = Origin::bind(&options).map_err(Failure::Wrong)?;
    let listen = origin.addresses().map_err(Failure::Failed)?;
    if json {
        println!("{}", serde_json::json!({ "name": args.name, "listen": listen }));
    } else {
        for at in listen {
            println!("{} listens on http://{at}/", args.name);
        }
    }
    origin.run().map_err(Failure::Failed)?;
    Ok(ExitCode::SUCCESS)
}
