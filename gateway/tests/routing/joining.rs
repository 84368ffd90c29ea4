//! Joining shows live pictures, fast, and costs the publisher little.

use std::time::Duration;

use tombolo_gateway::core::{Config, Form, LayerChoice};
use tombolo_signaling::message::CodecName;

use crate::world::{BOTH, MS, World, from_each_to_each};

/// Every form to every form, to a publisher that can be asked: a fresh keyframe within a few frames, however old
/// the call is, also after nobody watched for half a minute.
#[test]
fn a_joiner_sees_a_live_picture_soon() {
    for (from, to) in from_each_to_each() {
        let mut world = World::new(Config::default());
        let publisher = world.publish(from, CodecName::Vp8, 1, true);
        world.run(Duration::from_secs(30));
        for _ in 0..3 {
            let newest = world.newest(publisher, 0);
            let viewer = world.subscribe(publisher, to, LayerChoice::Highest);
            let took = world.run_until(|world| world.shows(viewer));
            assert!(took <= 70 * MS, "{from:?} to {to:?}: {took:?}");
            let first = world.viewers[&viewer].shown[0];
            assert!(first.keyframe && first.number > newest, "{from:?} to {to:?}: not the old picture");
            world.run(Duration::from_secs(2));
            assert_eq!(world.viewers[&viewer].shown.last().unwrap().number, world.newest(publisher, 0));
            world.unsubscribe(viewer);
            world.run(Duration::from_secs(30));
        }
        assert_eq!(world.requests(publisher), 3);
    }
}

/// A second joiner of either form does not get the group that the first one is in.
#[test]
fn a_second_joiner_starts_with_a_fresh_keyframe_too() {
    for (from, to) in from_each_to_each() {
        let mut world = World::new(Config::default());
        let publisher = world.publish(from, CodecName::Vp8, 1, true);
        let first = world.subscribe(publisher, to, LayerChoice::Highest);
        world.run(Duration::from_secs(3));
        let newest = world.newest(publisher, 0);
        let second = world.subscribe(publisher, to, LayerChoice::Highest);
        let took = world.run_until(|world| world.shows(second));
        assert!(took <= 70 * MS, "{from:?} to {to:?}: {took:?}");
        assert!(world.viewers[&second].shown[0].number > newest);
        assert!(world.shows(first));
    }
}

/// A publisher that cannot be asked: everything since the last keyframe comes at once, and then it is live.
#[test]
fn a_joiner_catches_up_at_once_where_nobody_can_be_asked() {
    for to in BOTH {
        let mut world = World::new(Config::default());
        let publisher = world.publish(Form::Frames, CodecName::Vp8, 1, false);
        world.publishers[publisher].gop = Some(60);
        world.run(33 * MS * 90 + 10 * MS);
        let newest = world.newest(publisher, 0);
        assert_ne!(newest % 60, 0, "in the middle of a group");
        let viewer = world.subscribe(publisher, to, LayerChoice::Highest);
        let shown = &world.viewers[&viewer].shown;
        assert_eq!((shown[0].number % 60, shown.last().unwrap().number), (0, newest), "{to:?}: at once");
        world.run(Duration::from_secs(3));
        let shown = &world.viewers[&viewer].shown;
        assert!(shown.windows(2).all(|pair| pair[1].number == pair[0].number + 1), "{to:?}: whole");
        assert_eq!(world.requests(publisher), 0);
        assert_eq!(world.core.stats().kept_groups_sent, 1);
    }
}

/// To a packet subscriber the burst ends where the stream goes on; to a frame subscriber times are true.
#[test]
fn a_burst_is_timed_so_that_it_ends_live() {
    let mut world = World::new(Config::default());
    let publisher = world.publish(Form::Frames, CodecName::Vp8, 1, false);
    world.run(33 * MS * 50 + 10 * MS);
    let packets = world.subscribe(publisher, Form::Packets, LayerChoice::Highest);
    let frames = world.subscribe(publisher, Form::Frames, LayerChoice::Highest);
    let burst = world.viewers[&packets].shown.len();
    assert_eq!(burst, world.viewers[&frames].shown.len());
    world.run(Duration::from_secs(1));
    let times = |id| world.viewers[&id].shown.iter().map(|shown| shown.time).collect::<Vec<_>>();
    let distances: Vec<_> = times(packets).windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(distances[..burst - 1].iter().all(|&ticks| ticks == 1), "{distances:?}");
    assert!(distances[burst - 1..].iter().all(|&ticks| ticks == 2970), "{distances:?}");
    assert!(times(frames).windows(2).all(|pair| pair[1] - pair[0] == 33_000));
}

