//! The structure that the descriptors of a stream refer to (§A.8.2, `template_dependency_structure`).

use super::{
    ChainDiffs, FrameDependencies, FrameDiffs, Indication, Indications, List, MAX_DECODE_TARGETS,
    MAX_TEMPLATES,
};
use crate::bits::{BitReader, BitWriter};
use crate::{DecodeError, UseError};

const MAX_SPATIAL: usize = 4;
const MAX_TEMPORAL: u8 = 8;

/// A spatial and a temporal layer, both from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Layer {
    /// 0 to 3.
    pub spatial: u8,
    /// 0 to 7.
    pub temporal: u8,
}

/// The largest picture of a spatial layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resolution {
    /// In pixels, 1 to 65536.
    pub width: u32,
    /// In pixels, 1 to 65536.
    pub height: u32,
}

/// How a stream is layered: the templates of its frames, its decode targets and the chains that protect them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DependencyStructure {
    template_id_offset: u8,
    decode_targets: u8,
    chains: u8,
    templates: Vec<FrameDependencies>,
    /// Empty without chains, else one for each decode target.
    protected_by: List<u8, MAX_DECODE_TARGETS>,
    /// One for each decode target; derived from the templates (`decode_target_layers`).
    target_layers: List<Layer, MAX_DECODE_TARGETS>,
    /// Empty, or one for each spatial layer.
    resolutions: List<Resolution, MAX_SPATIAL>,
}

/// The step from one template's layer to the next (table A.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum NextLayer {
    Same,
    NextTemporal,
    NextSpatial,
    End,
}

impl NextLayer {
    const fn from_bits(bits: u32) -> Self {
        match bits {
            0 => Self::Same,
            1 => Self::NextTemporal,
            2 => Self::NextSpatial,
            _ => Self::End,
        }
    }

    fn between(from: Layer, to: Layer) -> Option<Self> {
        [Self::Same, Self::NextTemporal, Self::NextSpatial]
            .into_iter()
            .find(|step| step.after(from) == Some(to))
    }

    /// Where the step leads, if that is a layer.
    fn after(self, layer: Layer) -> Option<Layer> {
        let next = match self {
            Self::Same => layer,
            Self::NextTemporal => Layer { temporal: layer.temporal + 1, ..layer },
            Self::NextSpatial => Layer { spatial: layer.spatial + 1, temporal: 0 },
            Self::End => return None,
        };
        (usize::from(next.spatial) < MAX_SPATIAL && next.temporal < MAX_TEMPORAL).then_some(next)
    }
}

impl DependencyStructure {
    /// A structure without resolutions. `templates` are in the order of their ids, from `template_id_offset` (0 to 63,
    /// wrapping) on; `decode_targets` is 1 to 32; `protected_by` names the chain of each decode target, and is empty
    /// without chains. A new structure of the same stream shall have ids that the one before it does not have
    /// (§A.8.3).
    ///
    /// # Errors
    /// [`UseError::Dependencies`] for numbers out of range; for none or more than 64 templates; when the templates do
    /// not begin with layer 0/0 and go on in steps of one temporal or one spatial layer; for frame differences other
    /// than 1 to 16 and chain differences above 15; when the templates do not have the same number of chains, at most
    /// `decode_targets`.
    pub fn new(
        template_id_offset: u8,
        decode_targets: u8,
        protected_by: &[u8],
        templates: &[FrameDependencies],
    ) -> Result<Self, UseError> {
        let targets = usize::from(decode_targets);
        let chains = templates.first().map_or(0, |first| first.chain_diffs.len());
        let protection = if chains == 0 { 0 } else { targets };
        let mut layer = Layer::default();
        let in_steps = templates.iter().enumerate().all(|(at, template)| {
            let from = std::mem::replace(&mut layer, template.layer);
            if at == 0 { layer == from } else { NextLayer::between(from, layer).is_some() }
        });
        let good = usize::from(template_id_offset) < MAX_TEMPLATES
            && (1..=MAX_DECODE_TARGETS).contains(&targets)
            && (1..=MAX_TEMPLATES).contains(&templates.len())
            && in_steps
            && chains <= targets
            && protected_by.len() == protection
            && protected_by.iter().all(|chain| usize::from(*chain) < chains)
            && templates.iter().all(|template| {
                template.chain_diffs.len() == chains
                    && template.chain_diffs.iter().all(|diff| *diff < 16)
                    && template.frame_diffs.iter().all(|diff| (1..=16).contains(diff))
            });
        if !good {
            return Err(UseError::Dependencies);
        }
        let mut structure = Self {
            template_id_offset,
            decode_targets,
            chains: chains as u8,
            templates: templates.to_vec(),
            protected_by: List::new(protected_by)?,
            ..Self::default()
        };
        structure.find_target_layers();
        Ok(structure)
    }

