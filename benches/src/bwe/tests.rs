use super::*;

/// The media flows of a case, with our own estimator.
fn media(name: &str) -> Vec<Row> {
    let case = cases().into_iter().find(|case| case.name() == name).expect("a case of this name");
    let rows = run(&case, &contenders()[0]);
    rows.into_iter().filter(|row| row.flow.starts_with("media")).collect()
}

fn alone(name: &str) -> Row {
    media(name).into_iter().next().expect("a flow")
}

#[test]
fn names_are_different() {
    let names: std::collections::BTreeSet<_> = cases().iter().map(Case::name).collect();
    assert_eq!(names.len(), cases().len());
}

#[test]
fn a_link_is_filled_quickly_and_without_a_queue() {
    let row = alone("3 Mb/s");
    assert!(row.utilisation > 0.92 && row.loss == 0.0, "{row}");
    assert!(row.converged.is_some_and(|time| time < Duration::from_secs(4)), "{row}");
    assert!(row.queued.1 < Duration::from_millis(60), "{row}");
}

#[test]
fn random_loss_is_no_congestion() {
    for (name, least) in [("3 Mb/s, 5 % loss", 0.85), ("3 Mb/s, 20 % loss", 0.6)] {
        let row = alone(name);
        assert!(row.utilisation > least && row.queued.1 < Duration::from_millis(60), "{row}");
    }
}

#[test]
fn loss_that_the_rate_explains_is() {
    let row = alone("3 Mb/s, queue of 20 ms");
    assert!(row.utilisation > 0.85 && row.loss < 0.1, "{row}");
}

#[test]
fn jitter_and_long_ways_are_no_congestion() {
    for name in ["3 Mb/s, 30 ms jitter", "3 Mb/s, RTT 250 ms"] {
        let row = alone(name);
        assert!(row.utilisation > 0.85 && row.queued.1 < Duration::from_millis(80), "{row}");
    }
}

#[test]
fn the_estimate_stays_near_what_a_limited_application_sends() {
    let row = alone("sends 784 kb/s of 4 Mb/s");
    assert!(row.rate > Bitrate::from_kbps(740), "{row}");
    assert!(row.lead < 1.5, "{row}");
}

#[test]
fn a_way_that_changes_is_followed() {
    for name in ["halves and doubles", "5.1 variable capacity"] {
        let row = alone(name);
        assert!(row.utilisation > 0.9 && row.loss < 0.01, "{row}");
        assert!(row.queued.1 < Duration::from_millis(60), "{row}");
    }
}

#[test]
fn flows_share_a_way_and_nobody_starves() {
    for (name, least) in [("5.2 variable capacity, two flows", 0.35), ("5.4 three flows", 0.15)] {
        for row in media(name) {
            assert!(row.share > least && row.utilisation > 0.9, "{row}");
            assert!(row.queued.1 < Duration::from_millis(150), "{row}");
        }
    }
}

#[test]
fn congested_feedback_is_no_congestion_of_the_way() {
    for row in media("5.3 congested feedback") {
        assert!(row.utilisation > 0.88 && row.loss < 0.01, "{row}");
    }
}
