//! Counters.

use std::time::Duration;

/// Why an agent dropped a datagram, or did not use a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// Not a well-formed STUN message.
    Malformed,
    /// A method other than Binding.
    Method,
    /// The agent has failed or is closed.
    Ended,
    /// A request without USERNAME, MESSAGE-INTEGRITY or PRIORITY.
    MissingAttribute,
    /// A request with a wrong USERNAME or MESSAGE-INTEGRITY.
    Unauthenticated,
    /// A request with an unknown comprehension-required attribute.
    UnknownAttribute,
    /// A request from a peer that believes to have our role, and must change.
    RoleConflict,
    /// A response to nothing that is in progress.
    UnknownTransaction,
    /// A response whose MESSAGE-INTEGRITY is missing or wrong.
    ResponseUnauthenticated,
    /// A response from elsewhere than where the request went.
    AsymmetricResponse,
    /// The limit of pairs or of waiting replies.
    Limit,
}

impl DropReason {
    const COUNT: usize = Self::Limit as usize + 1;
}

/// What an agent counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Authenticated requests that were answered with success.
    pub requests_accepted: u64,
    /// Error replies sent.
    pub errors_sent: u64,
    /// Error replies not sent because of the bound on their rate or size.
    pub errors_suppressed: u64,
    /// Binding indications received.
    pub indications: u64,
    /// Connectivity checks begun, each counted once.
    pub checks_sent: u64,
    /// Repetitions of connectivity checks.
    pub retransmissions: u64,
    /// Consent checks sent.
    pub consent_checks_sent: u64,
    /// Valid responses received.
    pub responses_accepted: u64,
    /// Role changes because of a conflict.
    pub role_switches: u64,
    /// Remote candidates not used: no UDP address, another component, after the end, another generation, or an
    /// address nothing can be sent to.
    pub candidates_ignored: u64,
    /// The smoothed round-trip time, of a full agent.
    pub rtt: Option<Duration>,
    drops: [u64; DropReason::COUNT],
}

impl Stats {
    /// How many datagrams were dropped for this reason.
    #[must_use]
    pub const fn dropped(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }

    /// How many datagrams were dropped.
    #[must_use]
    pub fn total_dropped(&self) -> u64 {
        self.drops.iter().sum()
    }

    pub(crate) fn count_drop(&mut self, reason: DropReason) {
        self.drops[reason as usize] += 1;
        tracing::trace!(?reason, "dropped");
    }
}