    /// The same with the largest picture of each spatial layer.
    ///
    /// # Errors
    /// [`UseError::Dependencies`] unless there is one for each spatial layer, of 1 to 65536 pixels both ways.
    pub fn with_resolutions(mut self, resolutions: &[Resolution]) -> Result<Self, UseError> {
        let pixels = 1..=0x1_0000;
        let good = resolutions.len() == self.spatial_layers()
            && resolutions.iter().all(|size| pixels.contains(&size.width) && pixels.contains(&size.height));
        if !good {
            return Err(UseError::Dependencies);
        }
        self.resolutions = List::new(resolutions)?;
        Ok(self)
    }

    /// The id of the first template, 0 to 63.
    #[must_use]
    pub const fn template_id_offset(&self) -> u8 {
        self.template_id_offset
    }

    /// The templates in the order of their ids, 1 to 64.
    #[must_use]
    pub fn templates(&self) -> &[FrameDependencies] {
        &self.templates
    }

    /// The template with this id.
    #[must_use]
    pub fn template(&self, id: u8) -> Option<&FrameDependencies> {
        self.templates.get(usize::from(id.wrapping_sub(self.template_id_offset) & 0x3f))
    }

    /// How many decode targets there are, 1 to 32.
    #[must_use]
    pub const fn decode_targets(&self) -> u8 {
        self.decode_targets
    }

    /// The mask of all decode targets; target 0 is the lowest bit.
    #[must_use]
    pub const fn all_targets(&self) -> u32 {
        ((1_u64 << self.decode_targets) - 1) as u32
    }

    /// The highest layers that belong to a decode target.
    #[must_use]
    pub fn target_layer(&self, target: usize) -> Option<Layer> {
        self.target_layers.get(target).copied()
    }

    /// How many chains there are, 0 to 32.
    #[must_use]
    pub const fn chains(&self) -> u8 {
        self.chains
    }

    /// The chain that protects a decode target, if there are chains.
    #[must_use]
    pub fn protecting_chain(&self, target: usize) -> Option<u8> {
        self.protected_by.get(target).copied()
    }

    /// The largest picture of a spatial layer, if it is told.
    #[must_use]
    pub fn resolution(&self, spatial: u8) -> Option<Resolution> {
        self.resolutions.get(usize::from(spatial)).copied()
    }

    fn spatial_layers(&self) -> usize {
        // The templates go upwards in spatial layers.
        self.templates.last().map_or(0, |last| usize::from(last.layer.spatial) + 1)
    }

    /// `decode_target_layers()`.
    fn find_target_layers(&mut self) {
        self.target_layers = List::default();
        for target in 0..usize::from(self.decode_targets) {
            let mut highest = Layer::default();
            for template in &self.templates {
                if template.indications.get(target) != Indication::NotPresent {
                    highest.spatial = highest.spatial.max(template.layer.spatial);
                    highest.temporal = highest.temporal.max(template.layer.temporal);
                }
            }
            self.target_layers.push(highest);
        }
    }

    /// Reads `template_dependency_structure()` in place of what is there, whose memory is used again. After an error
    /// there is nothing of use.
    pub(super) fn read(&mut self, bits: &mut BitReader<'_>) -> Result<(), DecodeError> {
        self.template_id_offset = bits.bits(6)? as u8;
        self.decode_targets = bits.bits(5)? as u8 + 1;
        self.read_layers(bits)?;
        for template in &mut self.templates {
            template.indications = read_indications(bits, self.decode_targets)?;
        }
        for template in &mut self.templates {
            template.frame_diffs = FrameDiffs::default();
            while bits.flag()? {
                let diff = bits.bits(4)? as u16 + 1;
                if !template.frame_diffs.push(diff) {
                    return Err(DecodeError::Malformed);
                }
            }
        }
        self.read_chains(bits)?;
        self.find_target_layers();
        self.resolutions = List::default();
        if bits.flag()? {
            for _ in 0..self.spatial_layers() {
                let (width, height) = (bits.bits(16)? + 1, bits.bits(16)? + 1);
                self.resolutions.push(Resolution { width, height });
            }
        }
        Ok(())
    }

