//! `keystead completions` and `keystead man`: made from the description of the command line itself, so that they are never behind it.

use std::{io::Write as _, path::PathBuf};

use clap::{Args, Command};
use clap_complete::Shell;

use super::{
    CliError,
    data_dir::{create_folder, write_file},
    output::say,
};

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// The folder, for example /usr/local/share/man/man1
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

/// Prints what a shell reads to complete our arguments.
pub(super) fn completions(args: &CompletionsArgs, mut command: Command) {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "keystead", &mut script);
    let _ = std::io::stdout().lock().write_all(&script);
}

/// Writes a page for each command.
pub(super) fn man(args: &ManArgs, mut command: Command) -> Result<(), CliError> {
    create_folder(&args.dir)?;
    command.build();
    let written = page(args, &command, "keystead")?;
    say(format_args!("{written} pages in {}: try `man {}/keystead.1`", args.dir.display(), args.dir.display()));
    Ok(())
}

/// Writes the page of `command` and those of the commands under it; how many.
fn page(args: &ManArgs, command: &Command, name: &str) -> Result<usize, CliError> {
    let path = args.dir.join(format!("{name}.1"));
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut text).map_err(CliError::file(&path))?;
    write_file(&path, &String::from_utf8_lossy(&text))?;
    let mut written = 1;
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        written += page(args, below, &format!("{name}-{}", below.get_name()))?;
    }
    Ok(written)
}
