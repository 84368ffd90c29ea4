//! The example `dtls-echo`, as from a shell: its client and its server, and OpenSSL's client.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Where cargo has put the example: beside the folder of this test.
fn example() -> PathBuf {
    let mut path = std::env::current_exe().expect("this test");
    path.pop();
    path.pop();
    path.join("examples").join("dtls-echo")
}

struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(version: &str) -> Self {
        let mut command = Command::new(example());
        command.args(["server", "127.0.0.1:0", "--version", version]);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the example");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let address = line.trim().rsplit(' ').next().expect("an address").to_owned();
        Self { process, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It serves for ever.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn lines_come_back_over_both_versions() {
    for version in ["1.2", "1.3"] {
        let server = Server::start(version);
        for _ in 0..2 {
            let mut command = Command::new(example());
            command.args(["client", &server.address, "--mtu", "400"]);
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut client = command.spawn().expect("the example");
            client.stdin.take().expect("piped").write_all(b"one\ntwo\n").expect("it reads");
            let output = client.wait_with_output().expect("it ends");
            assert_eq!(String::from_utf8_lossy(&output.stdout), "one\ntwo\n", "DTLS {version}");
            assert!(output.status.success());
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(told.contains(if version == "1.2" { "Dtls12" } else { "Dtls13" }), "{told}");
        }
    }
}

#[test]
fn a_fingerprint_that_does_not_fit_is_refused() {
    let server = Server::start("1.3");
    let wrong = format!("sha-256 {}", vec!["00"; 32].join(":"));
    let mut command = Command::new(example());
    command.args(["client", &server.address, "--fingerprint", &wrong]);
    let output = command.stdin(Stdio::piped()).output().expect("the example");
    assert!(!output.status.success() && output.stdout.is_empty());
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("bad_certificate"), "{told}");
}

/// OpenSSL answers the cookie, and has its line back.
#[test]
fn openssl_s_client_talks_to_the_server() {
    if Command::new("openssl").arg("version").output().is_err() {
        println!("skipped: openssl and dtls-echo: the openssl command is not installed");
        return;
    }
    let folder = std::env::temp_dir().join(format!("tombolo-dtls-{}-echo", std::process::id()));
    std::fs::create_dir_all(&folder).expect("temporary folder");
    let arguments = "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -subj /CN=test -days 30";
    let made = Command::new("openssl").args(arguments.split(' ')).current_dir(&folder).output();
    assert!(made.expect("openssl").status.success());
    let server = Server::start("1.2");
    let mut command = Command::new("openssl");
    command.args(["s_client", "-dtls1_2", "-quiet", "-connect", &server.address]);
    command.args(["-cert", "cert.pem", "-key", "key.pem"]).current_dir(&folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut client = command.spawn().expect("openssl");
    let mut stdin = client.stdin.take().expect("piped");
    stdin.write_all(b"a line\n").expect("it reads");
    let mut back = [0; 7];
    client.stdout.take().expect("piped").read_exact(&mut back).expect("an answer");
    assert_eq!(&back, b"a line\n");
    // It would wait for more.
    let _ = client.kill();
    let _ = client.wait();
    std::fs::remove_dir_all(&folder).expect("our own folder");
}
