//! The domains that libvirt's daemon knows.

use std::ffi::c_uint;

use anyhow::{Context, Result};
use virt::domain::Domain;
use virt::sys;

use super::connection::Libvirt;
use super::domain::Handle;
use super::trouble::Trouble;
use crate::context::uuid::Uuid;

impl Libvirt {
    /// The domain with this UUID.
    ///
    /// # Errors
    /// [`Trouble::Gone`] when there is none.
    pub(crate) fn domain(&self, uuid: &Uuid) -> Result<Handle<'_>, Trouble> {
        let domain = self.told(Domain::lookup_by_uuid_string(&self.connection, &uuid.to_string()))?;
        Ok(Handle { libvirt: self, domain })
    }

    /// The domain that a person calls `name`: by UUID, or by name. A name that is another domain's UUID means that one, as it
    /// does for virsh.
    pub(crate) fn find(&self, name: &str) -> Result<Handle<'_>> {
        // A NUL cannot be in a C string, nor in a domain's name.
        let by_name = || if name.contains('\0') { None } else { Domain::lookup_by_name(&self.connection, name).ok() };
        let by_uuid = || name.parse::<Uuid>().ok().and_then(|uuid| self.domain(&uuid).ok());
        let found = by_uuid().or_else(|| by_name().map(|domain| Handle { libvirt: self, domain }));
        found.with_context(|| format!("there is no VM {name:?} at {}; \"virsh list --all\" shows all", self.uri))
    }

    pub(crate) fn running(&self) -> Result<Vec<Handle<'_>>, Trouble> {
        self.list(sys::VIR_CONNECT_LIST_DOMAINS_ACTIVE)
    }

    pub(crate) fn all(&self) -> Result<Vec<Handle<'_>>, Trouble> {
        self.list(0)
    }

    fn list(&self, flags: c_uint) -> Result<Vec<Handle<'_>>, Trouble> {
        let domains = self.told(self.connection.list_all_domains(flags))?;
        Ok(domains.into_iter().map(|domain| Handle { libvirt: self, domain }).collect())
    }
}
