//! Connections on a simulated network, and descriptions of all kinds. Rows of the conformance list are named by their
//! ids.

#[cfg(test)]
mod allocations;
#[cfg(test)]
mod attacks;
#[cfg(test)]
mod bandwidth;
#[cfg(test)]
mod call;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod fec;
#[cfg(test)]
mod interceptors;
#[cfg(test)]
mod jsep;
#[cfg(test)]
mod media;
#[cfg(test)]
mod peer;
#[cfg(test)]
mod red;
#[cfg(test)]
mod renegotiation;
#[cfg(test)]
mod restart;
