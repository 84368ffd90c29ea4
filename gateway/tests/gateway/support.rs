//! What the tests of the whole gateway share: a gateway of their own on loopback, and plain HTTP requests to it.

use std::fmt::Write as _;
use std::net::SocketAddr;

use futures::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tombolo_gateway::config::{Config, Options};
use tombolo_gateway::server::Server;

/// A gateway on a free port of loopback.
pub(crate) async fn gateway() -> Server {
    gateway_with(Options::default()).await
}

/// The same, with options.
pub(crate) async fn gateway_with(options: Options) -> Server {
    let here = Options { listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))), ..Options::default() };
    let config = Config::from_options(options.or(here)).unwrap();
    Server::start(config, &tokio::runtime::Handle::current()).await.unwrap()
}

/// An answer to an HTTP request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

/// One request on a connection of its own.
pub(crate) async fn request(
    server: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {server}\r\nconnection: close\r\n");
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    write!(head, "content-length: {}\r\n\r\n", body.len()).unwrap();
    let mut stream = TcpStream::connect(server).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    // A server that refuses a body by its length may close before it has read it.
    let _ = stream.write_all(body).await;
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    parse(&String::from_utf8(bytes).unwrap())
}

fn parse(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    Answer { status, headers, body: body.to_owned() }
}

/// A signaling connection.
pub(crate) struct Signaling {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Signaling {
    /// Connects and says nothing.
    pub(crate) async fn connect(server: SocketAddr) -> Self {
        let (socket, _) = tokio_tungstenite::connect_async(format!("ws://{server}/ws")).await.unwrap();
        Self { socket }
    }

    /// Connects and joins.
    pub(crate) async fn join(server: SocketAddr, channel: &str, name: &str) -> Self {
        let mut this = Self::connect(server).await;
        this.say(&format!(r#"{{"type":"join","version":1,"channel":"{channel}","name":"{name}"}}"#)).await;
        let joined = this.hear().await;
        assert_eq!(joined["type"], "joined", "{joined}");
        this
    }

    /// Says a text message.
    pub(crate) async fn say(&mut self, text: &str) {
        self.send(Message::text(text)).await;
    }

    /// Sends any message.
    pub(crate) async fn send(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    /// The next text message; null when the server closed.
    pub(crate) async fn hear(&mut self) -> serde_json::Value {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return serde_json::Value::Null,
                Some(Ok(_)) => {}
            }
        }
    }
}
