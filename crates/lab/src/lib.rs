//! Clusters out of network namespaces, faults, drills, and the small web server that stands in for real ones.

pub mod origin;
