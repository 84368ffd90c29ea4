//! Simulcast layers and slots: one continuous stream to each subscriber, whatever it is made of.

use std::time::Duration;

use tombolo_gateway::core::{Config, Form, LayerChoice, OutPacket, Output, SubscribeError};
use tombolo_net::Bitrate;
use tombolo_signaling::message::CodecName;

use crate::world::{MS, World};

fn assert_continuous(packets: &[OutPacket]) {
    for pair in packets.windows(2) {
        assert_eq!(pair[1].seq, pair[0].seq.next());
        let ticks = pair[1].timestamp.distance_from(pair[0].timestamp);
        assert!(ticks >= 0, "{ticks}");
        assert_eq!(ticks == 0, !pair[0].marker, "a frame ends with its marker");
    }
}

/// RTP-15: layers switched to and fro are one stream.
#[test]
fn rtp_15_a_layer_switch_is_seamless() {
    for form in [Form::Packets, Form::Frames] {
        let mut world = World::new(Config::default());
        let publisher = world.publish(form, CodecName::Vp8, 3, true);
        world.run(Duration::from_secs(1));
        let viewer = world.subscribe(publisher, Form::Packets, LayerChoice::Exact(0));
        for layer in [2, 0, 1, 2, 1, 0] {
            world.run(Duration::from_secs(2));
            world.core.set_layer(world.now, viewer, LayerChoice::Exact(layer)).unwrap();
            world.drain();
            let took =
                world.run_until(|world| world.core.subscription(viewer).unwrap().current == Some(layer));
            assert!(took <= 100 * MS, "{took:?}");
        }
        world.run(Duration::from_secs(1));
        assert_continuous(&world.viewers[&viewer].packets);
        let marks: Vec<_> = world.viewers[&viewer].shown.iter().map(|shown| shown.mark & 3).collect();
        assert!([0, 1, 2].iter().all(|mark| marks.contains(mark)));
        let gaps = world.viewers[&viewer].shown.windows(2).map(|pair| pair[1].at - pair[0].at).max().unwrap();
        assert!(gaps <= 34 * MS, "the old layer goes on until the new one begins: {gaps:?}");
    }
}

/// A slot that shows one person and then another is one stream as well, also across a time when it shows nobody.
#[test]
fn a_slot_goes_on_with_another_track() {
    let mut world = World::new(Config::default());
    let a = world.publish(Form::Packets, CodecName::Vp8, 1, true);
    let b = world.publish(Form::Frames, CodecName::Vp8, 1, false);
    world.publishers[b].gop = Some(40);
    world.run(Duration::from_secs(3));
    let slot = world.subscribe(a, Form::Packets, LayerChoice::Highest);
    world.run(Duration::from_secs(2));
    for publisher in [b, a, b] {
        let track = world.publishers[publisher].track;
        world.core.retarget(world.now, slot, Some(track)).unwrap();
        world.drain();
        world.run(Duration::from_secs(2));
        world.core.retarget(world.now, slot, None).unwrap();
        world.run(Duration::from_secs(1));
    }
    assert_continuous(&world.viewers[&slot].packets);
    let marks: std::collections::BTreeSet<_> =
        world.viewers[&slot].shown.iter().map(|shown| shown.mark).collect();
    assert_eq!(marks.len(), 2);
}

/// A track that ends leaves its subscription idle, and the stream can go on with another track.
#[test]
fn a_slot_survives_the_end_of_its_track() {
    let mut world = World::new(Config::default());
    let a = world.publish(Form::Packets, CodecName::Vp8, 1, true);
    let b = world.publish(Form::Packets, CodecName::Vp8, 1, true);
    let slot = world.subscribe(a, Form::Packets, LayerChoice::Highest);
    world.run(Duration::from_secs(1));
    let (track, other) = (world.publishers[a].track, world.publishers[b].track);
    world.core.unpublish(world.now, track);
    world.drain();
    assert!(world.events.contains(&Output::TrackEnded { subscription: slot, track }));
    assert_eq!(world.core.subscription(slot).unwrap().track, None);
    world.core.retarget(world.now, slot, Some(other)).unwrap();
    world.run(Duration::from_secs(1));
    assert_continuous(&world.viewers[&slot].packets);
    assert!(world.viewers[&slot].since(world.now - 40 * MS).count() > 0);
    assert_eq!(world.core.retarget(world.now, slot, Some(track)), Err(SubscribeError::UnknownTrack));
}

