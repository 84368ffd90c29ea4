//! One client: from its first packet to its last.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::stream::{FuturesUnordered, StreamExt};
use moq_net::{cache, origin};
use quinn::VarInt;
use thiserror::Error;
use tombolo_signaling::message::TransportKind;
use tombolo_signaling::name::Name;
use web_transport_quinn::proto::ConnectResponse;

use super::control::Control;
use super::endpoint::Counters;
use super::ingest::{self, Ended};
use super::pump::Backlog;
use super::request::{Refusal, Request};
use super::watch;
use crate::hub::messages::Joined;
use crate::hub::{Guard, Handle};

/// How long a client has until its session stands.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a refused client has to read why.
const GOODBYE: Duration = Duration::from_secs(1);
/// How long moq-net keeps a group that nobody reads or writes any more, unless it is the newest of its track. Nobody asks
/// for what is older than the second that a track promises; by default it would be half a minute of media for each
/// session.
const KEPT: Duration = Duration::from_secs(5);

/// Why a connection ended before it was a session. Only for the log.
#[derive(Debug, Error)]
enum Failure {
    #[error("the client was too slow")]
    Slow(#[from] tokio::time::error::Elapsed),
    #[error(transparent)]
    Quic(#[from] quinn::ConnectionError),
    #[error(transparent)]
    WebTransport(#[from] web_transport_quinn::ServerError),
    #[error(transparent)]
    Moq(#[from] moq_net::Error),
    #[error("refused: {0}")]
    Refused(Refusal),
}

/// What a session speaks through, and who it is.
struct Member {
    request: Request,
    joined: Joined,
    guard: Guard,
}

/// Serves one incoming connection to its end.
pub(super) async fn serve(incoming: quinn::Incoming, hub: Handle, counters: Arc<Counters>) {
    let remote = incoming.remote_address();
    let _open = Counted::new(&counters, |counters| &counters.open);
    match session(incoming, &hub, &counters).await {
        Ok(()) => tracing::debug!(%remote, "session ended"),
        Err(failure) => {
            if matches!(failure, Failure::Refused(_)) {
                counters.refused.fetch_add(1, Ordering::Relaxed);
            }
            tracing::info!(%remote, %failure, "no session");
        }
    }
}

async fn session(incoming: quinn::Incoming, hub: &Handle, counters: &Arc<Counters>) -> Result<(), Failure> {
    let handshaking = Counted::new(counters, |counters| &counters.handshaking);
    let (publish, publish_driver) = origin::Producer::new(origin_config());
    let (subscribe, subscribe_driver) = origin::Producer::new(origin_config());
    // Each is polled only when it was woken itself, not whenever one of the others is.
    let mut parts: FuturesUnordered<Pin<Box<dyn Future<Output = Part> + Send>>> = FuturesUnordered::new();
    parts.push(Box::pin(drive(publish_driver)));
    parts.push(Box::pin(drive(subscribe_driver)));

    let establish = establish(incoming, hub, publish.consume(), subscribe.clone());
    // The session closes when its handle is dropped.
    let Established { transport, member, driver, _session } =
        tokio::time::timeout(HANDSHAKE, establish).await??;
    drop(handshaking);
    counters.accepted.fetch_add(1, Ordering::Relaxed);
    parts.push(Box::pin(async move {
        drive(driver).await;
        Part::Ended(Ok(()))
    }));
    let hub = hub.clone();
    parts
        .push(Box::pin(async move { Part::Ended(live(&transport, member, &hub, publish, subscribe).await) }));
    loop {
        match parts.next().await {
            Some(Part::Ended(result)) => return result,
            Some(Part::Driver) => {}
            None => return Ok(()),
        }
    }
}

/// What a part of a session comes to.
enum Part {
    /// The session is over.
    Ended(Result<(), Failure>),
    /// One of its origins has nothing left to do.
    Driver,
}

async fn drive(driver: impl moq_net::time::Driver) -> Part {
    let error = moq_net::time::run(driver).await;
    tracing::trace!(%error, "driver finished");
    Part::Driver
}

fn origin_config() -> origin::Config {
    let mut config = origin::Config::new(moq_net::Hop::random());
    config.pool = cache::Pool::new(cache::Config::default().with_expiry(KEPT));
    config
}

type Session = web_transport_quinn::Session;

struct Established {
    transport: Session,
    member: Member,
    driver: moq_net::Driver<Session>,
    _session: moq_net::Session,
}

/// The QUIC handshake, the WebTransport one if it is that, the MoQ one, and the way into the channel.
async fn establish(
    incoming: quinn::Incoming,
    hub: &Handle,
    publish: origin::Consumer,
    subscribe: origin::Producer,
) -> Result<Established, Failure> {
    let connection = incoming.await?;
    let over_http = alpn(&connection).as_deref() == Some(web_transport_quinn::ALPN);
    let (transport, entered) = if over_http {
        let (transport, member) = accept_http(connection.clone(), hub).await?;
        (transport, Some(member))
    } else {
        (Session::raw(connection.clone()), None)
    };
    // `.gateway` is hidden by its name; clients learn of it all the same.
    let publish = publish.with_hidden(true);
    let server = moq_net::Server::new().with_publisher(publish).with_subscriber(subscribe);
    let handshake = server.accept_request(Instant::now(), transport.clone()).await?;
    let member = match entered {
        Some(member) => member,
        None => match Request::from_path(handshake.path()) {
            Ok(request) => match enter(hub, request).await {
                Ok(member) => member,
                Err(refusal) => return Err(close_raw(&connection, handshake, refusal)),
            },
            Err(refusal) => return Err(close_raw(&connection, handshake, refusal)),
        },
    };
    let (session, driver) = handshake.ok().await?;
    tracing::info!(
        channel = member.request.channel.as_str(),
        name = member.joined.name.as_str(),
        version = %session.version(),
        over_http,
        "session accepted"
    );
    Ok(Established { transport, member, driver, _session: session })
}

fn close_raw(
    connection: &quinn::Connection,
    handshake: moq_net::server::Handshake<Session>,
    refusal: Refusal,
) -> Failure {
    connection.close(VarInt::from_u32(refusal.code()), refusal.to_string().as_bytes());
    handshake.close(moq_net::Error::Unauthorized);
    Failure::Refused(refusal)
}

/// Answers the CONNECT request. A wrong request is a status. That the channel does not take the participant is
/// told by closing the accepted session: browsers show a close's reason to the page, but no status.
async fn accept_http(connection: quinn::Connection, hub: &Handle) -> Result<(Session, Member), Failure> {
    let request = web_transport_quinn::Request::accept(connection.clone()).await?;
    let protocol =
        moq_net::ALPNS.iter().find(|alpn| request.protocols.iter().any(|offered| offered == *alpn));
    let entered = match Request::from_url(&request.url) {
        Ok(_) if protocol.is_none() && !request.protocols.is_empty() => Err(Refusal::Version),
        Ok(asked) => enter(hub, asked).await,
        Err(refusal) => Err(refusal),
    };
    match entered {
        Ok(member) => {
            let session = request.respond(accepting(protocol)).await?;
            Ok((session, member))
        }
        Err(refusal @ Refusal::Join(_)) => {
            let session = request.respond(accepting(protocol)).await?;
            Err(send_away(&session, refusal).await)
        }
        Err(refusal) => {
            request.reject(refusal.status()).await?;
            // The answer is on its way only as long as the connection stands.
            let _ = tokio::time::timeout(GOODBYE, connection.closed()).await;
            connection.close(VarInt::from_u32(refusal.code()), refusal.to_string().as_bytes());
            Err(Failure::Refused(refusal))
        }
    }
}

fn accepting(protocol: Option<&&str>) -> ConnectResponse {
    match protocol {
        Some(protocol) => ConnectResponse::OK.with_protocol(*protocol),
        None => ConnectResponse::OK,
    }
}

async fn enter(hub: &Handle, request: Request) -> Result<Member, Refusal> {
    let channel = request.channel.clone();
    let (joined, guard) =
        hub.join(channel, request.name.clone(), TransportKind::WebTransport).await.map_err(Refusal::Join)?;
    Ok(Member { request, joined, guard })
}

/// The session's life in its channel, until it ends or is sent away.
async fn live(
    transport: &Session,
    mut member: Member,
    hub: &Handle,
    publish: origin::Producer,
    subscribe: origin::Producer,
) -> Result<(), Failure> {
    let connection: quinn::Connection = (**transport).clone();
    let backlog = Arc::new(Backlog::new(Instant::now(), move || connection.stats().udp_tx.bytes));
    loop {
        match take_part(&mut member, hub, &publish, &subscribe, &backlog).await {
            Ended::Stopped => {
                transport.close(0, b"the gateway is stopping");
                return Ok(());
            }
            // A client that gave no name when it came is named after what it publishes.
            Ended::Named(name) if member.request.name.is_none() => {
                member = match rename(member, hub, name).await {
                    Ok(member) => member,
                    Err(refusal) => return Err(send_away(transport, refusal).await),
                };
            }
            Ended::Named(_) => return Err(send_away(transport, Refusal::OtherName).await),
        }
    }
}

async fn rename(member: Member, hub: &Handle, name: Name) -> Result<Member, Refusal> {
    let request = Request { name: Some(name), ..member.request };
    // Out before in: it may have been given this very name.
    drop(member.guard);
    enter(hub, request).await
}

async fn send_away(transport: &Session, refusal: Refusal) -> Failure {
    transport.close(refusal.code(), refusal.to_string().as_bytes());
    let _ = tokio::time::timeout(GOODBYE, transport.closed()).await;
    Failure::Refused(refusal)
}

async fn take_part(
    member: &mut Member,
    hub: &Handle,
    publish: &origin::Producer,
    subscribe: &origin::Producer,
    backlog: &Arc<Backlog>,
) -> Ended {
    let control = match Control::new(publish) {
        Ok(control) => control,
        Err(error) => {
            tracing::debug!(%error, "no control broadcast");
            return Ended::Stopped;
        }
    };
    let joined = &mut member.joined;
    let viewer = watch::Viewer {
        hub: hub.clone(),
        participant: joined.participant,
        control: &control,
        backlog: Arc::clone(backlog),
        sound_group: member.request.sound_group,
    };
    let publisher = ingest::Publisher {
        hub: hub.clone(),
        participant: joined.participant,
        name: joined.name.clone(),
        control: &control,
    };
    tokio::select! {
        () = watch::run(viewer, joined.roster.clone(), publish.clone()) => Ended::Stopped,
        ended = ingest::run(publisher, subscribe.consume(), &mut joined.demands) => ended,
    }
}

fn alpn(connection: &quinn::Connection) -> Option<String> {
    let data = connection.handshake_data()?.downcast::<quinn::crypto::rustls::HandshakeData>().ok()?;
    String::from_utf8(data.protocol?).ok()
}

/// Counts up, and down again when dropped.
struct Counted {
    counters: Arc<Counters>,
    which: fn(&Counters) -> &AtomicUsize,
}

impl Counted {
    fn new(counters: &Arc<Counters>, which: fn(&Counters) -> &AtomicUsize) -> Self {
        which(counters).fetch_add(1, Ordering::Relaxed);
        Self { counters: Arc::clone(counters), which }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.which)(&self.counters).fetch_sub(1, Ordering::Relaxed);
    }
}
