//! One row and one file for each operation. A handler is given its typed request and a [`Ctx`] and gives back its response:
//! target, fetch, require, act, answer. It never builds envelopes, picks reasons, logs or checks roles.

use kmip::{
    enums::Operation,
    payloads::{Request, Response},
};

use super::{ctx::Ctx, error::OpError};

mod activate;
mod attributes;
mod create;
mod destroy;
mod discover_versions;
mod get;
mod get_attributes;
mod locate;
mod query;
mod register;
mod revoke;

/// Writes `dispatch` and the list that Query answers with, from one row an operation.
macro_rules! ops {
    ($($operation:ident => $handler:path;)*) => {
        /// The operations this server has, in the order of their codes where the specification lists them.
        pub(super) const SUPPORTED: &[Operation] = &[$(Operation::$operation),*];

        /// Calls the operation's handler.
        ///
        /// # Errors
        /// What the handler says.
        pub(super) fn dispatch(ctx: &Ctx<'_>, request: Request) -> Result<Response, OpError> {
            match request {
                $(Request::$operation(request) => $handler(ctx, request).map(Response::$operation),)*
            }
        }
    };
}

ops! {
    Create => create::create;
    Register => register::register;
    Locate => locate::locate;
    Get => get::get;
    GetAttributes => get_attributes::get_attributes;
    GetAttributeList => get_attributes::get_attribute_list;
    AddAttribute => attributes::add_attribute;
    ModifyAttribute => attributes::modify_attribute;
    DeleteAttribute => attributes::delete_attribute;
    Activate => activate::activate;
    Revoke => revoke::revoke;
    Destroy => destroy::destroy;
    Query => query::query;
    DiscoverVersions => discover_versions::discover_versions;
}
