//! What a client asks for: a channel, by path, and a name and how sound is grouped, by query.

use std::time::Duration;

use thiserror::Error;
use tombolo_signaling::name::{Name, NameError};
use url::Url;
use web_transport_quinn::http::StatusCode;

use crate::hub::messages::JoinError;

/// The longest groups of sound that can be asked for.
const MAX_SOUND_GROUP_MS: u64 = 1000;

/// `/<channel>?name=<participant>&sound-group-ms=<n>`: the path of a WebTransport URL, or the path that a client on raw QUIC
/// names in its SETUP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) channel: Name,
    pub(super) name: Option<Name>,
    /// How much sound a group holds at least; zero: one packet, as hang has it.
    pub(super) sound_group: Duration,
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
    /// The length of groups of sound is none.
    #[error("sound-group-ms must be a number from 0 to {MAX_SOUND_GROUP_MS}")]
    SoundGroup,
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
            Self::Channel(_) | Self::Name(_) | Self::SoundGroup | Self::OtherName | Self::Version => {
                StatusCode::BAD_REQUEST
            }
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
        let query = |wanted: &str| url.query_pairs().find(|(key, _)| key == wanted).map(|(_, value)| value);
        let name = query("name").map(|name| name.parse().map_err(Refusal::Name)).transpose()?;
        let sound_group = match query("sound-group-ms").map(|value| value.parse()) {
            None => Duration::ZERO,
            Some(Ok(ms)) if ms <= MAX_SOUND_GROUP_MS => Duration::from_millis(ms),
            Some(_) => return Err(Refusal::SoundGroup),
        };
        Ok(Self { channel, name, sound_group })
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
            Ok(Request { channel: channel.parse().expect("a name"), name, sound_group: Duration::ZERO })
        };
        assert_eq!(request("https://h:1/demo"), expect("demo", None));
        assert_eq!(request("https://h:1/demo/"), expect("demo", None));
        assert_eq!(request("https://h:1/demo?x=1&name=alice"), expect("demo", Some("alice")));
        assert_eq!(Request::from_path("demo?name=a.b"), expect("demo", Some("a.b")));
    }

    #[test]
    fn the_length_of_groups_of_sound_can_be_asked_for() {
        let group = |value: &str| request(&format!("https://h:1/demo?name=a&sound-group-ms={value}"));
        assert_eq!(group("100").expect("taken").sound_group, Duration::from_millis(100));
        assert_eq!(group("1000").expect("taken").sound_group, Duration::from_secs(1));
        for wrong in ["", "1001", "-1", "x", "18446744073709551616"] {
            assert_eq!(group(wrong), Err(Refusal::SoundGroup), "{wrong}");
        }
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
