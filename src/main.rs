//! Arguments to exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    keystead::cli::run(std::env::args_os())
}