/// The kept group of a publisher that has fallen silent is an old picture, and shown to nobody.
#[test]
fn a_picture_that_is_not_live_is_not_shown() {
    for to in BOTH {
        let mut world = World::new(Config::default());
        let publisher = world.publish(Form::Frames, CodecName::Vp8, 1, false);
        world.run(Duration::from_secs(1));
        world.publishers[publisher].blackout = true;
        world.run(Duration::from_secs(2));
        let viewer = world.subscribe(publisher, to, LayerChoice::Highest);
        assert!(!world.shows(viewer), "{to:?}");
    }
}

/// A keyframe request that cannot be passed on is answered from the kept group, and not too often.
#[test]
fn feedback_about_a_publisher_that_cannot_be_asked_is_answered_from_the_kept_group() {
    let mut world = World::new(Config::default());
    let publisher = world.publish(Form::Frames, CodecName::Vp8, 1, false);
    let viewer = world.subscribe(publisher, Form::Packets, LayerChoice::Highest);
    world.run(Duration::from_secs(3));
    let before = world.viewers[&viewer].packets.len();
    for _ in 0..50 {
        world.core.request_keyframe(world.now, viewer);
    }
    let stats = world.core.stats();
    assert_eq!(stats.kept_groups_sent, 1);
    let mut numbers = Vec::new();
    while let Some(output) = world.core.poll_output() {
        if let tombolo_gateway::core::Output::Packet { packet, .. } = output {
            numbers.push((packet.seq, packet.timestamp));
        }
    }
    let last = &world.viewers[&viewer].packets[before - 1];
    assert_eq!(numbers[0].0, last.seq.next());
    assert!(numbers[0].1.is_newer_than(last.timestamp));
    assert!(numbers.len() > before / 2);
}

/// A publisher of packets that never answers is treated as one that cannot be asked, once that is known.
#[test]
fn a_publisher_that_does_not_listen_is_found_out() {
    for to in BOTH {
        let mut world = World::new(Config::default());
        let publisher = world.publish(Form::Packets, CodecName::Vp8, 1, true);
        world.publishers[publisher].answers = None;
        world.publishers[publisher].gop = Some(100);
        world.run(Duration::from_secs(1));
        for _ in 0..2 {
            let viewer = world.subscribe(publisher, to, LayerChoice::Highest);
            world.run(33 * MS * 100);
            world.unsubscribe(viewer);
        }
        world.run(33 * MS * 40);
        let viewer = world.subscribe(publisher, to, LayerChoice::Highest);
        assert!(world.shows(viewer), "{to:?}: from the kept group");
        world.run(Duration::from_secs(4));
        assert_eq!(world.viewers[&viewer].shown.last().unwrap().number, world.newest(publisher, 0));
    }
}

/// A hundred joiners of both forms within two seconds, each with feedback of its own.
#[test]
fn a_storm_of_joiners_costs_the_publisher_its_budget_and_no_more() {
    let mut world = World::new(Config::default());
    let publisher = world.publish(Form::Packets, CodecName::Vp8, 1, true);
    world.publishers[publisher].layers[0].bytes = 4000;
    world.run(Duration::from_secs(5));
    let mut viewers = Vec::new();
    for n in 0..100 {
        viewers.push(world.subscribe(publisher, BOTH[n % 2], LayerChoice::Highest));
        for &viewer in &viewers {
            world.core.request_keyframe(world.now, viewer);
        }
        world.run(20 * MS);
    }
    world.run(Duration::from_secs(3));
    let requests = world.requests(publisher);
    assert!((2..=12).contains(&requests), "{requests}");
    assert!(viewers.iter().all(|&viewer| world.shows(viewer)));
    let stats = world.core.stats();
    assert!(stats.keyframes_wanted > 1000);
    assert_eq!(stats.keyframes_asked, u64::from(requests));
}

/// A request that is lost is repeated until a keyframe comes.
#[test]
fn a_lost_request_is_repeated() {
    let mut world = World::new(Config::default());
    let publisher = world.publish(Form::Packets, CodecName::Vp8, 1, true);
    world.publishers[publisher].answers = None;
    world.run(Duration::from_secs(1));
    let viewer = world.subscribe(publisher, Form::Packets, LayerChoice::Highest);
    world.run(500 * MS);
    assert_eq!(world.requests(publisher), 2);
    assert!(!world.shows(viewer));
    world.publishers[publisher].answers = Some(20 * MS);
    let took = world.run_until(|world| world.shows(viewer));
    assert!(took < 250 * MS, "{took:?}");
}

