//! The `tombolo` binary: reads the command line, starts the gateway, waits for a signal, stops it.

use std::io::{self, Write as _};
use std::num::NonZeroUsize;
use std::process::ExitCode;

use clap::Parser as _;
use tokio::runtime::Builder;
use tombolo_gateway::config::{Cli, Command, Config, LogFormat};
use tombolo_gateway::server::Server;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let Command::Serve(args) = Cli::parse().command.unwrap_or_else(Command::serve_from_environment);
    match args.resolve().map_err(|error| error.to_string()).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tombolo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(config: Config) -> Result<(), String> {
    start_log(&config)?;
    // This thread is the media thread: what a packet wakes runs one after the other, on one core.
    let media = Builder::new_current_thread().enable_all().build().map_err(no_threads)?;
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let workers = cores.saturating_sub(1).max(1);
    let others =
        Builder::new_multi_thread().worker_threads(workers).enable_all().build().map_err(no_threads)?;
    media.block_on(async {
        let stop_signals = stop_signal();
        let channel = config.channel.clone();
        let server = Server::start(config, others.handle()).await.map_err(|error| error.to_string())?;
        let host = match server.local_addr() {
            address if address.ip().is_unspecified() => format!("localhost:{}", address.port()),
            address => address.to_string(),
        };
        // A program that started this one reads the address here; where nobody reads, that is no reason to stop.
        let _ = writeln!(std::io::stdout(), "Tombolo is at http://{host}/c/{channel}");
        stop_signals.await;
        tracing::info!("stopping");
        server.stop().await;
        Ok(())
    })
}

fn no_threads(error: io::Error) -> String {
    format!("no threads: {error}")
}

/// Libraries that report each subscription, or a client that simply goes, as news. The filter that a person
/// gives comes after it and wins.
const QUIET: &str = "moq_net=error,web_transport_quinn=error";

fn start_log(config: &Config) -> Result<(), String> {
    let filter = EnvFilter::try_new(format!("{QUIET},{}", config.log))
        .map_err(|error| format!("the log filter is wrong: {error}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}

/// Returns at the first interrupt or termination signal.
async fn stop_signal() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => {
                tokio::select! {
                    _ = interrupt => {}
                    _ = terminate.recv() => {}
                }
            }
            Err(error) => {
                tracing::warn!(%error, "termination signals are not seen");
                let _ = interrupt.await;
            }
        }
    }
    #[cfg(not(unix))]
    let _ = interrupt.await;
}
