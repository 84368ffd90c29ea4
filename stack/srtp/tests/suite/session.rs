//! What a receiver takes and refuses, and what a sender may send.

use proptest::prelude::*;
use tombolo_crypto::CryptoProvider;
use tombolo_net::Ssrc;
use tombolo_srtp::{
    Config, InboundContext, MAX_OVERHEAD, MasterKey, OutboundContext, Outgoing, Profile, ProtectError,
    UnprotectError, protect_rtp_batch,
};

use super::support::{protect, unprotect};

const SSRC: u32 = 0xcafe_0001;

fn session(profile: Profile, config: &Config) -> (OutboundContext, InboundContext) {
    keyed(profile, config, 1)
}

fn keyed(profile: Profile, config: &Config, master: u8) -> (OutboundContext, InboundContext) {
    let provider = CryptoProvider::default();
    let key = vec![master; profile.key_len()];
    let salt = vec![2; profile.salt_len()];
    let master = MasterKey::new(profile, &key, &salt);
    (
        OutboundContext::new(&provider, &master, config).expect("lengths of the profile"),
        InboundContext::new(&provider, &master, config).expect("lengths of the profile"),
    )
}

fn is_aead(profile: Profile) -> bool {
    profile.rtp_overhead() == 16
}

fn rtp(ssrc: u32, seq: u16) -> Vec<u8> {
    let mut packet = vec![0x90, 96];
    packet.extend_from_slice(&seq.to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, 1]);
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(&[0xbe, 0xde, 0, 1, 0x10, 7, 0, 0]);
    packet.extend_from_slice(b"what nobody else shall read");
    packet
}

fn rtcp(ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x81, 206, 0, 2];
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, 2]);
    packet
}

#[test]
fn packets_come_through_with_their_header_in_the_clear_and_their_payload_not() {
    for profile in Profile::ALL {
        let (mut outbound, mut inbound) = session(profile, &Config::default());
        for packet in [rtp(SSRC, 1), rtcp(SSRC)] {
            let sealed = protect(&mut outbound, &packet).unwrap();
            let clear = if packet[1] == 206 { 8 } else { 20 };
            assert_eq!(sealed[..clear], packet[..clear]);
            assert_ne!(sealed[clear..packet.len()], packet[clear..]);
            assert_eq!(unprotect(&mut inbound, &sealed), Ok(packet));
        }
    }
}

/// SRTP-01: whatever is changed, cut or in the clear, of RTP and of RTCP, does not come through, and the genuine packet
/// still does.
#[test]
fn changed_packets_do_not_come_through() {
    for profile in Profile::ALL {
        let (mut outbound, mut inbound) = session(profile, &Config::default());
        let (mut other, _) = keyed(profile, &Config::default(), 9);
        for packet in [rtp(SSRC, 1), rtcp(SSRC)] {
            let sealed = protect(&mut outbound, &packet).unwrap();
            for bit in 0..sealed.len() * 8 {
                let mut flipped = sealed.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(unprotect(&mut inbound, &flipped).is_err(), "{profile:?}, bit {bit}");
            }
            for cut in 0..sealed.len() {
                let mut buf = sealed[..cut].to_vec();
                assert!(
                    inbound.unprotect_rtp(&mut buf).is_err() && inbound.unprotect_rtcp(&mut buf).is_err()
                );
            }
            let mut zero_tag = sealed.clone();
            zero_tag[packet.len()..].fill(0);
            assert_eq!(unprotect(&mut inbound, &zero_tag), Err(UnprotectError::Auth));
            let other_key = protect(&mut other, &packet).unwrap();
            assert_eq!(unprotect(&mut inbound, &other_key), Err(UnprotectError::Auth));
            assert!(unprotect(&mut inbound, &packet).is_err());
            assert_eq!(inbound.sources(), usize::from(packet[1] == 206));
            assert_eq!(unprotect(&mut inbound, &sealed), Ok(packet));
        }
        assert_eq!(inbound.sources(), 1);
    }
}

