//! Attributes of ICE (RFC 8839) and DTLS (RFC 8122, RFC 8842), which may stand at either level.

use super::error::SdpReason;
use super::model::{At, FingerprintLine, Setup, TransportAttributes};

/// Reads one attribute; `Ok(false)` when it is none of these.
pub(super) fn read(
    attributes: &mut TransportAttributes,
    line: u32,
    name: &str,
    value: &str,
) -> Result<bool, SdpReason> {
    match name {
        "ice-ufrag" => {
            let value = ice_string(value, 4).ok_or(SdpReason::IceUfrag)?;
            attributes.ice_ufrag = Some(At { line, value });
        }
        "ice-pwd" => {
            let value = ice_string(value, 22).ok_or(SdpReason::IcePwd)?;
            attributes.ice_pwd = Some(At { line, value });
        }
        "ice-options" => {
            // Some peers put commas between the tokens.
            let tokens = value.split([' ', ',']).filter(|token| !token.is_empty());
            attributes.ice_options.extend(tokens.map(str::to_owned));
        }
        "ice-mismatch" => attributes.ice_mismatch = Some(At { line, value: () }),
        "fingerprint" => {
            let value = fingerprint(value).ok_or(SdpReason::Fingerprint)?;
            attributes.fingerprints.push(At { line, value });
        }
        "setup" => {
            let value = match value {
                "active" => Setup::Active,
                "passive" => Setup::Passive,
                "actpass" => Setup::ActPass,
                // RFC 8842 §5.1: holdconn is not for DTLS.
                _ => return Err(SdpReason::Setup),
            };
            attributes.setup = Some(At { line, value });
        }
        "tls-id" => {
            let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte);
            if value.is_empty() || value.len() > 255 || !value.bytes().all(is_token) {
                return Err(SdpReason::TlsId);
            }
            attributes.tls_id = Some(At { line, value: value.into() });
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// `min`–256 visible characters. RFC 8839 allows only letters, digits, `+` and `/`; deployed peers use more, and
/// only the colon would be ambiguous in a STUN USERNAME.
fn ice_string(value: &str, min: usize) -> Option<String> {
    let fits = (min..=256).contains(&value.len());
    (fits && value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':')).then(|| value.to_owned())
}

fn fingerprint(value: &str) -> Option<FingerprintLine> {
    let (algorithm, hex) = value.split_once(' ')?;
    let algorithm = algorithm.to_ascii_lowercase();
    let bytes: Vec<u8> = hex.trim().split(':').map(hex_byte).collect::<Option<_>>()?;
    let len = match algorithm.as_str() {
        "md2" | "md5" => 16,
        "sha-1" => 20,
        "sha-224" => 28,
        "sha-256" => 32,
        "sha-384" => 48,
        "sha-512" => 64,
        _ => bytes.len().clamp(1, 64),
    };
    (bytes.len() == len).then_some(FingerprintLine { algorithm, bytes })
}

fn hex_byte(text: &str) -> Option<u8> {
    let is_hex = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u8::from_str_radix(text, 16).ok()).flatten()
}
