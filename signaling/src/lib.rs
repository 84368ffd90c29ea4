//! Wire types of every way to join a Tombolo channel