    fn read_layers(&mut self, bits: &mut BitReader<'_>) -> Result<(), DecodeError> {
        self.templates.clear();
        let mut layer = Layer::default();
        loop {
            if self.templates.len() == MAX_TEMPLATES {
                return Err(DecodeError::Malformed);
            }
            self.templates.push(FrameDependencies { layer, ..FrameDependencies::default() });
            let step = NextLayer::from_bits(bits.bits(2)?);
            if step == NextLayer::End {
                return Ok(());
            }
            layer = step.after(layer).ok_or(DecodeError::Malformed)?;
        }
    }

    fn read_chains(&mut self, bits: &mut BitReader<'_>) -> Result<(), DecodeError> {
        self.chains = bits.non_symmetric(u32::from(self.decode_targets) + 1)? as u8;
        self.protected_by = List::default();
        if self.chains == 0 {
            return Ok(());
        }
        for _ in 0..self.decode_targets {
            self.protected_by.push(bits.non_symmetric(self.chains.into())? as u8);
        }
        for template in &mut self.templates {
            template.chain_diffs = read_chain_diffs(bits, self.chains, 4)?;
        }
        Ok(())
    }

    /// Appends `template_dependency_structure()`.
    pub(super) fn write(&self, bits: &mut BitWriter<'_>) {
        bits.bits(self.template_id_offset.into(), 6);
        bits.bits(u32::from(self.decode_targets) - 1, 5);
        for pair in self.templates.windows(2) {
            // A structure is made of steps only.
            let step = NextLayer::between(pair[0].layer, pair[1].layer).unwrap_or(NextLayer::Same);
            bits.bits(step as u32, 2);
        }
        bits.bits(NextLayer::End as u32, 2);
        for template in &self.templates {
            write_indications(bits, template.indications, self.decode_targets);
        }
        for template in &self.templates {
            for diff in template.frame_diffs.iter() {
                bits.flag(true);
                bits.bits(u32::from(*diff) - 1, 4);
            }
            bits.flag(false);
        }
        bits.non_symmetric(self.chains.into(), u32::from(self.decode_targets) + 1);
        if self.chains > 0 {
            for chain in self.protected_by.iter() {
                bits.non_symmetric((*chain).into(), self.chains.into());
            }
            for diff in self.templates.iter().flat_map(|template| template.chain_diffs.iter()) {
                bits.bits((*diff).into(), 4);
            }
        }
        bits.flag(!self.resolutions.is_empty());
        for size in self.resolutions.iter() {
            bits.bits(size.width - 1, 16);
            bits.bits(size.height - 1, 16);
        }
    }
}

/// Two bits for each decode target.
pub(super) fn read_indications(
    bits: &mut BitReader<'_>,
    decode_targets: u8,
) -> Result<Indications, DecodeError> {
    let first = u32::from(decode_targets.min(16)) * 2;
    let second = u32::from(decode_targets.saturating_sub(16)) * 2;
    let high = u64::from(bits.bits(first)?) << (64 - first);
    let low = u64::from(bits.bits(second)?) << (32 - second);
    Ok(Indications { bits: high | low })
}

pub(super) fn write_indications(bits: &mut BitWriter<'_>, indications: Indications, decode_targets: u8) {
    for target in 0..usize::from(decode_targets) {
        bits.bits(indications.get(target) as u32, 2);
    }
}

