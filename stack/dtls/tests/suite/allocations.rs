//! What a record costs once the connection is up.

use tombolo_netsim::Machine;

use crate::peer::{config, for_both_versions, path};
use crate::wire::Direct;
use tombolo_dtls::{Event, ProtocolVersion, Role};

fn a_record_is_sent_without_allocation_and_received_with_one(version: ProtocolVersion) {
    let mut direct = Direct::new(
        config(version, 1).build().expect("settings"),
        config(version, 2).build().expect("settings"),
    );
    direct.run(|_, datagram| datagram);
    assert!(direct.client.is_connected() && direct.server.is_connected());
    let now = direct.now;
    let data = [7; 1100];
    let mut datagram = Vec::with_capacity(2000);
    let mut round = |count: u32| {
        for _ in 0..count {
            datagram.clear();
            direct.client.connection.write(now, &data).expect("write");
            assert!(direct.client.poll_transmit(now, &mut datagram).is_some());
            direct.server.connection.handle_datagram(now, path(Role::Server), &mut datagram);
            assert!(matches!(direct.server.connection.poll_event(), Some(Event::ApplicationData(_))));
        }
    };
    round(10);
    let counted = allocation_counter::measure(|| round(1000));
    assert_eq!(counted.count_total, 1000, "the event's own bytes");
}

for_both_versions!(a_record_is_sent_without_allocation_and_received_with_one,);
