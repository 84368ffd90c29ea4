//! Who is there: names, bounds, what everybody is told, and that nothing is left behind.

use std::time::Duration;

use tombolo_gateway::core::{
    Config, Form, JoinError, LayerChoice, Output, ParticipantInfo, PublishError, RosterChange, Stats,
    Subscribe, SubscribeError,
};
use tombolo_signaling::message::{CodecName, TransportKind};

use crate::world::{MS, World, name};

fn info(text: &str, visible: bool) -> ParticipantInfo {
    ParticipantInfo { name: name(text), transport: TransportKind::WebTransport, visible }
}

#[test]
fn everybody_else_is_told_who_comes_changes_and_goes() {
    let mut world = World::new(Config::default());
    let a = world.join();
    let observer = world.core.join(world.now, &name("c"), info("p1", false)).unwrap();
    let elsewhere = world.core.join(world.now, &name("d"), info("x", true)).unwrap();
    world.drain();
    world.events.clear();
    let publisher = world.publish(Form::Packets, CodecName::Vp8, 1, true);
    let (b, track) = (world.publishers[publisher].participant, world.publishers[publisher].track);
    world.core.unpublish(world.now, track);
    world.core.leave(world.now, b);
    world.drain();
    let told: Vec<_> = world
        .events
        .iter()
        .map(|event| match event {
            Output::Roster { to, change } => {
                let member = change.member();
                assert_eq!(member.participant, b);
                let what = match change {
                    RosterChange::Joined(_) => "joined",
                    RosterChange::Changed(_) => "changed",
                    RosterChange::Left(_) => "left",
                };
                (*to, what, member.tracks.len())
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let expected: Vec<_> = [("joined", 0), ("changed", 1), ("changed", 0), ("left", 0)]
        .into_iter()
        .flat_map(|(what, tracks)| [(a, what, tracks), (observer, what, tracks)])
        .collect();
    assert_eq!(told, expected);
    assert_eq!(world.core.others(observer).map(|member| member.participant).collect::<Vec<_>>(), [a]);
    assert_eq!(world.core.others(a).count(), 0, "observers are not told of");
    assert_eq!(world.core.others(elsewhere).count(), 0);
}

#[test]
fn names_are_unique_and_everything_is_bounded() {
    let config = Config::default()
        .max_channels(2)
        .max_participants(2)
        .max_tracks(1)
        .max_layers(2)
        .max_subscriptions(1);
    let mut world = World::new(config);
    let now = world.now;
    let mut join =
        |channel: &str, who: &str, visible| world.core.join(now, &name(channel), info(who, visible));
    let a = join("c", "a", true).unwrap();
    assert_eq!(join("c", "a", true), Err(JoinError::NameTaken));
    join("c", "a", false).unwrap();
    join("c", "b", true).unwrap();
    assert_eq!(join("c", "x", true), Err(JoinError::ChannelFull));
    let d = join("d", "a", true).unwrap();
    assert_eq!(join("e", "a", true), Err(JoinError::TooManyChannels));
    assert_eq!(world.core.stats().channels, 2);
    world.core.leave(now, d);
    assert_eq!(world.core.stats().channels, 1, "a channel goes with the last who leaves");
    world.core.join(now, &name("e"), info("a", true)).unwrap();

    let publisher = world.publish_as(a, Form::Packets, CodecName::Vp8, 1, true);
    let track = world.publishers[publisher].track;
    let more = tombolo_gateway::core::TrackInfo {
        label: String::new(),
        kind: tombolo_signaling::message::MediaKind::Video,
        codec: CodecName::Vp8,
        form: Form::Packets,
        layers: vec![],
        can_request_keyframe: true,
    };
    assert_eq!(world.core.publish(now, a, more), Err(PublishError::Limit));
    let wish = Subscribe { form: Form::Frames, layer: LayerChoice::Highest, codecs: vec![CodecName::Vp8] };
    let b = world.core.members(&name("c")).nth(1).unwrap().participant;
    world.core.subscribe(now, b, track, wish.clone()).unwrap();
    assert_eq!(world.core.subscribe(now, b, track, wish.clone()), Err(SubscribeError::Limit));
    let stranger = world.core.members(&name("e")).next().unwrap().participant;
    assert_eq!(world.core.subscribe(now, stranger, track, wish), Err(SubscribeError::UnknownTrack));
}

/// A thousand joins and leaves of publishers and viewers of both forms leave nothing behind.
#[test]
fn a_thousand_joins_and_leaves_leave_nothing() {
    let mut world = World::new(Config::default());
    for n in 0..1000 {
        let form = if n % 2 == 0 { Form::Packets } else { Form::Frames };
        let publisher = world.publish(form, CodecName::Vp8, 1 + n % 3, n % 5 != 0);
        let a = world.subscribe(publisher, Form::Packets, LayerChoice::Highest);
        let b = world.subscribe(publisher, Form::Frames, LayerChoice::Exact(0));
        world.run(if n % 50 == 0 { 100 * MS } else { 2 * MS });
        let person = world.publishers[publisher].participant;
        if n % 2 == 0 {
            world.core.leave(world.now, person);
        }
        for viewer in [a, b] {
            world.unsubscribe(viewer);
        }
        world.core.leave(world.now, person);
        world.core.leave(world.now, person);
        world.publishers.clear();
        world.drain();
        world.events.clear();
    }
    let Stats { channels, participants, tracks, subscriptions, assemblers, packetizers, kept_bytes, .. } =
        world.core.stats();
    assert_eq!(
        (channels, participants, tracks, subscriptions, assemblers, packetizers, kept_bytes),
        (0, 0, 0, 0, 0, 0, 0)
    );
    assert_eq!(world.core.poll_timeout(), None);
    assert!(world.core.poll_output().is_none());
    world.run(Duration::from_secs(1));
}
