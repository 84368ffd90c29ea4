//! Attributes of an `m=` section: formats, feedback, header extensions, streams.

use super::error::SdpReason;
use super::model::{
    At, Direction, Extmap, Media, RidLine, RtpMap, Simulcast, SimulcastRid, SsrcAttribute, SsrcGroup,
};

/// RFC 6904: an encrypted header extension, which is not supported and never answered.
const ENCRYPTED: &str = "urn:ietf:params:rtp-hdrext:encrypt";

/// Reads one attribute into the section. Unknown ones are ignored (RFC 8866 §5.13).
pub(super) fn read(media: &mut Media, line: u32, name: &str, value: &str) -> Result<(), SdpReason> {
    if let Some(direction) = Direction::from_name(name) {
        media.direction = direction;
        return Ok(());
    }
    match name {
        "mid" => media.mid = Some(At { line, value: mid(value).ok_or(SdpReason::Mid)? }),
        "rtcp-mux" => media.rtcp_mux = Some(At { line, value: () }),
        "rtcp-mux-only" => media.rtcp_mux_only = Some(At { line, value: () }),
        "rtcp-rsize" => media.rtcp_rsize = true,
        "bundle-only" => media.bundle_only = true,
        "msid" => {
            let mut words = value.split_whitespace().map(str::to_owned);
            if let Some(stream) = words.next() {
                media.msids.push((stream, words.next()));
            }
        }
        "candidate" => {
            // foundation component transport priority address port typ type
            if value.split_whitespace().count() < 8 {
                return Err(SdpReason::Candidate);
            }
            media.candidates.push(At { line, value: format!("candidate:{value}") });
        }
        "end-of-candidates" => media.end_of_candidates = true,
        "sctp-port" => media.sctp_port = Some(value.parse().map_err(|_| SdpReason::Sctp)?),
        "max-message-size" => media.max_message_size = Some(value.parse().map_err(|_| SdpReason::Sctp)?),
        _ if media.is_rtp() => read_rtp(media, line, name, value)?,
        _ => {}
    }
    Ok(())
}

fn read_rtp(media: &mut Media, line: u32, name: &str, value: &str) -> Result<(), SdpReason> {
    match name {
        "rtpmap" => {
            let map = rtpmap(value).ok_or(SdpReason::RtpMap)?;
            let same = |other: &&At<RtpMap>| other.value.payload_type == map.payload_type;
            match media.rtpmaps.iter().find(same) {
                None => media.rtpmaps.push(At { line, value: map }),
                Some(other) if is_same_codec(&other.value, &map) => {}
                Some(_) => return Err(SdpReason::PayloadTypeConflict),
            }
        }
        "fmtp" => {
            let (payload_type, parameters) = value.split_once(char::is_whitespace).ok_or(SdpReason::Fmtp)?;
            let payload_type = payload_type.parse().map_err(|_| SdpReason::Fmtp)?;
            media.fmtps.push(At { line, value: (payload_type, parameters.trim().to_owned()) });
        }
        "rtcp-fb" => {
            let (payload_type, kind) =
                value.split_once(char::is_whitespace).ok_or(SdpReason::RtcpFeedback)?;
            let payload_type = match payload_type {
                "*" => None,
                number => Some(number.parse().map_err(|_| SdpReason::RtcpFeedback)?),
            };
            let kind = kind.split_whitespace().collect::<Vec<_>>().join(" ");
            media.feedback.push(At { line, value: (payload_type, kind) });
        }
        "extmap" => {
            let Some(extmap) = extmap(value)? else { return Ok(()) };
            match media.extmaps.iter().find(|other| other.value.id == extmap.id) {
                None => media.extmaps.push(At { line, value: extmap }),
                Some(other) if other.value.uri == extmap.uri => {}
                Some(_) => return Err(SdpReason::ExtmapConflict),
            }
        }
        "extmap-allow-mixed" => media.extmap_allow_mixed = true,
        "rid" => {
            let rid = rid(value).ok_or(SdpReason::Rid)?;
            // RFC 8851 §6.2.2: of duplicates none counts twice.
            if !media.rids.iter().any(|other| other.value.id == rid.id) {
                media.rids.push(At { line, value: rid });
            }
        }
        "simulcast" => {
            let value = simulcast(value).ok_or(SdpReason::Simulcast)?;
            media.simulcast = Some(At { line, value });
        }
        "ssrc" => media.ssrcs.push(At { line, value: ssrc(value).ok_or(SdpReason::Ssrc)? }),
        "ssrc-group" => {
            let value = ssrc_group(value).ok_or(SdpReason::SsrcGroup)?;
            media.ssrc_groups.push(At { line, value });
        }
        _ => {}
    }
    Ok(())
}

