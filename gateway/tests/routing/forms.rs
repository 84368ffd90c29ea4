//! Packets and frames: the same media in either form.

use std::time::Duration;

use tombolo_gateway::core::{Config, Form, LayerChoice, Output, Subscribe};
use tombolo_signaling::message::CodecName;

use crate::world::{BOTH, MS, World};

/// The other form is made while somebody wants it, once for all who do.
#[test]
fn the_other_form_is_made_once_and_goes_with_the_last_who_wants_it() {
    let mut world = World::new(Config::default());
    let packets = world.publish(Form::Packets, CodecName::Vp8, 1, true);
    let frames = world.publish(Form::Frames, CodecName::Vp8, 1, true);
    let same = [
        world.subscribe(packets, Form::Packets, LayerChoice::Highest),
        world.subscribe(frames, Form::Frames, LayerChoice::Highest),
    ];
    world.run(Duration::from_secs(1));
    let made = |world: &World| (world.core.stats().assemblers, world.core.stats().packetizers);
    assert_eq!(made(&world), (0, 0), "the same form passes as it is");
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(world.subscribe(packets, Form::Frames, LayerChoice::Highest));
        others.push(world.subscribe(frames, Form::Packets, LayerChoice::Highest));
        world.run(Duration::from_secs(1));
        assert_eq!(made(&world), (1, 1));
    }
    let expected = [(1, 1), (1, 1), (1, 1), (1, 1), (0, 1), (0, 0)];
    for (other, expected) in others.into_iter().zip(expected) {
        world.unsubscribe(other);
        assert_eq!(made(&world), expected);
    }
    world.run(Duration::from_secs(1));
    assert!(same.iter().all(|&viewer| world.viewers[&viewer].since(world.now - 40 * MS).count() > 0));
}

/// Frames made of packets carry the media time of their participant's one clock, sound and picture alike.
#[test]
fn sound_and_picture_of_a_packet_publisher_are_told_on_one_clock() {
    let mut world = World::new(Config::default());
    let person = world.join();
    let picture = world.publish_as(person, Form::Packets, CodecName::Vp8, 1, true);
    let sound = world.publish_as(person, Form::Packets, CodecName::Opus, 1, true);
    // The picture's encoder takes 45 ms longer, and the two RTP clocks have nothing in common.
    world.publishers[picture].latency = 45 * MS;
    world.publishers[picture].reports = true;
    world.publishers[sound].reports = true;
    world.publishers[sound].rtp_offset = 123_456_789;
    let pictures = world.subscribe(picture, Form::Frames, LayerChoice::Highest);
    let sounds = world.subscribe(sound, Form::Frames, LayerChoice::Highest);
    let packets = [
        world.subscribe(picture, Form::Packets, LayerChoice::Highest),
        world.subscribe(sound, Form::Packets, LayerChoice::Highest),
    ];
    world.run(Duration::from_secs(5));
    // Capture times are known here: media time less capture time is the same for both.
    let lag = |id, latency: Duration| {
        let shown = world.viewers[&id].shown.last().unwrap();
        let captured = shown.at - latency - world.start;
        shown.time - captured.as_micros() as i64
    };
    let apart = lag(pictures, 45 * MS) - lag(sounds, Duration::ZERO);
    assert!(apart.abs() <= 5_000, "{apart} µs");
    // So it is with the capture instants for sender reports to packet subscribers.
    let capture_lag = |id, latency: Duration| {
        let shown = world.viewers[&id].shown.last().unwrap();
        let captured = shown.at - latency;
        shown.capture.unwrap().duration_since(captured - Duration::from_secs(1)).as_micros() as i64
    };
    let apart = capture_lag(packets[0], 45 * MS) - capture_lag(packets[1], Duration::ZERO);
    assert!(apart.abs() <= 5_000, "{apart} µs");
}

/// Packets made of frames carry timestamps of the one clock that the publisher has.
#[test]
fn sound_and_picture_of_a_frame_publisher_keep_together_in_packets() {
    let mut world = World::new(Config::default());
    let person = world.join();
    let picture = world.publish_as(person, Form::Frames, CodecName::Vp8, 1, true);
    let sound = world.publish_as(person, Form::Frames, CodecName::Opus, 1, true);
    world.publishers[picture].latency = 45 * MS;
    let packets = [
        world.subscribe(picture, Form::Packets, LayerChoice::Highest),
        world.subscribe(sound, Form::Packets, LayerChoice::Highest),
    ];
    world.run(Duration::from_secs(5));
    let lag = |id, latency: Duration| {
        let shown = world.viewers[&id].shown.last().unwrap();
        shown.capture.unwrap().duration_since(shown.at - latency - Duration::from_secs(1)).as_micros() as i64
    };
    let apart = lag(packets[0], 45 * MS) - lag(packets[1], Duration::ZERO);
    assert!(apart.abs() <= 5_000, "{apart} µs");
    let ticks = |id| world.viewers[&id].shown.windows(2).map(|p| p[1].time - p[0].time).collect::<Vec<_>>();
    assert!(ticks(packets[1]).iter().all(|&ticks| ticks == 960));
    assert!(ticks(packets[0]).iter().all(|&ticks| ticks == 2970));
}

