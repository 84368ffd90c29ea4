//! One connection of a case: the handshake, what is expected of it, and the exchange of messages after it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tombolo_dtls::{Connection, DropReason, Event, Parameters, ProtocolVersion};
use tombolo_net::FiveTuple;

use crate::Failure;
use crate::frame::{Runner, Told};
use crate::options::{Options, group, seed};

/// More than an alert that may be anyone's is waited with.
const GRACE: Duration = Duration::from_secs(2);

struct Driver<'a> {
    options: &'a Options,
    runner: Runner,
    connection: Connection,
    now: Instant,
    is_up: bool,
}

/// Whether to go on listening.
enum Next {
    Listen,
    Done,
}

/// Runs one connection to its end.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let runner = Runner::connect(options.port, options.ipv6, options.shim_id)?;
    let now = Instant::now();
    let mut connection = Connection::new(Arc::clone(&options.config), options.role, &seed()?, now);
    connection.set_path(path());
    let mut driver = Driver { options, runner, connection, now, is_up: false };
    let outcome = driver.exchange();
    driver.send();
    driver.runner.finish();
    outcome
}

/// Some path: there is only one.
fn path() -> FiveTuple {
    let address: SocketAddr = ([127, 0, 0, 1], 1).into();
    FiveTuple::udp(address, address)
}

