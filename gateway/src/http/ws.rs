//! Signaling over a WebSocket: one task a connection.

use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use tokio::sync::watch;
use tokio::time::{Instant, interval, timeout};
use tombolo_signaling::{ClientMessage, ErrorCode, Name, ServerMessage, SlotChoice, TransportKind, VERSION};
use tracing::{debug, info};

use super::AppState;
use super::membership::{Membership, participant_id};
use crate::hub::messages::{JoinError, ParticipantId};
use crate::rtc::command::{CandidateError, LegEvent, LegId, OfferError, OfferPolicy, RtcCommand};

/// How long a connection may take to say `join`.
const JOIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a silent client is pinged.
const PING_INTERVAL: Duration = Duration::from_secs(15);
/// How long a client may say nothing at all, not even a pong.
const SILENCE_LIMIT: Duration = Duration::from_secs(45);

/// `GET /ws`.
pub(super) async fn upgrade(State(state): State<AppState>, upgrade: WebSocketUpgrade) -> Response {
    let limit = state.config.max_message_bytes;
    upgrade.max_message_size(limit).max_frame_size(limit).on_upgrade(|socket| async move {
        Connection { socket, state }.run().await;
    })
}

struct Connection {
    socket: WebSocket,
    state: AppState,
}

/// Why a connection ends.
enum End {
    /// The client is gone or said so.
    Client,
    /// The server ends it with this message.
    Server(ServerMessage),
}

/// What `joined` tells, and the offer that came with `join`.
struct Greeting {
    id: String,
    name: Option<Name>,
    channel: Name,
    offer: Option<(u64, String)>,
}

impl End {
    fn fatal(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::Server(ServerMessage::fatal(code, message))
    }

    fn stopping() -> Self {
        Self::Server(ServerMessage::Bye { reason: "the gateway is stopping".into() })
    }
}

impl Connection {
    async fn run(mut self) {
        let end = match self.enter().await {
            Ok((mut membership, greeting)) => {
                let end = match self.greet(&membership, greeting).await {
                    Ok(()) => self.serve(&mut membership).await,
                    Err(end) => end,
                };
                if let Some(leg) = membership.leg {
                    self.state.close_leg(leg).await;
                    info!(leg = leg.0, "left");
                }
                end
            }
            Err(end) => end,
        };
        if let End::Server(message) = end {
            // The client may be gone already; then there is nobody to tell.
            let _ = self.send(&message).await;
            let frame = CloseFrame { code: close_code::NORMAL, reason: "".into() };
            let _ = self.socket.send(Message::Close(Some(frame))).await;
        }
    }

    /// Waits for `join` and enters the channel.
    async fn enter(&mut self) -> Result<(Membership, Greeting), End> {
        let first = timeout(JOIN_TIMEOUT, self.receive())
            .await
            .map_err(|_| End::fatal(ErrorCode::NotJoined, "no join came within 10 seconds"))?;
        let (version, channel, name, observe, offer, offer_id) = match first? {
            Ok(ClientMessage::Join { version, channel, name, observe, offer, offer_id }) => {
                (version, channel, name, observe, offer, offer_id)
            }
            Ok(_) => return Err(End::fatal(ErrorCode::NotJoined, "the first message must be join")),
            Err(message) => return Err(End::fatal(ErrorCode::BadMessage, message)),
        };
        if version != VERSION {
            let message = format!("this server speaks version {VERSION} of the protocol, not {version}");
            return Err(End::fatal(ErrorCode::Version, message));
        }
        let offer = offer.map(|sdp| (offer_id, sdp));
        if observe {
            let membership = self.observe(channel.clone()).await?;
            Ok((membership, Greeting { id: String::new(), name: None, channel, offer }))
        } else {
            let (membership, participant, name) = self.open(channel.clone(), name).await?;
            Ok((membership, Greeting { id: participant_id(participant), name: Some(name), channel, offer }))
        }
    }

