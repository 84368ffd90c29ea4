//! Virtual clock, seeded links and the Pair harness for tests of the Tombolo stack
