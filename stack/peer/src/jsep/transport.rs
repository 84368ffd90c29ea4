//! The one transport of a description: whose ICE and DTLS attributes count, and whether they may follow the last ones.

use tombolo_dtls::Fingerprint;

use crate::sdp::{At, FingerprintLine, Media, Sdp, SdpError, SdpReason, SdpType, Setup, TransportAttributes};

/// How a description goes on from the last one that was agreed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Continuity {
    /// There was none, or nothing has changed.
    #[default]
    Same,
    /// New credentials: another path is looked for, the keys stay (RFC 8445 §9).
    IceRestart,
    /// New credentials, and an association of DTLS that takes the place of the old one (RFC 8842 §3.1).
    NewAssociation,
}

/// What a peer's description says of its end of the transport.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RemoteTransport {
    pub(crate) continuity: Continuity,
    /// The section that carries the transport (the bundle tag).
    pub(crate) section: usize,
    pub(crate) mid: Option<String>,
    pub(crate) ufrag: At<String>,
    pub(crate) pwd: At<String>,
    /// The line of `a=ice-lite`, if it stands there.
    pub(crate) lite: Option<u32>,
    /// Whether the peer knows RFC 8445 (`ice2`).
    pub(crate) ice2: bool,
    pub(crate) fingerprints: Vec<Fingerprint>,
    pub(crate) fingerprint_line: u32,
    pub(crate) setup: At<Setup>,
    pub(crate) tls_id: Option<At<String>>,
    pub(crate) candidates: Vec<String>,
    pub(crate) end_of_candidates: bool,
    /// Whether the default destination is none of the candidates.
    pub(crate) mismatch: bool,
}

impl RemoteTransport {
    /// Reads the transport of `section`. `bundle` are the sections that share it, the tag first: what a bundled
    /// section does not have it takes from the others (RFC 9143 §7.1.3), and then from the session.
    pub(crate) fn read(kind: SdpType, sdp: &Sdp, section: usize, bundle: &[usize]) -> Result<Self, SdpError> {
        let media = &sdp.media[section];
        let line = media.line.line;
        let levels: Vec<&TransportAttributes> = std::iter::once(section)
            .chain(bundle.iter().copied())
            .map(|index| &sdp.media[index].transport)
            .chain([&sdp.transport])
            .collect();
        if let Some(mismatch) = levels.iter().find_map(|level| level.ice_mismatch.as_ref()) {
            return Err(SdpError::new(mismatch.line, SdpReason::IceMismatch));
        }
        // Both halves from one level: a password belongs to its own user fragment.
        let credentials = levels.iter().find(|level| level.ice_ufrag.is_some() || level.ice_pwd.is_some());
        let missing = SdpError::new(line, SdpReason::IceCredentialsMissing);
        let credentials = credentials.ok_or(missing)?;
        let ufrag = credentials.ice_ufrag.clone().ok_or(missing)?;
        let pwd = credentials.ice_pwd.clone().ok_or(missing)?;
        let (fingerprints, fingerprint_line) = fingerprints(&levels, line)?;
        let setup = levels
            .iter()
            .find_map(|level| level.setup)
            .ok_or(SdpError::new(line, SdpReason::SetupMissing))?;
        if kind == SdpType::Answer && setup.value == Setup::ActPass {
            return Err(SdpError::new(setup.line, SdpReason::SetupAnswer));
        }
        Ok(Self {
            continuity: Continuity::Same,
            section,
            mid: media.mid.as_ref().map(|mid| mid.value.clone()),
            ufrag,
            pwd,
            lite: sdp.ice_lite.as_ref().map(|lite| lite.line),
            ice2: levels.iter().any(|level| level.ice_options.iter().any(|option| option == "ice2")),
            fingerprints,
            fingerprint_line,
            setup,
            tls_id: levels.iter().find_map(|level| level.tls_id.clone()),
            candidates: media.candidates.iter().map(|candidate| candidate.value.clone()).collect(),
            end_of_candidates: media.end_of_candidates,
            mismatch: has_ice_mismatch(media),
        })
    }

    /// Judges how this follows `previous` on a live connection (RFC 8839 §4.4, RFC 8842 §3.1). Without new credentials
    /// nothing else may change: what still comes on the old path could not be told apart.
    pub(crate) fn follow(&mut self, previous: &Self) -> Result<(), SdpError> {
        let ufrag_changed = self.ufrag.value != previous.ufrag.value;
        let pwd_changed = self.pwd.value != previous.pwd.value;
        if ufrag_changed != pwd_changed {
            let line = if ufrag_changed { self.ufrag.line } else { self.pwd.line };
            return Err(SdpError::new(line, SdpReason::IceHalfRestart));
        }
        let new_fingerprint = self.fingerprints != previous.fingerprints;
        let new_tls_id = self
            .tls_id
            .as_ref()
            .zip(previous.tls_id.as_ref())
            .is_some_and(|(new, old)| new.value != old.value);
        if ufrag_changed {
            let is_new = new_fingerprint || new_tls_id;
            self.continuity = if is_new { Continuity::NewAssociation } else { Continuity::IceRestart };
            return Ok(());
        }
        if self.lite.is_some() != previous.lite.is_some() {
            return Err(SdpError::new(self.lite.unwrap_or(self.ufrag.line), SdpReason::IceLiteChanged));
        }
        if new_fingerprint {
            return Err(SdpError::new(self.fingerprint_line, SdpReason::FingerprintChanged));
        }
        match &self.tls_id {
            Some(tls_id) if new_tls_id => Err(SdpError::new(tls_id.line, SdpReason::TlsIdChanged)),
            _ => Ok(()),
        }
    }
}

/// The fingerprints of the innermost level that has any (RFC 8122 §5), those with a hash function that is too weak
/// or unknown left out.
fn fingerprints(levels: &[&TransportAttributes], line: u32) -> Result<(Vec<Fingerprint>, u32), SdpError> {
    let level = levels.iter().find(|level| !level.fingerprints.is_empty());
    let lines = &level.ok_or(SdpError::new(line, SdpReason::FingerprintMissing))?.fingerprints;
    let usable: Vec<Fingerprint> = lines.iter().filter_map(|line| usable_fingerprint(&line.value)).collect();
    let line = lines.first().map_or(line, |first| first.line);
    if usable.is_empty() {
        return Err(SdpError::new(line, SdpReason::FingerprintHash));
    }
    Ok((usable, line))
}

fn usable_fingerprint(line: &FingerprintLine) -> Option<Fingerprint> {
    line.to_string().parse().ok()
}

/// The mismatch that RFC 8839 §4.2.5 asks an answerer to look for: a default destination that is none of the
/// candidates. The addresses that trickling offers carry are exempt, and so are names.
fn has_ice_mismatch(media: &Media) -> bool {
    let Some(address) = media.connection.as_deref().and_then(|text| text.parse::<std::net::IpAddr>().ok())
    else {
        return false;
    };
    if address.is_unspecified() || media.port == 9 || media.candidates.is_empty() {
        return false;
    }
    let (address, port) = (address.to_string(), media.port.to_string());
    !media.candidates.iter().any(|candidate| {
        let mut words = candidate.value.split_whitespace().skip(4);
        words.next() == Some(&address) && words.next() == Some(&port)
    })
}
