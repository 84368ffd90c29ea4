//! The media task: the one task that owns the routing core and everything that needs it at packet rate.

pub mod messages;
