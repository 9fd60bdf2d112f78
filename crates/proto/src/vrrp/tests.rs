//! Stories for the machine.