/// A sound packet is a frame is a group, and needs no keyframe.
#[test]
fn every_sound_packet_is_a_group() {
    for form in BOTH {
        let mut world = World::new(Config::default());
        let sound = world.publish(form, CodecName::Opus, 1, true);
        world.run(Duration::from_secs(1));
        let viewers = BOTH.map(|form| world.subscribe(sound, form, LayerChoice::Highest));
        world.run(Duration::from_secs(1));
        for viewer in viewers {
            let shown = &world.viewers[&viewer].shown;
            assert!((48..=50).contains(&shown.len()), "{}", shown.len());
            assert!(shown.iter().all(|shown| shown.keyframe));
        }
        assert_eq!(world.publishers[sound].layers[0].requests, 0);
    }
}

/// H.264 in every form: a byte stream with start codes as frames, whose keyframes begin with their parameter sets.
#[test]
fn h264_passes_in_both_forms() {
    for from in BOTH {
        let mut world = World::new(Config::default());
        let publisher = world.publish(from, CodecName::H264, 2, true);
        let viewers: Vec<_> = [(Form::Packets, 0), (Form::Frames, 0), (Form::Packets, 1), (Form::Frames, 1)]
            .into_iter()
            .map(|(to, layer)| world.subscribe(publisher, to, LayerChoice::Exact(layer)))
            .collect();
        world.run(Duration::from_secs(3));
        for viewer in viewers {
            let shown = &world.viewers[&viewer].shown;
            assert!(shown.len() > 80, "{from:?}: {}", shown.len());
        }
    }
}

/// A slow receiver drops to the next group, which costs the others a keyframe now and then, and nothing else.
#[test]
fn a_slow_receiver_changes_only_what_it_gets() {
    for (from, to) in
        [(Form::Packets, Form::Frames), (Form::Frames, Form::Frames), (Form::Frames, Form::Packets)]
    {
        let mut world = World::new(Config::default());
        let publisher = world.publish(from, CodecName::Vp8, 1, true);
        let quick = world.subscribe(publisher, to, LayerChoice::Highest);
        let slow = world.subscribe(publisher, to, LayerChoice::Highest);
        world.run(Duration::from_secs(1));
        let before = world.requests(publisher);
        for _ in 0..40 {
            world.core.resync(world.now, slow);
            world.run(250 * MS);
        }
        let shown = |id| world.viewers[&id].shown.len();
        assert!(world.viewers[&quick].shows_every_frame(), "{from:?} to {to:?}");
        assert!(shown(slow) < shown(quick) / 2);
        let asked = world.requests(publisher) - before;
        assert!((3..=6).contains(&asked), "{from:?} to {to:?}: {asked}");
    }
}

/// A receiver that gives up in the middle of a burst gets none of the rest of it.
#[test]
fn what_is_on_its_way_to_a_slow_receiver_is_taken_back() {
    for to in BOTH {
        let mut world = World::new(Config::default());
        let publisher = world.publish(Form::Frames, CodecName::Vp8, 1, false);
        let other = world.subscribe(publisher, to, LayerChoice::Highest);
        world.run(Duration::from_secs(2));
        let viewer = world.join();
        let wish = Subscribe { form: to, layer: LayerChoice::Highest, codecs: vec![CodecName::Vp8] };
        let track = world.publishers[publisher].track;
        let viewer = world.core.subscribe(world.now, viewer, track, wish).unwrap();
        world.core.request_keyframe(world.now, other);
        let mut of_viewer = 0;
        let mut of_other = 0;
        while let Some(output) = world.core.poll_output() {
            match output {
                Output::Packet { subscription, .. } | Output::Frame { subscription, .. } => {
                    of_viewer += u32::from(subscription == viewer);
                    of_other += u32::from(subscription == other);
                }
                _ => {}
            }
            if of_viewer == 5 {
                world.core.resync(world.now, viewer);
            }
        }
        assert_eq!(of_viewer, 5, "{to:?}");
        assert_eq!(of_other > 30, to == Form::Packets, "{to:?}: the other's burst is untouched");
    }
}

/// A frame over the bound ends the group, and the stream goes on with the next keyframe.
#[test]
fn a_frame_that_cannot_be_taken_is_a_gap_and_not_the_end() {
    let mut world = World::new(Config::default().max_frame_bytes(10_000));
    let publisher = world.publish(Form::Frames, CodecName::Vp8, 1, true);
    world.publishers[publisher].layers[0].bytes = 1000;
    let viewer = world.subscribe(publisher, Form::Frames, LayerChoice::Highest);
    world.run(Duration::from_secs(1));
    world.publishers[publisher].layers[0].bytes = 10_001;
    world.run(40 * MS);
    world.publishers[publisher].layers[0].bytes = 1000;
    let seen = world.viewers[&viewer].shown.len();
    world.run(Duration::from_secs(1));
    assert!(world.viewers[&viewer].shown.len() > seen + 20);
    assert!(world.viewers[&viewer].groups_ended >= 1);
    assert!(world.core.stats().dropped_frames >= 1);
    assert!(!world.events.iter().any(|event| matches!(event, Output::TrackEnded { .. })));
}
