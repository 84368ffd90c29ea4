//! What comes late from a publisher of frames: its road was away, and everything of that time arrives at once.

use std::time::Duration;

use tombolo_gateway::core::{Config, Form, LayerChoice, SubscriptionId};
use tombolo_signaling::message::CodecName;

use crate::world::{MS, Shown, World};

const OUTAGE: Duration = Duration::from_millis(1500);

/// A publisher of sound in frames, which has been at it for a while, and its viewer in packets.
fn sound() -> (World, usize, SubscriptionId) {
    let (mut world, publisher, viewer) = World::of_two(Form::Frames, CodecName::Opus, Form::Packets);
    world.run(Duration::from_secs(3));
    (world, publisher, viewer)
}

fn lag(shown: &Shown) -> Duration {
    shown.at.saturating_duration_since(shown.capture.expect("told by its packets"))
}

/// A receiver would play the late sound in full, and hold the pictures back for it.
#[test]
fn sound_that_comes_too_late_is_left_out_of_packets() {
    let (mut world, publisher, viewer) = sound();
    world.stall(publisher, OUTAGE);
    world.run(OUTAGE + Duration::from_secs(1));
    let shown = &world.viewers[&viewer].shown;
    assert!(shown.iter().all(|shown| lag(shown) <= 60 * MS), "{:?}", shown.iter().map(lag).max());
    assert!(world.viewers[&viewer].numbers_are_whole(), "nobody asks for what was left out");
    // The timestamps say what is missing, and nothing else is.
    let ticks: Vec<_> = shown.windows(2).map(|pair| (pair[1].time - pair[0].time, pair)).collect();
    let gaps: Vec<_> = ticks.iter().filter(|(ticks, _)| *ticks != 960).collect();
    let [(gap, pair)] = gaps[..] else { panic!("{gaps:?}") };
    assert!((1420..=1520).contains(&(gap / 48)), "{gap}");
    assert_eq!(gap / 960, i64::from(pair[1].number - pair[0].number));
    let stats = world.core.stats();
    assert_eq!(stats.dropped_late, u64::from(pair[1].number - pair[0].number - 1));
    assert_eq!(shown.last().unwrap().number, world.newest(publisher, 0));
}

/// Receivers of frames know media time and decide for themselves.
#[test]
fn sound_that_comes_late_is_complete_in_frames() {
    let (mut world, publisher, _) = sound();
    let viewer = world.subscribe(publisher, Form::Frames, LayerChoice::Highest);
    world.stall(publisher, OUTAGE);
    world.run(OUTAGE + Duration::from_secs(1));
    assert!(world.viewers[&viewer].shows_every_frame());
}

/// A pause that a receiver's buffer hides costs nothing.
#[test]
fn sound_that_comes_a_little_late_is_complete() {
    let (mut world, publisher, viewer) = sound();
    for _ in 0..5 {
        world.stall(publisher, 250 * MS);
        world.run(Duration::from_secs(1));
    }
    assert!(world.viewers[&viewer].shows_every_frame());
}

/// From now on everything takes 600 ms longer: that is no backlog.
#[test]
fn a_road_that_becomes_slower_for_good_is_heard_again_soon() {
    let (mut world, publisher, viewer) = sound();
    world.publishers[publisher].latency = 600 * MS;
    world.run(600 * MS);
    let took = world.run_until_shown(viewer);
    assert!(took <= 550 * MS, "{took:?}");
    world.run(Duration::from_secs(20));
    let dropped = world.core.stats().dropped_late;
    assert!(dropped <= 26, "{dropped}");
}

/// Clocks that run apart by 0.1 %, either way, for ten minutes: over half a second in all, and none of it is lateness.
#[test]
fn drift_of_the_publishers_clock_is_no_lateness() {
    for drift_ppm in [-1000, 1000] {
        let (mut world, publisher, viewer) = sound();
        world.publishers[publisher].drift_ppm = drift_ppm;
        world.run(Duration::from_secs(600));
        assert_eq!(world.core.stats().dropped_late, 0, "{drift_ppm}");
        assert_eq!(world.viewers[&viewer].shown.last().unwrap().number, world.newest(publisher, 0));
    }
}

