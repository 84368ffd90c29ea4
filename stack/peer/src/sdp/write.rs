//! Writing a description, with the line order browsers use and CRLF line ends.

use std::fmt::{self, Display, Formatter};

use super::model::{FingerprintLine, Media, Sdp, Setup, Simulcast, SimulcastRid, TransportAttributes};

impl Display for Sdp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let origin = &self.origin;
        write!(f, "v=0\r\no={} {} {}", origin.username, origin.session_id, origin.version)?;
        f.write_str(" IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n")?;
        for group in &self.groups {
            write!(f, "a=group:{}", group.value.semantics)?;
            for mid in &group.value.mids {
                write!(f, " {mid}")?;
            }
            f.write_str("\r\n")?;
        }
        if self.extmap_allow_mixed {
            f.write_str("a=extmap-allow-mixed\r\n")?;
        }
        f.write_str("a=msid-semantic: WMS *\r\n")?;
        if self.ice_lite.is_some() {
            f.write_str("a=ice-lite\r\n")?;
        }
        self.transport.fmt(f)?;
        self.media.iter().try_for_each(|media| media.fmt(f))
    }
}

impl Display for TransportAttributes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(ufrag) = &self.ice_ufrag {
            write!(f, "a=ice-ufrag:{}\r\n", ufrag.value)?;
        }
        if let Some(pwd) = &self.ice_pwd {
            write!(f, "a=ice-pwd:{}\r\n", pwd.value)?;
        }
        if !self.ice_options.is_empty() {
            write!(f, "a=ice-options:{}\r\n", self.ice_options.join(" "))?;
        }
        if self.ice_mismatch.is_some() {
            f.write_str("a=ice-mismatch\r\n")?;
        }
        for fingerprint in &self.fingerprints {
            write!(f, "a=fingerprint:{}\r\n", fingerprint.value)?;
        }
        if let Some(setup) = &self.setup {
            write!(f, "a=setup:{}\r\n", setup.value.as_str())?;
        }
        if let Some(tls_id) = &self.tls_id {
            write!(f, "a=tls-id:{}\r\n", tls_id.value)?;
        }
        Ok(())
    }
}

impl Display for FingerprintLine {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.algorithm)?;
        for (index, byte) in self.bytes.iter().enumerate() {
            write!(f, "{}{byte:02X}", if index == 0 { ' ' } else { ':' })?;
        }
        Ok(())
    }
}

impl Setup {
    /// As SDP writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::ActPass => "actpass",
        }
    }
}

impl Display for Media {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "m={} {} {}", self.kind_name, self.port, self.protocol)?;
        for format in &self.formats {
            write!(f, " {format}")?;
        }
        let address = self.connection.as_deref().unwrap_or("0.0.0.0");
        let family = if address.contains(':') { "IP6" } else { "IP4" };
        write!(f, "\r\nc=IN {family} {address}\r\n")?;
        if let Some(kbps) = self.bandwidth_as {
            write!(f, "b=AS:{kbps}\r\n")?;
        }
        if let Some(bps) = self.bandwidth_tias {
            write!(f, "b=TIAS:{bps}\r\n")?;
        }
        for candidate in &self.candidates {
            write!(f, "a={}\r\n", candidate.value)?;
        }
        if self.end_of_candidates {
            f.write_str("a=end-of-candidates\r\n")?;
        }
        self.transport.fmt(f)?;
        if let Some(mid) = &self.mid {
            write!(f, "a=mid:{}\r\n", mid.value)?;
        }
        if self.bundle_only {
            f.write_str("a=bundle-only\r\n")?;
        }
        if self.is_rtp() {
            self.fmt_rtp(f)?;
        }
        if let Some(port) = self.sctp_port {
            write!(f, "a=sctp-port:{port}\r\n")?;
        }
        if let Some(bytes) = self.max_message_size {
            write!(f, "a=max-message-size:{bytes}\r\n")?;
        }
        Ok(())
    }
}

