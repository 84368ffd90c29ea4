//! Video layers allocation: which layers a sender sends, at what rate and size.
//!
//! `[stream 2 | streams−1 2 | layers 4 | layers of each stream 4·n | temporal layers−1 2·n | kbit/s leb128·n |
//! (width−1 16 | height−1 16 | frame rate 8)·n]`, of which the last part may be missing.

use tombolo_net::Bitrate;

use crate::{DecodeError, UseError};

/// Most RTP streams, spatial layers of a stream, and temporal layers of a spatial layer: each has two bits or four.
const MAX: usize = 4;

/// Bytes of one resolution and frame rate.
const RESOLUTION_LEN: usize = 5;

/// What a sender sends of one picture, in all its simulcast streams and layers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayersAllocation {
    stream: u8,
    streams: u8,
    layers: Vec<ActiveLayer>,
}

/// One spatial layer, or one simulcast stream, that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveLayer {
    /// The RTP stream, 0 to 3, in the order of the description.
    pub stream: u8,
    /// The spatial layer within the stream, 0 to 3.
    pub spatial: u8,
    temporal_layers: u8,
    rates: [Bitrate; MAX],
    /// Its size and rate, when they are told.
    pub resolution: Option<LayerResolution>,
}

/// The size and frame rate of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerResolution {
    /// In pixels, 1 to 65536.
    pub width: u32,
    /// In pixels, 1 to 65536.
    pub height: u32,
    /// The most frames per second, 0 to 255.
    pub max_framerate: u8,
}

impl ActiveLayer {
    /// A layer with the rates of its temporal layers, lowest first: each is what it takes to receive that layer and
    /// all that it needs. Rates are told in whole kbit/s.
    ///
    /// # Errors
    /// [`UseError::Layers`] for numbers above 3, and for other than one to four rates.
    pub fn new(stream: u8, spatial: u8, rates: &[Bitrate]) -> Result<Self, UseError> {
        if usize::from(stream.max(spatial)) >= MAX || !(1..=MAX).contains(&rates.len()) {
            return Err(UseError::Layers);
        }
        let mut layer = Self {
            stream,
            spatial,
            temporal_layers: rates.len() as u8,
            rates: [Bitrate::from_bps(0); MAX],
            resolution: None,
        };
        layer.rates[..rates.len()].copy_from_slice(rates);
        Ok(layer)
    }

    /// The same with a size and frame rate.
    #[must_use]
    pub const fn with_resolution(self, resolution: LayerResolution) -> Self {
        Self { resolution: Some(resolution), ..self }
    }

    /// One rate for each temporal layer, lowest first.
    #[must_use]
    pub fn rates(&self) -> &[Bitrate] {
        &self.rates[..usize::from(self.temporal_layers)]
    }
}

impl LayersAllocation {
    /// An allocation that is sent on RTP stream number `stream` of `streams`. Layers are put into the order of
    /// the format: stream, then spatial layer. Without layers, nothing is sent at all.
    ///
    /// # Errors
    /// [`UseError::Layers`] for other than one to four streams, for a number beyond them, for the same layer twice,
    /// and when only some of the layers have a resolution.
    pub fn new(stream: u8, streams: u8, mut layers: Vec<ActiveLayer>) -> Result<Self, UseError> {
        layers.sort_unstable_by_key(|layer| (layer.stream, layer.spatial));
        let twice = layers
            .windows(2)
            .any(|pair| (pair[0].stream, pair[0].spatial) == (pair[1].stream, pair[1].spatial));
        let sized = layers.iter().filter(|layer| layer.resolution.is_some()).count();
        let good = (1..=MAX).contains(&usize::from(streams))
            && stream < streams
            && layers.iter().all(|layer| layer.stream < streams)
            && !twice
            && (sized == 0 || sized == layers.len());
        if good { Ok(Self { stream, streams, layers }) } else { Err(UseError::Layers) }
    }

    /// The number of the RTP stream that this was sent on.
    #[must_use]
    pub const fn stream(&self) -> u8 {
        self.stream
    }

    /// How many RTP streams there are, 1 to 4.
    #[must_use]
    pub const fn streams(&self) -> u8 {
        self.streams
    }

    /// What is sent, by stream and spatial layer; up to 16.
    #[must_use]
    pub fn layers(&self) -> &[ActiveLayer] {
        &self.layers
    }