/// SRTP-01 and pion/srtp#372: forged sources cost nothing.
#[test]
fn ten_thousand_forged_sources_leave_no_state() {
    for profile in Profile::ALL {
        let (mut outbound, mut inbound) = session(profile, &Config::default());
        let sealed = protect(&mut outbound, &rtp(SSRC, 1)).unwrap();
        let sealed_rtcp = protect(&mut outbound, &rtcp(SSRC)).unwrap();
        for forged in (0..10_000u32).map(|n| n.wrapping_mul(2_654_435_761)) {
            let mut packet = sealed.clone();
            packet[8..12].copy_from_slice(&forged.to_be_bytes());
            assert_eq!(unprotect(&mut inbound, &packet), Err(UnprotectError::Auth));
            let mut packet = sealed_rtcp.clone();
            packet[4..8].copy_from_slice(&forged.to_be_bytes());
            assert_eq!(unprotect(&mut inbound, &packet), Err(UnprotectError::Auth));
        }
        assert_eq!(inbound.sources(), 0);
        assert!(unprotect(&mut inbound, &sealed).is_ok());
    }
}

#[test]
fn authentic_sources_are_bounded_and_can_be_forgotten() {
    let config = Config::default().max_sources(3);
    let (mut outbound, mut inbound) = session(Profile::AeadAes128Gcm, &config);
    let sealed: Vec<_> = (0..3).map(|ssrc| protect(&mut outbound, &rtp(ssrc, 1)).unwrap()).collect();
    assert_eq!(protect(&mut outbound, &rtp(3, 1)), Err(ProtectError::TooManySources));
    let (mut second, _) = session(Profile::AeadAes128Gcm, &config);
    let fourth = protect(&mut second, &rtp(3, 1)).unwrap();
    sealed.iter().for_each(|packet| assert!(unprotect(&mut inbound, packet).is_ok()));
    assert_eq!(unprotect(&mut inbound, &fourth), Err(UnprotectError::TooManySources));
    inbound.remove_source(Ssrc(0));
    assert!(unprotect(&mut inbound, &fourth).is_ok());
}

/// SRTP-05: a forged packet far ahead moves neither the rollover counter nor the window.
#[test]
fn a_forged_packet_moves_no_state() {
    for profile in Profile::ALL {
        let (mut outbound, mut inbound) = session(profile, &Config::default());
        for seq in [65_000u16, 65_001] {
            let sealed = protect(&mut outbound, &rtp(SSRC, seq)).unwrap();
            for ahead in [0x4000, 0x7ffe] {
                let mut forged = sealed.clone();
                forged[2..4].copy_from_slice(&seq.wrapping_add(ahead).to_be_bytes());
                assert_eq!(unprotect(&mut inbound, &forged), Err(UnprotectError::Auth));
            }
            assert!(unprotect(&mut inbound, &sealed).is_ok());
        }
        let sealed = protect(&mut outbound, &rtcp(SSRC)).unwrap();
        let mut forged = sealed.clone();
        let index_at = sealed.len() - if is_aead(profile) { 4 } else { 14 };
        forged[index_at..index_at + 4].copy_from_slice(&0xffff_fff0u32.to_be_bytes());
        assert_eq!(unprotect(&mut inbound, &forged), Err(UnprotectError::Auth));
        assert!(unprotect(&mut inbound, &sealed).is_ok());
    }
}

/// SRTP-07: loss around the wrap, replay, too old, and two sources with the same numbers.
#[test]
fn the_rollover_counter_follows_through_loss() {
    for profile in Profile::ALL {
        let (mut outbound, mut inbound) = session(profile, &Config::default());
        for seqs in [&[65_534u16, 0, 65_535, 1][..], &[2, 30_000, 62_000, 65_535, 100]] {
            for &seq in seqs {
                let sealed = protect(&mut outbound, &rtp(SSRC, seq)).unwrap();
                if seq != 65_535 {
                    assert_eq!(unprotect(&mut inbound, &sealed), Ok(rtp(SSRC, seq)), "{profile:?} {seq}");
                    assert_eq!(unprotect(&mut inbound, &sealed), Err(UnprotectError::Replayed));
                }
            }
        }
        let same_number = protect(&mut outbound, &rtp(SSRC + 1, 100)).unwrap();
        assert!(unprotect(&mut inbound, &same_number).is_ok());
    }
}

