//! Why a lab did not do what was asked.

/// Why a lab did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The wish was wrong or cannot be fulfilled on this machine; nothing was changed. Exit code 2.
    #[error("{0}")]
    Wrong(String),
    /// Somebody interrupted it; what was begun is undone.
    #[error("interrupted; everything was undone")]
    Interrupted,
    /// It was tried and did not succeed. Exit code 1.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

impl LabError {
    /// A wish that cannot be fulfilled, in words.
    pub(crate) fn wrong(message: impl Into<String>) -> Self {
        Self::Wrong(message.into())
    }
}