    /// Reads the element. It is sent now and then, with keyframes and changes; reading it allocates.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], and [`DecodeError::Malformed`] when a stream number is beyond the streams or bytes
    /// are left over.
    pub fn parse(data: &[u8]) -> Result<Self, DecodeError> {
        let (&first, mut rest) = data.split_first().ok_or(DecodeError::Truncated)?;
        let (stream, streams) = (first >> 6, (first >> 4 & 3) + 1);
        if stream >= streams {
            return Err(DecodeError::Malformed);
        }
        if first == 0 && rest.is_empty() {
            return Ok(Self { stream, streams, layers: Vec::new() });
        }
        let mut spatial = [first & 0xf; MAX];
        if first & 0xf == 0 {
            let masks;
            (masks, rest) =
                rest.split_at_checked(usize::from(streams).div_ceil(2)).ok_or(DecodeError::Truncated)?;
            for (pair, byte) in spatial.chunks_exact_mut(2).zip(masks) {
                pair.copy_from_slice(&[byte >> 4, byte & 0xf]);
            }
        }
        let mut layers = Vec::with_capacity(MAX * MAX);
        for stream in 0..streams {
            for layer in (0..MAX as u8).filter(|layer| spatial[usize::from(stream)] >> layer & 1 == 1) {
                layers.push(ActiveLayer {
                    stream,
                    spatial: layer,
                    temporal_layers: 0,
                    rates: [Bitrate::from_bps(0); MAX],
                    resolution: None,
                });
            }
        }
        let (counts, after) =
            rest.split_at_checked(layers.len().div_ceil(4)).ok_or(DecodeError::Truncated)?;
        rest = after;
        for (at, layer) in layers.iter_mut().enumerate() {
            layer.temporal_layers = (counts[at / 4] >> (6 - at % 4 * 2) & 3) + 1;
        }
        for layer in &mut layers {
            for rate in &mut layer.rates[..usize::from(layer.temporal_layers)] {
                let kbps;
                (kbps, rest) = take_leb128(rest)?;
                *rate = Bitrate::from_kbps(kbps.into());
            }
        }
        match rest.len() {
            0 => {}
            len if len == layers.len() * RESOLUTION_LEN => {
                for (layer, bytes) in layers.iter_mut().zip(rest.chunks_exact(RESOLUTION_LEN)) {
                    layer.resolution = Some(LayerResolution {
                        width: u32::from(u16::from_be_bytes([bytes[0], bytes[1]])) + 1,
                        height: u32::from(u16::from_be_bytes([bytes[2], bytes[3]])) + 1,
                        max_framerate: bytes[4],
                    });
                }
            }
            _ => return Err(DecodeError::Malformed),
        }
        Ok(Self { stream, streams, layers })
    }

    /// Appends the element's data. With resolutions it needs the two-byte form. Sizes are cut to 65536 pixels, rates to
    /// 2³²−1 kbit/s.
    pub fn write(&self, out: &mut Vec<u8>) {
        // Nothing on any stream is the single byte zero.
        if self.layers.is_empty() {
            out.push(0);
            return;
        }
        let mut spatial = [0; MAX];
        for layer in &self.layers {
            spatial[usize::from(layer.stream)] |= 1 << layer.spatial;
        }
        let masks = &spatial[..usize::from(self.streams)];
        let same = masks.iter().all(|mask| *mask == masks[0]);
        let first = self.stream << 6 | (self.streams - 1) << 4;
        out.push(if same { first | masks[0] } else { first });
        if !same {
            out.extend(masks.chunks(2).map(|pair| pair[0] << 4 | pair.get(1).unwrap_or(&0)));
        }
        let count = |layer: &ActiveLayer| layer.temporal_layers - 1;
        for four in self.layers.chunks(4) {
            let bits = four.iter().zip([6, 4, 2, 0]);
            out.push(bits.fold(0, |byte, (layer, shift)| byte | count(layer) << shift));
        }
        for rate in self.layers.iter().flat_map(ActiveLayer::rates) {
            write_leb128(out, u32::try_from(rate.as_bps() / 1000).unwrap_or(u32::MAX));
        }
        for resolution in self.layers.iter().filter_map(|layer| layer.resolution) {
            let less_one = |pixels: u32| (pixels.clamp(1, 0x1_0000) - 1) as u16;
            out.extend_from_slice(&less_one(resolution.width).to_be_bytes());
            out.extend_from_slice(&less_one(resolution.height).to_be_bytes());
            out.push(resolution.max_framerate);
        }
    }
}

/// A number in leb128 (AV1 §4.10.5), at most 2³²−1 in at most eight bytes.
fn take_leb128(data: &[u8]) -> Result<(u32, &[u8]), DecodeError> {
    let mut value = 0_u64;
    for at in 0..8 {
        let byte = data.get(at).ok_or(DecodeError::Truncated)?;
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let value = u32::try_from(value).map_err(|_| DecodeError::Malformed)?;
            return Ok((value, &data[at + 1..]));
        }
    }
    Err(DecodeError::Malformed)
}