/// Pictures that later ones depend on are forwarded however late they are. A receiver would take the delay of those of
/// the outage for that of the road, and hold back what comes after them, so that they are told as of their arrival.
#[test]
fn late_pictures_are_all_there_and_told_as_of_their_arrival() {
    let mut world = World::new(Config::default());
    let person = world.join();
    let picture = world.publish_as(person, Form::Frames, CodecName::Vp8, 1, true);
    let sound = world.publish_as(person, Form::Frames, CodecName::Opus, 1, true);
    let pictures = world.subscribe(picture, Form::Packets, LayerChoice::Highest);
    let sounds = world.subscribe(sound, Form::Packets, LayerChoice::Highest);
    world.run(Duration::from_secs(3));
    let before = world.viewers[&pictures].shown.len();
    world.stall(picture, OUTAGE);
    world.stall(sound, OUTAGE);
    world.run(OUTAGE + Duration::from_secs(1));
    assert!(world.viewers[&pictures].shows_every_frame());
    let shown = &world.viewers[&pictures].shown;
    // To the receiver: a silence, frames of one instant, and then those of the same distance as ever, none of them late.
    let first = shown[0];
    let arrival = |shown: &Shown| (shown.at - first.at).as_micros() as i64 * 9 / 100;
    let late: Vec<_> = shown.iter().map(|shown| arrival(shown) - (shown.time - first.time)).collect();
    assert!(late.iter().all(|ticks| (-90..=60 * 90).contains(ticks)), "{late:?}");
    let distances: Vec<_> = shown.windows(2).map(|pair| pair[1].time - pair[0].time).collect();
    assert!(distances[before..].iter().filter(|&&ticks| ticks == 1).count() > 40, "{distances:?}");
    assert!(distances[distances.len() - 25..].iter().all(|&ticks| ticks == 2970), "{distances:?}");
    // So that sender reports say the same of the clock as before.
    let clock = |shown: &Shown| shown.capture.unwrap() - Duration::from_micros((shown.time * 100 / 9) as u64);
    let (least, most) = (shown.iter().map(clock).min().unwrap(), shown.iter().map(clock).max().unwrap());
    assert!(most - least <= 2 * MS, "{:?}", most - least);
    let (picture, sound) = (shown.last().unwrap(), world.viewers[&sounds].shown.last().unwrap());
    assert!(lag(picture) <= MS && lag(sound) <= MS, "{:?} {:?}", lag(picture), lag(sound));
}

/// Pictures that always take longer than the sound, by a second, keep their own times.
#[test]
fn pictures_that_are_always_later_than_the_sound_are_not_late() {
    let mut world = World::new(Config::default());
    let person = world.join();
    let picture = world.publish_as(person, Form::Frames, CodecName::Vp8, 1, true);
    let sound = world.publish_as(person, Form::Frames, CodecName::Opus, 1, true);
    world.publishers[picture].latency = Duration::from_secs(1);
    let pictures = world.subscribe(picture, Form::Packets, LayerChoice::Highest);
    let sounds = world.subscribe(sound, Form::Packets, LayerChoice::Highest);
    let took = world.run_until(|world| world.shows(pictures));
    assert!(took < Duration::from_secs(2), "{took:?}");
    world.run(Duration::from_secs(2));
    let since = world.now;
    world.run(Duration::from_secs(20));
    let steady = |id, ticks| {
        let shown: Vec<_> = world.viewers[&id].since(since).collect();
        shown.len() > 500 && shown.windows(2).all(|pair| pair[1].time - pair[0].time == ticks)
    };
    assert!(steady(pictures, 2970) && steady(sounds, 960));
    let (picture, sound) =
        (world.viewers[&pictures].shown.last().unwrap(), world.viewers[&sounds].shown.last().unwrap());
    assert!(lag(picture) > 900 * MS && lag(sound) < 10 * MS);
}
