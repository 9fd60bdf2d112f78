//! How a command says that it did not do what was asked, and with which exit code.

use std::process::ExitCode;

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The wish was wrong (file, arguments, permission, something in the way); nothing was changed. Exit code 2.
    Wrong(anyhow::Error),
    /// It was tried and did not succeed. Exit code 1.
    #[allow(dead_code, reason = "used as commands land")]
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Wrong(error)
    }
}

impl Failure {
    /// Prints the message, on stderr or as JSON on stdout, and gives the exit code.
    pub(crate) fn report(self, json: bool) -> ExitCode {
        let (error, code) = match self {
            Self::Wrong(error) => (error, 2),
            Self::Failed(error) => (error, 1),
        };
        if json {
            println!("{}", serde_json::json!({ "error": format!("{error:#}") }));
        } else {
            eprintln!("relevo: {error:#}");
        }
        ExitCode::from(code)
    }
}
