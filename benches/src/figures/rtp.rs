//! Reading an RTP packet of 1200 bytes with three header extensions, one of which is looked at; and writing one.

use super::{Contest, Figure};
use crate::scenarios;

pub(super) fn figures() -> Vec<Figure> {
    let contest = |name, others| {
        let ours = scenarios::find(name).expect("a scenario").prepare();
        Contest { name, ours, others }.nanoseconds()
    };
    [contest("rtp-parse-extensions", peers::parse()), contest("rtp-rewrite", peers::rewrite())].concat()
}

#[cfg(not(feature = "peers"))]
mod peers {
    use crate::figures::Work;

    /// Nobody.
    pub(super) fn parse() -> Vec<(&'static str, Work)> {
        Vec::new()
    }

    /// Nobody.
    pub(super) fn rewrite() -> Vec<(&'static str, Work)> {
        Vec::new()
    }
}

#[cfg(feature = "peers")]
mod peers {
    use std::hint::black_box;

    use bytes::Bytes;
    use rtc_rtp::header::Header;
    use rtc_rtp::packet::Packet;
    use rtc_shared::marshal::{Marshal, Unmarshal};

    use crate::figures::Work;
    use crate::scenarios::browser_packet;

    pub(super) fn parse() -> Vec<(&'static str, Work)> {
        let data = Bytes::from(browser_packet());
        vec![(
            "rtc-rtp",
            Box::new(move || {
                let packet = Packet::unmarshal(&mut data.clone()).expect("a good packet");
                assert!(packet.header.get_extension(3).is_some() && packet.header.get_extension(4).is_some());
                black_box(packet);
            }),
        )]
    }

    /// Read, change the header, write.
    pub(super) fn rewrite() -> Vec<(&'static str, Work)> {
        let data = Bytes::from(browser_packet());
        let mut out = vec![0; 1500];
        let mut seq = 0u16;
        vec![(
            "rtc-rtp",
            Box::new(move || {
                let mut packet = Packet::unmarshal(&mut data.clone()).expect("a good packet");
                seq = seq.wrapping_add(1);
                let Header { marker, timestamp, .. } = packet.header;
                packet.header = Header {
                    version: 2,
                    marker,
                    payload_type: 100,
                    sequence_number: seq,
                    timestamp,
                    ssrc: 10,
                    ..Header::default()
                };
                packet.header.set_extension(3, Bytes::copy_from_slice(&seq.to_be_bytes())).expect("room");
                packet.header.set_extension(4, Bytes::from_static(b"0")).expect("room");
                black_box(packet.marshal_to(&mut out).expect("room"));
            }),
        )]
    }
}
