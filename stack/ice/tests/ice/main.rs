//! The behaviour of agents on a simulated network. Rows of the conformance list are named by their ids.

mod connect;
mod consent;
mod demux;
mod limits;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod responses;
#[cfg(test)]
mod support;
