//! Whether a Docker engine answers: the question before a test in a container.

use std::{
    env, fmt,
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::Duration,
};

/// How long an engine may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where an engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Engine {
    Socket(PathBuf),
    Host(String),
}

impl Engine {
    /// The engine that `docker` would use: DOCKER_HOST, or the first of the usual sockets that exists.
    pub(crate) fn find() -> Option<Self> {
        if let Some(host) = env::var_os("DOCKER_HOST").filter(|host| !host.is_empty()) {
            return Self::parse(&host.to_string_lossy());
        }
        let below = |variable: &str, path: &str| env::var_os(variable).map(|folder| PathBuf::from(folder).join(path));
        let usual = [
            Some(PathBuf::from("/var/run/docker.sock")),
            below("XDG_RUNTIME_DIR", ".docker/run/docker.sock"),
            below("HOME", ".docker/run/docker.sock"),
            below("HOME", ".docker/desktop/docker.sock"),
        ];
        usual.into_iter().flatten().find(|path| path.exists()).map(Self::Socket)
    }

    fn parse(host: &str) -> Option<Self> {
        let (scheme, rest) = host.split_once("://")?;
        match scheme {
            "unix" => Some(Self::Socket(PathBuf::from(rest))),
            "tcp" | "http" => Some(Self::Host(rest.trim_end_matches('/').to_owned())),
            _ => None,
        }
    }

    /// Whether it answers.
    pub(crate) fn answers(&self) -> bool {
        self.ping(PATIENCE).is_ok_and(|answers| answers)
    }

    fn ping(&self, patience: Duration) -> io::Result<bool> {
        match self {
            Self::Socket(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(patience))?;
                ask(stream)
            }
            Self::Host(host) => {
                let address = host.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
                let stream = TcpStream::connect_timeout(&address, patience)?;
                stream.set_read_timeout(Some(patience))?;
                ask(stream)
            }
        }
    }
}

fn ask(mut stream: impl Read + Write) -> io::Result<bool> {
    stream.write_all(b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n")?;
    let expected = b"HTTP/1.1 200";
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    Ok(status == *expected)
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => path.display().fmt(f),
            Self::Host(host) => f.write_str(host),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader},
        net::TcpListener,
        os::unix::net::UnixListener,
        thread,
    };

    use super::*;

    /// Reads a request, checks it, and answers.
    fn serve(stream: impl Read + Write, answer: &str) {
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(stream.read_line(&mut head).expect("a line"), 0);
        }
        assert!(head.starts_with("GET /_ping HTTP/1.1\r\nHost: "), "{head}");
        stream.get_mut().write_all(answer.as_bytes()).expect("it listens");
    }

    #[test]
    fn an_engine_is_one_that_answers_well() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("docker.sock");
        let engine = Engine::Socket(path.clone());
        assert!(!engine.answers(), "there is no socket");
        let listener = UnixListener::bind(&path).expect("a socket");
        for (answer, good) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK", true),
            ("HTTP/1.1 500 Internal Server Error\r\n\r\n", false),
            ("", false),
        ] {
            thread::scope(|scope| {
                scope.spawn(|| serve(listener.accept().expect("a client").0, answer));
                assert_eq!(engine.answers(), good, "{answer}");
            });
        }
        assert!(engine.ping(Duration::from_millis(20)).is_err(), "nobody accepts");
        drop(listener);
        assert!(!engine.answers(), "nobody listens");
    }

    #[test]
    fn an_engine_may_be_on_a_host() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let engine = Engine::Host(listener.local_addr().expect("an address").to_string());
        thread::scope(|scope| {
            scope.spawn(|| serve(listener.accept().expect("a client").0, "HTTP/1.1 200 OK\r\n\r\nOK"));
            assert!(engine.answers());
        });
    }

    #[test]
    fn an_address_is_read_as_docker_reads_it() {
        assert_eq!(Engine::parse("unix:///run/d.sock"), Some(Engine::Socket(PathBuf::from("/run/d.sock"))));
        assert_eq!(Engine::parse("tcp://127.0.0.1:2375/"), Some(Engine::Host("127.0.0.1:2375".to_owned())));
        assert_eq!(Engine::parse("ssh://host"), None);
        assert_eq!(Engine::parse("/run/d.sock"), None);
    }
}
