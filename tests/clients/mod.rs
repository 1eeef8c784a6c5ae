//! What real clients send, replayed in shape over TLS to the real program, one file for each vendor.
//!
//! Every answer of every replay passes through [`answers::read`], which holds it against the version of its request.

mod answers;
mod ceph;
mod client_token;
mod fortigate;
mod hsm_keys;
mod message;
mod mongodb;
mod mysql;
mod ontap;
mod pg_tde;
mod rules;
mod storage_array;
mod synology;
mod tls;
pub mod vcenter;

use std::sync::OnceLock;

use kmip::{client::RequestBuilder, message::RequestMessage, tree::Item, version::Version};

use self::answers::Answer;
use crate::harness::server::{Connection, Server, write_private};

/// The user of the shared server's adapter `demo`.
pub const USER: &str = "kmip-user";
/// That user's password.
pub const PASSWORD: &str = "a password: with a colon";

/// The server that these tests share, as a customer's: RSA certificates, and a credential for adapter `demo`. Each test
/// makes objects of its own.
pub fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap().keep();
        let credential = folder.join("credential");
        write_private(&credential, &format!("{USER}:{PASSWORD}\n"));
        let options = ["--tls-key", "rsa-3072", "--credential-file", credential.to_str().unwrap()];
        let server = Server::start_in(&folder.join("data"), &options);
        server.end_with_this_process(&folder);
        server
    })
}

/// One connection.
struct Line(Connection);

impl Line {
    /// A new connection of adapter `demo` to the shared server.
    fn open() -> Self {
        Self::open_as("client")
    }

    /// The same with the certificate in another folder.
    fn open_as(folder: &str) -> Self {
        Self(server().connect_as(folder, Version::V1_0))
    }

    /// Sends a message and reads the answer to each of its items.
    fn ask(&mut self, request: RequestBuilder) -> Vec<Answer> {
        self.exchange(&request.build())
    }

    /// Sends a message of one item that must succeed, and returns its response payload.
    fn ask_one(&mut self, request: RequestBuilder) -> Item {
        let mut answers = self.ask(request);
        assert_eq!(answers.len(), 1);
        answers.remove(0).into_payload()
    }

    /// Sends a message tree as it is.
    fn exchange(&mut self, request: &Item) -> Vec<Answer> {
        let response = self.0.exchange(request).expect("the connection stays up");
        let version = RequestMessage::version_of(request).and_then(|numbers| numbers.known()).expect("a version");
        answers::read(request, &response, version)
    }
}
