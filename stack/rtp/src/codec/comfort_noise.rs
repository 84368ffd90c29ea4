//! Comfort noise (RFC 3389): how loud the silence is, and its colour.
//!
//! `[0 level 7 | reflection coefficient*]`

use crate::DecodeError;

/// Most coefficients that are read and written; the rest of a longer list is left out, as RFC 3389 §3 allows.
pub const MAX_COEFFICIENTS: usize = 32;

/// A payload of comfort noise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ComfortNoise {
    level: u8,
    coefficients: [u8; MAX_COEFFICIENTS],
    count: u8,
}

impl ComfortNoise {
    /// White noise of `level` dB below overload: 0..=127, cut to that.
    #[must_use]
    pub fn new(level: u8) -> Self {
        Self { level: level.min(127), coefficients: [0; MAX_COEFFICIENTS], count: 0 }
    }

    /// With the spectrum of an all-pole filter: its reflection coefficients, each cut to -1.0..=1.0. Past 32 they are left
    /// out.
    #[must_use]
    pub fn with_reflection(mut self, coefficients: &[f32]) -> Self {
        self.count = coefficients.len().min(MAX_COEFFICIENTS) as u8;
        for (byte, &coefficient) in self.coefficients.iter_mut().zip(coefficients) {
            // RFC 3389 §3.2: the byte is 127 for 0, in steps of 258 / 32768. NaN becomes 0, as a cast has it.
            let steps = (coefficient.clamp(-1.0, 1.0) * 32768.0 / 258.0).round();
            *byte = (127 + steps as i32).clamp(0, 254) as u8;
        }
        self
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] for an empty one, [`DecodeError::Malformed`] when the first bit is set.
    pub fn parse(payload: &[u8]) -> Result<Self, DecodeError> {
        let (&level, rest) = payload.split_first().ok_or(DecodeError::Truncated)?;
        if level > 127 {
            return Err(DecodeError::Malformed);
        }
        let rest = &rest[..rest.len().min(MAX_COEFFICIENTS)];
        let mut noise = Self::new(level);
        noise.coefficients[..rest.len()].copy_from_slice(rest);
        noise.count = rest.len() as u8;
        Ok(noise)
    }

    /// Appends the payload.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(self.level);
        out.extend_from_slice(&self.coefficients[..usize::from(self.count)]);
    }

    /// The level, in dB below overload: 0..=127.
    #[must_use]
    pub const fn level(&self) -> u8 {
        self.level
    }

    /// The reflection coefficients, in -1.0..=1.0; none for white noise.
    pub fn reflection(&self) -> impl Iterator<Item = f32> + '_ {
        let quantized = &self.coefficients[..usize::from(self.count)];
        // 255 is reserved; it reads as the largest.
        quantized.iter().map(|&byte| (258.0 * (f32::from(byte.min(254)) - 127.0) / 32768.0).clamp(-1.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn level_and_spectrum_are_read_and_written() {
        let noise = ComfortNoise::new(53).with_reflection(&[0.0, 1.0, -1.0, 0.5, f32::NAN]);
        let mut payload = Vec::new();
        noise.write(&mut payload);
        assert_eq!(payload, [53, 127, 254, 0, 191, 127]);
        let read = ComfortNoise::parse(&payload).unwrap();
        assert_eq!((read, read.level()), (noise, 53));
        let coefficients: Vec<f32> = read.reflection().collect();
        assert_eq!((coefficients[0], coefficients[1], coefficients[2]), (0.0, 0.999_938_96, -0.999_938_96));
        assert!((coefficients[3] - 0.5).abs() < 0.005);
        assert_eq!(ComfortNoise::new(200).level(), 127);
        assert_eq!(ComfortNoise::parse(&[7]).unwrap().reflection().count(), 0);
    }

    #[test]
    fn empty_payloads_and_levels_out_of_range_are_refused() {
        assert_eq!(ComfortNoise::parse(&[]), Err(DecodeError::Truncated));
        assert_eq!(ComfortNoise::parse(&[0x80, 1]), Err(DecodeError::Malformed));
        assert_eq!(ComfortNoise::parse(&[1; 100]).unwrap().reflection().count(), MAX_COEFFICIENTS);
    }

    proptest! {
        #[test]
        fn spectra_round_trip(level in 0u8..=127, coefficients in proptest::collection::vec(-1.0f32..=1.0, 0..32)) {
            let mut payload = Vec::new();
            ComfortNoise::new(level).with_reflection(&coefficients).write(&mut payload);
            let read = ComfortNoise::parse(&payload).unwrap();
            prop_assert_eq!(read.reflection().count(), coefficients.len());
            for (read, told) in read.reflection().zip(coefficients) {
                prop_assert!((read - told).abs() <= 258.0 / 65536.0 + 1e-4);
            }
        }
    }
}
