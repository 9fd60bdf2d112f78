//! Many connections that asked once and then do nothing.

use anyhow::{Context, Result, bail};

use super::http1::{self, Reader};
use super::stream::{Stream, connect, tls};
use super::thread::pin;
use super::{Plan, Protocol};

/// Opens the plan's connections, asks once on each by HTTP/1.1, and keeps them while `work` is done.
///
/// # Errors
///
/// A connection that cannot be made or is not answered: the first one.
pub fn hold<T: Send>(plan: &Plan, work: impl FnOnce() -> T + Send) -> Result<T> {
    plan.check()?;
    let tls = tls(plan)?;
    let request = http1::request(plan);
    // A thread of its own: what is pinned stays pinned.
    let held = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if let Some(cpu) = plan.cpus.first() {
                pin(*cpu)?;
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let mut streams: Vec<Stream> = Vec::with_capacity(plan.connections);
            runtime.block_on(async {
                for index in 0..plan.connections {
                    let opened = async {
                        let mut stream = connect(&plan.target, &tls, Protocol::Http1).await?;
                        Reader::default().exchange(&mut stream, &request, false).await?;
                        Ok(stream)
                    };
                    match tokio::time::timeout(plan.patience, opened).await {
                        Ok(Ok(stream)) => streams.push(stream),
                        Ok(Err::<_, super::Failure>(failure)) => {
                            bail!("connection {index}: {}", failure.words())
                        }
                        Err(_) => bail!("connection {index}: {}", super::Failure::Late.words()),
                    }
                }
                Ok(())
            })?;
            let done = work();
            // The runtime must be there when they are closed.
            drop(streams);
            anyhow::Ok(done)
        });
        thread.join().ok().context("a thread of the load generator failed")
    });
    held?
}
