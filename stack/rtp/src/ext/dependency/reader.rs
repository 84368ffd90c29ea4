//! Reading: [`DescriptorReader`] keeps the structures of one stream.

use super::structure::{read_chain_diffs, read_indications};
use super::{DependencyStructure, FrameDependencies, FrameDiffs, Indication, Resolution};
use crate::DecodeError;
use crate::bits::BitReader;

/// How many frames late a packet may come and still be told from one of a restarted numbering.
const MAX_LATE: u16 = 1024;

/// Bytes of a descriptor without extended fields.
const MANDATORY_LEN: usize = 3;

/// Why a descriptor cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DescriptorError {
    /// The bytes are wrong.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// No structure came yet: the packet with it is lost or late, and a keyframe is needed.
    #[error("no dependency structure came yet")]
    NoStructure,
    /// The structure has no such template: the packet with a newer structure is lost or late (§A.8.3).
    #[error("the structure has no such template")]
    UnknownTemplate,
}

/// What a packet says of its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DependencyDescriptor<'a> {
    /// The packet is the first of its frame.
    pub start_of_frame: bool,
    /// The packet is the last of its frame. More frames of the same picture may follow.
    pub end_of_frame: bool,
    /// The frame's number in decode order, wrapping.
    pub frame_number: u16,
    /// The id of the template that was used, 0 to 63.
    pub template_id: u8,
    /// The packet brought the structure with it, so it begins a coded video sequence.
    pub attached: bool,
    /// What the stream is made of.
    pub structure: &'a DependencyStructure,
    /// Which decode targets can be had now; target 0 is the lowest bit.
    pub active_decode_targets: u32,
    /// What the frame is and depends on.
    pub frame: FrameDependencies,
}

impl DependencyDescriptor<'_> {
    /// The largest picture of the frame's spatial layer, if it is told.
    #[must_use]
    pub fn resolution(&self) -> Option<Resolution> {
        self.structure.resolution(self.frame.layer.spatial)
    }

    /// Whether a chain protects a decode target that can be had. Other chains mean nothing (§A.5).
    #[must_use]
    pub fn is_chain_active(&self, chain: u8) -> bool {
        self.targets_of(chain).any(|target| self.active_decode_targets >> target & 1 == 1)
    }

    /// Whether the frame is part of an active chain, so that its loss breaks it (§A.6).
    #[must_use]
    pub fn is_in_chain(&self, chain: u8) -> bool {
        let needed = |target| {
            let indication = self.frame.indications.get(target);
            !matches!(indication, Indication::NotPresent | Indication::Discardable)
        };
        self.is_chain_active(chain) && self.targets_of(chain).all(needed)
    }

    fn targets_of(&self, chain: u8) -> impl Iterator<Item = usize> + use<'_> {
        let targets = 0..usize::from(self.structure.decode_targets());
        targets.filter(move |target| self.structure.protecting_chain(*target) == Some(chain))
    }
}

/// A structure with what changes while it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Kept {
    /// Without templates when there is none.
    structure: DependencyStructure,
    active_decode_targets: u32,
}

impl Kept {
    fn is_there(&self) -> bool {
        !self.structure.templates().is_empty()
    }
}

/// Reads the descriptors of one RTP stream.
///
/// Packets may come late: the structure before the newest one is kept for frames that are older than the newest.
/// Nothing is allocated once the templates of the stream have their place. After an error the reader is as before.
#[derive(Clone, Debug, Default)]
pub struct DescriptorReader {
    current: Kept,
    previous: Kept,
    /// Where a structure is read that may turn out to be malformed.
    scratch: DependencyStructure,
    /// The newest frame, and how many frames ago, up to [`MAX_LATE`], the structure and the last change of the active
    /// decode targets came.
    newest: u16,
    structure_age: u16,
    active_age: u16,
}

/// The scratch is no state.
impl PartialEq for DescriptorReader {
    fn eq(&self, other: &Self) -> bool {
        let parts = |reader: &Self| (reader.newest, reader.structure_age, reader.active_age);
        self.current == other.current && self.previous == other.previous && parts(self) == parts(other)
    }
}

impl Eq for DescriptorReader {}

/// What stands before the frame's own fields.
#[derive(Clone, Copy, Default)]
struct Flags {
    structure: bool,
    active: bool,
    indications: bool,
    frame_diffs: bool,
    chains: bool,
}

