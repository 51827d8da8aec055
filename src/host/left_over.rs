//! What editors, packages, deployment tools and git leave beside the files that are meant: it is known by its name alone, and
//! does not count.

/// The last part of a name, after a dot.
const ENDINGS: [&str; 14] =
    ["swp", "swx", "swo", "bak", "orig", "rej", "old", "new", "save", "tmp", "part", "rpmsave", "rpmnew", "rpmorig"];

/// How the last part begins that a package's tools give to a file's other versions.
const PACKAGED: [&str; 2] = ["dpkg-", "ucf-"];

/// Where the directory is a list of things to read or to run, as `facts.d` is, and libvirt's directories of hooks.
pub(crate) fn in_list(name: &str) -> bool {
    let last = name.rsplit_once('.').map_or("", |(_, last)| last);
    name.starts_with(['.', '#'])
        || name.ends_with(['~', '#'])
        || name == "README"
        // With a file of this name vim tries, for a moment, whether it may write here.
        || name == "4913"
        || name.starts_with("README.")
        || ENDINGS.contains(&last)
        || PACKAGED.iter().any(|begin| last.starts_with(begin))
}

/// Where the directory is content, as `context` is: there dot files and copies may be what is wanted.
pub(crate) fn in_content(name: &str) -> bool {
    let last = name.rsplit_once('.').map_or("", |(_, last)| last);
    let is_swap = name.starts_with('.') && last.len() == 3 && last.starts_with("sw");
    name == ".git"
        || name.ends_with('~')
        || (name.starts_with('#') && name.ends_with('#') && name.len() > 1)
        || [".#", ".nfs"].iter().any(|begin| name.starts_with(begin))
        || is_swap
        || PACKAGED.iter().any(|begin| last.starts_with(begin))
        || ["rpmsave", "rpmnew", "rpmorig"].contains(&last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_over_is_known_by_its_name() {
        for (name, list, content) in [
            (".site.toml.swp", true, true),
            (".site.toml.swx", true, true),
            ("site.toml~", true, true),
            ("#site.toml#", true, true),
            (".#site.toml", true, true),
            ("site.toml.dpkg-dist", true, true),
            ("site.toml.dpkg-old", true, true),
            ("site.toml.ucf-new", true, true),
            ("site.toml.rpmsave", true, true),
            ("net.rpmnew", true, true),
            (".nfs000000000123", true, true),
            (".git", true, true),
            (".gitkeep", true, false),
            (".ansible_tmpx2site.toml", true, false),
            ("README", true, false),
            ("README.md", true, false),
            ("site.toml.bak", true, false),
            ("site.toml.orig", true, false),
            ("site.toml.part", true, false),
            ("#site.toml", true, false),
            (".profile", true, false),
            ("4913", true, false),
            ("site.toml", false, false),
            ("site.tmol", false, false),
            ("READMEs", false, false),
            ("old", false, false),
            ("10-network", false, false),
            ("web.swapped", false, false),
            ("#", true, false),
        ] {
            assert_eq!((in_list(name), in_content(name)), (list, content), "{name}");
        }
    }
}
