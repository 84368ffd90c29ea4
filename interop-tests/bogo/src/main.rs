//! The shim between BoringSSL's protocol tests (BoGo) and `tombolo-dtls`.
//!
//! The tests' runner starts this program once for each case, with the settings as arguments, and is the other side of the
//! connection: over a TCP connection to it go datagrams and what tells the shim the time (see `frame`). The clock stands
//! still unless the runner moves it. `cargo xtask bogo` starts the runner.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | the connection did what the arguments ask for |
//! | 1 | it did not; why stands on the standard error, and the runner compares it with what the case expects |
//! | 89 | the case asks for something that `tombolo-dtls` does not have |

mod drive;
mod frame;
mod options;
mod pem;

use std::process::ExitCode;

use crate::options::Options;

/// What the runner takes for "not implemented".
const UNIMPLEMENTED: u8 = 89;

/// Why a case did not end well.
#[derive(Debug)]
enum Failure {
    /// The case wants something that does not exist here.
    Unimplemented(String),
    /// The connection failed, or something is not as expected.
    Failed(String),
}

impl Failure {
    fn failed(reason: impl Into<String>) -> Self {
        Self::Failed(reason.into())
    }
}

fn run(arguments: &[String]) -> Result<(), Failure> {
    let options = Options::parse(arguments)?;
    for _ in 0..options.connections {
        drive::run(&options)?;
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // The runner asks for an ability of BoringSSL's shim to split a handshake over two processes.
    if arguments.iter().any(|argument| argument == "-is-handshaker-supported") {
        println!("No");
        return ExitCode::SUCCESS;
    }
    // To list the cases of DTLS, `cargo xtask bogo` runs all without running any.
    if std::env::var_os("TOMBOLO_BOGO_LIST").is_some() {
        return ExitCode::from(UNIMPLEMENTED);
    }
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Unimplemented(what)) => {
            eprintln!("unimplemented: {what}");
            ExitCode::from(UNIMPLEMENTED)
        }
        Err(Failure::Failed(reason)) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}
