//! Two connections on a virtual network.

mod call;
mod peer;
