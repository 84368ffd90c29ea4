//! Header extensions: the values of single elements, and the dependency descriptors of a stream.

use tombolo_rtp::ext::dependency::{DescriptorFields, DescriptorReader, write_descriptor};
use tombolo_rtp::ext::{
    AbsCaptureTime, AbsSendTime, AudioLevel, ColorSpace, CsrcAudioLevels, ExtensionKind, ExtensionMap,
    LayersAllocation, PlayoutDelay, TransportSeq, TransportSeqV2, VideoContentType, VideoOrientation,
    VideoTiming,
};
use tombolo_rtp::{ExtensionForm, Mid, Rid, RtpHeader, RtpPacket};

/// `[kind 8 | element]`: what can be read is written, and read again it is the same. In a packet it is read as alone.
pub fn extension(data: &[u8]) {
    let [kind, data @ ..] = data else { return };
    let kind = ExtensionKind::ALL[usize::from(*kind) % ExtensionKind::ALL.len()];
    let good = reads_again(kind, data);
    let mut map = ExtensionMap::default();
    map.insert(20, kind).expect("a free id");
    let mut packet = Vec::new();
    if RtpHeader::default().write(&mut packet, ExtensionForm::Mixed).push(20, data).is_err() {
        return;
    }
    let packet = RtpPacket::parse(&packet).expect("a packet that was written");
    assert_eq!(map.element(&packet, kind), Some(data));
    let values = map.read(&packet);
    let separate = matches!(kind, ExtensionKind::LayersAllocation | ExtensionKind::DependencyDescriptor);
    assert_eq!(values != tombolo_rtp::ext::HeaderExtensions::default(), good && !separate);
}

/// Whether the element can be read.
fn reads_again(kind: ExtensionKind, data: &[u8]) -> bool {
    macro_rules! check {
        ($parse:path, $encode:expr) => {
            $parse(data).is_ok_and(|value| {
                assert_eq!($parse(&$encode(value)), Ok(value));
                true
            })
        };
    }
    match kind {
        ExtensionKind::Mid => Mid::from_bytes(data).is_ok_and(|mid| mid.as_bytes() == data),
        ExtensionKind::Rid | ExtensionKind::RepairedRid => {
            Rid::from_bytes(data).is_ok_and(|rid| rid.as_bytes() == data)
        }
        ExtensionKind::AudioLevel => check!(AudioLevel::parse, AudioLevel::encode),
        ExtensionKind::CsrcAudioLevels => CsrcAudioLevels::parse(data).is_ok_and(|levels| {
            assert_eq!(CsrcAudioLevels::parse(levels.as_bytes()), Ok(levels));
            true
        }),
        ExtensionKind::AbsSendTime => check!(AbsSendTime::parse, AbsSendTime::encode),
        ExtensionKind::AbsCaptureTime => check!(AbsCaptureTime::parse, AbsCaptureTime::encode),
        ExtensionKind::TransportSeq => check!(TransportSeq::parse, TransportSeq::encode),
        ExtensionKind::TransportSeqV2 => check!(TransportSeqV2::parse, TransportSeqV2::encode),
        ExtensionKind::PlayoutDelay => check!(PlayoutDelay::parse, PlayoutDelay::encode),
        ExtensionKind::VideoOrientation => check!(VideoOrientation::parse, VideoOrientation::encode),
        ExtensionKind::VideoContentType => check!(VideoContentType::parse, VideoContentType::encode),
        ExtensionKind::VideoTiming => check!(VideoTiming::parse, VideoTiming::encode),
        ExtensionKind::ColorSpace => check!(ColorSpace::parse, ColorSpace::encode),
        ExtensionKind::LayersAllocation => LayersAllocation::parse(data).is_ok_and(|layers| {
            assert!(layers.layers().len() <= 16);
            let mut again = Vec::new();
            layers.write(&mut again);
            let again = LayersAllocation::parse(&again).expect("what was written");
            assert_eq!(again.layers(), layers.layers());
            true
        }),
        _ => DescriptorReader::default().read(data).is_ok(),
    }
}

/// `[length 8 | element]*`: the descriptors of one stream. What can be read is written, and read again it is the same.
pub fn dependency_descriptor(mut data: &[u8]) {
    let mut reader = DescriptorReader::default();
    while let [len, rest @ ..] = data {
        let (element, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        data = rest;
        let before = reader.clone();
        let Ok(read) = reader.read(element) else {
            assert!(reader == before, "a bad element changes nothing");
            continue;
        };
        let fields = DescriptorFields {
            start_of_frame: read.start_of_frame,
            end_of_frame: read.end_of_frame,
            frame_number: read.frame_number,
            attach_structure: true,
            active_decode_targets: Some(read.active_decode_targets),
        };
        let mut again = Vec::new();
        // A structure with many templates and a custom frame may need more than an element has.
        if write_descriptor(&mut again, read.structure, &fields, &read.frame).is_ok() {
            let mut other = DescriptorReader::default();
            let second = other.read(&again).expect("what was written");
            assert_eq!((second.structure, second.frame), (read.structure, read.frame));
            assert_eq!(second.active_decode_targets, read.active_decode_targets);
        }
    }
}
