//! The gateway as a process of its own, and what it costs.

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Names another binary than the one that cargo built beside this program.
const BINARY: &str = "TOMBOLO_BIN";

/// A gateway on loopback. Dropping it ends it.
pub(super) struct Gateway {
    child: Child,
    pub(super) address: SocketAddr,
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    /// Time on a processor, of all threads.
    pub(super) nanos: u64,
    /// How often a thread went to sleep.
    pub(super) sleeps: u64,
    /// What it holds of memory.
    pub(super) resident_kib: u64,
}

impl Gateway {
    pub(super) fn start() -> Self {
        let binary = env::var_os(BINARY).map_or_else(beside, PathBuf::from);
        let mut child = Command::new(&binary)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {}: {error}", binary.display()));
        let stdout = child.stdout.take().expect("a pipe");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("its first line");
        let origin = line.split_once("http://").and_then(|(_, rest)| rest.split('/').next());
        let address = origin.and_then(|origin| origin.trim().parse().ok());
        Self { child, address: address.unwrap_or_else(|| panic!("no address in {line:?}")) }
    }

    /// What its threads have used so far. A thread that ended takes its share along; the gateway's stay.
    pub(super) fn usage(&self) -> Usage {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("a running gateway");
        let first = |text: &str| text.split_whitespace().next().and_then(|word| word.parse::<u64>().ok());
        let field =
            |status: &str, name| status.lines().find_map(|line| line.strip_prefix(name)).and_then(first);
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let resident_kib = field(&status, "VmRSS:").unwrap_or_default();
        let mut usage = Usage { nanos: 0, sleeps: 0, resident_kib };
        for thread in threads.map_while(Result::ok) {
            let read = |name| fs::read_to_string(thread.path().join(name)).unwrap_or_default();
            usage.nanos += first(&read("schedstat")).unwrap_or_default();
            usage.sleeps += field(&read("status"), "voluntary_ctxt_switches:").unwrap_or_default();
        }
        usage
    }

    /// An HTTP request on a connection of its own: the head and the body of the answer.
    pub(super) fn request(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: &str,
    ) -> (String, String) {
        let mut stream = TcpStream::connect(self.address).expect("connected");
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: {content_type}\r\n\
             content-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with("HTTP/1.1 20"), "{method} {path}: {answer}");
        (head.to_owned(), body.to_owned())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // An error means that it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn beside() -> PathBuf {
    env::current_exe().expect("the path of this program").with_file_name("tombolo")
}
