//! A domain: where it is on its way, its XML, and the changes that are made to it.

use std::ffi::c_uint;

use quick_xml::escape::escape;
use virt::domain::{Domain, JobStats};
use virt::error::{Error, ErrorNumber};
use virt::sys;

use super::connection::Libvirt;
use super::raw;
use super::trouble::Trouble;
use crate::context::domain::driver::Driver;
use crate::context::domain::link_mark::{LINKS, mark};
use crate::context::domain::request::NAMESPACE;
use crate::context::uuid::Uuid;

/// The prefixes under which our metadata elements are stored.
const METADATA_KEY: &str = "recontext";
const LINKS_KEY: &str = "recontext-links";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Situation {
    /// It is arriving, or being started: libvirt's own work on it is not done, and a call that changes it would have to
    /// wait.
    Arriving,
    Running,
    /// It is here, and its guest stands still: it cannot answer.
    Paused,
    Gone,
}

pub(crate) struct Handle<'l> {
    pub(super) libvirt: &'l Libvirt,
    pub(super) domain: Domain,
}

/// Whether a change is for the running VM or for its next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Live,
    Config,
}

impl Scope {
    fn flag(self) -> c_uint {
        match self {
            Scope::Live => sys::VIR_DOMAIN_AFFECT_LIVE,
            Scope::Config => sys::VIR_DOMAIN_AFFECT_CONFIG,
        }
    }
}

