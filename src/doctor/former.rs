//! Images that were left behind when `image_dir` was changed. Nobody removes them: a definition, a snapshot or a saved state may
//! name one still, and its VM would not come back without it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::report::Check;
use crate::context::domain::{image_name, is_image_name};
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
    // Of a VM that arrives, or that libvirt does not tell of, it is not known what it names.
    let unknown: BTreeSet<String> =
        vms.iter().filter(|vm| vm.live.is_none() && vm.definition.is_none()).map(|vm| image_name(&vm.uuid)).collect();
    let named = |name: &String| {
        let path = dir.join(name).to_string_lossy().into_owned();
        unknown.contains(name)
            || vms.iter().any(|vm| [&vm.live, &vm.definition].into_iter().flatten().any(|xml| xml.contains(&path)))
    };
    let entries = file::entries(&real).unwrap_or_default();
    let names = entries.into_iter().filter_map(|entry| entry.file_name().into_string().ok());
    let mut images: Vec<String> = names.filter(|name| is_image_name(name) && !named(name)).collect();
    images.sort();
    images
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::uuid::Uuid;
    use crate::libvirt::domain::Situation;

    #[test]
    fn the_image_of_a_vm_of_which_libvirt_does_not_tell_is_not_called_unnamed() {
        let root = tempfile::tempdir().unwrap();
        let host = Host::new(root.path().to_owned(), "host".to_owned());
        let uuid: Uuid = "6695eb01-f6a4-8304-79aa-97f2502e193f".parse().unwrap();
        std::fs::create_dir(root.path().join("old")).unwrap();
        std::fs::write(root.path().join("old").join(image_name(&uuid)), "").unwrap();
        let unnamed = |definition: Option<&str>| {
            let definition = definition.map(str::to_owned);
            let (name, situation, live) = ("vm".to_owned(), Situation::Arriving, None);
            let vm = Vm { name, uuid: uuid.clone(), situation, run_from_snapshot: None, error: None, live, definition };
            unnamed_images(&host, Path::new("/old"), &[vm])
        };
        assert_eq!(unnamed(None), [""; 0]);
        assert_eq!(unnamed(Some("<domain/>")), [image_name(&uuid)]);
    }
}
