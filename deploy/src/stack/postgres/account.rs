//! The user that PostgreSQL runs as. It refuses root, so root lends it another.

use anyhow::Context as _;
use nix::unistd::{Uid, User};

use crate::stack::child::Account;

/// None where our own user will do.
pub(super) fn for_postgres() -> anyhow::Result<Option<Account>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    let user = ["postgres", "nobody"]
        .into_iter()
        .find_map(|name| User::from_name(name).ok().flatten())
        .context("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody")?;
    Ok(Some(Account { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw() }))
}
