//! Packets for the tools that read them: pcapng for Wireshark and its kin, and the dumps of rtptools.
//!
//! Both writers append bytes to a buffer of the owner's, who puts them into a file, a socket or nowhere. What is written is the
//! packet as it is handed in, so it is the owner's choice whether it is encrypted, and whether it holds content at all
//! ([`RtpDump`] can be told to keep headers only).

mod pcapng;
mod rtpdump;

pub use pcapng::Pcapng;
pub use rtpdump::{RtpDump, RtpDumpKind};
