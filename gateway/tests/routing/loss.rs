//! Loss and outages on the way in: nothing broken is shown, and a clean picture comes soon.

use std::time::Duration;

use tombolo_gateway::core::{Config, Form, LayerChoice};
use tombolo_signaling::message::CodecName;

use crate::world::{BOTH, MS, World};

/// A second and a half without any packet, in the middle of a group.
#[test]
fn after_an_outage_a_clean_picture_comes_soon() {
    for to in BOTH {
        let (mut world, publisher, viewer) = World::of_two(Form::Packets, CodecName::Vp8, to);
        world.run(Duration::from_secs(5));
        let before = world.requests(publisher);
        world.black_out(publisher, 1500 * MS);
        let end = world.now;
        let took = world.run_until_shown(viewer);
        assert!(took <= 150 * MS, "{to:?}: {took:?}");
        assert_eq!(world.requests(publisher), before + 1);
        world.run(Duration::from_secs(1));
        assert!(world.viewers[&viewer].since(end).count() > 25);
        if to == Form::Packets {
            let whole = world.viewers[&viewer].numbers_are_whole();
            assert!(whole, "what will not come leaves no hole that a receiver asks for");
        } else {
            assert_eq!(world.viewers[&viewer].groups_ended, 1);
        }
    }
}

/// Sound goes on with the first packet after an outage.
#[test]
fn after_an_outage_sound_goes_on_at_once() {
    for to in BOTH {
        let (mut world, publisher, viewer) = World::of_two(Form::Packets, CodecName::Opus, to);
        world.run(Duration::from_secs(1));
        world.black_out(publisher, 1500 * MS);
        let took = world.run_until_shown(viewer);
        assert!(took <= 21 * MS, "{to:?}: {took:?}");
    }
}

/// A packet that no retransmission brings: the group ends, a keyframe is asked for, and nothing broken is shown.
#[test]
fn a_lost_packet_ends_the_group_and_a_keyframe_is_asked_for() {
    let (mut world, publisher, viewer) = World::of_two(Form::Packets, CodecName::Vp8, Form::Frames);
    world.run(Duration::from_secs(1));
    let asked = world.requests(publisher);
    world.publishers[publisher].lose = |seq| seq == 70_100;
    world.run(Duration::from_secs(3));
    assert_eq!(world.viewers[&viewer].groups_ended, 1);
    assert_eq!(world.requests(publisher), asked + 1);
    let shown = &world.viewers[&viewer].shown;
    let pause = shown.windows(2).map(|pair| pair[1].at - pair[0].at).max().unwrap();
    assert!(pause < 400 * MS, "{pause:?}");
    assert!(world.core.stats().gaps >= 1);
}

/// One packet in twenty is lost for good: viewers of frames see whole pictures all the same.
#[test]
fn nothing_broken_is_shown_under_steady_loss() {
    let (mut world, publisher, viewer) = World::of_two(Form::Packets, CodecName::Vp8, Form::Frames);
    world.publishers[publisher].lose = |seq| seq.wrapping_mul(0x9e37_79b9) >> 8 & 31 == 7;
    world.run(Duration::from_secs(20));
    // `Viewer::show` has looked at each of them.
    assert!(world.viewers[&viewer].shown.len() > 50, "{}", world.viewers[&viewer].shown.len());
}

/// A gap that a publisher of frames has on its way in.
#[test]
fn a_gap_in_frames_waits_for_the_next_keyframe() {
    for to in BOTH {
        let (mut world, publisher, viewer) = World::of_two(Form::Frames, CodecName::Vp8, to);
        world.run(Duration::from_secs(1));
        world.black_out(publisher, 200 * MS);
        let track = world.publishers[publisher].track;
        world.core.push_gap(world.now, track, 0);
        world.drain();
        let took = world.run_until_shown(viewer);
        assert!(took <= 70 * MS, "{to:?}: {took:?}");
    }
}

/// The leg says that a lost packet will not be retransmitted: nobody waits for it.
#[test]
fn word_of_a_loss_ends_the_wait_for_it() {
    let (mut world, publisher, viewer) = World::of_two(Form::Packets, CodecName::Vp8, Form::Frames);
    world.run(Duration::from_secs(1));
    let asked = world.requests(publisher);
    world.publishers[publisher].lose = |seq| seq == 70_100;
    world.run_until(|world| world.viewers[&viewer].since(world.now - 60 * MS).count() == 0);
    let track = world.publishers[publisher].track;
    world.core.push_loss(world.now, track, 0, tombolo_net::ExtSeqNo(70_100));
    world.drain();
    assert_eq!(world.requests(publisher), asked + 1);
    assert_eq!(world.viewers[&viewer].groups_ended, 1);
}

/// Retransmissions and reorder: late packets find their place in both forms, also those that begin a keyframe.
#[test]
fn late_packets_find_their_place() {
    for to in BOTH {
        let mut world = World::new(Config::default());
        let publisher = world.publish(Form::Packets, CodecName::Vp8, 1, true);
        world.publishers[publisher].gop = Some(17);
        world.publishers[publisher].delay = |seq| if seq % 3 == 0 { 15 * MS } else { Duration::ZERO };
        world.run(Duration::from_secs(1));
        for _ in 0..5 {
            let viewer = world.subscribe(publisher, to, LayerChoice::Highest);
            world.run(Duration::from_secs(2));
            assert!(world.viewers[&viewer].shown.len() > 50);
            assert!(world.viewers[&viewer].shows_every_frame(), "{to:?}");
            world.unsubscribe(viewer);
        }
        assert_eq!(world.core.stats().gaps, 0);
    }
}

/// Packets of padding alone leave no hole behind.
#[test]
fn padding_is_left_out() {
    for to in BOTH {
        let mut world = World::new(Config::default());
        let publisher = world.publish(Form::Packets, CodecName::Vp8, 1, true);
        world.publishers[publisher].pads = true;
        let viewer = world.subscribe(publisher, to, LayerChoice::Highest);
        world.run(Duration::from_secs(2));
        assert!(world.viewers[&viewer].shown.len() > 55);
        assert!(world.viewers[&viewer].numbers_are_whole());
        assert!(world.core.stats().padding_in > 50);
        assert_eq!(world.core.stats().gaps, 0);
    }
}
