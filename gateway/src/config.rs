//! What the gateway can be told: by the command line, by environment variables and by a TOML file.
//!
//! The three set the same options. The command line wins over the environment, the environment over the file, the
//! file over the defaults.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Deserialize;

/// Joins WebRTC and WebTransport in one channel.
#[derive(Debug, Parser)]
#[command(name = "tombolo", version, about, arg_required_else_help = false)]
pub struct Cli {
    /// What to do; `serve` with its defaults where nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the binary can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Starts the gateway and prints the address of its page.
    ///
    /// Every option can also stand in the file that --config names, as `listen = "0.0.0.0:4433"`, and in the
    /// environment, as TOMBOLO_LISTEN.
    Serve(Box<ServeArgs>),
}

impl Command {
    /// `serve` as the environment has it, for a command line that says nothing.
    #[must_use]
    pub fn serve_from_environment() -> Self {
        let Cli { command } = Cli::parse_from(["tombolo", "serve"]);
        command.expect("invariant: the command line names one")
    }
}

/// The arguments of `serve`.
#[derive(Debug, Default, Args)]
pub struct ServeArgs {
    /// A TOML file with any of the options below.
    #[arg(long, env = "TOMBOLO_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The options themselves.
    #[command(flatten)]
    pub options: Options,
}

/// The options as they are given: each may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Options {
    /// Address and port, the same port for UDP (WebRTC and QUIC) and TCP (HTTP and WebSocket); port 0 takes a
    /// free one. [default: all addresses, port 4433]
    #[arg(long, env = "TOMBOLO_LISTEN", value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// Address that clients reach this machine at, announced as an ICE candidate; may be given several times.
    /// [default: the addresses of this machine]
    #[arg(long, env = "TOMBOLO_PUBLIC_ADDRESS", value_name = "ADDR", value_delimiter = ',')]
    pub public_address: Option<Vec<IpAddr>>,
    /// PEM file with the certificate chain for HTTPS and QUIC, when there is one to show. [default: a self-signed one, renewed
    /// every few days, whose hash the page knows; browsers warn of it when the page is opened by https://]
    #[arg(long, env = "TOMBOLO_TLS_CERTIFICATE", value_name = "FILE", requires = "tls_key")]
    pub tls_certificate: Option<PathBuf>,
    /// PEM file with the private key of that certificate.
    #[arg(long, env = "TOMBOLO_TLS_KEY", value_name = "FILE", requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,
    /// The channel whose page is printed at the start. [default: demo]
    #[arg(long, env = "TOMBOLO_CHANNEL", value_name = "NAME")]
    pub channel: Option<tombolo_signaling::Name>,
    /// The most channels at once. [default: 1000]
    #[arg(long, env = "TOMBOLO_MAX_CHANNELS", value_name = "N")]
    pub max_channels: Option<usize>,
    /// The most participants in one channel. [default: 200]
    #[arg(long, env = "TOMBOLO_MAX_PARTICIPANTS", value_name = "N")]
    pub max_participants: Option<usize>,
    /// The largest HTTP body or WebSocket message, in bytes. [default: 262144]
    #[arg(long, env = "TOMBOLO_MAX_MESSAGE_BYTES", value_name = "BYTES")]
    pub max_message_bytes: Option<usize>,
    /// The most TCP connections at once, HTTP and WebSocket; more are closed at once. [default: 4096]
    #[arg(long, env = "TOMBOLO_MAX_CONNECTIONS", value_name = "N")]
    pub max_connections: Option<usize>,
    /// How long an HTTP client may take to send the head of a request, and as long again for the rest, in milliseconds.
    /// [default: 10000]
    #[arg(long, env = "TOMBOLO_REQUEST_TIMEOUT_MS", value_name = "MS")]
    pub request_timeout_ms: Option<u64>,
    /// Repair what WebRTC viewers lose ahead of being asked: pictures by FlexFEC and sound by RED, for those that take it and as far
    /// as they report losses. For long roads that lose much; Chromium may show pictures later where it has agreed to it.
    /// [default: false]
    #[arg(long, env = "TOMBOLO_REPAIR", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub repair: Option<bool>,
    /// How long sessions get to end at a stop, in milliseconds. [default: 2000]
    #[arg(long, env = "TOMBOLO_STOP_TIMEOUT_MS", value_name = "MS")]
    pub stop_timeout_ms: Option<u64>,
    /// How the log is written. [default: text]
    #[arg(long, env = "TOMBOLO_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// What is logged, as `info` or `tombolo_gateway=debug,warn`. [default: info]
    #[arg(long, env = "TOMBOLO_LOG", value_name = "FILTER")]
    pub log: Option<String>,
}

/// How the log is written to standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The options with every default in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where to listen, UDP and TCP.
    pub listen: SocketAddr,
    /// Addresses to announce; empty for those of this machine.
    pub public_addresses: Vec<IpAddr>,
    /// Certificate chain and key in PEM, where they are given.
    pub tls: Option<TlsFiles>,
    /// The channel to print.
    pub channel: tombolo_signaling::Name,
    /// The most channels at once.
    pub max_channels: usize,
    /// The most participants in one channel.
    pub max_participants: usize,
    /// The largest HTTP body or WebSocket message in bytes.
    pub max_message_bytes: usize,
    /// The most TCP connections at once.
    pub max_connections: usize,
    /// How long a client may take for the head of an HTTP request, and as long again for the rest.
    pub request_timeout: Duration,
    /// Whether FlexFEC and RED are agreed on with WebRTC clients.
    pub repair: bool,
    /// How long sessions get to end at a stop.
    pub stop_timeout: Duration,
    /// How the log is written.
    pub log_format: LogFormat,
    /// What is logged.
    pub log: String,
}

