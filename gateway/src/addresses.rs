//! Which addresses of this machine a client may reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// The addresses to announce for a port bound to `bound`: those that the operator names, else the one that the port is
/// bound to, else, for a wildcard, loopback and the addresses that the default routes leave from.
#[must_use]
pub(crate) fn announced(bound: SocketAddr, named: &[IpAddr]) -> Vec<SocketAddr> {
    let port = bound.port();
    let addresses = if !named.is_empty() {
        named.to_vec()
    } else if !bound.ip().is_unspecified() {
        vec![bound.ip()]
    } else {
        let routed = [
            default_source(Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into()),
            default_source(
                Ipv6Addr::UNSPECIFIED.into(),
                Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
            )
            .filter(|_| bound.is_ipv6()),
        ];
        // Browsers on this machine, where the page is tried first, reach it on loopback.
        routed.into_iter().flatten().chain([Ipv4Addr::LOCALHOST.into()]).collect()
    };
    addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect()
}

/// The source address of packets to `destination`, one that is reserved for documentation. Connecting a UDP socket
/// asks the routing table and sends nothing.
fn default_source(any: IpAddr, destination: IpAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(SocketAddr::new(destination, 9)).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified() && !address.is_loopback()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_address_is_the_only_one() {
        let bound = SocketAddr::from(([0, 0, 0, 0], 4433));
        let named = [IpAddr::from([203, 0, 113, 5])];
        assert_eq!(announced(bound, &named), [SocketAddr::from(([203, 0, 113, 5], 4433))]);
    }

    #[test]
    fn a_bound_address_is_announced_as_it_is() {
        let bound = SocketAddr::from(([127, 0, 0, 1], 4433));
        assert_eq!(announced(bound, &[]), [bound]);
    }

    #[test]
    fn a_wildcard_announces_loopback_at_least() {
        let all = announced(SocketAddr::from(([0, 0, 0, 0], 7)), &[]);
        assert!(all.contains(&SocketAddr::from(([127, 0, 0, 1], 7))), "{all:?}");
        assert!(all.iter().all(|address| !address.ip().is_unspecified()));
    }
}
