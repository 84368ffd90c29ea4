use super::*;
use crate::test_clock::at;

fn video(stream: u32, packet: u32) -> Outgoing<u32> {
    Outgoing { stream: Ssrc(stream), class: Class::Video, size_bytes: 1000, packet }
}

/// Polls at each timeout up to `until`; what left when.
fn run(pacer: &mut Pacer<u32>, until: u64) -> Vec<(u64, u32)> {
    let mut left = Vec::new();
    while let Some(due) = pacer.poll_timeout().filter(|due| *due <= at(until)) {
        let before = left.len();
        while let Some(released) = pacer.poll(due) {
            let Release::Packet { packet, .. } = released.what else { panic!("padding without a probe") };
            left.push((due.duration_since(at(0)).as_millis() as u64, packet));
        }
        assert!(left.len() > before, "a timeout at which nothing leaves");
    }
    left
}

fn pacer(kbps: u64) -> Pacer<u32> {
    let mut pacer = Pacer::new(PacerConfig::default().factor(1.0).max_wait(Duration::from_secs(60)));
    pacer.set_rate(Bitrate::from_kbps(kbps));
    pacer
}

#[test]
fn a_frame_leaves_at_the_rate_in_batches() {
    let mut pacer = pacer(8000); // A packet of 1000 bytes is a millisecond.
    for n in 0..100 {
        pacer.enqueue(at(0), video(1, n)).unwrap();
    }
    let left = run(&mut pacer, 1000);
    assert!(left.iter().map(|(_, packet)| *packet).eq(0..100), "in order");
    let end = left[99].0;
    assert!((85..=95).contains(&end), "100 ms but for the bursts at both ends: {end}");
    let instants: std::collections::BTreeSet<_> = left.iter().map(|(ms, _)| ms).collect();
    assert!(instants.len() <= 21, "in batches of 5: {}", instants.len());
    for window in left.windows(20) {
        assert!(window[19].0 - window[0].0 >= 8, "never much faster than the rate: {window:?}");
    }
}

#[test]
fn sound_does_not_wait_and_what_it_takes_is_taken_from_the_rest() {
    let mut pacer = pacer(8000);
    for n in 0..50 {
        pacer.enqueue(at(0), video(1, n)).unwrap();
    }
    run(&mut pacer, 10);
    let sound = Outgoing { stream: Ssrc(2), class: Class::Audio, size_bytes: 20_000, packet: 99 };
    pacer.enqueue(at(11), sound).unwrap();
    let left = run(&mut pacer, 11);
    assert_eq!(left.last(), Some(&(11, 99)));
    let next = run(&mut pacer, 1000)[0].0;
    assert!(next >= 25, "20 ms of sound: {next}");
}

#[test]
fn a_keyframe_goes_before_others_and_takes_what_waits_before_it_along() {
    let mut pacer = pacer(8000);
    for n in 0..20 {
        pacer.enqueue(at(0), video(1, n)).unwrap();
    }
    pacer.enqueue(at(0), video(2, 100)).unwrap();
    pacer.enqueue(at(0), Outgoing { class: Class::Keyframe, ..video(2, 101) }).unwrap();
    pacer.enqueue(at(0), video(2, 102)).unwrap();
    let again = Outgoing { class: Class::Retransmission, ..video(3, 200) };
    pacer.enqueue(at(0), again).unwrap();
    let left: Vec<u32> = run(&mut pacer, 1000).iter().map(|(_, packet)| *packet).collect();
    assert_eq!(left[..3], [200, 100, 101]);
    assert_eq!(left.len(), 24);
}

#[test]
fn streams_take_turns_by_bytes() {
    let mut pacer = pacer(8000);
    for n in 0..40 {
        pacer.enqueue(at(0), video(1, n)).unwrap();
        pacer.enqueue(at(0), Outgoing { size_bytes: 250, ..video(2, 100 + n) }).unwrap();
    }
    let left = run(&mut pacer, 1000);
    let first = left[..25].iter().filter(|(_, packet)| *packet < 100).count();
    assert!((4..=6).contains(&first), "a large one to four small ones: {first} of 25");
}

#[test]
fn what_takes_too_long_leaves_faster_and_what_does_not_fit_is_handed_back() {
    let config = PacerConfig::default().max_wait(Duration::from_millis(500)).max_bytes(200_000);
    let mut pacer = Pacer::new(config);
    pacer.set_rate(Bitrate::from_kbps(100));
    let refused = (0..300).filter(|&n| pacer.enqueue(at(0), video(1, n)).is_err()).count();
    assert_eq!((refused, pacer.waiting_bytes(Class::Video)), (100, 200_000));
    // What is left is spread over the half second again and again: a tenth remains after 1.15 s.
    assert!(run(&mut pacer, 1200).len() >= 175);
}

#[test]
fn a_probe_has_its_rate_and_is_filled_up() {
    let mut pacer = pacer(800);
    pacer.enqueue(at(0), video(1, 7)).unwrap();
    let probe = Probe { id: ProbeId(3), rate: Bitrate::from_kbps(8000), min_bytes: 10_000, min_packets: 5 };
    pacer.probe(at(0), probe);
    pacer.probe(at(0), Probe { id: ProbeId(4), min_bytes: 6000, ..probe });
    let mut sent = Vec::new();
    while let Some(due) = pacer.poll_timeout() {
        let released = pacer.poll(due).unwrap();
        let (Release::Packet { size_bytes, .. } | Release::Padding { size_bytes }) = released.what;
        sent.push((due, released.probe, size_bytes));
        assert!(sent.len() < 100);
    }
    assert_eq!(sent[0], (at(0), Some(ProbeId(3)), 1000), "media first");
    let of = |id| sent.iter().filter(move |(_, probe, _)| *probe == Some(ProbeId(id)));
    for (id, bytes) in [(3, 10_000), (4, 6000)] {
        let total: u32 = of(id).map(|(_, _, bytes)| bytes).sum();
        let ends = of(id).next().zip(of(id).next_back()).unwrap();
        let spread = ends.1.0 - ends.0.0;
        let rate = Bitrate::from_bytes_in((total - ends.1.2).into(), spread).as_bps();
        assert!((bytes..bytes + 1200).contains(&total), "{total}");
        assert!((7_900_000..8_100_000).contains(&rate), "{rate}");
    }
}

#[test]
fn a_driver_that_is_late_loses_no_rate_within_a_burst() {
    let mut pacer = pacer(8000);
    for n in 0..200 {
        pacer.enqueue(at(0), video(1, n)).unwrap();
    }
    // A timer of 4 ms.
    let left = (0..=25).map(|n| std::iter::from_fn(|| pacer.poll(at(4 * n))).count()).sum::<usize>();
    assert!((95..=115).contains(&left), "{left} in 100 ms");
}

#[test]
fn nothing_is_left_of_what_is_dropped() {
    let mut pacer = pacer(1000);
    for n in 0..3 {
        pacer.enqueue(at(0), video(1, n)).unwrap();
    }
    pacer.probe(
        at(0),
        Probe { id: ProbeId(1), rate: Bitrate::from_kbps(2000), min_bytes: 5000, min_packets: 5 },
    );
    pacer.clear();
    assert_eq!((pacer.poll(at(100)), pacer.poll_timeout()), (None, None));
    pacer.enqueue(at(100), video(1, 7)).unwrap();
    assert_eq!(run(&mut pacer, 200), [(100, 7)]);
}