    /// Says `joined`, and answers the offer that came with `join`.
    async fn greet(&mut self, membership: &Membership, greeting: Greeting) -> Result<(), End> {
        let Greeting { id, name, channel, offer } = greeting;
        let participants = membership.participants();
        let ice_servers = Vec::new();
        self.send(&ServerMessage::Joined { version: VERSION, id, name, channel, ice_servers, participants })
            .await?;
        match offer {
            Some((id, sdp)) => self.offer(membership, id, sdp, Vec::new()).await,
            None => Ok(()),
        }
    }

    async fn observe(&mut self, channel: Name) -> Result<Membership, End> {
        let roster = self.state.hub.observe(channel).await.ok_or_else(End::stopping)?;
        Ok(Membership::observer(roster))
    }

    async fn open(
        &mut self,
        channel: Name,
        name: Option<Name>,
    ) -> Result<(Membership, ParticipantId, Name), End> {
        let opened = self
            .state
            .ask_rtc(|reply| RtcCommand::Open { channel, name, transport: TransportKind::WebRtc, reply })
            .await
            .map_err(|_| End::stopping())?
            .map_err(|error| {
                let code = match error {
                    JoinError::NameTaken => ErrorCode::NameTaken,
                    _ => ErrorCode::ChannelFull,
                };
                End::fatal(code, error.to_string())
            })?;
        info!(leg = opened.leg.0, name = %opened.name, "joined");
        let (participant, name) = (opened.participant, opened.name.clone());
        Ok((Membership::participant(opened), participant, name))
    }

