//! The control socket: one command a line, one line of answer to each.

use std::{
    fs,
    io::{self, BufRead, BufReader, ErrorKind, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::Path,
    thread,
};

use crate::{grammar::Command, shim::Shim};

/// Takes commands on the socket at `path` from now on. Where another process does so already this one takes none.
pub(crate) fn listen(shim: &'static Shim, path: &Path) -> io::Result<()> {
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            if UnixStream::connect(path).is_ok() {
                eprintln!("pkcs11-shim: another process takes commands on {}, this one does not", path.display());
                return Ok(());
            }
            // Its listener is gone, as after a kill.
            fs::remove_file(path)?;
            UnixListener::bind(path)?
        }
        other => other?,
    };
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    let accept = move || {
        for client in listener.incoming().map_while(Result::ok) {
            // Where no thread can be had, the client sees its connection closed.
            let _ = thread::Builder::new().name("pkcs11-shim".to_owned()).spawn(move || serve(shim, &client));
        }
    };
    thread::Builder::new().name("pkcs11-shim".to_owned()).spawn(accept)?;
    Ok(())
}

fn serve(shim: &Shim, client: &UnixStream) {
    for line in BufReader::new(client).lines().map_while(Result::ok) {
        let answer = match line.parse::<Command>() {
            Ok(command) => shim.command(&command),
            Err(error) => Err(error.to_string()),
        };
        let answer = match answer {
            Ok(None) => "ok\n".to_owned(),
            Ok(Some(text)) => format!("ok {text}\n"),
            Err(error) => format!("error {error}\n"),
        };
        let mut to_client = client;
        if to_client.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
