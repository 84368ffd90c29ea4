//! JSON messages over a WebSocket.
//!
//! The client always offers and the server always answers, so offers never collide. In an offer, the media
//! sections that the client sends on are publications; those that it only receives on are *slots*, to which
//! the server assigns the tracks of others, then and later, without another offer.

use serde::{Deserialize, Serialize};

use crate::name::Name;

/// The version of this protocol, in `join` and `joined`.
pub const VERSION: u32 = 1;

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
#[non_exhaustive]
pub enum ClientMessage {
    /// Enters a channel. The first message of a connection, and the only one of its kind.
    #[serde(rename_all = "camelCase")]
    Join {
        /// [`VERSION`].
        version: u32,
        /// The channel.
        channel: Name,
        /// The wished name; the server makes one where there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<Name>,
        /// Only watches who comes and goes, without becoming a participant.
        #[serde(default)]
        observe: bool,
        /// A first offer, which saves a round trip.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offer: Option<String>,
        /// The number of that offer, repeated in its answer; 0 where there is none.
        #[serde(default)]
        offer_id: u64,
    },
    /// An offer, the first or a later one.
    Offer {
        /// A number of the client's choice, repeated in the answer.
        id: u64,
        /// The session description.
        sdp: String,
        /// Which tracks to show in which slots; slots not named are filled by the server.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        receive: Vec<SlotChoice>,
    },
    /// A trickled ICE candidate.
    Candidate {
        /// The value of `RTCIceCandidate.candidate`; empty for the end of candidates.
        candidate: String,
        /// The identification tag of its media section.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mid: Option<String>,
        /// The index of its media section.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        index: Option<u32>,
        /// The ICE generation it belongs to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ufrag: Option<String>,
    },
    /// Changes what a slot shows, without an offer.
    Receive(SlotChoice),
    /// Asks for a `pong`.
    Ping {
        /// Repeated in the `pong`.
        t: u64,
    },
    /// Leaves. Closing the WebSocket does the same.
    Leave,
}

/// The track to show in a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotChoice {
    /// The identification tag of the slot's media section.
    pub mid: String,
    /// The track's id, or none to empty the slot.
    pub track: Option<String>,
}

/// What the server says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
#[non_exhaustive]
pub enum ServerMessage {
    /// The answer to `join`.
    #[serde(rename_all = "camelCase")]
    Joined {
        /// [`VERSION`].
        version: u32,
        /// The participant's id; empty for an observer.
        id: String,
        /// The participant's name, which the server may have made; none for an observer.
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<Name>,
        /// The channel.
        channel: Name,
        /// STUN and TURN servers, as `RTCConfiguration.iceServers` takes them. The gateway has a public
        /// address, so there are none.
        ice_servers: Vec<String>,
        /// Everybody else in the channel.
        participants: Vec<Participant>,
    },
    /// The answer to an offer.
    Answer {
        /// The offer's number.
        id: u64,
        /// The session description.
        sdp: String,
    },
    /// What a slot shows from now on.
    Receive {
        /// The identification tag of the slot's media section.
        mid: String,
        /// The track, or none.
        track: Option<String>,
        /// Who publishes it.
        #[serde(skip_serializing_if = "Option::is_none")]
        participant: Option<String>,
    },
    /// Somebody came, changed or went.
    Participant {
        /// What happened.
        event: RosterEvent,
        /// To whom; the state after the event.
        participant: Participant,
    },
    /// A track that this client cannot be shown, and why.
    Unavailable {
        /// The track.
        track: String,
        /// Who publishes it.
        participant: String,
        /// For programs.
        reason: UnavailableReason,
        /// For people.
        message: String,
    },
    /// Something that the client said could not be done.
    Error {
        /// For programs.
        code: ErrorCode,
        /// For people.
        message: String,
        /// Whether the server closes the connection after this.
        fatal: bool,
        /// The number of the line of the session description that is wrong, from 1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        line: Option<u32>,
        /// The number of the offer that this is about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
    },
    /// The answer to a `ping`.
    Pong {
        /// As in the `ping`.
        t: u64,
    },
    /// The server ends the session.
    Bye {
        /// For people.
        reason: String,
    },
}

/// A member of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Participant {
    /// Unique while the gateway runs.
    pub id: String,
    /// Unique in the channel.
    pub name: Name,
    /// How the participant is connected.
    pub transport: TransportKind,
    /// What the participant publishes.
    pub tracks: Vec<TrackSummary>,
}

