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
    // Past the queue nothing is allocated either, and what is sent is the same.
    let mut straight = || {
        datagram.clear();
        let transmit = direct.client.connection.write_to(now, &data, &mut datagram).expect("write");
        assert_eq!((transmit.len, transmit.path), (datagram.len(), path(Role::Client)));
        direct.server.connection.handle_datagram(now, path(Role::Server), &mut datagram);
        let received = direct.server.connection.poll_event();
        assert!(matches!(received, Some(Event::ApplicationData(received)) if received[..] == data));
    };
    let counted = allocation_counter::measure(|| (0..1000).for_each(|_| straight()));
    assert_eq!(counted.count_total, 1000, "the event's own bytes");
}

/// What an association keeps once it is up and has said something: well below 16 KiB a side, with connection ids too.
fn an_association_keeps_few_bytes(version: ProtocolVersion) {
    for ids in [false, true] {
        let build = |seed| {
            let builder = config(version, seed);
            let builder = if ids { builder.connection_id_len(8) } else { builder };
            builder.build().expect("settings")
        };
        let (client, server) = (build(1), build(2));
        let mut kept = None;
        let counted = allocation_counter::measure(|| {
            let mut direct = Direct::new(client.clone(), server.clone());
            direct.run(|_, datagram| datagram);
            assert!(direct.client.is_connected() && direct.server.is_connected());
            let now = direct.now;
            direct.client.connection.write(now, b"text").expect("write");
            direct.run(|_, datagram| datagram);
            kept = Some(direct);
        });
        let own = std::mem::size_of_val(&kept) as i64;
        let each = (counted.bytes_current + own) / 2;
        assert!(each < 12 * 1024, "{version:?}: {each} bytes for each side");
    }
}

for_both_versions!(a_record_is_sent_without_allocation_and_received_with_one, an_association_keeps_few_bytes,);