impl DescriptorReader {
    /// The structure of the newest frames, if one came.
    #[must_use]
    pub fn structure(&self) -> Option<&DependencyStructure> {
        self.current.is_there().then_some(&self.current.structure)
    }

    /// Reads the data of one element, of the packets in any order.
    ///
    /// # Errors
    /// See [`DescriptorError`].
    pub fn read(&mut self, data: &[u8]) -> Result<DependencyDescriptor<'_>, DescriptorError> {
        let mut bits = BitReader::new(data);
        let start_of_frame = bits.flag()?;
        let end_of_frame = bits.flag()?;
        let template_id = bits.bits(6)? as u8;
        let frame_number = bits.bits(16)? as u16;
        let mut flags = Flags::default();
        if data.len() > MANDATORY_LEN {
            flags = Flags {
                structure: bits.flag()?,
                active: bits.flag()?,
                indications: bits.flag()?,
                frame_diffs: bits.flag()?,
                chains: bits.flag()?,
            };
        }
        if flags.structure {
            self.scratch.read(&mut bits)?;
        }
        let late = self.late_by(frame_number);
        // Of an earlier frame than the structure's.
        let is_of_previous = late > self.structure_age && (flags.structure || self.previous.is_there());
        let kept = if is_of_previous { &self.previous } else { &self.current };
        let structure = if flags.structure { &self.scratch } else { &kept.structure };
        if structure.templates().is_empty() {
            return Err(DescriptorError::NoStructure);
        }
        let explicit = match flags.active {
            true => Some(bits.bits(structure.decode_targets().into())?),
            false => flags.structure.then(|| structure.all_targets()),
        };
        let frame = read_frame(&mut bits, flags, structure, template_id)?;
        let kept = self.commit(frame_number, late, is_of_previous, flags.structure, explicit);
        Ok(DependencyDescriptor {
            start_of_frame,
            end_of_frame,
            frame_number,
            template_id,
            attached: flags.structure,
            structure: &kept.structure,
            active_decode_targets: explicit.unwrap_or(kept.active_decode_targets),
            frame,
        })
    }

    /// How many frames before the newest this one is; 0 for a newer one, and for one so old that the numbering must
    /// have begun anew.
    fn late_by(&self, frame_number: u16) -> u16 {
        let behind = self.newest.wrapping_sub(frame_number);
        if self.current.is_there() && behind <= MAX_LATE { behind } else { 0 }
    }

    /// Takes over what a good descriptor says, and gives the structure that it belongs to.
    fn commit(
        &mut self,
        frame_number: u16,
        late: u16,
        is_of_previous: bool,
        attached: bool,
        explicit: Option<u32>,
    ) -> &Kept {
        if is_of_previous {
            if attached {
                std::mem::swap(&mut self.previous.structure, &mut self.scratch);
            }
            if let Some(mask) = explicit {
                self.previous.active_decode_targets = mask;
            }
            return &self.previous;
        }
        if late == 0 {
            let step = frame_number.wrapping_sub(self.newest);
            let aged = |age: u16| age.saturating_add(step).min(MAX_LATE);
            (self.structure_age, self.active_age) = (aged(self.structure_age), aged(self.active_age));
            self.newest = frame_number;
        }
        if attached {
            // The same packet again brings nothing new.
            if late != self.structure_age || !self.current.is_there() {
                std::mem::swap(&mut self.previous, &mut self.current);
            }
            std::mem::swap(&mut self.current.structure, &mut self.scratch);
            self.structure_age = late;
        }
        if let Some(mask) = explicit
            && (attached || late <= self.active_age)
        {
            self.current.active_decode_targets = mask;
            self.active_age = late;
        }
        &self.current
    }
}

