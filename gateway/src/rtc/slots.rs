//! Which track stands in which slot of a viewer.
//!
//! A slot is a media section that the viewer only receives on. The client may choose a track for it or leave it
//! empty; every other slot takes the oldest track of its kind that no other slot shows. The first slot for sound and the
//! first for pictures are a pair, and so on: the tracks of one participant go into one pair where they can, since a
//! browser plays the tracks of a pair in step. A track that was refused (its codec cannot be received here) is not tried
//! again until the client offers anew.

use std::collections::HashSet;

use tombolo_signaling::MediaKind;

use super::command::SlotError;
use crate::core::{ParticipantId, TrackId};

/// The slots of one viewer.
#[derive(Debug, Default)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    refused: HashSet<TrackId>,
}

#[derive(Debug)]
struct Slot {
    mid: String,
    kind: MediaKind,
    /// How many slots of its kind come before it.
    pair: usize,
    wish: Wish,
    shows: Option<Candidate>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Anything,
    Track(TrackId),
    Nothing,
}

/// A slot that shows something else than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// The slot's media section.
    pub(super) mid: String,
    /// What it shows from now on.
    pub(super) shows: Option<Candidate>,
}

/// A track that a slot could show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Which.
    pub(super) track: TrackId,
    /// Who publishes it.
    pub(super) participant: ParticipantId,
    /// Sound or picture.
    pub(super) kind: MediaKind,
}

impl Slots {
    /// Takes the receiving sections of a new offer. A section that was a slot before stays as it is.
    pub(super) fn update(&mut self, sections: Vec<(String, MediaKind)>) {
        let mut before = std::mem::take(&mut self.slots);
        self.refused.clear();
        for (mid, kind) in sections {
            let pair = self.slots.iter().filter(|slot| slot.kind == kind).count();
            let known = before.iter().position(|slot| slot.mid == mid && slot.kind == kind);
            self.slots.push(match known {
                Some(index) => Slot { pair, ..before.swap_remove(index) },
                None => Slot { mid, kind, pair, wish: Wish::Anything, shows: None },
            });
        }
    }

    /// How many slots of its kind come before the slot; `None` where there is no such slot.
    pub(super) fn pair(&self, mid: &str) -> Option<usize> {
        self.slots.iter().find(|slot| slot.mid == mid).map(|slot| slot.pair)
    }

    /// What the client wants in a slot: a track, or nothing.
    ///
    /// # Errors
    /// There is no such slot, or the track is of the other kind.
    pub(super) fn choose(&mut self, mid: &str, track: Option<Candidate>) -> Result<(), SlotError> {
        let slot = self.slots.iter_mut().find(|slot| slot.mid == mid).ok_or(SlotError::UnknownSlot)?;
        if track.is_some_and(|track| track.kind != slot.kind) {
            return Err(SlotError::WrongKind);
        }
        slot.wish = track.map_or(Wish::Nothing, |track| Wish::Track(track.track));
        Ok(())
    }

    /// Notes that a track cannot be shown here.
    pub(super) fn refuse(&mut self, track: TrackId) {
        self.refused.insert(track);
    }

    /// Fills the slots from what others publish, oldest first, and tells which changed.
    pub(super) fn assign(&mut self, candidates: &[Candidate]) -> Vec<Change> {
        let before: Vec<_> = self.slots.iter().map(|slot| slot.shows).collect();
        self.refused.retain(|track| candidates.iter().any(|candidate| candidate.track == *track));
        let candidates: Vec<_> =
            candidates.iter().filter(|candidate| !self.refused.contains(&candidate.track)).copied().collect();
        for slot in &mut self.slots {
            slot.shows = match slot.wish {
                Wish::Anything => slot.shows.filter(|shown| candidates.contains(shown)),
                Wish::Track(track) => candidates.iter().find(|candidate| candidate.track == track).copied(),
                Wish::Nothing => None,
            };
        }
        // Pairs first; what is left over then goes wherever there is room.
        self.fill(&candidates, |participant, partner| partner.is_none_or(|other| other == participant));
        self.fill(&candidates, |_, _| true);
        let changed = self.slots.iter().zip(before).filter(|(slot, before)| slot.shows != *before);
        changed.map(|(slot, _)| Change { mid: slot.mid.clone(), shows: slot.shows }).collect()
    }