/// A token of at most the 16 bytes that the MID header extension carries in its one-byte form.
fn mid(value: &str) -> Option<String> {
    let fits = (1..=16).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| value.to_owned())
}

fn rtpmap(value: &str) -> Option<RtpMap> {
    let mut words = value.split_whitespace();
    let payload_type = words.next()?.parse().ok().filter(|&number: &u8| number < 128)?;
    let mut parts = words.next()?.split('/');
    let name = parts.next()?.to_owned();
    let clock_rate = parts.next()?.parse().ok().filter(|&rate: &u32| rate > 0)?;
    let channels = parts.next().map_or(Some(1), |channels| channels.parse().ok())?;
    Some(RtpMap { payload_type, name, clock_rate, channels })
}

fn is_same_codec(a: &RtpMap, b: &RtpMap) -> bool {
    a.name.eq_ignore_ascii_case(&b.name) && a.clock_rate == b.clock_rate && a.channels == b.channels
}

/// `<id>[/<direction>] <uri> …`; `None` for what is legal but cannot be used here.
fn extmap(value: &str) -> Result<Option<Extmap>, SdpReason> {
    let mut words = value.split_whitespace();
    let (Some(id), Some(uri)) = (words.next(), words.next()) else { return Err(SdpReason::Extmap) };
    let (id, direction) = match id.split_once('/') {
        Some((id, name)) => (id, Some(Direction::from_name(name).ok_or(SdpReason::Extmap)?)),
        None => (id, None),
    };
    let id: u16 = id.parse().map_err(|_| SdpReason::Extmap)?;
    match u8::try_from(id) {
        Ok(0) => Err(SdpReason::Extmap),
        Ok(id) if uri != ENCRYPTED => Ok(Some(Extmap { id, direction, uri: uri.into() })),
        // RFC 8285 §7 lets an offer list alternatives with ids from 4096 up.
        _ => Ok(None),
    }
}

fn is_rid(id: &str) -> bool {
    let is_rid_char = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=16).contains(&id.len()) && id.bytes().all(is_rid_char)
}

fn rid(value: &str) -> Option<RidLine> {
    let mut words = value.split_whitespace();
    let id = words.next().filter(|id| is_rid(id))?.to_owned();
    let send = match words.next()? {
        "send" => true,
        "recv" => false,
        _ => return None,
    };
    Some(RidLine { id, send, restrictions: words.collect::<Vec<_>>().join(" ") })
}

/// `send a;~b,c;d [recv …]`. The form `recv rid=a;b` of old Firefox versions is taken too.
fn simulcast(value: &str) -> Option<Simulcast> {
    let mut simulcast = Simulcast::default();
    let mut words = value.split_whitespace().peekable();
    words.peek()?;
    while let Some(direction) = words.next() {
        let list = words.next()?;
        let list = list.strip_prefix("rid=").unwrap_or(list);
        let streams = list.split(';').map(simulcast_stream).collect::<Option<Vec<_>>>()?;
        let target = match direction {
            "send" => &mut simulcast.send,
            "recv" => &mut simulcast.recv,
            _ => return None,
        };
        if !target.is_empty() {
            return None;
        }
        *target = streams;
    }
    Some(simulcast)
}

fn simulcast_stream(alternatives: &str) -> Option<Vec<SimulcastRid>> {
    let one = |word: &str| {
        let (id, paused) = word.strip_prefix('~').map_or((word, false), |id| (id, true));
        is_rid(id).then(|| SimulcastRid { id: id.to_owned(), paused })
    };
    alternatives.split(',').map(one).collect()
}

fn ssrc(value: &str) -> Option<SsrcAttribute> {
    let (ssrc, rest) = value.split_once(char::is_whitespace).unwrap_or((value, ""));
    let (name, value) = rest.split_once(':').unwrap_or((rest, ""));
    Some(SsrcAttribute { ssrc: ssrc.parse().ok()?, name: name.trim().into(), value: value.trim().into() })
}

fn ssrc_group(value: &str) -> Option<SsrcGroup> {
    let mut words = value.split_whitespace();
    let semantics = words.next()?.to_owned();
    let ssrcs = words.map(|word| word.parse().ok()).collect::<Option<Vec<_>>>()?;
    Some(SsrcGroup { semantics, ssrcs })
}
