//! SRTP: nothing that is not sealed with the key is opened, and nothing of it leaves a trace.

use tombolo_crypto::CryptoProvider;
use tombolo_srtp::{
    Config, Cryptex, InboundContext, MAX_MKI_LEN, MasterKey, OutboundContext, Profile, UnprotectError,
};

/// With two sources and two extensions in the one-byte form.
const RTP: [u8; 36] = [
    0x92, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 8, 0, 0, 0, 9, 0xbe, 0xde, 0, 1, 0x10, 1, 0x20, 2, 1, 2,
    3, 4, 5, 6, 7, 8,
];
const RTCP: [u8; 12] = [0x81, 206, 0, 2, 0, 0, 0, 7, 0, 0, 0, 9];

/// `[profile and options | bytes]`, the latter as SRTP and as SRTCP, and as edits `[at | with]*` of sealed packets.
pub fn srtp(data: &[u8]) {
    let Some((&first, data)) = data.split_first() else { return };
    let (mut outbound, mut inbound) = session(first);
    let rtp = seal(&RTP, |buf, len| outbound.protect_rtp(buf, len).expect("a whole packet"));
    let rtcp = seal(&RTCP, |buf, len| outbound.protect_rtcp(buf, len).expect("a whole packet"));

    // A fuzzer comes up with the genuine packets, which the corpus has, also in the forms of other options under the same key.
    let is_genuine = (0..4).any(|form| {
        let (mut other, _) = session(first & !0b1100 | form << 2);
        data == seal(&RTP, |buf, len| other.protect_rtp(buf, len).expect("a whole packet"))
    });
    if is_genuine || data == rtcp {
        return;
    }
    assert!(inbound.unprotect_rtp(&mut data.to_vec()).is_err());
    assert!(inbound.unprotect_rtcp(&mut data.to_vec()).is_err());
    for sealed in [&rtp, &rtcp] {
        let mut changed = sealed.clone();
        for edit in data.chunks_exact(2) {
            let at = usize::from(edit[0]) % changed.len();
            changed[at] ^= edit[1];
        }
        if changed != *sealed {
            let cut = usize::from(data[0]) % (changed.len() + 1);
            assert!(inbound.unprotect_rtp(&mut changed.clone()).is_err());
            assert!(inbound.unprotect_rtp(&mut changed[..cut].to_vec()).is_err());
            assert!(inbound.unprotect_rtcp(&mut changed[..cut].to_vec()).is_err());
            assert!(inbound.unprotect_rtcp(&mut changed).is_err());
        }
    }
    assert_eq!(inbound.sources(), 0, "no state before authentication");

    let mut buf = rtp.clone();
    let opened = inbound.unprotect_rtp(&mut buf).expect("the genuine packet");
    assert_eq!(buf[..opened], RTP);
    assert_eq!(inbound.unprotect_rtp(&mut rtp.clone()), Err(UnprotectError::Replayed));
    let mut buf = rtcp;
    let opened = inbound.unprotect_rtcp(&mut buf).expect("the genuine packet");
    assert_eq!(buf[..opened], RTCP);
}

/// The two lowest bits choose the profile, the next two cryptex, encrypted extensions or neither, the rest the MKI.
fn session(options: u8) -> (OutboundContext, InboundContext) {
    let profile = Profile::ALL[usize::from(options & 3)];
    let config = match options >> 2 & 3 {
        0 => Config::default(),
        1 => Config::default().cryptex(Cryptex::On),
        2 => Config::default().cryptex(Cryptex::Required),
        _ => Config::default().encrypted_extensions(&[1, 9, 15]),
    };
    let (key, salt) = (vec![1; profile.key_len()], vec![2; profile.salt_len()]);
    let mki = vec![3; usize::from(options >> 4)];
    let provider = CryptoProvider::default();
    let master = MasterKey::new(profile, &key, &salt).with_mki(&mki);
    (
        OutboundContext::new(&provider, &master, &config).expect("the lengths of the profile"),
        InboundContext::new(&provider, &master, &config).expect("the lengths of the profile"),
    )
}

fn seal(packet: &[u8], protect: impl FnOnce(&mut [u8], usize) -> usize) -> Vec<u8> {
    let mut buf = packet.to_vec();
    buf.resize(packet.len() + tombolo_srtp::MAX_OVERHEAD + MAX_MKI_LEN, 0);
    let len = protect(&mut buf, packet.len());
    buf.truncate(len);
    buf
}

/// Any header and any edits between a sender and a receiver with all options: what is protected comes back as it was, or
/// with the empty extension that cryptex adds, and nothing that was changed does.
pub fn srtp_session(data: &[u8]) {
    let Some((&[options, at, with], packet)) = data.split_first_chunk() else { return };
    let (mut outbound, mut inbound) = session(options);
    let mut buf = packet.to_vec();
    buf.resize(packet.len() + outbound.overhead(), 0);
    let Ok(len) = outbound.protect_rtp(&mut buf, packet.len()) else {
        assert_eq!(buf[..packet.len()], *packet, "untouched");
        return;
    };
    buf.truncate(len);
    let place = usize::from(at) % len;
    if with != 0 {
        let mut changed = buf.clone();
        changed[place] ^= with;
        assert!(inbound.unprotect_rtp(&mut changed).is_err());
        assert_eq!(inbound.sources(), 0);
    }
    let opened = inbound.unprotect_rtp(&mut buf).expect("what was protected");
    if opened == packet.len() {
        assert_eq!(buf[..opened], *packet);
    } else {
        let sources = 12 + usize::from(packet[0] & 0x0f) * 4;
        assert_eq!(buf[0], packet[0] | 0x10);
        assert_eq!(buf[1..sources], packet[1..sources]);
        assert_eq!(buf[sources..sources + 4], [0xbe, 0xde, 0, 0]);
        assert_eq!(buf[sources + 4..opened], packet[sources..]);
    }
}