    /// Fills the empty slots with tracks whose participant suits the one that the other slot of the pair shows.
    fn fill(
        &mut self,
        candidates: &[Candidate],
        suits: impl Fn(ParticipantId, Option<ParticipantId>) -> bool,
    ) {
        for index in 0..self.slots.len() {
            let slot = &self.slots[index];
            if slot.shows.is_some() || slot.wish != Wish::Anything {
                continue;
            }
            let partner = self.slots.iter().find(|other| other.pair == slot.pair && other.kind != slot.kind);
            let partner = partner.and_then(|partner| partner.shows).map(|shown| shown.participant);
            let free = candidates.iter().find(|candidate| {
                candidate.kind == slot.kind
                    && suits(candidate.participant, partner)
                    && !self.slots.iter().any(|other| other.shows == Some(**candidate))
            });
            self.slots[index].shows = free.copied();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIDEO: MediaKind = MediaKind::Video;
    const AUDIO: MediaKind = MediaKind::Audio;

    fn track(track: u64, participant: u64, kind: MediaKind) -> Candidate {
        Candidate { track: TrackId(track), participant: ParticipantId(participant), kind }
    }

    fn slots(sections: &[(&str, MediaKind)]) -> Slots {
        let mut slots = Slots::default();
        slots.update(sections.iter().map(|&(mid, kind)| (mid.to_owned(), kind)).collect());
        slots
    }

    fn change(mid: &str, shows: Option<Candidate>) -> Change {
        Change { mid: mid.into(), shows }
    }

    #[test]
    fn the_oldest_tracks_come_first_and_each_once() {
        let mut slots = slots(&[("0", VIDEO), ("1", AUDIO), ("2", VIDEO)]);
        let others = [track(4, 1, VIDEO), track(5, 1, AUDIO), track(6, 2, VIDEO), track(7, 3, VIDEO)];
        let changes = slots.assign(&others);
        assert_eq!(
            changes,
            [change("0", Some(others[0])), change("1", Some(others[1])), change("2", Some(others[2]))]
        );
        assert_eq!(slots.assign(&others), []);
    }

    #[test]
    fn the_tracks_of_one_participant_go_into_one_pair() {
        let mut slots = slots(&[("v0", VIDEO), ("a0", AUDIO), ("v1", VIDEO), ("a1", AUDIO)]);
        let (mute, both_video, both_audio) = (track(4, 1, VIDEO), track(5, 2, VIDEO), track(6, 2, AUDIO));
        slots.assign(&[mute, both_video, both_audio]);
        assert_eq!(slots.slots[2].shows, Some(both_video));
        assert_eq!(slots.slots[3].shows, Some(both_audio));
        assert_eq!(slots.slots[1].shows, None);
        let radio = track(7, 3, AUDIO);
        assert_eq!(slots.assign(&[mute, both_video, both_audio, radio]), [change("a0", Some(radio))]);
    }

    #[test]
    fn a_track_that_ends_makes_room_for_the_next() {
        let mut slots = slots(&[("0", VIDEO)]);
        let (first, second) = (track(4, 1, VIDEO), track(5, 2, VIDEO));
        slots.assign(&[first, second]);
        assert_eq!(slots.assign(&[second]), [change("0", Some(second))]);
        assert_eq!(slots.assign(&[]), [change("0", None)]);
    }

    #[test]
    fn a_choice_wins_and_is_given_back_when_its_track_returns() {
        let mut slots = slots(&[("0", VIDEO), ("1", VIDEO)]);
        let both = [track(4, 1, VIDEO), track(5, 2, VIDEO)];
        slots.assign(&both);
        slots.choose("0", Some(both[1])).unwrap();
        slots.choose("1", None).unwrap();
        assert_eq!(slots.assign(&both), [change("0", Some(both[1])), change("1", None)]);
        assert_eq!(slots.assign(&both[..1]), [change("0", None)]);
        assert_eq!(slots.assign(&both), [change("0", Some(both[1]))]);
        assert_eq!(slots.choose("9", None), Err(SlotError::UnknownSlot));
        assert_eq!(slots.choose("0", Some(track(6, 2, AUDIO))), Err(SlotError::WrongKind));
    }

    #[test]
    fn a_refused_track_is_not_tried_again_until_the_next_offer() {
        let mut slots = slots(&[("0", VIDEO)]);
        let one = [track(4, 1, VIDEO)];
        slots.assign(&one);
        slots.refuse(TrackId(4));
        assert_eq!(slots.assign(&one), [change("0", None)]);
        assert_eq!(slots.assign(&one), []);
        slots.update(vec![("0".into(), VIDEO)]);
        assert_eq!(slots.assign(&one), [change("0", Some(one[0]))]);
    }

    #[test]
    fn a_slot_stays_what_it_was_over_an_offer() {
        let mut slots = slots(&[("0", VIDEO), ("1", VIDEO)]);
        let both = [track(4, 1, VIDEO), track(5, 2, VIDEO)];
        slots.assign(&both);
        slots.update(vec![("1".into(), VIDEO), ("2".into(), VIDEO)]);
        assert_eq!(slots.assign(&both), [change("2", Some(both[0]))]);
        assert_eq!(slots.pair("2"), Some(1));
    }
}
