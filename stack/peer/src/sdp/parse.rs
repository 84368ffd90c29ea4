//! Reading a description: the session part, and which lines go where.

use super::error::{SdpError, SdpReason};
use super::line::{Line, MAX_SDP_BYTES, line_at, lines};
use super::model::{At, Direction, Group, Media, Origin, Sdp, SectionKind};
use super::{media_attributes, transport_attributes};

/// The most media sections of a description.
pub const MAX_MEDIA_SECTIONS: usize = 128;

/// Reads a description.
///
/// Either line end is taken, a missing last one, blank lines, lines out of order and unknown lines and attributes
/// too. A known line with a malformed value refuses the whole (RFC 9429 §5.8).
///
/// # Errors
/// The line that is wrong and why.
pub(super) fn parse(text: &str) -> Result<Sdp, SdpError> {
    if text.len() > MAX_SDP_BYTES {
        return Err(SdpError::new(line_at(text, MAX_SDP_BYTES), SdpReason::TooLong));
    }
    let mut parser = Parser::default();
    for line in lines(text) {
        parser.line(line?)?;
    }
    parser.finish()
}

#[derive(Default)]
struct Parser {
    sdp: Sdp,
    has_version: bool,
    has_origin: bool,
    connection: Option<String>,
    direction: Direction,
}

impl Parser {
    fn line(&mut self, line: Line<'_>) -> Result<(), SdpError> {
        if !self.has_version {
            if line.kind != b'v' || line.value != "0" {
                return Err(SdpError::new(line.number, SdpReason::Version));
            }
            self.has_version = true;
            return Ok(());
        }
        match line.kind {
            b'o' if self.sdp.media.is_empty() => self.origin(line),
            b'm' => self.media(line),
            b'c' => {
                self.connection_line(line.value);
                Ok(())
            }
            b'b' => self.bandwidth(line),
            b'a' => self.attribute(line),
            _ => Ok(()),
        }
    }

    fn origin(&mut self, line: Line<'_>) -> Result<(), SdpError> {
        let fields: Vec<&str> = line.value.split_whitespace().collect();
        let [username, session_id, version, _net, _kind, _address] = fields[..] else {
            return Err(SdpError::new(line.number, SdpReason::Origin));
        };
        self.sdp.origin =
            Origin { username: username.into(), session_id: session_id.into(), version: version.into() };
        self.has_origin = true;
        Ok(())
    }

    fn media(&mut self, line: Line<'_>) -> Result<(), SdpError> {
        if self.sdp.media.len() == MAX_MEDIA_SECTIONS {
            return Err(SdpError::new(line.number, SdpReason::TooManyMediaSections));
        }
        let mut media = media_line(line).ok_or(SdpError::new(line.number, SdpReason::MediaLine))?;
        media.connection.clone_from(&self.connection);
        media.direction = self.direction;
        self.sdp.media.push(media);
        Ok(())
    }

    fn connection_line(&mut self, value: &str) {
        let address = value.split_whitespace().nth(2).map(str::to_owned);
        match self.sdp.media.last_mut() {
            Some(media) => media.connection = address,
            None => self.connection = address,
        }
    }

    fn bandwidth(&mut self, line: Line<'_>) -> Result<(), SdpError> {
        let malformed = SdpError::new(line.number, SdpReason::Bandwidth);
        let (kind, value) = line.value.split_once(':').ok_or(malformed)?;
        let Some(media) = self.sdp.media.last_mut() else { return Ok(()) };
        match kind {
            "AS" => media.bandwidth_as = Some(value.trim().parse().map_err(|_| malformed)?),
            "TIAS" => media.bandwidth_tias = Some(value.trim().parse().map_err(|_| malformed)?),
            _ => {}
        }
        Ok(())
    }

    fn attribute(&mut self, line: Line<'_>) -> Result<(), SdpError> {
        let (name, value) = match line.value.split_once(':') {
            Some((name, value)) => (name.trim_end(), value.trim_start()),
            None => (line.value, ""),
        };
        let Some(media) = self.sdp.media.last_mut() else {
            return self.session_attribute(line.number, name, value);
        };
        let read =
            transport_attributes::read(&mut media.transport, line.number, name, value).and_then(|known| {
                if known { Ok(()) } else { media_attributes::read(media, line.number, name, value) }
            });
        read.map_err(|reason| SdpError::new(line.number, reason))
    }

    fn session_attribute(&mut self, number: u32, name: &str, value: &str) -> Result<(), SdpError> {
        if let Some(direction) = Direction::from_name(name) {
            self.direction = direction;
            return Ok(());
        }
        match name {
            "group" => {
                let mut words = value.split_whitespace().map(str::to_owned);
                let semantics = words.next().ok_or(SdpError::new(number, SdpReason::Group))?;
                self.sdp.groups.push(At { line: number, value: Group { semantics, mids: words.collect() } });
            }
            "ice-lite" => self.sdp.ice_lite = Some(At { line: number, value: () }),
            "extmap-allow-mixed" => self.sdp.extmap_allow_mixed = true,
            _ => {
                transport_attributes::read(&mut self.sdp.transport, number, name, value)
                    .map_err(|reason| SdpError::new(number, reason))?;
            }
        }
        Ok(())
    }

    /// What can be said only of the whole.
    fn finish(self) -> Result<Sdp, SdpError> {
        if !self.has_version {
            return Err(SdpError::new(1, SdpReason::Version));
        }
        if !self.has_origin {
            return Err(SdpError::new(1, SdpReason::Origin));
        }
        for (index, media) in self.sdp.media.iter().enumerate() {
            let Some(mid) = &media.mid else { continue };
            if self.sdp.media[..index].iter().any(|other| other.mid_str() == Some(&mid.value)) {
                return Err(SdpError::new(mid.line, SdpReason::DuplicateMid));
            }
        }
        let bundles: Vec<_> =
            self.sdp.groups.iter().filter(|group| group.value.semantics == "BUNDLE").collect();
        for (index, group) in bundles.iter().enumerate() {
            let taken = |mid: &String| bundles[..index].iter().any(|other| other.value.mids.contains(mid));
            if group.value.mids.iter().any(taken) {
                return Err(SdpError::new(group.line, SdpReason::MidInTwoGroups));
            }
        }
        Ok(self.sdp)
    }
}

/// `m=<media> <port>[/<count>] <proto> <fmt> …`
fn media_line(line: Line<'_>) -> Option<Media> {
    let mut words = line.value.split_whitespace();
    let kind_name = words.next()?;
    let port = words.next()?;
    let port = port.split_once('/').map_or(port, |(port, _)| port).parse().ok()?;
    let protocol = words.next()?.to_owned();
    let formats: Vec<String> = words.map(str::to_owned).collect();
    let is_payload_type = |format: &String| format.parse::<u8>().is_ok_and(|number| number < 128);
    let kind = match kind_name {
        "audio" => SectionKind::Audio,
        "video" => SectionKind::Video,
        "application" => SectionKind::Application,
        _ => SectionKind::Other,
    };
    let line = At { line: line.number, value: () };
    let media =
        Media { line, kind, kind_name: kind_name.into(), port, protocol, formats, ..Media::default() };
    let formats_fit = !media.is_rtp() || media.formats.iter().all(is_payload_type);
    (!media.formats.is_empty() && formats_fit).then_some(media)
}