/// A published track.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackSummary {
    /// Unique while the gateway runs.
    pub id: String,
    /// Sound or picture.
    pub kind: MediaKind,
    /// How it is encoded.
    pub codec: CodecName,
    /// What the publisher calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// How a participant is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TransportKind {
    /// A browser or an app over WebRTC, by this protocol.
    WebRtc,
    /// A browser or an app over WebTransport or raw QUIC.
    WebTransport,
    /// An encoder over WHIP.
    Whip,
    /// A player over WHEP.
    Whep,
}

/// Sound or picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum MediaKind {
    /// Sound.
    Audio,
    /// Picture.
    Video,
}

/// A codec, by the name of its RTP payload format in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum CodecName {
    /// VP8.
    Vp8,
    /// H.264.
    H264,
    /// Opus.
    Opus,
}

/// What happened to a participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RosterEvent {
    /// Came.
    Joined,
    /// Publishes something else than before.
    Changed,
    /// Went.
    Left,
}

/// Why a track cannot be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum UnavailableReason {
    /// The client's slot cannot receive the track's codec.
    Codec,
    /// The gateway has no room for another subscription.
    Full,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// Not a message of this protocol.
    BadMessage,
    /// A version that the server does not speak.
    Version,
    /// Something else came before `join`, or `join` came twice.
    NotJoined,
    /// Somebody in the channel has this name.
    NameTaken,
    /// The channel, or the gateway, takes no more.
    ChannelFull,
    /// A session description that cannot be taken.
    BadSdp,
    /// A candidate that cannot be read.
    BadCandidate,
    /// A slot or a track that is not there.
    NotFound,
    /// The media connection could not be made or was lost.
    ConnectionFailed,
}

/// Why a text is no [`ClientMessage`].
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct MessageError {
    reason: String,
}

impl ClientMessage {
    /// Reads a message.
    ///
    /// # Errors
    /// [`MessageError`] says in words what is wrong and where.
    pub fn parse(text: &str) -> Result<Self, MessageError> {
        serde_json::from_str(text).map_err(|error| MessageError { reason: error.to_string() })
    }
}

impl ServerMessage {
    /// An error that leaves the connection open.
    #[must_use]
    pub fn error(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::Error { code, message: message.into(), fatal: false, line: None, id: None }
    }

    /// An error after which the server closes the connection.
    #[must_use]
    pub fn fatal(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::Error { code, message: message.into(), fatal: true, line: None, id: None }
    }

    /// The message as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self)
            .expect("invariant: these types have only string keys and no failing impls")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_join_needs_only_version_and_channel() {
        let message = ClientMessage::parse(r#"{"type":"join","version":1,"channel":"demo"}"#).unwrap();
        assert_eq!(
            message,
            ClientMessage::Join {
                version: 1,
                channel: "demo".parse().unwrap(),
                name: None,
                observe: false,
                offer: None,
                offer_id: 0
            }
        );
    }

    #[test]
    fn an_unknown_field_is_no_error_so_that_clients_can_be_newer() {
        assert!(ClientMessage::parse(r#"{"type":"ping","t":1,"later":true}"#).is_ok());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = |text| ClientMessage::parse(text).unwrap_err().to_string();
        assert!(error(r#"{"type":"dance"}"#).contains("dance"));
        assert!(error(r#"{"type":"join","version":1,"channel":"a b"}"#).contains("letters, digits"));
        assert!(error("7").contains("invalid type"));
        assert!(error("").contains("EOF"));
    }

    #[test]
    fn server_messages_have_the_documented_shape() {
        let error = ServerMessage::fatal(ErrorCode::NameTaken, "taken");
        assert_eq!(error.to_json(), r#"{"type":"error","code":"name-taken","message":"taken","fatal":true}"#);
        let receive = ServerMessage::Receive { mid: "1".into(), track: None, participant: None };
        assert_eq!(receive.to_json(), r#"{"type":"receive","mid":"1","track":null}"#);
        let participant = Participant {
            id: "p2".into(),
            name: "bob".parse().unwrap(),
            transport: TransportKind::WebTransport,
            tracks: vec![TrackSummary {
                id: "7".into(),
                kind: MediaKind::Video,
                codec: CodecName::H264,
                label: None,
            }],
        };
        let message = ServerMessage::Participant { event: RosterEvent::Joined, participant };
        assert_eq!(
            message.to_json(),
            concat!(
                r#"{"type":"participant","event":"joined","participant":{"id":"p2","name":"bob","#,
                r#""transport":"webtransport","tracks":[{"id":"7","kind":"video","codec":"h264"}]}}"#
            )
        );
    }
}
