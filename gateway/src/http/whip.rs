//! WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep): one HTTP request in, one peer connection up.
//!
//! Both take `POST` with an offer, `PATCH` with trickled candidates and `DELETE`. An ICE restart by `PATCH` is answered
//! with 422, as RFC 9725 §4.3.3 has it for endpoints that cannot restart.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::sync::mpsc;
use tombolo::sdp::Fragment;
use tombolo_signaling::{Name, TransportKind};
use tracing::{debug, info};

use super::AppState;
use super::problem::Problem;
use super::sessions::{Session, random_id};
use crate::hub::messages::{ParticipantId, Roster};
use crate::rtc::command::{CandidateError, LegEvent, OfferPolicy, Opened, RtcCommand};

const SDP: &str = "application/sdp";
const SDP_FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// The query of a `POST`.
#[derive(Debug, Deserialize)]
pub(super) struct JoinQuery {
    name: Option<String>,
    publisher: Option<String>,
}

type Body = Result<Bytes, BytesRejection>;

/// What comes with a `POST`.
type Post = (State<AppState>, Path<String>, Query<JoinQuery>, Uri, HeaderMap);

/// `POST /whip/CHANNEL`.
pub(super) async fn publish(post: Post, body: Body) -> Result<Response, Problem> {
    start(TransportKind::Whip, post, body).await
}

/// `POST /whep/CHANNEL`.
pub(super) async fn watch(post: Post, body: Body) -> Result<Response, Problem> {
    start(TransportKind::Whep, post, body).await
}

async fn start(transport: TransportKind, post: Post, body: Body) -> Result<Response, Problem> {
    let (State(state), Path(channel), Query(query), uri, headers) = post;
    let sdp = text_body(&headers, SDP, body)?;
    let channel = parse_name("channel", &channel)?;
    let name = query.name.as_deref().map(|name| parse_name("name", name)).transpose()?;
    let opened = state.ask_rtc(|reply| RtcCommand::Open { channel, name, transport, reply }).await??;
    let leg = opened.leg;
    match answer(&state, transport, &query, &opened, sdp).await {
        Ok((session, sdp)) => {
            let etag = session.etag.clone();
            let id = state.sessions.insert(session);
            info!(leg = leg.0, name = %opened.name, ?transport, "session started");
            tokio::spawn(follow(state, id.clone(), opened.events));
            let headers = [
                (header::CONTENT_TYPE, SDP.to_owned()),
                (header::LOCATION, format!("{}/{id}", uri.path().trim_end_matches('/'))),
                (header::ETAG, etag),
                (header::HeaderName::from_static("accept-patch"), SDP_FRAGMENT.to_owned()),
            ];
            Ok((StatusCode::CREATED, headers, sdp).into_response())
        }
        Err(problem) => {
            state.close_leg(leg).await;
            Err(problem)
        }
    }
}

/// Has the offer answered; whatever goes wrong, the caller closes the leg.
async fn answer(
    state: &AppState,
    transport: TransportKind,
    query: &JoinQuery,
    opened: &Opened,
    sdp: String,
) -> Result<(Session, String), Problem> {
    let policy = match transport {
        TransportKind::Whip => OfferPolicy::PublishOnly,
        _ => OfferPolicy::WatchOnly { publisher: find_publisher(query, &opened.roster.borrow())? },
    };
    let ufrag = ice_ufrag(&sdp).to_owned();
    let leg = opened.leg;
    let answer =
        state.ask_rtc(|reply| RtcCommand::Offer { leg, sdp, policy, receive: Vec::new(), reply }).await??;
    Ok((Session { leg, etag: format!("\"{}\"", random_id()), ufrag }, answer))
}

fn find_publisher(query: &JoinQuery, roster: &Roster) -> Result<Option<ParticipantId>, Problem> {
    let Some(wanted) = query.publisher.as_deref() else { return Ok(None) };
    let member = roster.iter().find(|member| member.name.as_str() == wanted);
    member.map(|member| Some(member.participant)).ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, format!("nobody in this channel is called {wanted:?}"))
    })
}