/// While frames are wanted of a publisher that can be asked, no group goes on without end.
#[test]
fn groups_are_bounded_while_frames_are_wanted() {
    for from in BOTH {
        let (mut world, _, viewer) = World::of_two(from, CodecName::Vp8, Form::Frames);
        world.run(Duration::from_secs(60));
        let keyframes: Vec<_> = world.viewers[&viewer]
            .shown
            .iter()
            .filter(|shown| shown.keyframe)
            .map(|shown| shown.at)
            .collect();
        assert!((7..=9).contains(&keyframes.len()), "{from:?}: {}", keyframes.len());
        assert!(keyframes.windows(2).all(|pair| pair[1] - pair[0] < Duration::from_millis(8200)));
        assert_eq!(world.core.stats().kept_bytes, 0);
    }
}

/// What is kept of a publisher that never makes a keyframe is bounded, and then given up.
#[test]
fn kept_groups_are_bounded() {
    let mut world = World::new(Config::default().kept_bytes(100_000));
    let publisher = world.publish(Form::Frames, CodecName::Vp8, 1, false);
    for _ in 0..100 {
        world.run(50 * MS);
        assert!(world.core.stats().kept_bytes <= 100_000);
    }
    let viewer = world.subscribe(publisher, Form::Packets, LayerChoice::Highest);
    world.run(Duration::from_secs(1));
    assert!(!world.shows(viewer), "nothing that could be decoded is left");
    world.publishers[publisher].gop = Some(10);
    world.run(Duration::from_secs(1));
    assert!(world.shows(viewer));
}

/// A publisher that stops sending while nobody watches sends its whole group first when somebody does again. Nobody
/// is shown that as live: a fresh keyframe comes, or the group is sent on once it ends live.
#[test]
fn an_old_group_after_a_pause_is_not_live() {
    for (to, can_ask) in BOTH.into_iter().flat_map(|to| [(to, true), (to, false)]) {
        let mut world = World::new(Config::default());
        let publisher = world.publish(Form::Frames, CodecName::Vp8, 1, can_ask);
        world.publishers[publisher].on_demand = true;
        world.publishers[publisher].gop = (!can_ask).then_some(100);
        world.run(33 * MS * 1080);
        assert!(!world.publishers[publisher].layers[0].sends, "nobody wants it");
        let newest = world.newest(publisher, 0);
        let asked = world.now;
        let viewer = world.subscribe(publisher, to, LayerChoice::Highest);
        world.run_until(|world| world.viewers[&viewer].shown.iter().any(|shown| shown.number > newest));
        let took = world.now - asked;
        assert!(took <= 100 * MS, "{to:?} {can_ask}: {took:?}");
        let first = world.viewers[&viewer].shown[0];
        if can_ask {
            assert!(first.number > newest, "{to:?}: starts with the fresh keyframe");
        } else {
            assert_eq!(first.number % 100, 0);
            let burst: Vec<_> =
                world.viewers[&viewer].shown.iter().filter(|shown| shown.number < newest).collect();
            assert!(burst.iter().all(|shown| shown.at == first.at), "{to:?}: all at once");
            if to == Form::Packets {
                assert!(burst.windows(2).all(|pair| pair[1].time - pair[0].time == 1), "squeezed");
            }
        }
        world.run(Duration::from_secs(2));
        assert_eq!(world.viewers[&viewer].shown.last().unwrap().number, world.newest(publisher, 0));
    }
}

/// A receiver that is not connected yet costs the publisher nothing, and starts at once when it is.
#[test]
fn a_held_subscription_starts_when_it_is_released() {
    for (from, to) in from_each_to_each() {
        let mut world = World::new(Config::default());
        let publisher = world.publish(from, CodecName::Vp8, 1, true);
        let viewer = world.subscribe_held(publisher, to);
        world.run(Duration::from_secs(3));
        world.core.request_keyframe(world.now, viewer);
        world.core.resync(world.now, viewer);
        world.run(Duration::from_secs(7));
        assert!(!world.shows(viewer), "{from:?} to {to:?}");
        assert_eq!(world.requests(publisher), 0);
        assert_eq!(world.core.stats().assemblers + world.core.stats().packetizers, 0);
        world.core.release(world.now, viewer);
        world.drain();
        let took = world.run_until(|world| world.shows(viewer));
        assert!(took <= 70 * MS, "{from:?} to {to:?}: {took:?}");
        assert_eq!(world.requests(publisher), 1);
    }
}

