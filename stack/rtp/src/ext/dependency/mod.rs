//! The dependency descriptor: what a frame depends on and who needs it, without a look at the payload
//! (AV1 RTP payload format 1.0, appendix A).
//!
//! `[start 1 | end 1 | template 6 | frame number 16 | flags 5 | structure | active decode targets | custom fields]`,
//! of which all behind the frame number may be missing.
//!
//! A sender describes its layers once, in a [`DependencyStructure`] that comes with the first packet of a keyframe;
//! the packets after it name one of the structure's templates. So what a descriptor means depends on the stream: a
//! [`DescriptorReader`] keeps the structures of one RTP stream. Writing keeps no state: [`write_descriptor`].
//!
//! Bounds of our own, where the format has none but the element's length: 4 spatial and 8 temporal layers, which is
//! what AV1 has, and [`MAX_FRAME_DIFFS`] frames that one frame refers to.

mod reader;
mod structure;
mod writer;

pub use reader::{DependencyDescriptor, DescriptorError, DescriptorReader};
pub use structure::{DependencyStructure, Layer, Resolution};
pub use writer::{DescriptorFields, write_descriptor};

use std::ops::Deref;

use crate::UseError;

/// Most decode targets, and most chains, of a structure: the count has five bits (§A.8.2).
pub const MAX_DECODE_TARGETS: usize = 32;

/// Most templates of a structure: the id has six bits (§A.8.2).
pub const MAX_TEMPLATES: usize = 64;

/// Most frames that a frame can refer to here. AV1 has 7, H.265 has 16.
pub const MAX_FRAME_DIFFS: usize = 16;

/// How a frame relates to a decode target (table A.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Indication {
    /// Not part of it.
    #[default]
    NotPresent,
    /// Part of it, and nothing of the target refers to this frame.
    Discardable,
    /// Part of it; who can decode this frame can decode all later ones of the target.
    Switch,
    /// Part of it, without more to say.
    Required,
}

/// The indications of a frame for all decode targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Indications {
    /// Two bits each; target 0 has the highest, as on the wire.
    bits: u64,
}

impl Indications {
    /// In the order of the targets; more than [`MAX_DECODE_TARGETS`] are cut off.
    #[must_use]
    pub fn new(indications: &[Indication]) -> Self {
        let places = indications.iter().take(MAX_DECODE_TARGETS).zip(0..);
        let bits = places.fold(0, |bits, (indication, at)| bits | (*indication as u64) << (62 - 2 * at));
        Self { bits }
    }

    /// The indication for a decode target; [`Indication::NotPresent`] beyond the last.
    #[must_use]
    pub const fn get(self, target: usize) -> Indication {
        if target >= MAX_DECODE_TARGETS {
            return Indication::NotPresent;
        }
        match self.bits >> (62 - 2 * target) & 3 {
            0 => Indication::NotPresent,
            1 => Indication::Discardable,
            2 => Indication::Switch,
            _ => Indication::Required,
        }
    }
}

/// A short list of values, kept in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List<T, const N: usize> {
    len: usize,
    /// Behind `len` all are the default, so that equal lists are equal.
    values: [T; N],
}

impl<T: Copy + Default, const N: usize> List<T, N> {
    /// A list of at most `N` values.
    ///
    /// # Errors
    /// [`UseError::Dependencies`] when there are more.
    pub fn new(values: &[T]) -> Result<Self, UseError> {
        let mut list = Self::default();
        let slots = list.values.get_mut(..values.len()).ok_or(UseError::Dependencies)?;
        slots.copy_from_slice(values);
        list.len = values.len();
        Ok(list)
    }

    /// Whether there was room.
    fn push(&mut self, value: T) -> bool {
        let Some(slot) = self.values.get_mut(self.len) else { return false };
        *slot = value;
        self.len += 1;
        true
    }
}

impl<T: Copy + Default, const N: usize> Default for List<T, N> {
    fn default() -> Self {
        Self { len: 0, values: [T::default(); N] }
    }
}

impl<T, const N: usize> Deref for List<T, N> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.values[..self.len]
    }
}

/// How many frames back the frames are that a frame refers to, 1 to 4096 each.
pub type FrameDiffs = List<u16, MAX_FRAME_DIFFS>;

/// How many frames back the last frame of each chain is; 0 where the chain begins anew with this frame.
pub type ChainDiffs = List<u8, MAX_DECODE_TARGETS>;