#[test]
fn packets_behind_the_window_are_refused() {
    let config = Config::default().replay_window_packets(128);
    let (mut outbound, mut inbound) = session(Profile::AeadAes128Gcm, &config);
    let old: Vec<_> = (1..=200).map(|seq| protect(&mut outbound, &rtp(SSRC, seq)).unwrap()).collect();
    assert!(unprotect(&mut inbound, &old[199]).is_ok());
    assert!(unprotect(&mut inbound, &old[72]).is_ok());
    assert_eq!(unprotect(&mut inbound, &old[71]), Err(UnprotectError::TooOld));
    // Before the source's first number there is no index.
    let (mut outbound, mut inbound) = session(Profile::AeadAes128Gcm, &config);
    assert!(unprotect(&mut inbound, &protect(&mut outbound, &rtp(SSRC, 1)).unwrap()).is_ok());
    let (mut elsewhere, _) = session(Profile::AeadAes128Gcm, &config);
    let before = protect(&mut elsewhere, &rtp(SSRC, 65_535)).unwrap();
    assert_eq!(unprotect(&mut inbound, &before), Err(UnprotectError::TooOld));
}

/// SRTP-08: each source has an SRTCP index and a replay list of its own.
#[test]
fn srtcp_indices_count_per_source() {
    for profile in Profile::ALL {
        let (mut outbound, mut inbound) = session(profile, &Config::default());
        let sealed: Vec<_> = (0..5).map(|_| protect(&mut outbound, &rtcp(SSRC)).unwrap()).collect();
        for (index, packet) in sealed.iter().enumerate() {
            let index_at = packet.len() - if is_aead(profile) { 4 } else { 14 };
            assert_eq!(packet[index_at..index_at + 4], (1 << 31 | index as u32).to_be_bytes());
        }
        assert!(unprotect(&mut inbound, &sealed[4]).is_ok());
        assert!(unprotect(&mut inbound, &sealed[2]).is_ok());
        assert_eq!(unprotect(&mut inbound, &sealed[2]), Err(UnprotectError::Replayed));
        let low_index = protect(&mut outbound, &rtcp(SSRC + 1)).unwrap();
        assert!(unprotect(&mut inbound, &low_index).is_ok());
    }
}

/// SRTP-09: a change of the E flag or the index fails.
#[test]
fn e_flag_and_index_are_authenticated() {
    for profile in Profile::ALL {
        let (mut outbound, mut inbound) = session(profile, &Config::default());
        let sealed = protect(&mut outbound, &rtcp(SSRC)).unwrap();
        let index_at = sealed.len() - if is_aead(profile) { 4 } else { 14 };
        for bit in 0..32 {
            let mut flipped = sealed.clone();
            flipped[index_at + bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                unprotect(&mut inbound, &flipped),
                Err(UnprotectError::Auth),
                "{profile:?}, bit {bit}"
            );
        }
    }
}

/// SRTP-10: the sender refuses an index that it has used, also when a track comes back with an old number, and leaves
/// the packet alone.
#[test]
fn an_index_is_used_once() {
    for profile in Profile::ALL {
        let (mut outbound, _) = session(profile, &Config::default());
        for seq in [5000, 4999] {
            assert!(protect(&mut outbound, &rtp(SSRC, seq)).is_ok());
        }
        for seq in [5000, 4999, 100] {
            let packet = rtp(SSRC, seq);
            let mut buf = [&packet[..], &[0; MAX_OVERHEAD]].concat();
            assert_eq!(outbound.protect_rtp(&mut buf, packet.len()), Err(ProtectError::IndexUsed));
            assert_eq!(buf[..packet.len()], packet);
        }
        assert!(protect(&mut outbound, &rtp(SSRC, 5001)).is_ok());
        assert!(protect(&mut outbound, &rtp(SSRC + 1, 5000)).is_ok());
    }
}