/// Ten joins, one after the other and each soon after the last: none has to wait for the budget.
#[test]
fn joins_in_a_row_are_all_quick() {
    for to in BOTH {
        let mut world = World::new(Config::default());
        let publisher = world.publish(Form::Packets, CodecName::Vp8, 1, true);
        world.run(Duration::from_secs(12));
        for n in 0..10 {
            let viewer = world.subscribe(publisher, to, LayerChoice::Highest);
            let took = world.run_until(|world| world.shows(viewer));
            assert!(took <= 100 * MS, "{to:?} {n}: {took:?}");
            // A receiver's own request for what it gets anyway.
            world.core.request_keyframe(world.now, viewer);
            world.run(1200 * MS);
            world.unsubscribe(viewer);
        }
    }
}

/// Requests begin to reach a publisher while somebody waits: it is asked at once.
#[test]
fn who_waits_is_asked_for_once_requests_reach_the_publisher() {
    for (from, to) in from_each_to_each() {
        for lost_track in [false, true] {
            let mut world = World::new(Config::default().kept_bytes(100));
            let publisher = world.publish(from, CodecName::Vp8, 1, false);
            world.run(Duration::from_secs(1));
            let viewer = world.subscribe(publisher, to, LayerChoice::Highest);
            world.run(Duration::from_secs(1));
            assert!(!world.shows(viewer), "nothing is kept that it could start with");
            if lost_track {
                let track = world.publishers[publisher].track;
                world.core.push_gap(world.now, track, 0);
                world.core.resync(world.now, viewer);
            }
            world.set_can_request_keyframe(publisher, true);
            assert_eq!(world.requests(publisher), 1, "{from:?} to {to:?}");
            let took = world.run_until(|world| world.shows(viewer));
            assert!(took <= 70 * MS, "{from:?} to {to:?}: {took:?}");
        }
    }
}

/// A receiver that lost its picture while nobody could be asked is not forgotten.
#[test]
fn feedback_that_nobody_could_answer_is_passed_on_later() {
    let mut world = World::new(Config::default().kept_bytes(20_000));
    let publisher = world.publish(Form::Frames, CodecName::Vp8, 1, false);
    let viewer = world.subscribe(publisher, Form::Packets, LayerChoice::Highest);
    world.run(Duration::from_secs(5));
    assert!(world.shows(viewer));
    world.core.request_keyframe(world.now, viewer);
    world.drain();
    world.set_can_request_keyframe(publisher, true);
    assert_eq!(world.requests(publisher), 1);
}

/// What is kept of a publisher while it cannot be asked has no hole from when it could.
#[test]
fn a_group_that_was_not_kept_in_between_is_not_shown() {
    for (from, to) in from_each_to_each() {
        let mut world = World::new(Config::default());
        let publisher = world.publish(from, CodecName::Vp8, 1, false);
        let early = world.subscribe(publisher, to, LayerChoice::Highest);
        world.run(Duration::from_secs(1));
        for can in [true, false] {
            world.set_can_request_keyframe(publisher, can);
            world.run(200 * MS);
        }
        // `Viewer::show` looks at what it gets.
        let viewer = world.subscribe(publisher, to, LayerChoice::Highest);
        world.run(200 * MS);
        assert!(!world.shows(viewer) && world.shows(early), "{from:?} to {to:?}");
        assert_eq!(world.core.stats().kept_bytes, 0);
    }
}

/// A publisher that was found not to listen, and then says that it does, is believed.
#[test]
fn a_publisher_that_begins_to_listen_is_asked() {
    let mut world = World::new(Config::default());
    let publisher = world.publish(Form::Frames, CodecName::Vp8, 1, true);
    world.publishers[publisher].answers = None;
    world.run(Duration::from_secs(1));
    let deaf = world.subscribe(publisher, Form::Frames, LayerChoice::Highest);
    world.run(Duration::from_secs(5));
    world.unsubscribe(deaf);
    world.set_can_request_keyframe(publisher, false);
    world.publishers[publisher].answers = Some(20 * MS);
    world.publishers[publisher].gop = Some(30);
    world.run(Duration::from_secs(2));
    world.set_can_request_keyframe(publisher, true);
    let newest = world.newest(publisher, 0);
    let viewer = world.subscribe(publisher, Form::Frames, LayerChoice::Highest);
    world.run_until(|world| world.shows(viewer));
    assert!(world.viewers[&viewer].shown[0].number > newest, "not from the kept group");
}
