//! Images that were left behind when `image_dir` was changed. Nobody removes them: a definition, a snapshot or a saved state may
//! name one still, and its VM would not come back without it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::report::Check;
use crate::context::domain::image_name;
use crate::context::uuid::Uuid;
use crate::host::config::Config;
use crate::host::file;
use crate::host::paths::Host;
use crate::host::vm::state::State;
use crate::libvirt::survey::Vm;

/// Tells of images that lie elsewhere than in `image_dir` and that none of `vms` names. They are looked for where they are by
/// default, and where a state says that one is; not in directories that other hosts may share.
pub(super) fn check(host: &Host, config: &Config, vms: &[Vm], check: &mut Check) {
    let recorded = State::all_known(host).unwrap_or_default().into_iter().filter_map(|state| state.image);
    let recorded = recorded.filter_map(|image| image.parent().map(Path::to_owned));
    let directories: BTreeSet<PathBuf> = recorded.chain([Config::default().image_dir]).collect();
    for dir in directories.iter().filter(|dir| **dir != config.image_dir) {
        let images = unnamed_images(host, dir, vms);
        let Some(first) = images.first() else { continue };
        check.warning(
            format_args!(
                "in {}, which is not image_dir, there are images that no VM here names any more: {first}{}",
                dir.display(),
                if images.len() > 1 { format!(" and {} more", images.len() - 1) } else { String::new() }
            ),
            "remove those that no snapshot or saved state names either",
        );
    }
}

fn unnamed_images(host: &Host, dir: &Path, vms: &[Vm]) -> Vec<String> {
    let real = host.under_root(dir);
    if !file::is_on_this_host(&real) {
        return Vec::new();
    }
    let is_ours = |name: &String| {
        let uuid: Option<Uuid> = name.strip_suffix(".iso").and_then(|stem| stem.parse().ok());
        uuid.is_some_and(|uuid| image_name(&uuid) == *name)
    };
    let named = |name: &String| {
        let path = dir.join(name).to_string_lossy().into_owned();
        vms.iter().any(|vm| [&vm.live, &vm.definition].into_iter().flatten().any(|xml| xml.contains(&path)))
    };
    let entries = file::entries(&real).unwrap_or_default();
    let names = entries.into_iter().filter_map(|entry| entry.file_name().into_string().ok());
    let mut images: Vec<String> = names.filter(|name| is_ours(name) && !named(name)).collect();
    images.sort();
    images
}
