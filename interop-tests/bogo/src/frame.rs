//! What goes over the TCP connection between the runner and the shim of a DTLS case. Numbers are big-endian.
//!
//! ```text
//! both ways    [ 'P' | length 4 | datagram ]
//! to the shim  [ 'T' | nanoseconds 8 ]   that much time passes; answered with 't' before anything that it leads to
//!              [ 'E' | nanoseconds 8 ]   in that much time the next deadline must be; all ones: there must be none
//!              [ 'M' | bytes 4 ]         the longest datagram from now on
//!              [ 'U' | milliseconds 4 ]  the first retransmission timeout from now on
//! to the runner [ 't' ]
//! ```

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::Failure;

/// No datagram is longer than a record with its header, or several of them.
const MAX_DATAGRAM: usize = 1 << 20;
/// How long a runner that wants an answer waits at least, in real time. It computes for milliseconds.
const QUIET: Duration = Duration::from_secs(2);

/// Something that the runner says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Datagram(Vec<u8>),
    /// Time passes.
    Advance(Duration),
    /// When the next deadline must be.
    ExpectTimeout(Option<Duration>),
    Mtu(u32),
    InitialTimeout(Duration),
    /// Nothing came for a while.
    Quiet,
    /// There is nothing more.
    End,
}

/// The connection to the runner.
pub(crate) struct Runner(TcpStream);

impl Runner {
    /// Connects, and tells for which case.
    pub(crate) fn connect(port: u16, ipv6: bool, shim_id: u64) -> Result<Self, Failure> {
        let address: SocketAddr =
            if ipv6 { (Ipv6Addr::LOCALHOST, port).into() } else { (Ipv4Addr::LOCALHOST, port).into() };
        let connect = || {
            let mut stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(QUIET))?;
            stream.write_all(&shim_id.to_le_bytes())?;
            Ok(stream)
        };
        connect().map(Self).map_err(|error: std::io::Error| Failure::failed(format!("no runner: {error}")))
    }

    /// Sends a datagram. A runner that has gone is noticed when it is listened to.
    pub(crate) fn send(&mut self, datagram: &[u8]) {
        let frame = [b"P", &(datagram.len() as u32).to_be_bytes()[..], datagram].concat();
        let _ = self.0.write_all(&frame);
    }

    /// Waits for the next thing that the runner says. The passing of time is acknowledged here.
    pub(crate) fn hear(&mut self) -> Result<Told, Failure> {
        let mut opcode = [0];
        match self.0.read_exact(&mut opcode) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Ok(Told::Quiet);
            }
            Err(_) => return Ok(Told::End),
        }
        Ok(match opcode[0] {
            b'P' => {
                let length = self.number(4)? as usize;
                if length > MAX_DATAGRAM {
                    return Err(Failure::failed("a datagram is too long"));
                }
                let mut datagram = vec![0; length];
                self.fill(&mut datagram)?;
                Told::Datagram(datagram)
            }
            b'T' => {
                let time = Duration::from_nanos(self.number(8)?);
                let _ = self.0.write_all(b"t");
                Told::Advance(time)
            }
            b'E' => match self.number(8)? {
                u64::MAX => Told::ExpectTimeout(None),
                time => Told::ExpectTimeout(Some(Duration::from_nanos(time))),
            },
            b'M' => Told::Mtu(self.number(4)? as u32),
            b'U' => Told::InitialTimeout(Duration::from_millis(self.number(4)?)),
            other => return Err(Failure::failed(format!("unknown opcode {other}"))),
        })
    }

    fn number(&mut self, len: usize) -> Result<u64, Failure> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes[8 - len..])?;
        Ok(u64::from_be_bytes(bytes))
    }

    fn fill(&mut self, out: &mut [u8]) -> Result<(), Failure> {
        self.0.read_exact(out).map_err(|error| Failure::failed(format!("the runner broke off: {error}")))
    }

    /// Says that nothing more comes, and takes what the runner still sends: otherwise it could not be read there.
    pub(crate) fn finish(&mut self) {
        let _ = self.0.shutdown(Shutdown::Write);
        let mut rest = [0; 4096];
        while self.0.read(&mut rest).is_ok_and(|len| len > 0) {}
    }
}
