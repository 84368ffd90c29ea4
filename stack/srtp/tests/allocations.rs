//! Nothing is allocated per packet once its source is known.

use tombolo_crypto::CryptoProvider;
use tombolo_srtp::{
    Config, Cryptex, InboundContext, MAX_OVERHEAD, MasterKey, OutboundContext, Outgoing, Profile,
    protect_rtp_batch,
};

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
        let (master, config) = (MasterKey::new(profile, &key, &salt), Config::default());
        let mut outbound = OutboundContext::new(&provider, &master, &config).unwrap();
        let mut inbound = InboundContext::new(&provider, &master, &config).unwrap();
        let mut buf = vec![0; LEN + MAX_OVERHEAD];
        carry(&mut outbound, &mut inbound, 0, &mut buf);
        let counted = allocation_counter::measure(|| {
            (1..5000).for_each(|number| carry(&mut outbound, &mut inbound, number, &mut buf));
        });
        assert_eq!(counted.count_total, 0, "{profile:?}: {counted:?}");
    }
}

/// The same with all options: MKI, header extensions encrypted in either way, and in batches.
#[test]
fn options_and_batches_allocate_nothing() {
    let provider = CryptoProvider::default();
    for profile in Profile::ALL {
        for config in
            [Config::default().cryptex(Cryptex::On), Config::default().encrypted_extensions(&[1, 2, 3])]
        {
            let (key, salt) = (vec![1; profile.key_len()], vec![2; profile.salt_len()]);
            let master = MasterKey::new(profile, &key, &salt).with_mki(b"mki");
            let mut senders = [(); 6].map(|()| OutboundContext::new(&provider, &master, &config).unwrap());
            let mut inbound = InboundContext::new(&provider, &master, &config).unwrap();
            let mut bufs = [(); 6].map(|()| vec![0; LEN + MAX_OVERHEAD + 3]);
            let mut turn = |seq: u16| {
                for buf in &mut bufs {
                    let [high, low] = seq.to_be_bytes();
                    buf[..12].copy_from_slice(&[0x91, 96, high, low, 0, 0, 0, 0, 0, 0, 0, 9]);
                    buf[12..24].copy_from_slice(&[1, 2, 3, 4, 0xbe, 0xde, 0, 1, 0x11, 1, 2, 0]);
                }
                let mut contexts = senders.iter_mut();
                let mut packets = bufs.each_mut().map(|buf| {
                    Outgoing::new(contexts.next().expect("as many contexts as buffers"), buf, LEN)
                });
                protect_rtp_batch(&mut packets);
                let len = packets[0].protected().expect("a new packet");
                assert_eq!(inbound.unprotect_rtp(&mut bufs[0][..len]), Ok(LEN));
            };
            turn(0);
            let counted = allocation_counter::measure(|| (1..500).for_each(&mut turn));
            assert_eq!(counted.count_total, 0, "{profile:?}: {counted:?}");
        }
    }
}
