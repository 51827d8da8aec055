//! A VM that need not exist, for which a disc is thought of.

use quick_xml::escape::escape;

use crate::context::uuid::Uuid;

#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub name: String,
    pub uuid: Uuid,
    /// The directory below `domains` for whose sake it is thought of, if it is.
    pub place: Option<String>,
}

impl Sample {
    /// Its definition.
    pub(super) fn xml(&self) -> String {
        let Sample { name, uuid, .. } = self;
        format!("<domain type='kvm'><name>{}</name><uuid>{uuid}</uuid></domain>", escape(name.as_str()))
    }
}