/// SRTP-04: one packet before the limit goes, the next does not, out and in, RTP and RTCP counted apart.
#[test]
fn a_key_has_an_end() {
    let limited = Config::default().rtp_lifetime_packets(3).rtcp_lifetime_packets(2);
    for profile in Profile::ALL {
        let (mut endless, _) = session(profile, &Config::default());
        let (mut outbound, mut inbound) = session(profile, &limited);
        for seq in 1..=3 {
            let sealed = protect(&mut outbound, &rtp(u32::from(seq), seq)).unwrap();
            assert!(unprotect(&mut inbound, &sealed).is_ok());
        }
        assert_eq!(protect(&mut outbound, &rtp(SSRC, 4)), Err(ProtectError::Lifetime));
        let sealed = protect(&mut endless, &rtp(SSRC, 4)).unwrap();
        assert_eq!(unprotect(&mut inbound, &sealed), Err(UnprotectError::Lifetime));
        for _ in 0..2 {
            let sealed = protect(&mut outbound, &rtcp(SSRC)).unwrap();
            assert!(unprotect(&mut inbound, &sealed).is_ok());
        }
        assert_eq!(protect(&mut outbound, &rtcp(SSRC)), Err(ProtectError::Lifetime));
    }
}

#[test]
fn what_has_no_room_or_is_no_packet_is_refused() {
    for profile in Profile::ALL {
        let (mut outbound, mut inbound) = session(profile, &Config::default());
        let packet = rtp(SSRC, 1);
        let mut tight = [&packet[..], &vec![0; profile.rtp_overhead() - 1]].concat();
        assert_eq!(outbound.protect_rtp(&mut tight, packet.len()), Err(ProtectError::NoRoom));
        let report = rtcp(SSRC);
        let mut tight = [&report[..], &vec![0; profile.rtcp_overhead() - 1]].concat();
        assert_eq!(outbound.protect_rtcp(&mut tight, report.len()), Err(ProtectError::NoRoom));
        assert_eq!(outbound.protect_rtcp(&mut tight, 7), Err(ProtectError::Malformed));
        assert_eq!(outbound.protect_rtp(&mut tight, 11), Err(ProtectError::Malformed));
        assert_eq!(outbound.protect_rtp(&mut tight, 10_000), Err(ProtectError::Malformed));
        assert_eq!(inbound.unprotect_rtp(&mut []), Err(UnprotectError::Malformed));
        assert_eq!(outbound.sources() + inbound.sources(), 0);
    }
}

/// webrtc-rs/rtc#96: whatever is left of a packet that is cut, header included, a tag that is too short is refused, and
/// so is each length without a tag.
#[test]
fn a_short_tag_is_refused() {
    for profile in Profile::ALL {
        let (mut outbound, mut inbound) = session(profile, &Config::default());
        let mut least = vec![0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9];
        let sealed = protect(&mut outbound, &least).unwrap();
        assert_eq!(sealed.len(), 12 + profile.rtp_overhead());
        for len in 0..sealed.len() {
            let refused = inbound.unprotect_rtp(&mut sealed[..len].to_vec());
            assert_eq!(refused, Err(UnprotectError::Malformed), "{profile:?}, {len} bytes");
        }
        // A header that reaches into the tag, or beyond the packet.
        least.truncate(12);
        for (first, more) in [(0x81, 4), (0x8f, 60), (0x90, 4)] {
            for tag in 0..profile.rtp_overhead() {
                let mut packet = [&least[..], &vec![0; more + tag]].concat();
                packet[0] = first;
                assert_eq!(inbound.unprotect_rtp(&mut packet), Err(UnprotectError::Malformed));
            }
        }
        let sealed = protect(&mut outbound, &rtcp(SSRC)[..8]).unwrap();
        for len in 0..sealed.len() {
            let refused = inbound.unprotect_rtcp(&mut sealed[..len].to_vec());
            assert_eq!(refused, Err(UnprotectError::Malformed), "{profile:?}, RTCP, {len} bytes");
        }
        assert_eq!(inbound.sources(), 0);
    }
}

/// SRTP-07: three wraps with most packets lost, also all those around each wrap.
#[test]
fn the_rollover_counter_follows_through_three_wraps_with_most_packets_lost() {
    for profile in Profile::ALL {
        let (mut outbound, mut inbound) = session(profile, &Config::default());
        let mut arrived = 0;
        for number in 1_000..200_000u32 {
            let near_wrap = (60_000..65_536).contains(&(number % 65_536)) || number % 65_536 < 5_000;
            if number % 97 != 0 {
                continue;
            }
            let sealed = protect(&mut outbound, &rtp(SSRC, number as u16)).unwrap();
            if !near_wrap {
                assert!(unprotect(&mut inbound, &sealed).is_ok(), "{profile:?} {number}");
                arrived += 1;
            }
        }
        assert!(arrived > 1_500);
    }
}

