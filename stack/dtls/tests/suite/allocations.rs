//! What a record costs once the connection is up.

use tombolo_netsim::Machine;

use crate::peer::{config, path};
use crate::wire::Direct;
use tombolo_dtls::{Event, Role};

#[test]
fn a_record_is_sent_without_allocation_and_received_with_one() {
    let mut direct = Direct::new(config(1).build().unwrap(), config(2).build().unwrap());
    direct.run(|_, datagram| datagram);
    assert!(direct.client.is_connected() && direct.server.is_connected());
    let now = direct.now;
    let data = [7; 1100];
    let mut datagram = Vec::with_capacity(2000);
    let mut round = |count: u32| {
        for _ in 0..count {
            datagram.clear();
            direct.client.connection.write(now, &data).unwrap();
            assert!(direct.client.poll_transmit(now, &mut datagram).is_some());
            direct.server.connection.handle_datagram(now, path(Role::Server), &mut datagram);
            assert!(matches!(direct.server.connection.poll_event(), Some(Event::ApplicationData(_))));
        }
    };
    round(10);
    let counted = allocation_counter::measure(|| round(1000));
    assert_eq!(counted.count_total, 1000, "the event's own bytes");
}