impl Handle<'_> {
    pub(crate) fn name(&self) -> Result<String, Trouble> {
        self.libvirt.told(self.domain.get_name())
    }

    pub(crate) fn uuid(&self) -> Result<Uuid, Trouble> {
        let uuid = self.libvirt.told(self.domain.get_uuid_string())?;
        uuid.parse().map_err(|error| Trouble::Other(format!("{error}")))
    }

    /// Where it is on its way. Never waits for other work on the domain.
    pub(crate) fn situation(&self) -> Result<Situation, Trouble> {
        let (state, reason) = match self.libvirt.told(raw::state(&self.domain)) {
            Err(Trouble::Gone) => return Ok(Situation::Gone),
            state => state?,
        };
        let situation = match (state, reason) {
            (sys::VIR_DOMAIN_RUNNING, sys::VIR_DOMAIN_RUNNING_POSTCOPY | sys::VIR_DOMAIN_RUNNING_POSTCOPY_FAILED) => {
                Situation::Arriving
            }
            (
                sys::VIR_DOMAIN_PAUSED,
                sys::VIR_DOMAIN_PAUSED_MIGRATION
                | sys::VIR_DOMAIN_PAUSED_STARTING_UP
                | sys::VIR_DOMAIN_PAUSED_POSTCOPY
                | sys::VIR_DOMAIN_PAUSED_POSTCOPY_FAILED,
            ) => Situation::Arriving,
            (sys::VIR_DOMAIN_RUNNING | sys::VIR_DOMAIN_BLOCKED, _) => Situation::Running,
            (sys::VIR_DOMAIN_PAUSED | sys::VIR_DOMAIN_PMSUSPENDED, _) => Situation::Paused,
            _ => Situation::Gone,
        };
        // To Xen's driver a VM is shut off until all its memory has come, and then paused; only the work on it is known.
        let may_arrive = self.libvirt.driver == Driver::Xen && matches!(situation, Situation::Gone | Situation::Paused);
        Ok(if may_arrive && self.is_worked_on() { Situation::Arriving } else { situation })
    }

    /// Whether long work is done on it, such as a migration away from here, for which a change would have to wait. A backup,
    /// which may take hours, is none: libvirt changes media meanwhile.
    pub(crate) fn is_worked_on(&self) -> bool {
        let works = |job: &JobStats| job.r#type != sys::VIR_DOMAIN_JOB_NONE as i32;
        let is_backup = || {
            let job = self.domain.get_job_stats(0);
            job.is_ok_and(|job| job.operation == Some(sys::VIR_DOMAIN_JOB_OPERATION_BACKUP as i32) || !works(&job))
        };
        self.domain.get_job_info().is_ok_and(|job| works(&job) && !is_backup())
    }

    pub(crate) fn is_persistent(&self) -> Result<bool, Trouble> {
        self.libvirt.told(self.domain.is_persistent())
    }

    /// The XML of the running VM (of the persistent definition, if it does not run), or of the persistent definition.
    /// Not while it arrives: the call would wait for that to end.
    pub(crate) fn xml(&self, scope: Scope) -> Result<String, Trouble> {
        let flags = match scope {
            Scope::Live => 0,
            Scope::Config => sys::VIR_DOMAIN_XML_INACTIVE,
        };
        self.libvirt.told(self.domain.get_xml_desc(flags))
    }

    /// The XML of the running VM as another host would be given it. An interface on a network of libvirt's names that network here;
    /// in the live XML it has the type of what came of that on this host, and given back so it would have that type for good.
    pub(crate) fn migratable_xml(&self) -> Result<String, Trouble> {
        self.libvirt.told(self.domain.get_xml_desc(sys::VIR_DOMAIN_XML_MIGRATABLE))
    }

    /// The persistent definition with its passwords, to be changed and given back: without them they would be lost. Not for any
    /// log.
    pub(crate) fn definition_with_secrets(&self) -> Result<String, Trouble> {
        self.libvirt.told(self.domain.get_xml_desc(sys::VIR_DOMAIN_XML_INACTIVE | sys::VIR_DOMAIN_XML_SECURE))
    }

    /// Makes `xml` its persistent definition.
    pub(crate) fn define(&self, xml: &str) -> Result<(), Trouble> {
        self.libvirt.told(Domain::define_xml(&self.libvirt.connection, xml)).map(drop)
    }

    /// Changes a device to what `xml` says; with `force`, the medium even of a locked drive.
    ///
    /// # Errors
    /// [`Trouble::Refused`] when the guest does not let go of the medium within libvirt's 5 seconds.
    pub(crate) fn update_device(&self, xml: &str, scope: Scope, force: bool) -> Result<(), Trouble> {
        let force = if force { sys::VIR_DOMAIN_DEVICE_MODIFY_FORCE } else { 0 };
        let done = self.domain.update_device_flags(xml, scope.flag() | force);
        done.map(drop).map_err(|error| match Trouble::of(&error, &self.libvirt.connection) {
            Trouble::Other(_) if error.code() == ErrorNumber::OperationInvalid && !self.is_active() => Trouble::Gone,
            trouble => trouble,
        })
    }

    pub(crate) fn add_device(&self, xml: &str, scope: Scope) -> Result<(), Trouble> {
        self.libvirt.told(self.domain.attach_device_flags(xml, scope.flag())).map(drop)
    }

    pub(crate) fn remove_device(&self, xml: &str, scope: Scope) -> Result<(), Trouble> {
        self.libvirt.told(self.domain.detach_device_flags(xml, scope.flag())).map(drop)
    }

    /// The version of the daemon that knows it: major, minor, release.
    pub(crate) fn daemon_version(&self) -> Result<(u32, u32, u32), Trouble> {
        self.libvirt.version()
    }

    /// The number that the hypervisor knows the running VM by.
    pub(crate) fn id(&self) -> Option<u32> {
        self.domain.get_id()
    }

    /// The number of this run, if the guest goes on in it from where a snapshot was made. libvirt knows that until the guest
    /// next stops and goes on.
    pub(crate) fn run_from_snapshot(&self) -> Result<Option<u32>, Trouble> {
        let from_snapshot = matches!(
            self.libvirt.told(raw::state(&self.domain))?,
            (sys::VIR_DOMAIN_RUNNING, sys::VIR_DOMAIN_RUNNING_FROM_SNAPSHOT)
                | (sys::VIR_DOMAIN_PAUSED, sys::VIR_DOMAIN_PAUSED_FROM_SNAPSHOT)
        );
        Ok(self.id().filter(|_| from_snapshot))
    }

    /// Writes our metadata element, or removes it.
    pub(crate) fn set_request(&self, xml: Option<&str>, scopes: &[Scope]) -> Result<(), Trouble> {
        let flags = scopes.iter().fold(0, |flags, scope| flags | scope.flag());
        let kind = sys::VIR_DOMAIN_METADATA_ELEMENT as i32;
        self.libvirt.told(self.domain.set_metadata(kind, xml, Some(METADATA_KEY), Some(NAMESPACE), flags)).map(drop)
    }

    /// Marks the running VM as one whose links with these MACs are down for a moment, or takes that away.
    pub(crate) fn mark_links(&self, macs: Option<&[String]>) -> Result<(), Trouble> {
        let (kind, mark) = (sys::VIR_DOMAIN_METADATA_ELEMENT as i32, macs.map(mark));
        let live = sys::VIR_DOMAIN_AFFECT_LIVE;
        let marked = self.domain.set_metadata(kind, mark.as_deref(), Some(LINKS_KEY), Some(LINKS), live);
        self.libvirt.told(marked).map(drop)
    }

    /// Whether a snapshot or the saved state of it on this host names `path`, so that libvirt may look for that file.
    pub(crate) fn is_named_by_saved(&self, path: &str) -> Result<bool, Trouble> {
        let saved = || -> Result<bool, Error> {
            if self.domain.has_managed_save(0)? {
                return Ok(true);
            }
            for snapshot in self.domain.list_all_snapshots(0)? {
                let xml = snapshot.get_xml_desc(0)?;
                if xml.contains(path) || xml.contains(escape(path).as_ref()) {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        match saved() {
            // A driver that has none of both.
            Err(error) if error.code() == ErrorNumber::NoSupport => Ok(false),
            saved => self.libvirt.told(saved),
        }
    }

    fn is_active(&self) -> bool {
        self.domain.is_active().unwrap_or(false)
    }
}