/// A batch is the same as one packet at a time: its good packets are sealed alike, and the bad ones told.
#[test]
fn a_batch_is_the_same_as_one_at_a_time() {
    let config = Config::default();
    for size in 0..11usize {
        let profile_of = |at: usize| Profile::ALL[(at * 3 + size) % Profile::ALL.len()];
        let sessions = |from: usize| -> Vec<_> {
            (0..size).map(|at| keyed(profile_of(at), &config, (from + at) as u8)).collect()
        };
        let (mut together, mut alone) = (sessions(1), sessions(1));
        for seq in [1, 2, 2] {
            let packets: Vec<Vec<u8>> = (0..size)
                .map(|at| {
                    let mut packet = rtp(at as u32, if at == 3 { 1 } else { seq });
                    packet.resize(packet.len() + at * 31, at as u8);
                    packet
                })
                .collect();
            let mut bufs: Vec<_> =
                packets.iter().map(|packet| [&packet[..], &[0; MAX_OVERHEAD]].concat()).collect();
            let jobs = together.iter_mut().zip(&mut bufs).zip(&packets);
            let mut batch: Vec<_> = jobs
                .map(|(((outbound, _), buf), packet)| Outgoing::new(outbound, buf, packet.len()))
                .collect();
            protect_rtp_batch(&mut batch);
            let results: Vec<_> = batch.iter().map(Outgoing::protected).collect();
            for (at, ((outbound, inbound), packet)) in alone.iter_mut().zip(&packets).enumerate() {
                let expected = protect(outbound, packet);
                assert_eq!(results[at].map(|len| bufs[at][..len].to_vec()), expected, "{at} of {size}");
                match expected {
                    Ok(sealed) => assert_eq!(unprotect(inbound, &sealed).as_ref(), Ok(packet)),
                    Err(error) => {
                        assert_eq!(error, ProtectError::IndexUsed);
                        assert_eq!(bufs[at][..packet.len()], *packet, "untouched");
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Loss, reorder and duplication over several wraps: every packet within the window comes through once, and no
    /// other thing does.
    #[test]
    fn a_disturbed_stream_comes_through_once(
        profile in proptest::sample::select(&Profile::ALL[..]),
        start in 0u16..0x8000,
        steps in proptest::collection::vec((1u16..900, 0u8..5, 0usize..12), 300),
    ) {
        let config = Config::default().replay_window_packets(16_384);
        let (mut outbound, mut inbound) = session(profile, &config);
        let mut seq = start;
        let mut arrivals = Vec::new();
        for (at, (step, fate, delay)) in steps.into_iter().enumerate() {
            let packet = rtp(SSRC, seq);
            let sealed = protect(&mut outbound, &packet).unwrap();
            seq = seq.wrapping_add(step);
            // The first packet arrives first: before it nothing tells the rollover counter.
            match fate {
                _ if at == 0 => arrivals.push((0, packet, sealed)),
                0 => {}
                1 => arrivals.extend([(at, packet.clone(), sealed.clone()), (at + delay, packet, sealed)]),
                _ => arrivals.push((at + delay, packet, sealed)),
            }
        }
        arrivals[1..].sort_by_key(|(at, ..)| *at);
        let mut seen = std::collections::HashSet::new();
        for (_, packet, sealed) in arrivals {
            let expected = if seen.insert(sealed.clone()) { Ok(packet) } else { Err(UnprotectError::Replayed) };
            prop_assert_eq!(unprotect(&mut inbound, &sealed), expected);
        }
    }

    /// No bytes make a context panic or take them.
    #[test]
    fn any_bytes_are_refused(
        profile in proptest::sample::select(&Profile::ALL[..]),
        mut data in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let (_, mut inbound) = session(profile, &Config::default());
        prop_assert!(inbound.unprotect_rtp(&mut data.clone()).is_err());
        prop_assert!(inbound.unprotect_rtcp(&mut data.clone()).is_err());
        if let Some(first) = data.first_mut() {
            *first = *first & 0x3f | 0x80;
        }
        prop_assert!(inbound.unprotect_rtp(&mut data.clone()).is_err());
        prop_assert!(inbound.unprotect_rtcp(&mut data).is_err());
    }
}
