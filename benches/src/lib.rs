//! Measurements of Tombolo beside its peers
