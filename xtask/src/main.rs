//! Development commands of the Tombolo workspace.

fn main() {}
