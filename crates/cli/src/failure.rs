//! How a command says that it did not do what was asked, and with which exit code.

use std::process::ExitCode;

use anyhow::anyhow;
use relevo_api::client::ClientError;
use relevo_lab::Lab;

use crate::printer::{BAD, paint};

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The wish was wrong (file, arguments, permission, something in the way); nothing was changed. Exit code 2.
    Wrong(anyhow::Error),
    /// It was tried and did not succeed. Exit code 1.
    Failed(anyhow::Error),
    /// The wish was wrong, and everything has been said already. Exit code 2.
    Shown,
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Wrong(error)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let wrong = match &error {
            ClientError::Denied(_) | ClientError::TooLong(_) => true,
            ClientError::Refused { status, .. } => *status < 500,
            ClientError::NotRunning(_)
            | ClientError::TimedOut(..)
            | ClientError::Broken { .. }
            | ClientError::Garbled { .. } => false,
        };
        if wrong {
            return Self::Wrong(error.into());
        }
        let no_node = matches!(error, ClientError::NotRunning(_));
        match if no_node { lab() } else { None } {
            Some(lab) => Self::Failed(anyhow!(
                "{error}, or do you mean one in the lab {lab}? (relevo lab exec NODE -- relevo ...)"
            )),
            None => Self::Failed(error.into()),
        }
    }
}

/// A lab of this user that runs, for those who forget that its nodes are elsewhere.
fn lab() -> Option<String> {
    Lab::running().ok()?.into_iter().next()
}

impl Failure {
    /// Prints the message, on stderr or as JSON on stdout, and gives the exit code.
    pub(crate) fn report(self, json: bool) -> ExitCode {
        let (error, code) = match self {
            Self::Wrong(error) => (error, 2),
            Self::Failed(error) => (error, 1),
            Self::Shown => return ExitCode::from(2),
        };
        if json {
            anstream::println!("{}", serde_json::json!({ "error": format!("{error:#}") }));
        } else {
            anstream::eprintln!("{} {error:#}", paint(BAD, "relevo:"));
        }
        ExitCode::from(code)
    }
}
