//! `relevo net`: bridges, tunnels, bonds and VLANs of this node as the cluster file wants them.
//!
//! ```text
//!   plan     what is ◄─► what is wanted             changes nothing
//!   apply    remember what was ─► guard ─► steps ─► look again ─► wait for `relevo net confirm`
//!                 on disk         a process of its own: goes back when nobody confirms
//!   verify   what is ◄─► what is wanted, spanning tree, carriers, MTUs
//! ```
//! Nothing here survives a reboot by itself: what was confirmed is kept, and `relevo net apply --confirmed` makes it again at
//! the next boot. What was not confirmed is gone then.

mod pending;
mod report;
mod status;

use std::path::{Path, PathBuf};

use relevo_model::cluster::{ClusterFile, Node};
use relevo_net::layer2::{self, Observed, Plan, Wanted};
use relevo_net::route::Route;

pub(crate) use pending::stand_in;
pub use pending::{Guarded, confirm, guard, is_pending, roll_back};
pub use report::{InterfaceReport, PortReport, Verdict};
pub(crate) use status::bridges;

/// Why nothing was changed, or was changed back.
#[derive(Debug, thiserror::Error)]
pub enum Layer2Error {
    /// The file does not have such a node.
    #[error("{0}")]
    Name(String),
    /// The plan cannot be carried out.
    #[error("nothing was changed: {}", .0.join("; "))]
    Problems(Vec<String>),
    /// The kernel refused a step.
    #[error("it failed, and all is as it was before")]
    Failed(#[source] relevo_net::Error),
    /// The kernel refused a step, and then one of those back.
    #[error("it failed ({first}), and going back failed too: look at the interfaces")]
    Stuck {
        /// What failed first.
        first: String,
        /// What failed then.
        #[source]
        source: relevo_net::Error,
    },
    /// After all steps something is not as wanted.
    #[error("all is as it was before: after the change something was not as wanted: {0}")]
    Differs(String),
    /// The kernel does not tell.
    #[error(transparent)]
    Net(#[from] relevo_net::Error),
    /// Something waits for its confirmation.
    #[error("a change waits to be confirmed: relevo net confirm, or relevo net rollback")]
    Pending,
    /// Nothing waits for its confirmation.
    #[error("no change waits to be confirmed")]
    NotPending,
    /// The state folder.
    #[error("cannot use {path}")]
    State {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// The node that this machine is: the named one, or the one called like it.
///
/// # Errors
/// [`Layer2Error::Name`] with those that there are.
pub fn node<'a>(cluster: &'a ClusterFile, name: Option<&str>) -> Result<&'a Node, Layer2Error> {
    let own = nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned();
    let wanted = name.unwrap_or(&own);
    let short = wanted.split('.').next().unwrap_or(wanted);
    let found = cluster.node(wanted).or_else(|| cluster.node(short));
    found.ok_or_else(|| {
        let names: Vec<&str> = cluster.nodes.iter().map(|node| node.name.as_str()).collect();
        Layer2Error::Name(format!(
            "there is no node {wanted:?} in the cluster file; it has: {}; say which one this is by --name",
            names.join(", ")
        ))
    })
}

/// What is, what is wanted, and the way there.
#[derive(Clone, Debug)]
pub struct Look {
    /// What is.
    pub observed: Observed,
    /// What is wanted.
    pub wanted: Wanted,
    /// The way.
    pub plan: Plan,
}

/// Looks, and changes nothing.
///
/// # Errors
/// The kernel does not tell.
pub fn look(cluster: &ClusterFile, node: &Node) -> Result<Look, Layer2Error> {
    let observed = layer2::observe(&mut Route::open()?)?;
    let wanted = layer2::wanted(cluster, node, &observed);
    let plan = layer2::plan(&observed, &wanted);
    Ok(Look { observed, wanted, plan })
}

/// Looks at interfaces and says what is not as the file wants.
///
/// # Errors
/// The kernel does not tell.
pub fn verify(cluster: &ClusterFile, node: &Node) -> Result<Verdict, Layer2Error> {
    let look = look(cluster, node)?;
    Ok(report::verdict(cluster, node, &look))
}

/// What became of a change.
#[derive(Clone, Debug)]
pub struct Applied {
    /// What was done.
    pub plan: Plan,
    /// Whether it waits to be confirmed.
    pub waits: bool,
}

/// Makes what the file wants, or what was confirmed last (`confirmed`). With a guard it goes back by itself unless it is
/// confirmed in time. Without, it counts as confirmed.
///
/// # Errors
/// See [`Layer2Error`]: what is said to be as before is.
pub fn apply(
    cluster: &ClusterFile,
    node: &Node,
    state: &Path,
    guarded: Option<&Guarded>,
    confirmed: bool,
) -> Result<Applied, Layer2Error> {
    if pending::is_pending(state)? {
        return Err(Layer2Error::Pending);
    }
    let mut look = look(cluster, node)?;
    if confirmed {
        let Some(wanted) = pending::confirmed(state)? else { return Err(Layer2Error::NotPending) };
        look.plan = layer2::plan(&look.observed, &wanted);
        look.wanted = wanted;
    }
    let Look { observed, wanted, plan } = look;
    if !plan.problems.is_empty() {
        return Err(Layer2Error::Problems(plan.problems));
    }
    if plan.steps.is_empty() {
        pending::remember(state, &wanted)?;
        return Ok(Applied { plan, waits: false });
    }
    let before = layer2::before(&observed, &wanted);
    let waits = guarded.is_some();
    let within = guarded.map(|guarded| guarded.within).unwrap_or(pending::BY_OURSELVES);
    pending::begin(state, &before, &wanted, within)?;
    if let Some(guarded) = guarded
        && let Err(error) = pending::start_guard(state, guarded)
    {
        pending::forget(state)?;
        return Err(error);
    }
    let mut socket = Route::open()?;
    let done = layer2::apply(&mut socket, &plan.steps);
    let differs = match &done {
        Ok(()) => {
            let now = layer2::observe(&mut socket)?;
            // What the file wants may depend on what is: an address that has moved is not on the port any more.
            let left = layer2::plan(&now, &wanted);
            left.steps.first().map(ToString::to_string)
        }
        Err(_) => None,
    };
    match (done, differs) {
        (Ok(()), None) => {
            if !waits {
                pending::forget(state)?;
                pending::remember(state, &wanted)?;
            }
            Ok(Applied { plan, waits })
        }
        (Ok(()), Some(differs)) => {
            go_back(&mut socket, &before, &differs)?;
            pending::forget(state)?;
            Err(Layer2Error::Differs(differs))
        }
        (Err(error), _) => {
            go_back(&mut socket, &before, &error.to_string())?;
            pending::forget(state)?;
            Err(Layer2Error::Failed(error))
        }
    }
}

/// Makes what was.
fn go_back(socket: &mut Route, before: &Wanted, first: &str) -> Result<(), Layer2Error> {
    let stuck = |source| Layer2Error::Stuck { first: first.to_owned(), source };
    let now = layer2::observe(socket).map_err(stuck)?;
    layer2::apply(socket, &layer2::plan(&now, before).steps).map_err(stuck)
}
