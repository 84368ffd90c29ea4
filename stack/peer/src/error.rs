//! What a caller can ask wrongly.

/// The caller is wrong; nothing was changed or sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum UseError {
    /// The signaling state does not allow it.
    #[error("not in this signaling state")]
    WrongState,
    /// No transceiver, or no encoding of it, has that name.
    #[error("no such transceiver or encoding")]
    UnknownTransceiver,
    /// The direction that was negotiated does not allow it, or nothing was negotiated yet.
    #[error("the negotiated direction does not allow it")]
    Direction,
    /// The codec or payload type was not negotiated for this transceiver.
    #[error("the codec was not negotiated")]
    Codec,
    /// The transport is not up, or the peer's consent has expired.
    #[error("the transport is not connected")]
    NotConnected,
    /// The packet is larger than a datagram may be, or has no payload.
    #[error("the payload is empty or too large")]
    PayloadSize,
    /// The send queue is full: the driver does not drain it.
    #[error("the send queue is full")]
    QueueFull,
    /// The stream has sent this sequence number before, or one so much later that nobody knows.
    #[error("the sequence number was used before")]
    SeqUsed,
    /// The SRTP key has been used up (RFC 3711 §9.2).
    #[error("the key's lifetime is over")]
    KeyExhausted,
    /// A candidate line that cannot be read.
    #[error("malformed candidate")]
    Candidate,
    /// The certificate cannot be used.
    #[error("the certificate cannot be used")]
    Certificate,
    /// The connection is closed.
    #[error("the connection is closed")]
    Closed,
}