impl Driver<'_> {
    fn exchange(&mut self) -> Result<(), Failure> {
        loop {
            self.send();
            if matches!(self.handle_events()?, Next::Done) {
                return Ok(());
            }
            self.send();
            match self.runner.hear()? {
                Told::Datagram(mut datagram) => {
                    self.connection.handle_datagram(self.now, path(), &mut datagram);
                }
                Told::Advance(time) => {
                    self.now += time;
                    self.connection.handle_timeout(self.now);
                }
                Told::ExpectTimeout(expected) => self.check_timeout(expected)?,
                Told::Mtu(_) => return Err(Failure::Unimplemented("another MTU".to_owned())),
                Told::InitialTimeout(_) => return Err(Failure::Unimplemented("another timeout".to_owned())),
                Told::Quiet => return Err(self.stalled()),
                Told::End => return self.ended(),
            }
        }
    }

    fn handle_events(&mut self) -> Result<Next, Failure> {
        while let Some(event) = self.connection.poll_event() {
            match event {
                Event::Connected { .. } => {
                    self.is_up = true;
                    if matches!(self.connected()?, Next::Done) {
                        return Ok(Next::Done);
                    }
                }
                Event::ApplicationData(data) => self.answer(data)?,
                Event::Failed(reason) => return Err(Failure::failed(format!("{reason:?}"))),
                Event::Closed => return Ok(Next::Done),
                _ => {}
            }
        }
        Ok(Next::Listen)
    }

    fn send(&mut self) {
        let mut datagram = Vec::new();
        while self.connection.poll_transmit(self.now, &mut datagram).is_some() {
            self.runner.send(&datagram);
            datagram.clear();
        }
    }

    /// The handshake is complete.
    fn connected(&mut self) -> Result<Next, Failure> {
        let parameters = self.connection.parameters().cloned();
        let parameters = parameters.ok_or_else(|| Failure::failed("no parameters"))?;
        self.check(&parameters)?;
        let export = &self.options.export;
        if export.len > 0 {
            let mut material = vec![0; export.len];
            let context = export.with_context.then_some(export.context.as_bytes());
            self.connection
                .export_keying_material(export.label.as_bytes(), context, &mut material)
                .map_err(|error| Failure::failed(error.to_string()))?;
            self.write(&material)?;
        }
        for _ in 0..self.options.first_writes {
            self.write(&self.options.first_write)?;
        }
        if self.options.closes_at_once {
            self.connection.close(self.now);
            return Ok(Next::Done);
        }
        if self.options.updates_keys_before_reading {
            self.update_keys()?;
        }
        Ok(Next::Listen)
    }

    fn check(&self, parameters: &Parameters) -> Result<(), Failure> {
        let expected = &self.options.expected;
        let version = match parameters.version {
            ProtocolVersion::Dtls13 => 0xfefc,
            _ => 0xfefd,
        };
        let mut wrong = Vec::new();
        let mut compare = |what: &str, is_right: bool| {
            if !is_right {
                wrong.push(what.to_owned());
            }
        };
        compare("version", expected.version.is_none_or(|expected| expected == version));
        compare(
            "cipher suite",
            expected.cipher.is_none_or(|expected| expected == parameters.cipher_suite.id()),
        );
        if let Some(expected) = expected.group {
            compare("group", group(expected)? == parameters.group);
        }
        let same = |expected: &Option<Vec<u8>>, found: Option<&[u8]>| {
            expected.as_deref().is_none_or(|expected| found.unwrap_or_default() == expected)
        };
        compare("ALPN", same(&expected.alpn, parameters.alpn.as_deref()));
        compare("server name", same(&expected.server_name, parameters.server_name.as_deref()));
        compare("no server name", !(expected.no_server_name && parameters.server_name.is_some()));
        let certificate = self.connection.remote_certificate();
        compare("certificate", same(&expected.peer_certificate, certificate));
        compare("no certificate", !(expected.no_peer_certificate && certificate.is_some()));
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(Failure::failed(format!("not as expected: {}: {parameters:?}", wrong.join(", "))))
        }
    }

    /// The runner wants every message back, with all bits turned over.
    fn answer(&mut self, mut data: Vec<u8>) -> Result<(), Failure> {
        if self.options.updates_keys {
            self.update_keys()?;
        }
        data.iter_mut().for_each(|byte| *byte ^= 0xff);
        self.write(&data)?;
        if self.options.updates_keys_before_reading {
            self.update_keys()?;
        }
        Ok(())
    }

    fn write(&mut self, data: &[u8]) -> Result<(), Failure> {
        let now = self.now;
        self.connection.write(now, data).map_err(|error| Failure::failed(format!("write: {error}")))?;
        // The runner wants what is sent in the order in which it was asked for.
        self.send();
        Ok(())
    }

    fn update_keys(&mut self) -> Result<(), Failure> {
        let now = self.now;
        self.connection.update_keys(now, false).map_err(|error| Failure::failed(format!("new keys: {error}")))
    }

    fn check_timeout(&self, expected: Option<Duration>) -> Result<(), Failure> {
        let found = self.connection.poll_timeout();
        let found = found.map(|deadline| deadline.saturating_duration_since(self.now));
        if found == expected {
            Ok(())
        } else {
            Err(Failure::failed(format!("the next timeout is in {found:?}, not in {expected:?}")))
        }
    }

    /// The runner waits for us, and we for it.
    fn stalled(&self) -> Failure {
        if self.is_up {
            return Failure::failed("nothing comes any more");
        }
        Failure::failed(format!("the handshake stands still; {}", self.dropped()))
    }

    /// The runner has gone.
    fn ended(&mut self) -> Result<(), Failure> {
        if self.is_up {
            self.connection.close(self.now);
            return Ok(());
        }
        // An alert that may be anyone's is believed after a while.
        self.now += GRACE;
        self.connection.handle_timeout(self.now);
        self.handle_events()?;
        Err(Failure::failed(format!("the peer went away during the handshake; {}", self.dropped())))
    }

    /// What was dropped, and why.
    fn dropped(&self) -> String {
        let reasons = [
            DropReason::Malformed,
            DropReason::Unknown,
            DropReason::Unprotected,
            DropReason::OutOfPlace,
            DropReason::Unauthentic,
            DropReason::BufferFull,
        ];
        let stats = self.connection.stats();
        let counted = reasons.into_iter().filter(|reason| stats.dropped(*reason) > 0);
        let counted: Vec<_> = counted.map(|reason| format!("{reason:?}")).collect();
        format!("dropped: {}", counted.join(", "))
    }
}