/// What a frame is and depends on. A template is the same, with differences that fit into four bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameDependencies {
    /// The layer that the frame belongs to.
    pub layer: Layer,
    /// How it relates to each decode target.
    pub indications: Indications,
    /// What it refers to.
    pub frame_diffs: FrameDiffs,
    /// What comes before it in each chain.
    pub chain_diffs: ChainDiffs,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(super) use Indication::{Discardable as D, NotPresent as N, Required as R, Switch as S};

    pub(super) fn frame(
        layer: (u8, u8),
        indications: &[Indication],
        frame_diffs: &[u16],
        chain_diffs: &[u8],
    ) -> FrameDependencies {
        FrameDependencies {
            layer: Layer { spatial: layer.0, temporal: layer.1 },
            indications: Indications::new(indications),
            frame_diffs: List::new(frame_diffs).unwrap(),
            chain_diffs: List::new(chain_diffs).unwrap(),
        }
    }

    /// The text of bits as bytes; spaces are for people.
    pub(super) fn bytes(bits: &str) -> Vec<u8> {
        let digits: Vec<u8> = bits.bytes().filter(|byte| *byte != b' ').map(|byte| byte - b'0').collect();
        digits
            .chunks(8)
            .map(|byte| byte.iter().zip((0..8).rev()).fold(0, |sum, (bit, at)| sum | bit << at))
            .collect()
    }

    /// One spatial and three temporal layers, with one chain: what a browser sends.
    pub(super) fn l1t3(offset: u8) -> DependencyStructure {
        let templates = [
            frame((0, 0), &[S, S, S], &[], &[0]),
            frame((0, 0), &[S, S, S], &[4], &[4]),
            frame((0, 1), &[N, D, S], &[2], &[2]),
            frame((0, 2), &[N, N, D], &[1], &[1]),
            frame((0, 2), &[N, N, D], &[1], &[3]),
        ];
        DependencyStructure::new(offset, 3, &[0, 0, 0], &templates)
            .and_then(|structure| structure.with_resolutions(&[Resolution { width: 640, height: 360 }]))
            .unwrap()
    }

    #[test]
    fn indications_are_kept_in_their_place() {
        let all: Vec<_> = [R, S, D, N].into_iter().cycle().take(32).collect();
        let indications = Indications::new(&all);
        assert!((0..32).all(|at| indications.get(at) == all[at]));
        assert_eq!(indications.get(32), N);
        assert_eq!(Indications::new(&[S]), Indications::new(&[S, N]));
    }

    #[test]
    fn a_list_has_an_end() {
        assert_eq!(FrameDiffs::new(&[1; 17]), Err(UseError::Dependencies));
        let mut list = FrameDiffs::new(&[7; 16]).unwrap();
        assert!(!list.push(8));
        assert_eq!(*list, [7; 16]);
    }

    fn indication() -> impl Strategy<Value = Indication> {
        prop_oneof![Just(N), Just(D), Just(S), Just(R)]
    }

    /// A frame of a structure with `targets` and `chains`.
    fn any_frame(targets: usize, chains: usize, diff: u16) -> impl Strategy<Value = FrameDependencies> {
        let diffs = proptest::collection::vec(1..=diff, 0..=MAX_FRAME_DIFFS.min(5));
        let chain = proptest::collection::vec(0..=(diff - 1).min(255) as u8, chains);
        (proptest::collection::vec(indication(), targets), diffs, chain)
            .prop_map(|(indications, diffs, chain)| frame((0, 0), &indications, &diffs, &chain))
    }

    fn any_structure() -> impl Strategy<Value = (DependencyStructure, Vec<FrameDependencies>)> {
        let steps = proptest::collection::vec(0u8..3, 0..6);
        (1usize..6, 0usize..4, 0u8..64, steps).prop_flat_map(|(targets, chains, offset, steps)| {
            let chains = chains.min(targets);
            let templates = proptest::collection::vec(any_frame(targets, chains, 16), steps.len() + 1);
            let frames = proptest::collection::vec(any_frame(targets, chains, 4096), 1..6);
            let protected = proptest::collection::vec(0..chains.max(1) as u8, targets);
            let sized = any::<bool>();
            (templates, frames, protected, sized).prop_map(
                move |(mut templates, mut frames, protected, sized)| {
                    let mut layer = Layer::default();
                    for (template, step) in templates[1..].iter_mut().zip(&steps) {
                        match step {
                            1 if layer.temporal < 7 => layer.temporal += 1,
                            2 if layer.spatial < 3 => {
                                layer = Layer { spatial: layer.spatial + 1, temporal: 0 }
                            }
                            _ => {}
                        }
                        template.layer = layer;
                    }
                    for (at, frame) in frames.iter_mut().enumerate() {
                        frame.layer = templates[at % templates.len()].layer;
                    }
                    frames.extend(&templates);
                    let protected = if chains > 0 { &protected[..] } else { &[] };
                    let mut structure =
                        DependencyStructure::new(offset, targets as u8, protected, &templates).unwrap();
                    if sized {
                        let sizes = [Resolution { width: 65_536, height: 1 }; 4];
                        structure =
                            structure.with_resolutions(&sizes[..=usize::from(layer.spatial)]).unwrap();
                    }
                    (structure, frames)
                },
            )
        })
    }

    proptest! {
        /// What is written is read back, with the structure and without, custom or from a template.
        #[test]
        fn descriptors_round_trip((structure, frames) in any_structure(), start: u16, mask: u32) {
            let mut reader = DescriptorReader::default();
            for (n, frame) in frames.iter().enumerate() {
                let fields = DescriptorFields {
                    start_of_frame: n % 2 == 0,
                    end_of_frame: n % 3 == 0,
                    frame_number: start.wrapping_add(n as u16),
                    attach_structure: n == 0,
                    active_decode_targets: (n % 4 == 1).then_some(mask),
                };
                let mut out = Vec::new();
                write_descriptor(&mut out, &structure, &fields, frame).unwrap();
                let read = reader.read(&out).unwrap();
                prop_assert_eq!(read.frame, *frame);
                prop_assert_eq!(read.frame_number, fields.frame_number);
                prop_assert_eq!(read.start_of_frame, fields.start_of_frame);
                prop_assert_eq!(read.end_of_frame, fields.end_of_frame);
                prop_assert_eq!(read.attached, fields.attach_structure);
                prop_assert_eq!(read.structure, &structure);
                let all = structure.all_targets();
                let active = if n == 0 || frames.len() < 2 { all } else { mask & all };
                prop_assert_eq!(read.active_decode_targets, active);
            }
        }

        /// No bytes make the reader panic, and what fails leaves it as it was.
        #[test]
        fn any_bytes_are_survived(elements in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..8)) {
            let mut reader = DescriptorReader::default();
            for element in elements {
                let before = reader.clone();
                if reader.read(&element).is_err() {
                    prop_assert_eq!(&reader, &before);
                }
            }
        }
    }
}
