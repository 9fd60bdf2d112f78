//! x
mod origin;
