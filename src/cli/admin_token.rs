//! `keystead admin-token`: the way into the admin API for whoever holds the machine.

use super::{
    CliError, ConfigArgs,
    admin::{Admin, Subject},
    output::say,
};
use crate::admin::first;

pub(super) fn run(args: &ConfigArgs) -> Result<(), CliError> {
    let admin = Admin::open(args.load()?)?;
    let token = admin.act("bootstrap_token.create", Subject::default(), || Ok(first::another_token(&admin.store)?))?;
    say(format_args!("{}", *token.text));
    Ok(())
}