impl Media {
    fn fmt_rtp(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.extmap_allow_mixed {
            f.write_str("a=extmap-allow-mixed\r\n")?;
        }
        for extmap in self.extmaps.iter().map(|extmap| &extmap.value) {
            write!(f, "a=extmap:{}", extmap.id)?;
            if let Some(direction) = extmap.direction {
                write!(f, "/{}", direction.as_str())?;
            }
            write!(f, " {}\r\n", extmap.uri)?;
        }
        write!(f, "a={}\r\n", self.direction.as_str())?;
        for (stream, track) in &self.msids {
            match track {
                Some(track) => write!(f, "a=msid:{stream} {track}\r\n")?,
                None => write!(f, "a=msid:{stream}\r\n")?,
            }
        }
        for (present, line) in [
            (self.rtcp_mux.is_some(), "a=rtcp-mux\r\n"),
            (self.rtcp_mux_only.is_some(), "a=rtcp-mux-only\r\n"),
            (self.rtcp_rsize, "a=rtcp-rsize\r\n"),
        ] {
            f.write_str(if present { line } else { "" })?;
        }
        self.fmt_codecs(f)?;
        self.fmt_streams(f)
    }

    /// Each payload type with its feedback and parameters below it.
    fn fmt_codecs(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for map in self.rtpmaps.iter().map(|map| &map.value) {
            let payload_type = map.payload_type;
            write!(f, "a=rtpmap:{payload_type} {}/{}", map.name, map.clock_rate)?;
            if map.channels > 1 {
                write!(f, "/{}", map.channels)?;
            }
            f.write_str("\r\n")?;
            for (_, kind) in self.feedback.iter().map(|at| &at.value).filter(|at| at.0 == Some(payload_type))
            {
                write!(f, "a=rtcp-fb:{payload_type} {kind}\r\n")?;
            }
            for (_, parameters) in self.fmtps.iter().map(|at| &at.value).filter(|at| at.0 == payload_type) {
                write!(f, "a=fmtp:{payload_type} {parameters}\r\n")?;
            }
        }
        for (_, kind) in self.feedback.iter().map(|at| &at.value).filter(|at| at.0.is_none()) {
            write!(f, "a=rtcp-fb:* {kind}\r\n")?;
        }
        Ok(())
    }

    fn fmt_streams(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for rid in self.rids.iter().map(|rid| &rid.value) {
            write!(f, "a=rid:{} {}", rid.id, if rid.send { "send" } else { "recv" })?;
            if !rid.restrictions.is_empty() {
                write!(f, " {}", rid.restrictions)?;
            }
            f.write_str("\r\n")?;
        }
        if let Some(simulcast) = &self.simulcast {
            write!(f, "a=simulcast:{}\r\n", simulcast.value)?;
        }
        for group in self.ssrc_groups.iter().map(|group| &group.value) {
            write!(f, "a=ssrc-group:{}", group.semantics)?;
            for ssrc in &group.ssrcs {
                write!(f, " {ssrc}")?;
            }
            f.write_str("\r\n")?;
        }
        for ssrc in self.ssrcs.iter().map(|ssrc| &ssrc.value) {
            write!(f, "a=ssrc:{} {}", ssrc.ssrc, ssrc.name)?;
            if !ssrc.value.is_empty() {
                write!(f, ":{}", ssrc.value)?;
            }
            f.write_str("\r\n")?;
        }
        Ok(())
    }
}

impl Display for Simulcast {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut space = "";
        for (name, streams) in [("send", &self.send), ("recv", &self.recv)] {
            if streams.is_empty() {
                continue;
            }
            let one = |rid: &SimulcastRid| format!("{}{}", if rid.paused { "~" } else { "" }, rid.id);
            let stream = |stream: &Vec<SimulcastRid>| stream.iter().map(one).collect::<Vec<_>>().join(",");
            write!(f, "{space}{name} {}", streams.iter().map(stream).collect::<Vec<_>>().join(";"))?;
            space = " ";
        }
        Ok(())
    }
}
