//! `keystead check-config`: every problem at once, without starting anything.

use super::{CliError, ConfigArgs, output::say};
use crate::config::Config;

pub(super) fn run(args: &ConfigArgs) -> Result<(), CliError> {
    Config::load_checked(&args.config)?;
    say(format_args!("{}: good", args.config.display()));
    Ok(())
}
