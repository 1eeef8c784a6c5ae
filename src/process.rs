//! What the process asks of the operating system about itself.

use std::path::Path;

use rustix::{
    fs::statvfs,
    process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit},
};

/// Keeps key material in memory away from core files and from other processes of the same user: no core dumps, no ptrace, no
/// reading of `/proc/PID/mem`. Call before the first secret is read. Children started later inherit only the core limit.
///
/// # Errors
/// The operating system refuses; the server should not start then.
pub fn harden() -> Result<(), std::io::Error> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Raises the soft limit of open files to `wanted`, as far as the hard limit allows, and returns what it then is. A
/// connection costs one file; the soft limit of a login shell is often 1024.
///
/// # Errors
/// The operating system refuses.
pub fn raise_open_files(wanted: u64) -> Result<u64, std::io::Error> {
    let limit = getrlimit(Resource::Nofile);
    let soft = limit.current.unwrap_or(u64::MAX);
    let reachable = limit.maximum.map_or(wanted, |hard| wanted.min(hard));
    if reachable <= soft {
        return Ok(soft);
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(reachable), maximum: limit.maximum })?;
    Ok(reachable)
}

/// How many bytes the process may still write to the disk that `file` lies on, as far as that is told.
#[must_use]
pub fn disk_free(file: &Path) -> Option<u64> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    match statvfs(folder.unwrap_or(Path::new("."))) {
        Ok(disk) => Some(disk.f_bavail.saturating_mul(disk.f_frsize)),
        Err(error) => {
            tracing::debug!(%error, file = %file.display(), "the disk does not tell how much is free");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardening_leaves_no_core_dump() {
        harden().unwrap();
        let limit = getrlimit(Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
        assert_eq!(rustix::process::dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }

    #[test]
    fn open_files_are_never_lowered() {
        let before = getrlimit(Resource::Nofile).current;
        assert_eq!(Some(raise_open_files(1).unwrap()), before);
    }
}