/// One difference of `width` bits for each chain.
pub(super) fn read_chain_diffs(
    bits: &mut BitReader<'_>,
    chains: u8,
    width: u32,
) -> Result<ChainDiffs, DecodeError> {
    let mut diffs = ChainDiffs::default();
    for _ in 0..chains {
        diffs.push(bits.bits(width)? as u8);
    }
    Ok(diffs)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{D, N, R, S, bytes, frame, l1t3};
    use super::*;

    fn written(structure: &DependencyStructure) -> Vec<u8> {
        let mut out = Vec::new();
        structure.write(&mut BitWriter::new(&mut out));
        out
    }

    fn read(data: &[u8]) -> Result<DependencyStructure, DecodeError> {
        let mut structure = DependencyStructure::default();
        structure.read(&mut BitReader::new(data)).map(|()| structure)
    }

    /// Two templates, two decode targets, one chain, one size, bit by bit in the order of §A.8.2.
    #[test]
    fn the_syntax_is_that_of_the_appendix() {
        // One chain of at most two is "10", and a choice of one takes no bits.
        let data = bytes(
            "000101 00001 \
             01 11 \
             10 11 00 01 \
             0 1 0011 1 1111 0 \
             10 0000 0111 \
             1 0000001001111111 0000000101100111",
        );
        let templates = [frame((0, 0), &[S, R], &[], &[0]), frame((0, 1), &[N, D], &[4, 16], &[7])];
        let structure = DependencyStructure::new(5, 2, &[0, 0], &templates)
            .and_then(|structure| structure.with_resolutions(&[Resolution { width: 640, height: 360 }]))
            .unwrap();
        assert_eq!(read(&data), Ok(structure.clone()));
        assert_eq!(written(&structure), data);
        assert_eq!(structure.target_layer(0), Some(Layer { spatial: 0, temporal: 0 }));
        assert_eq!(structure.target_layer(1), Some(Layer { spatial: 0, temporal: 1 }));
        assert_eq!(structure.target_layer(2), None);
        assert_eq!((structure.protecting_chain(1), structure.protecting_chain(2)), (Some(0), None));
        assert_eq!(structure.resolution(1), None);
    }

    #[test]
    fn ids_wrap_at_64() {
        let structure = l1t3(62);
        assert_eq!(structure.template(62), structure.templates().first());
        assert_eq!(structure.template(2), structure.templates().last());
        assert_eq!(structure.template(3), None);
        assert_eq!(structure.template(61), None);
    }

    #[test]
    fn every_cut_is_refused() {
        let data = written(&l1t3(0));
        for cut in 0..data.len() {
            assert_eq!(read(&data[..cut]), Err(DecodeError::Truncated), "{cut}");
        }
    }

    /// Layers and templates without end, and more references than are kept.
    #[test]
    fn growth_has_bounds() {
        let many = |step: &str, times: usize| bytes(&format!("000000 00000 {}", step.repeat(times)));
        assert_eq!(read(&many("01", 90)), Err(DecodeError::Malformed), "temporal layers");
        assert_eq!(read(&many("10", 90)), Err(DecodeError::Malformed), "spatial layers");
        assert_eq!(read(&many("00", 90)), Err(DecodeError::Malformed), "templates");
        let references = bytes(&format!("000000 00000 11 00 {}", "10000".repeat(17)));
        assert_eq!(read(&references), Err(DecodeError::Malformed));
    }

    #[test]
    fn impossible_structures_are_not_made() {
        let good = frame((0, 0), &[S], &[], &[]);
        let bad = |offset, targets, protected: &[u8], templates: &[FrameDependencies]| {
            let made = DependencyStructure::new(offset, targets, protected, templates);
            assert_eq!(made, Err(UseError::Dependencies));
        };
        bad(64, 1, &[], &[good]);
        bad(0, 0, &[], &[good]);
        bad(0, 33, &[], &[good]);
        bad(0, 1, &[], &[]);
        bad(0, 1, &[], &[good; 65]);
        bad(0, 1, &[], &[frame((0, 1), &[S], &[], &[])]);
        bad(0, 1, &[], &[good, frame((0, 2), &[S], &[], &[])]);
        bad(0, 1, &[], &[good, frame((1, 1), &[S], &[], &[])]);
        bad(0, 1, &[], &[frame((0, 0), &[S], &[0], &[])]);
        bad(0, 1, &[], &[frame((0, 0), &[S], &[17], &[])]);
        let chained = frame((0, 0), &[S], &[], &[3]);
        bad(0, 1, &[], &[chained]);
        bad(0, 1, &[1], &[chained]);
        bad(0, 1, &[0], &[good]);
        bad(0, 1, &[0], &[chained, good]);
        bad(0, 1, &[0], &[frame((0, 0), &[S], &[], &[16])]);
        bad(0, 1, &[0], &[frame((0, 0), &[S], &[], &[1, 1])]);
        let plain = || DependencyStructure::new(0, 1, &[0], &[chained]).unwrap();
        let zero = Resolution { width: 0, height: 1 };
        assert_eq!(plain().with_resolutions(&[]), Err(UseError::Dependencies));
        assert_eq!(plain().with_resolutions(&[zero]), Err(UseError::Dependencies));
    }

    #[test]
    fn thirty_two_decode_targets_fit() {
        let all = [D, S, R, N].repeat(8);
        let structure = DependencyStructure::new(0, 32, &[], &[frame((0, 0), &all, &[], &[])]).unwrap();
        assert_eq!(structure.all_targets(), u32::MAX);
        assert_eq!(read(&written(&structure)), Ok(structure));
    }
}
