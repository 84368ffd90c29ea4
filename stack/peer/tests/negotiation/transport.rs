//! Addresses in descriptions.

use tombolo::sdp::SessionDescription;

use crate::text::*;

/// ICE-12: the default destinations of trickling offers, and names, are no mismatch.
#[test]
fn placeholder_addresses_are_no_mismatch() {
    for (port, address) in
        [(9, "IN IP4 0.0.0.0"), (9, "IN IP6 ::"), (9, "IN IP4 host.example"), (5000, "IN IP4 0.0.0.0")]
    {
        let text = with(&offer(), "c=IN IP4 0.0.0.0", &format!("c={address}"))
            .replace(" 9 UDP", &format!(" {port} UDP"));
        let answer = answer(&text);
        assert!(answer.sdp().media.iter().all(|media| !media.is_rejected()), "{address}");
        assert!(!answer.to_string().contains("ice-mismatch"));
    }
}

/// ICE-05: our answers carry the candidates that are known, and say so when there will be no more.
#[test]
fn answers_carry_the_candidates() {
    let mut connection = connection_with(1, |config| config.ice_lite(true));
    connection.add_local_candidate(now(), "192.0.2.7:4433".parse().unwrap()).unwrap();
    give(&mut connection, &offer()).unwrap();
    let answer: SessionDescription = settle(&mut connection);
    let tag = &answer.sdp().media[0];
    assert!(tag.candidates.len() == 1 && tag.candidates[0].value.contains("192.0.2.7 4433 typ host"));
    assert!(tag.end_of_candidates);
    assert!(answer.sdp().ice_lite.is_some());
    assert_eq!(
        (tag.connection.as_deref(), tag.port),
        (Some("192.0.2.7"), 4433),
        "the default destination is one of them"
    );
}
