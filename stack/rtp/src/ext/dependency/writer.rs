//! Writing: the template that says most, and the rest in custom fields.

use super::structure::write_indications;
use super::{DependencyStructure, FrameDependencies};
use crate::UseError;
use crate::bits::BitWriter;

/// Most bytes of an element: what the two-byte form can carry.
const MAX_LEN: usize = 255;

/// What a descriptor says besides the frame's dependencies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DescriptorFields {
    /// The packet is the first of its frame.
    pub start_of_frame: bool,
    /// The packet is the last of its frame.
    pub end_of_frame: bool,
    /// The frame's number in decode order, wrapping.
    pub frame_number: u16,
    /// Writes the structure too: in the first packet of a coded video sequence and nowhere else (§A.8.3).
    pub attach_structure: bool,
    /// Tells which decode targets can be had; target 0 is the lowest bit, and bits beyond the last are ignored.
    pub active_decode_targets: Option<u32>,
}

/// What a template does not say of a frame.
#[derive(Clone, Copy)]
struct Custom {
    indications: bool,
    frame_diffs: bool,
    chains: bool,
}

impl Custom {
    fn of(frame: &FrameDependencies, template: &FrameDependencies) -> Self {
        Self {
            indications: frame.indications != template.indications,
            frame_diffs: frame.frame_diffs != template.frame_diffs,
            chains: frame.chain_diffs != template.chain_diffs,
        }
    }

    const fn any(self) -> bool {
        self.indications || self.frame_diffs || self.chains
    }

    fn cost_bits(self, frame: &FrameDependencies, structure: &DependencyStructure) -> u32 {
        let diffs: u32 = frame.frame_diffs.iter().map(|diff| 2 + 4 * nibbles(*diff)).sum();
        u32::from(self.indications) * 2 * u32::from(structure.decode_targets())
            + u32::from(self.frame_diffs) * (diffs + 2)
            + u32::from(self.chains) * 8 * u32::from(structure.chains())
    }
}

/// How many groups of four bits a frame difference takes, 1 to 3.
const fn nibbles(diff: u16) -> u32 {
    match diff {
        0..=16 => 1,
        17..=256 => 2,
        _ => 3,
    }
}

/// Appends the data of an element. Of the templates of the frame's layer it names the one that leaves least to say, so
/// all packets of a frame name the same.
///
/// # Errors
/// [`UseError::Dependencies`] when the structure has no template of this layer, for frame differences other than 1 to
/// 4096, and when the chain differences are not one for each chain; [`UseError::ExtensionLength`] above 255 bytes.
/// Nothing is written on an error.
pub fn write_descriptor(
    out: &mut Vec<u8>,
    structure: &DependencyStructure,
    fields: &DescriptorFields,
    frame: &FrameDependencies,
) -> Result<(), UseError> {
    if frame.chain_diffs.len() != usize::from(structure.chains())
        || !frame.frame_diffs.iter().all(|diff| (1..=4096).contains(diff))
    {
        return Err(UseError::Dependencies);
    }
    let of_layer =
        structure.templates().iter().enumerate().filter(|(_, template)| template.layer == frame.layer);
    let with_custom = of_layer.map(|(at, template)| (at, Custom::of(frame, template)));
    let (at, custom) = with_custom
        .min_by_key(|(_, custom)| custom.cost_bits(frame, structure))
        .ok_or(UseError::Dependencies)?;
    // A structure makes all targets active, which need not be said twice.
    let active = fields
        .active_decode_targets
        .map(|mask| mask & structure.all_targets())
        .filter(|mask| !(fields.attach_structure && *mask == structure.all_targets()));
    let start = out.len();
    let mut bits = BitWriter::new(out);
    bits.flag(fields.start_of_frame);
    bits.flag(fields.end_of_frame);
    bits.bits(u32::from(structure.template_id_offset()) + at as u32, 6);
    bits.bits(fields.frame_number.into(), 16);
    if fields.attach_structure || active.is_some() || custom.any() {
        let flags = [
            fields.attach_structure,
            active.is_some(),
            custom.indications,
            custom.frame_diffs,
            custom.chains,
        ];
        flags.into_iter().for_each(|flag| bits.flag(flag));
        if fields.attach_structure {
            structure.write(&mut bits);
        }
        if let Some(mask) = active {
            bits.bits(mask, structure.decode_targets().into());
        }
        write_custom(&mut bits, structure, custom, frame);
    }
    if out.len() - start > MAX_LEN {
        out.truncate(start);
        return Err(UseError::ExtensionLength);
    }
    Ok(())
}

fn write_custom(
    bits: &mut BitWriter<'_>,
    structure: &DependencyStructure,
    custom: Custom,
    frame: &FrameDependencies,
) {
    if custom.indications {
        write_indications(bits, frame.indications, structure.decode_targets());
    }
    if custom.frame_diffs {
        for diff in frame.frame_diffs.iter() {
            bits.bits(nibbles(*diff), 2);
            bits.bits(u32::from(*diff) - 1, 4 * nibbles(*diff));
        }
        bits.bits(0, 2);
    }
    if custom.chains {
        frame.chain_diffs.iter().for_each(|diff| bits.bits((*diff).into(), 8));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{D, N, S, frame, l1t3};
    use super::*;

    fn write(frame: &FrameDependencies) -> Result<Vec<u8>, UseError> {
        let mut out = vec![0xee];
        let fields = DescriptorFields { frame_number: 0x0203, ..DescriptorFields::default() };
        let result = write_descriptor(&mut out, &l1t3(62), &fields, frame);
        assert!(result.is_ok() || out == [0xee], "nothing is written on an error");
        result.map(|()| out.split_off(1))
    }

    #[test]
    fn what_a_template_says_costs_three_bytes() {
        // The fifth template of ids from 62 on has the id 2.
        assert_eq!(write(&frame((0, 2), &[N, N, D], &[1], &[3])), Ok(vec![2, 2, 3]));
        assert_eq!(write(&frame((0, 0), &[S, S, S], &[], &[0])), Ok(vec![62, 2, 3]));
    }

    #[test]
    fn the_template_that_leaves_least_to_say_is_named() {
        // Against the fourth template the chain differs, against the fifth nothing but the references.
        let written = write(&frame((0, 2), &[N, N, D], &[2], &[3])).unwrap();
        assert_eq!(written[0], 2);
        assert_eq!(written.len(), 5, "five flags and eight bits of references");
    }

    #[test]
    fn what_the_structure_cannot_express_is_refused() {
        assert_eq!(write(&frame((1, 0), &[S, S, S], &[], &[0])), Err(UseError::Dependencies));
        assert_eq!(write(&frame((0, 0), &[S, S, S], &[0], &[0])), Err(UseError::Dependencies));
        assert_eq!(write(&frame((0, 0), &[S, S, S], &[4097], &[0])), Err(UseError::Dependencies));
        assert_eq!(write(&frame((0, 0), &[S, S, S], &[], &[])), Err(UseError::Dependencies));
    }

    #[test]
    fn an_element_has_at_most_255_bytes() {
        let template = frame((0, 0), &[S; 32], &[1; 16], &[1; 32]);
        let structure = DependencyStructure::new(0, 32, &[0; 32], &[template; 64]).unwrap();
        let fields = DescriptorFields { attach_structure: true, ..DescriptorFields::default() };
        let mut out = vec![7];
        let result = write_descriptor(&mut out, &structure, &fields, &template);
        assert_eq!((result, out), (Err(UseError::ExtensionLength), vec![7]));
    }
}
