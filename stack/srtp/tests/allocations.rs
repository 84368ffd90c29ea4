//! Nothing is allocated per packet once its source is known.

use tombolo_crypto::CryptoProvider;
use tombolo_srtp::{Config, InboundContext, MAX_OVERHEAD, OutboundContext, Profile};

const LEN: usize = 1200;

fn carry(outbound: &mut OutboundContext, inbound: &mut InboundContext, number: u64, buf: &mut [u8]) {
    let [high, low] = (number as u16).to_be_bytes();
    buf[..12].copy_from_slice(&[0x80, 96, high, low, 0, 0, 0, 0, 0, 0, 0, 9]);
    let protected = outbound.protect_rtp(buf, LEN).expect("a new packet");
    assert_eq!(inbound.unprotect_rtp(&mut buf[..protected]), Ok(LEN));
    buf[..8].copy_from_slice(&[0x80, 200, 0, 24, 0, 0, 0, 9]);
    let protected = outbound.protect_rtcp(buf, 100).expect("a new packet");
    assert_eq!(inbound.unprotect_rtcp(&mut buf[..protected]), Ok(100));
}

#[test]
fn a_known_source_allocates_nothing() {
    let provider = CryptoProvider::default();
    for profile in Profile::ALL {
        let (key, salt) = (vec![1; profile.key_len()], vec![2; profile.salt_len()]);
        let config = Config::default();
        let mut outbound = OutboundContext::new(&provider, profile, &key, &salt, &config).unwrap();
        let mut inbound = InboundContext::new(&provider, profile, &key, &salt, &config).unwrap();
        let mut buf = vec![0; LEN + MAX_OVERHEAD];
        carry(&mut outbound, &mut inbound, 0, &mut buf);
        let counted = allocation_counter::measure(|| {
            (1..5000).for_each(|number| carry(&mut outbound, &mut inbound, number, &mut buf));
        });
        assert_eq!(counted.count_total, 0, "{profile:?}: {counted:?}");
    }
}