fn write_leb128(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kbps(rates: &[u64]) -> Vec<Bitrate> {
        rates.iter().copied().map(Bitrate::from_kbps).collect()
    }

    fn layer(stream: u8, spatial: u8, rates: &[u64]) -> ActiveLayer {
        ActiveLayer::new(stream, spatial, &kbps(rates)).unwrap()
    }

    #[test]
    fn nothing_sent_is_one_zero_byte() {
        let none = LayersAllocation::parse(&[0]).unwrap();
        assert_eq!(none.layers(), []);
        let mut out = Vec::new();
        none.write(&mut out);
        assert_eq!(out, [0]);
    }

    /// Three simulcast streams of which the last has no layer: masks of their own, counts and rates in order.
    #[test]
    fn streams_with_different_layers_have_masks_of_their_own() {
        let data = [0b0110_0000, 0x13, 0x00, 0b0100_1000, 100, 0xac, 0x02, 7, 1, 2, 3];
        let read = LayersAllocation::parse(&data).unwrap();
        assert_eq!((read.stream(), read.streams()), (1, 3));
        assert_eq!(read.layers(), [layer(0, 0, &[100, 300]), layer(1, 0, &[7]), layer(1, 1, &[1, 2, 3])]);
        let mut out = Vec::new();
        read.write(&mut out);
        assert_eq!(out, data);
    }

    #[test]
    fn resolutions_are_less_one() {
        let data = [0b0000_0001, 0, 100, 0x04, 0xff, 0x02, 0xcf, 30];
        let read = LayersAllocation::parse(&data).unwrap();
        let resolution = LayerResolution { width: 1280, height: 720, max_framerate: 30 };
        assert_eq!(read.layers(), [layer(0, 0, &[100]).with_resolution(resolution)]);
        assert_eq!(LayersAllocation::parse(&data[..7]), Err(DecodeError::Malformed));
    }

    #[test]
    fn what_does_not_add_up_is_refused() {
        use DecodeError::{Malformed, Truncated};
        for (data, error) in [
            (&[][..], Truncated),
            (&[0b0100_0001, 0, 1], Malformed),
            (&[0b0001_0000], Truncated),
            (&[0b0010_0000, 0x11], Truncated),
            (&[1], Truncated),
            (&[1, 0], Truncated),
            (&[1, 0, 0x80], Truncated),
            (&[1, 0, 1, 9], Malformed),
            (&[1, 0, 0xff, 0xff, 0xff, 0xff, 0x1f], Malformed),
            (&[1, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0], Malformed),
        ] {
            assert_eq!(LayersAllocation::parse(data), Err(error), "{data:?}");
        }
    }

    #[test]
    fn impossible_allocations_are_not_made() {
        let one = layer(0, 0, &[1]);
        let sized = one.with_resolution(LayerResolution { width: 1, height: 1, max_framerate: 1 });
        assert_eq!(ActiveLayer::new(4, 0, &kbps(&[1])), Err(UseError::Layers));
        assert_eq!(ActiveLayer::new(0, 0, &[]), Err(UseError::Layers));
        assert_eq!(ActiveLayer::new(0, 0, &kbps(&[1; 5])), Err(UseError::Layers));
        for (stream, streams, layers) in [
            (0, 0, vec![]),
            (0, 5, vec![]),
            (1, 1, vec![]),
            (0, 1, vec![layer(1, 0, &[1])]),
            (0, 1, vec![one, one]),
            (0, 2, vec![sized, layer(1, 0, &[1])]),
        ] {
            assert_eq!(LayersAllocation::new(stream, streams, layers), Err(UseError::Layers));
        }
    }

    proptest! {
        #[test]
        fn allocations_round_trip(
            streams in 1u8..5, on: u8,
            active in proptest::collection::btree_map((0u8..4, 0u8..4), proptest::collection::vec(any::<u32>(), 1..5), 1..17),
            sizes in proptest::option::of((1u32..0x1_0001, 1u32..0x1_0001, any::<u8>())),
        ) {
            let layers = active.iter().filter(|((stream, _), _)| *stream < streams).map(|(at, rates)| {
                let rates: Vec<u64> = rates.iter().map(|&rate| rate.into()).collect();
                let layer = layer(at.0, at.1, &rates);
                match sizes {
                    Some((width, height, max_framerate)) =>
                        layer.with_resolution(LayerResolution { width, height, max_framerate }),
                    None => layer,
                }
            }).collect::<Vec<_>>();
            prop_assume!(!layers.is_empty());
            let allocation = LayersAllocation::new(on % streams, streams, layers).unwrap();
            let mut out = Vec::new();
            allocation.write(&mut out);
            prop_assert_eq!(LayersAllocation::parse(&out), Ok(allocation));
        }
    }
}
