//! Which pods may start while the agent is silent.

use std::{
    collections::BTreeSet,
    fs::{File, Metadata},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
};

use serde::Deserialize;

/// Room for some ten thousand namespaces with names of the longest kind.
const LARGEST_FILE: u64 = 4 << 20;

const FILE_VERSION: u32 = 1;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NamespacesFile {
    version: u32,
    not_in_mesh: BTreeSet<String>,
}

/// Whether the agent's file says that a namespace is not in the mesh. A file that cannot be trusted or read knows none.
pub fn is_outside(namespace: &str, file: &Path) -> bool {
    read(file).is_ok_and(|namespaces| namespaces.contains(namespace))
}

fn read(path: &Path) -> io::Result<BTreeSet<String>> {
    let file = File::open(path)?;
    if !is_trustworthy(&file.metadata()?) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let mut text = Vec::new();
    file.take(LARGEST_FILE).read_to_end(&mut text)?;
    let NamespacesFile {
        version,
        not_in_mesh,
    } = serde_json::from_slice(&text)?;
    if version == FILE_VERSION {
        Ok(not_in_mesh)
    } else {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Whoever may write the file decides which pods start outside the mesh.
fn is_trustworthy(metadata: &Metadata) -> bool {
    let written_by_others = metadata.mode() & 0o022 != 0;
    metadata.is_file()
        && metadata.uid() == own_user()
        && !written_by_others
        && metadata.len() <= LARGEST_FILE
}

/// The user that the plugin runs as: root, except in tests.
pub fn own_user() -> u32 {
    // SAFETY: geteuid takes nothing, touches no memory of ours and cannot fail.
    unsafe { libc::geteuid() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{env, fs, os::unix::fs::PermissionsExt, path::PathBuf, process};

    use super::*;

    struct Temporary(PathBuf);

    impl Temporary {
        fn new(name: &str, text: &str, mode: u32) -> Self {
            let path = env::temp_dir().join(format!("ambit-cni-{}-{name}", process::id()));
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            Self(path)
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    const GOOD: &str = r#"{ "version": 1, "notInMesh": ["default"] }"#;

    #[test]
    fn only_a_namespace_that_is_named_is_outside() {
        let file = Temporary::new("good", GOOD, 0o644);
        assert!(is_outside("default", &file.0));
        assert!(!is_outside("shop", &file.0));
    }

    #[test]
    fn a_file_that_others_can_write_names_nobody() {
        for (name, mode) in [("group", 0o664), ("others", 0o646)] {
            let file = Temporary::new(name, GOOD, mode);
            assert!(!is_outside("default", &file.0), "{name}");
        }
    }

    #[test]
    fn an_unreadable_file_names_nobody() {
        let broken = Temporary::new("broken", r#"{ "version": 1, "notInMesh": ["defa"#, 0o644);
        let other = Temporary::new(
            "other",
            r#"{ "version": 2, "notInMesh": ["default"] }"#,
            0o644,
        );
        assert!(!is_outside("default", &broken.0));
        assert!(!is_outside("default", &other.0));
        assert!(!is_outside(
            "default",
            Path::new("/nonexistent/namespaces.json")
        ));
        assert!(!is_outside("default", &env::temp_dir()));
    }
}