/// The highest layer is the highest that is sent, and changes with that.
#[test]
fn the_highest_layer_follows_what_the_publisher_sends() {
    let mut world = World::new(Config::default());
    let publisher = world.publish(Form::Packets, CodecName::Vp8, 3, true);
    world.publishers[publisher].layers[1].sends = false;
    world.publishers[publisher].layers[2].sends = false;
    let viewer = world.subscribe(publisher, Form::Packets, LayerChoice::Highest);
    let took = world.run_until(|world| world.shows(viewer));
    assert!(took < 700 * MS, "{took:?}");
    let current = |world: &World| world.core.subscription(viewer).unwrap().current;
    assert_eq!(current(&world), Some(0));
    world.publishers[publisher].layers[2].sends = true;
    world.run_until(|world| current(world) == Some(2));
    world.publishers[publisher].layers[2].sends = false;
    let took = world.run_until(|world| current(world) == Some(0));
    assert!(took < Duration::from_secs(4), "{took:?}");
}

/// A bound on the bit rate picks the highest layer below it.
#[test]
fn a_bit_rate_picks_a_layer() {
    let mut world = World::new(Config::default());
    // 1.5, 6 and 24 kB a frame: about 0.4, 1.5 and 6 Mb/s.
    let publisher = world.publish(Form::Packets, CodecName::Vp8, 3, true);
    world.run(Duration::from_secs(3));
    for (limit, layer) in [(100, 0), (1000, 0), (3000, 1), (20_000, 2)] {
        let choice = LayerChoice::UpTo(Bitrate::from_kbps(limit));
        let viewer = world.subscribe(publisher, Form::Packets, choice);
        world.run(Duration::from_secs(3));
        assert_eq!(world.core.subscription(viewer).unwrap().current, Some(layer), "{limit} kb/s");
    }
}

/// A layer that nobody wants is paused, and resumed for the first who does.
#[test]
fn unwanted_layers_are_paused_and_resumed() {
    let mut world = World::new(Config::default());
    let publisher = world.publish(Form::Packets, CodecName::Vp8, 2, true);
    let track = world.publishers[publisher].track;
    let viewer = world.subscribe(publisher, Form::Packets, LayerChoice::Exact(0));
    world.run(Duration::from_secs(10));
    assert_eq!(world.events.iter().filter(|event| matches!(event, Output::LayerPaused { .. })).count(), 1);
    assert!(world.events.contains(&Output::LayerPaused { track, layer: 1 }));
    world.publishers[publisher].layers[1].sends = false;
    // A paused layer counts as one that would come.
    world.core.set_layer(world.now, viewer, LayerChoice::Highest).unwrap();
    world.drain();
    assert!(world.events.contains(&Output::LayerResumed { track, layer: 1 }));
    world.publishers[publisher].layers[1].sends = true;
    world.run(200 * MS);
    assert_eq!(world.core.subscription(viewer).unwrap().current, Some(1));
    world.unsubscribe(viewer);
    world.run(Duration::from_secs(10));
    assert!(world.events.contains(&Output::LayerPaused { track, layer: 0 }));
    assert_eq!(world.core.poll_timeout(), None, "nothing is left to do");
}

/// What a receiver cannot decode is refused, in a way that can be told.
#[test]
fn a_codec_that_the_receiver_lacks_is_refused() {
    let mut world = World::new(Config::default());
    let publisher = world.publish(Form::Frames, CodecName::H264, 1, true);
    let viewer = world.join();
    let track = world.publishers[publisher].track;
    let wish = tombolo_gateway::core::Subscribe {
        form: Form::Packets,
        layer: LayerChoice::Highest,
        codecs: vec![CodecName::Vp8, CodecName::Opus],
    };
    assert_eq!(world.core.subscribe(world.now, viewer, track, wish.clone()), Err(SubscribeError::Codec));
    let wish = tombolo_gateway::core::Subscribe {
        codecs: vec![CodecName::H264],
        layer: LayerChoice::Exact(1),
        ..wish
    };
    assert_eq!(world.core.subscribe(world.now, viewer, track, wish), Err(SubscribeError::UnknownLayer));
    assert_eq!(world.core.stats().subscriptions, 0);
}
