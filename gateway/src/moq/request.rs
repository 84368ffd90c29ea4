//! What a client asks for: a channel, by path, and a name, by query.

use thiserror::Error;
use tombolo_signaling::name::{Name, NameError};
use url::Url;
use web_transport_quinn::http::StatusCode;

use crate::hub::messages::JoinError;

/// `/<channel>?name=<participant>`: the path of a WebTransport URL, or the path that a client on raw QUIC
/// names in its SETUP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) channel: Name,
    pub(super) name: Option<Name>,
}

/// Why a client is sent away. Before the session stands it is a status on HTTP/3; after that, and on raw QUIC,
/// it is a close code of the same number with the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Refusal {
    /// The path is not that of a channel.
    #[error("the path must be /<channel>, optionally with ?name=<participant>")]
    NoChannel,
    /// The channel's name is not a name.
    #[error("the channel's name is wrong: {0}")]
    Channel(NameError),
    /// The participant's name is not a name.
    #[error("the participant's name is wrong: {0}")]
    Name(NameError),
    /// The channel does not take the participant.
    #[error("{word}: {0}", word = code_word(*.0))]
    Join(#[from] JoinError),
    /// The participant publishes under another name than it joined with.
    #[error("a participant publishes as <its name>.hang")]
    OtherName,
    /// None of the protocols that the client offers is spoken here.
    #[error("no common version of Media over QUIC")]
    Version,
}

/// What programs look for in the text.
fn code_word(error: JoinError) -> &'static str {
    match error {
        JoinError::NameTaken => "name-taken",
        JoinError::ChannelFull => "channel-full",
        JoinError::GatewayFull => "gateway-full",
        JoinError::Stopping => "stopping",
    }
}

impl Refusal {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::NoChannel => StatusCode::NOT_FOUND,
            Self::Channel(_) | Self::Name(_) | Self::OtherName | Self::Version => StatusCode::BAD_REQUEST,
            Self::Join(JoinError::NameTaken) => StatusCode::CONFLICT,
            Self::Join(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The application's close code on raw QUIC, and on WebTransport once the session stands.
    pub(super) fn code(self) -> u32 {
        u32::from(self.status().as_u16())
    }
}

impl Request {
    /// Reads the URL of a WebTransport request.
    pub(super) fn from_url(url: &Url) -> Result<Self, Refusal> {
        let mut segments = url.path_segments().into_iter().flatten();
        let channel = match (segments.next(), segments.next(), segments.next()) {
            (Some(channel), None | Some(""), None) if !channel.is_empty() => channel,
            _ => return Err(Refusal::NoChannel),
        };
        let channel = channel.parse().map_err(Refusal::Channel)?;
        let name = url
            .query_pairs()
            .find(|(key, _)| key == "name")
            .map(|(_, value)| value.parse().map_err(Refusal::Name))
            .transpose()?;
        Ok(Self { channel, name })
    }

    /// Reads the path of a SETUP, with or without a leading slash.
    pub(super) fn from_path(path: &str) -> Result<Self, Refusal> {
        let slash = if path.starts_with('/') { "" } else { "/" };
        let url = Url::parse(&format!("moqt://gateway{slash}{path}")).map_err(|_| Refusal::NoChannel)?;
        Self::from_url(&url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(url: &str) -> Result<Request, Refusal> {
        let url = Url::parse(url).expect("a URL");
        let by_path = Request::from_path(&url[url::Position::BeforePath..url::Position::AfterQuery]);
        let by_url = Request::from_url(&url);
        assert_eq!(by_url, by_path, "both ways to say it agree");
        by_url
    }

    #[test]
    fn a_path_of_one_name_is_a_channel() {
        let expect = |channel: &str, name: Option<&str>| {
            let name = name.map(|name| name.parse().expect("a name"));
            Ok(Request { channel: channel.parse().expect("a name"), name })
        };
        assert_eq!(request("https://h:1/demo"), expect("demo", None));
        assert_eq!(request("https://h:1/demo/"), expect("demo", None));
        assert_eq!(request("https://h:1/demo?x=1&name=alice"), expect("demo", Some("alice")));
        assert_eq!(Request::from_path("demo?name=a.b"), expect("demo", Some("a.b")));
    }

    #[test]
    fn other_paths_and_names_are_refused_with_a_status() {
        let status = |url: &str| request(url).expect_err("refused").status().as_u16();
        assert_eq!(status("https://h:1/"), 404);
        assert_eq!(status("https://h:1/a/b"), 404);
        assert_eq!(status("https://h:1//a"), 404);
        assert_eq!(status("https://h:1/.hidden"), 400);
        assert_eq!(status("https://h:1/de%20mo"), 400);
        assert_eq!(status("https://h:1/demo?name="), 400);
        assert_eq!(status("https://h:1/demo?name=a%2Fb"), 400);
        assert_eq!(Refusal::Join(JoinError::NameTaken).status().as_u16(), 409);
        let text = Refusal::Join(JoinError::NameTaken).to_string();
        assert_eq!(text, "name-taken: the name is taken in this channel");
        assert_eq!(Refusal::Join(JoinError::ChannelFull).status().as_u16(), 503);
    }

    #[test]
    fn an_empty_setup_path_names_no_channel() {
        assert_eq!(Request::from_path(""), Err(Refusal::NoChannel));
        assert_eq!(Request::from_path("//"), Err(Refusal::NoChannel));
    }
}