/// A certificate that the operator brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain in PEM.
    pub certificate: PathBuf,
    /// The private key in PEM.
    pub key: PathBuf,
}

/// Why there is no [`Config`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration file {path} cannot be read: {source}", path = path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no TOML, or has an option that does not exist or has a wrong value.
    #[error("the configuration file {path} is wrong: {source}", path = path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Why, with the line.
        source: Box<toml::de::Error>,
    },
    /// A limit that would refuse everybody.
    #[error("{0} must be at least 1")]
    ZeroLimit(&'static str),
    /// One of certificate and key without the other.
    #[error("tls-certificate and tls-key are given together or not at all")]
    HalfTls,
}

impl Options {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError::Unreadable`] or [`ConfigError::Malformed`].
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        toml::from_str(&text)
            .map_err(|source| ConfigError::Malformed { path: path.to_owned(), source: Box::new(source) })
    }

    /// These options, and `other`'s where these have none.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            listen: self.listen.or(other.listen),
            public_address: self.public_address.or(other.public_address),
            tls_certificate: self.tls_certificate.or(other.tls_certificate),
            tls_key: self.tls_key.or(other.tls_key),
            channel: self.channel.or(other.channel),
            max_channels: self.max_channels.or(other.max_channels),
            max_participants: self.max_participants.or(other.max_participants),
            max_message_bytes: self.max_message_bytes.or(other.max_message_bytes),
            max_connections: self.max_connections.or(other.max_connections),
            request_timeout_ms: self.request_timeout_ms.or(other.request_timeout_ms),
            repair: self.repair.or(other.repair),
            stop_timeout_ms: self.stop_timeout_ms.or(other.stop_timeout_ms),
            log_format: self.log_format.or(other.log_format),
            log: self.log.or(other.log),
        }
    }
}

impl ServeArgs {
    /// The configuration: these arguments, then the file that they name, then the defaults.
    ///
    /// # Errors
    /// [`ConfigError`] in words for the person who started the program.
    pub fn resolve(self) -> Result<Config, ConfigError> {
        let file = self.config.as_deref().map(Options::from_file).transpose()?.unwrap_or_default();
        Config::from_options(self.options.or(file))
    }
}

impl Config {
    /// The default of `listen`.
    pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 4433);

    /// Puts the defaults in place and checks the whole.
    ///
    /// # Errors
    /// [`ConfigError::ZeroLimit`] or [`ConfigError::HalfTls`].
    pub fn from_options(options: Options) -> Result<Self, ConfigError> {
        let limit = |name, value: Option<usize>, default| match value.unwrap_or(default) {
            0 => Err(ConfigError::ZeroLimit(name)),
            value => Ok(value),
        };
        let tls = match (options.tls_certificate, options.tls_key) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
            (None, None) => None,
            _ => return Err(ConfigError::HalfTls),
        };
        Ok(Self {
            listen: options.listen.unwrap_or(Self::DEFAULT_LISTEN),
            public_addresses: options.public_address.unwrap_or_default(),
            tls,
            channel: options.channel.unwrap_or_else(|| "demo".parse().expect("invariant: a valid name")),
            max_channels: limit("max-channels", options.max_channels, 1000)?,
            max_participants: limit("max-participants", options.max_participants, 200)?,
            max_message_bytes: limit("max-message-bytes", options.max_message_bytes, 256 * 1024)?,
            max_connections: limit("max-connections", options.max_connections, 4096)?,
            request_timeout: Duration::from_millis(options.request_timeout_ms.unwrap_or(10_000)),
            repair: options.repair.unwrap_or(false),
            stop_timeout: Duration::from_millis(options.stop_timeout_ms.unwrap_or(2000)),
            log_format: options.log_format.unwrap_or_default(),
            log: options.log.unwrap_or_else(|| "info".to_owned()),
        })
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::from_options(Options::default()).expect("invariant: the defaults are valid")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_wins_over_the_file_and_the_file_over_the_defaults() {
        let args = Options { max_channels: Some(5), ..Options::default() };
        let file: Options = toml::from_str("max-channels = 7\nlisten = \"127.0.0.1:9000\"").unwrap();
        let config = Config::from_options(args.or(file)).unwrap();
        assert_eq!(config.max_channels, 5);
        assert_eq!(config.listen.port(), 9000);
        assert_eq!(config.max_participants, 200);
    }

    #[test]
    fn repair_is_off_until_it_is_asked_for() {
        let repair = |arguments: &[&str]| {
            let Some(Command::Serve(args)) = Cli::parse_from(arguments).command else { panic!("serve") };
            args.resolve().unwrap().repair
        };
        assert!(!repair(&["tombolo", "serve"]));
        assert!(repair(&["tombolo", "serve", "--repair"]));
        assert!(!repair(&["tombolo", "serve", "--repair", "false"]));
        let file: Options = toml::from_str("repair = true").unwrap();
        assert!(Config::from_options(file).unwrap().repair);
    }

    #[test]
    fn a_misspelt_option_in_the_file_is_told_with_its_line() {
        let error = toml::from_str::<Options>("listen = \"127.0.0.1:1\"\nlisten-port = 3").unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
        assert!(error.to_string().contains("listen-port"), "{error}");
    }

    #[test]
    fn limits_of_zero_and_half_a_certificate_are_refused() {
        let error = |options| Config::from_options(options).unwrap_err().to_string();
        assert!(error(Options { max_channels: Some(0), ..Options::default() }).contains("max-channels"));
        assert!(error(Options { tls_key: Some("k".into()), ..Options::default() }).contains("together"));
    }

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}
