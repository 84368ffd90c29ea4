//! Errors of the HTTP side, as `application/problem+json` (RFC 9457).

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::hub::messages::JoinError;
use crate::rtc::command::{CandidateError, OfferError};

/// What went wrong with a request, in words that its sender can act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    line: Option<u32>,
}

#[derive(Serialize)]
struct Body<'a> {
    status: u16,
    title: &'a str,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
}

impl Problem {
    /// A problem with this status and this explanation.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), line: None }
    }

    /// A problem with one line of the body, counted from 1; 0 means no line.
    pub fn at_line(status: StatusCode, detail: impl Into<String>, line: u32) -> Self {
        Self { line: Some(line).filter(|line| *line > 0), ..Self::new(status, detail) }
    }

    /// The media task is gone: the gateway is stopping.
    #[must_use]
    pub fn stopping() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the gateway is stopping")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let body = Body { status: self.status.as_u16(), title, detail: &self.detail, line: self.line };
        let mut response = (self.status, Json(body)).into_response();
        let problem = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, problem);
        response
    }
}

impl From<JoinError> for Problem {
    fn from(error: JoinError) -> Self {
        let status = match error {
            JoinError::NameTaken => StatusCode::CONFLICT,
            JoinError::ChannelFull | JoinError::GatewayFull | JoinError::Stopping => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        Self::new(status, error.to_string())
    }
}

impl From<OfferError> for Problem {
    fn from(error: OfferError) -> Self {
        match &error {
            OfferError::Malformed { line, reason } => Self::at_line(StatusCode::BAD_REQUEST, reason, *line),
            OfferError::NotAllowed(reason) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, *reason),
            OfferError::Gone => Self::new(StatusCode::NOT_FOUND, error.to_string()),
        }
    }
}

impl From<CandidateError> for Problem {
    fn from(error: CandidateError) -> Self {
        let status = match error {
            CandidateError::Malformed => StatusCode::BAD_REQUEST,
            CandidateError::Gone => StatusCode::NOT_FOUND,
        };
        Self::new(status, error.to_string())
    }
}