/// Forgets the session when its leg ends, however that happens.
async fn follow(state: AppState, id: String, mut events: mpsc::Receiver<LegEvent>) {
    while let Some(event) = events.recv().await {
        debug!(?event, "session event");
    }
    if let Some(session) = state.sessions.remove(&id) {
        info!(leg = session.leg.0, "session ended");
    }
}

/// `PATCH` on a session: trickled candidates.
pub(super) async fn trickle(
    State(state): State<AppState>,
    Path((_, id)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let session = state.sessions.get(&id).ok_or_else(unknown_session)?;
    let text = text_body(&headers, SDP_FRAGMENT, body)?;
    let if_match = headers.get(header::IF_MATCH).map(|value| value.to_str().unwrap_or_default().trim());
    let any = match if_match {
        None => {
            return Err(Problem::new(
                StatusCode::PRECONDITION_REQUIRED,
                "If-Match must name the ETag of the session",
            ));
        }
        Some("*") => true,
        Some(tag) if tag == session.etag => false,
        Some(_) => {
            return Err(Problem::new(
                StatusCode::PRECONDITION_FAILED,
                "the ETag is not that of the session's current ICE session",
            ));
        }
    };
    let fragment = Fragment::parse(&text)
        .map_err(|error| Problem::at_line(StatusCode::BAD_REQUEST, error.to_string(), error.line))?;
    if fragment.ice_ufrag.as_ref().is_some_and(|ufrag| *ufrag != session.ufrag) {
        let (status, reason) = if any {
            (StatusCode::UNPROCESSABLE_ENTITY, "this endpoint does not restart ICE")
        } else {
            (StatusCode::CONFLICT, "the fragment belongs to another ICE generation")
        };
        return Err(Problem::new(status, reason));
    }
    let leg = session.leg;
    for (mid, candidate) in trickled(fragment) {
        let outcome = state.ask_rtc(|reply| RtcCommand::Candidate { leg, candidate, mid, reply }).await?;
        match outcome {
            // RFC 9725 §4.3.2: a candidate that cannot be used is no reason to refuse the others.
            Ok(()) | Err(CandidateError::Malformed) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

/// The candidates of a fragment with their sections, an empty one for each end of candidates.
fn trickled(fragment: Fragment) -> impl Iterator<Item = (Option<String>, String)> {
    let all_sections = fragment.end_of_candidates.then(|| (None, String::new()));
    let sections = fragment.media.into_iter().flat_map(|section| {
        let mid = section.mid;
        let end = section.end_of_candidates.then(String::new);
        section.candidates.into_iter().chain(end).map(move |candidate| (mid.clone(), candidate))
    });
    sections.chain(all_sections)
}

/// `DELETE` on a session.
pub(super) async fn end(
    State(state): State<AppState>,
    Path((_, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let session = state.sessions.remove(&id).ok_or_else(unknown_session)?;
    state.close_leg(session.leg).await;
    Ok(StatusCode::OK)
}

fn unknown_session() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is no such session; it may have ended")
}

fn parse_name(what: &str, text: &str) -> Result<Name, Problem> {
    text.parse().map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("{what}: {error}")))
}

/// The body as text, when it is of the wanted type and within the limit.
fn text_body(headers: &HeaderMap, wanted: &str, body: Body) -> Result<String, Problem> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|value| value.split(';').next()).map(str::trim);
    if !essence.is_some_and(|essence| essence.eq_ignore_ascii_case(wanted)) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("the body must be of type {wanted}"),
        ));
    }
    let bytes = body.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    String::from_utf8(bytes.into())
        .map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "the body is not UTF-8"))
}

/// The first `a=ice-ufrag` of a description; empty where there is none.
fn ice_ufrag(sdp: &str) -> &str {
    sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).unwrap_or_default().trim()
}