/// `frame_dependency_definition()`.
fn read_frame(
    bits: &mut BitReader<'_>,
    flags: Flags,
    structure: &DependencyStructure,
    template_id: u8,
) -> Result<FrameDependencies, DescriptorError> {
    let mut frame = *structure.template(template_id).ok_or(DescriptorError::UnknownTemplate)?;
    if flags.indications {
        frame.indications = read_indications(bits, structure.decode_targets())?;
    }
    if flags.frame_diffs {
        frame.frame_diffs = FrameDiffs::default();
        loop {
            let nibbles = bits.bits(2)?;
            if nibbles == 0 {
                break;
            }
            let diff = bits.bits(4 * nibbles)? as u16 + 1;
            if !frame.frame_diffs.push(diff) {
                return Err(DecodeError::Malformed.into());
            }
        }
    }
    if flags.chains {
        frame.chain_diffs = read_chain_diffs(bits, structure.chains(), 8)?;
    }
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{D, N, R, S, bytes, frame, l1t3};
    use super::super::{DescriptorFields, write_descriptor};
    use super::*;

    /// The descriptor of a whole frame of template `index`.
    fn descriptor(structure: &DependencyStructure, index: usize, number: u16, attach: bool) -> Vec<u8> {
        let fields = DescriptorFields {
            start_of_frame: true,
            end_of_frame: true,
            frame_number: number,
            attach_structure: attach,
            active_decode_targets: None,
        };
        let mut out = Vec::new();
        write_descriptor(&mut out, structure, &fields, &structure.templates()[index]).unwrap();
        out
    }

    fn with_mask(structure: &DependencyStructure, number: u16, mask: u32) -> Vec<u8> {
        let fields = DescriptorFields {
            frame_number: number,
            active_decode_targets: Some(mask),
            ..DescriptorFields::default()
        };
        let mut out = Vec::new();
        write_descriptor(&mut out, structure, &fields, &structure.templates()[1]).unwrap();
        out
    }

    #[test]
    fn three_bytes_are_enough_once_the_structure_is_known() {
        let structure = l1t3(60);
        let mut reader = DescriptorReader::default();
        assert_eq!(reader.structure(), None);
        // Start, no end, template 62 = third; frame 0x1235.
        let data = [0b10_111110, 0x12, 0x35];
        assert_eq!(reader.read(&data), Err(DescriptorError::NoStructure));
        let first = reader.read(&descriptor(&structure, 0, 0x1234, true)).unwrap();
        assert!(first.attached && first.frame.frame_diffs.is_empty());
        assert_eq!(first.resolution(), Some(Resolution { width: 640, height: 360 }));
        let second = reader.read(&data).unwrap();
        assert_eq!((second.start_of_frame, second.end_of_frame), (true, false));
        assert_eq!((second.frame_number, second.template_id), (0x1235, 62));
        assert_eq!(second.frame, frame((0, 1), &[N, D, S], &[2], &[2]));
        assert_eq!(second.active_decode_targets, 0b111);
        // The ids go on behind 63: 0 is that of the fifth and last.
        assert!(reader.read(&[0, 0x12, 0x36]).is_ok());
        assert_eq!(reader.read(&[1, 0x12, 0x36]), Err(DescriptorError::UnknownTemplate));
        assert_eq!(reader.structure(), Some(&structure));
    }

    #[test]
    fn short_elements_are_refused() {
        let mut reader = DescriptorReader::default();
        let whole = descriptor(&l1t3(0), 0, 1, true);
        for cut in 0..whole.len() {
            assert!(reader.read(&whole[..cut]).is_err(), "{cut}");
        }
        assert!(reader.read(&whole).is_ok());
    }

    /// The packet with the new structure is late: what belongs to the old frames is read by the old structure.
    #[test]
    fn packets_of_the_frames_before_a_new_structure_may_come_late() {
        // Both structures have the id 0, for frames of different layers.
        let old = l1t3(0);
        let new = DependencyStructure::new(0, 1, &[], &[frame((0, 0), &[R], &[3], &[])]).unwrap();
        let mut reader = DescriptorReader::default();
        reader.read(&descriptor(&old, 0, 100, true)).unwrap();
        reader.read(&descriptor(&new, 0, 105, true)).unwrap();
        assert_eq!(reader.read(&[2, 0, 104]).unwrap().frame, old.templates()[2]);
        assert_eq!(reader.read(&[0, 0, 105]).unwrap().frame, new.templates()[0]);
        assert_eq!(reader.read(&[0, 0, 106]).unwrap().frame, new.templates()[0]);
        assert_eq!(reader.read(&[2, 0, 106]), Err(DescriptorError::UnknownTemplate));
        // The packet with the new structure again, and once more one of the old frames.
        reader.read(&descriptor(&new, 0, 105, true)).unwrap();
        assert_eq!(reader.read(&[2, 0, 103]).unwrap().frame, old.templates()[2]);
    }

    /// The old structure comes after the new one.
    #[test]
    fn a_structure_that_comes_late_is_for_the_older_frames() {
        let (old, new) = (l1t3(0), l1t3(10));
        let mut reader = DescriptorReader::default();
        reader.read(&descriptor(&new, 0, 5, true)).unwrap();
        let late = reader.read(&descriptor(&old, 0, 65_530, true)).unwrap();
        assert_eq!(late.structure, &old);
        assert_eq!(reader.read(&[1, 0xff, 0xff]).unwrap().structure, &old);
        assert_eq!(reader.read(&[11, 0, 6]).unwrap().structure, &new);
        assert_eq!(reader.structure(), Some(&new));
    }

    /// Frame numbers wrap, gaps are long, and an encoder that starts anew may count from anywhere.
    #[test]
    fn a_structure_holds_however_far_the_numbers_go() {
        let structure = l1t3(0);
        let mut reader = DescriptorReader::default();
        reader.read(&descriptor(&l1t3(20), 0, 65_000, true)).unwrap();
        reader.read(&descriptor(&structure, 0, 0, true)).unwrap();
        let mut number = 0_u16;
        for _ in 0..30 {
            number = number.wrapping_add(7_000);
            let [high, low] = number.to_be_bytes();
            assert_eq!(reader.read(&[1, high, low]).unwrap().structure, &structure, "frame {number}");
        }
        let anew = l1t3(40);
        let before = number.wrapping_sub(20_000);
        reader.read(&descriptor(&anew, 0, before, true)).unwrap();
        let [high, low] = before.wrapping_add(1).to_be_bytes();
        assert_eq!(reader.read(&[41, high, low]).unwrap().structure, &anew);
    }

    /// §A.4: an update holds until the next one, in the order of sending; a new structure makes all active.
    #[test]
    fn active_decode_targets_are_kept() {
        let structure = l1t3(0);
        let mut reader = DescriptorReader::default();
        reader.read(&descriptor(&structure, 0, 10, true)).unwrap();
        assert_eq!(reader.read(&with_mask(&structure, 12, 0b011)).unwrap().active_decode_targets, 0b011);
        assert_eq!(reader.read(&[1, 0, 13]).unwrap().active_decode_targets, 0b011);
        // An earlier update that comes late is that packet's own.
        assert_eq!(reader.read(&with_mask(&structure, 11, 0b001)).unwrap().active_decode_targets, 0b001);
        assert_eq!(reader.read(&[1, 0, 14]).unwrap().active_decode_targets, 0b011);
        let anew = reader.read(&descriptor(&l1t3(5), 0, 15, true)).unwrap();
        assert_eq!(anew.active_decode_targets, 0b111);
    }

    /// §A.6, for two spatial layers of which the upper one is switched off.
    #[test]
    fn chains_are_active_with_their_targets() {
        let templates = [frame((0, 0), &[S, S], &[], &[0, 0]), frame((1, 0), &[N, R], &[1], &[1, 1])];
        let structure = DependencyStructure::new(0, 2, &[0, 1], &templates).unwrap();
        let mut reader = DescriptorReader::default();
        let base = reader.read(&descriptor(&structure, 0, 1, true)).unwrap();
        assert!(base.is_in_chain(0) && base.is_in_chain(1) && !base.is_in_chain(2));
        let upper = reader.read(&[1, 0, 2]).unwrap();
        assert!(!upper.is_in_chain(0) && upper.is_in_chain(1));
        let lower = reader.read(&with_mask(&structure, 3, 0b01)).unwrap();
        assert!(lower.is_chain_active(0) && !lower.is_chain_active(1) && !lower.is_in_chain(1));
    }

    /// Custom fields, bit by bit in the order of §A.8.2.
    #[test]
    fn custom_fields_are_those_of_the_appendix() {
        let structure = l1t3(0);
        let mut reader = DescriptorReader::default();
        reader.read(&descriptor(&structure, 0, 1, true)).unwrap();
        let data = bytes(
            "0 1 000011 0000000000000111 0 1 1 1 1 \
             101 \
             00 01 11 \
             01 0000 10 00010000 11 111111111111 00 \
             11001000",
        );
        let read = reader.read(&data).unwrap();
        assert_eq!(read.frame, frame((0, 2), &[N, D, R], &[1, 17, 4096], &[200]));
        assert_eq!((read.active_decode_targets, read.frame_number), (0b101, 7));
        assert!(read.end_of_frame && !read.start_of_frame && !read.attached);
        let references = bytes(&format!("00000000 0000000000000111 0 0 0 1 0 {}", "010000".repeat(17)));
        assert_eq!(reader.read(&references), Err(DecodeError::Malformed.into()));
    }
}