    async fn serve(&mut self, membership: &mut Membership) -> End {
        let mut pings = interval(PING_INTERVAL);
        let mut heard = Instant::now();
        let mut stop = self.state.stopping.clone();
        loop {
            let step = tokio::select! {
                message = self.receive() => {
                    heard = Instant::now();
                    match message {
                        Ok(Ok(message)) => self.handle(membership, message).await,
                        Ok(Err(text)) => self.send(&ServerMessage::error(ErrorCode::BadMessage, text)).await,
                        Err(end) => Err(end),
                    }
                }
                event = membership.events.recv() => self.tell_event(event).await,
                changed = membership.roster.changed() => match changed {
                    Ok(()) => self.tell_roster(membership).await,
                    Err(_) => Err(End::stopping()),
                },
                _ = pings.tick() => {
                    if heard.elapsed() > SILENCE_LIMIT {
                        Err(End::Client)
                    } else {
                        self.socket.send(Message::Ping(Vec::new().into())).await.map_err(|_| End::Client)
                    }
                }
                () = stopped(&mut stop) => Err(End::stopping()),
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    async fn handle(&mut self, membership: &Membership, message: ClientMessage) -> Result<(), End> {
        let Some(leg) = membership.leg else {
            return match message {
                ClientMessage::Ping { t } => self.send(&ServerMessage::Pong { t }).await,
                ClientMessage::Leave => Err(End::Client),
                _ => {
                    let text = "an observer has no media";
                    self.send(&ServerMessage::error(ErrorCode::NotJoined, text)).await
                }
            };
        };
        match message {
            ClientMessage::Join { .. } => {
                self.send(&ServerMessage::error(ErrorCode::NotJoined, "join came twice")).await
            }
            ClientMessage::Offer { id, sdp, receive } => self.offer(membership, id, sdp, receive).await,
            ClientMessage::Candidate { candidate, mid, .. } => self.candidate(leg, candidate, mid).await,
            ClientMessage::Receive(choice) => self.choose(leg, choice).await,
            ClientMessage::Ping { t } => self.send(&ServerMessage::Pong { t }).await,
            ClientMessage::Leave => Err(End::Client),
            _ => self.send(&ServerMessage::error(ErrorCode::BadMessage, "not understood")).await,
        }
    }

    async fn offer(
        &mut self,
        membership: &Membership,
        id: u64,
        sdp: String,
        receive: Vec<SlotChoice>,
    ) -> Result<(), End> {
        let Some(leg) = membership.leg else {
            let text = "an observer has no media";
            return self.send(&ServerMessage::error(ErrorCode::NotJoined, text)).await;
        };
        let answer = self
            .state
            .ask_rtc(|reply| RtcCommand::Offer { leg, sdp, policy: OfferPolicy::Any, receive, reply })
            .await
            .map_err(|_| End::stopping())?;
        match answer {
            Ok(sdp) => self.send(&ServerMessage::Answer { id, sdp }).await,
            Err(error @ OfferError::Gone) => Err(End::fatal(ErrorCode::ConnectionFailed, error.to_string())),
            Err(error) => {
                let line = match &error {
                    OfferError::Malformed { line, .. } => Some(*line).filter(|line| *line > 0),
                    _ => None,
                };
                let (code, message) = (ErrorCode::BadSdp, error.to_string());
                self.send(&ServerMessage::Error { code, message, fatal: false, line, id: Some(id) }).await
            }
        }
    }

    async fn candidate(&mut self, leg: LegId, candidate: String, mid: Option<String>) -> Result<(), End> {
        let outcome = self
            .state
            .ask_rtc(|reply| RtcCommand::Candidate { leg, candidate, mid, reply })
            .await
            .map_err(|_| End::stopping())?;
        match outcome {
            // A candidate may arrive after its session has gone: no news for the client.
            Ok(()) | Err(CandidateError::Gone) => Ok(()),
            Err(error) => self.send(&ServerMessage::error(ErrorCode::BadCandidate, error.to_string())).await,
        }
    }

    async fn choose(&mut self, leg: LegId, choice: SlotChoice) -> Result<(), End> {
        let outcome = self
            .state
            .ask_rtc(|reply| RtcCommand::Receive { leg, choice, reply })
            .await
            .map_err(|_| End::stopping())?;
        match outcome {
            Ok(()) => Ok(()),
            Err(error) => self.send(&ServerMessage::error(ErrorCode::NotFound, error.to_string())).await,
        }
    }

    async fn tell_event(&mut self, event: Option<LegEvent>) -> Result<(), End> {
        match event {
            None => Err(End::Server(ServerMessage::Bye { reason: "the media session has ended".into() })),
            Some(LegEvent::Failed(reason)) => Err(End::fatal(ErrorCode::ConnectionFailed, reason)),
            Some(LegEvent::Connected) => Ok(()),
            Some(LegEvent::Slot { mid, shows }) => {
                let track = shows.map(|(track, _)| track.0.to_string());
                let participant = shows.map(|(_, participant)| participant_id(participant));
                self.send(&ServerMessage::Receive { mid, track, participant }).await
            }
            Some(LegEvent::Unavailable { track, participant, reason, message }) => {
                let (track, participant) = (track.0.to_string(), participant_id(participant));
                self.send(&ServerMessage::Unavailable { track, participant, reason, message }).await
            }
        }
    }

    async fn tell_roster(&mut self, membership: &mut Membership) -> Result<(), End> {
        for (event, participant) in membership.roster_events() {
            self.send(&ServerMessage::Participant { event, participant }).await?;
        }
        Ok(())
    }

    async fn send(&mut self, message: &ServerMessage) -> Result<(), End> {
        self.socket.send(Message::Text(message.to_json().into())).await.map_err(|_| End::Client)
    }

    /// The next message; the inner error is what is wrong with it, in words.
    async fn receive(&mut self) -> Result<Result<ClientMessage, String>, End> {
        loop {
            match self.socket.recv().await {
                Some(Ok(Message::Text(text))) => {
                    return Ok(ClientMessage::parse(&text).map_err(|error| error.to_string()));
                }
                Some(Ok(Message::Binary(_))) => return Ok(Err("messages are JSON text, not binary".into())),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_))) | None => return Err(End::Client),
                Some(Err(error)) => {
                    debug!(%error, "WebSocket failed");
                    let text = "the message is too long or not of the WebSocket protocol";
                    return Err(End::fatal(ErrorCode::BadMessage, text));
                }
            }
        }
    }
}

/// Returns when the gateway stops.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the gateway is gone already.
    let _ = stop.wait_for(|stop| *stop).await;
}
