//! Where a node's objects are pinned: `<bpffs>/ambit/<node>/<abi>/`, pods below `pods/<uid>/`.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::abi::ABI;

#[derive(Clone, Debug)]
pub(crate) struct Pins {
    root: PathBuf,
}

impl Pins {
    pub fn new(bpffs: &Path, node: &str) -> Self {
        Self {
            root: node_folder(bpffs, node).join(format!("v{ABI}")),
        }
    }

    /// Root only: a pin is as good as the object's descriptor.
    pub fn create(&self) -> io::Result<()> {
        let pods = self.root.join("pods");
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&pods)?;
        fs::set_permissions(&self.root, fs::Permissions::from_mode(0o700))
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn map(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub fn link(&self, name: &str) -> PathBuf {
        self.root.join(format!("link_{name}"))
    }

    pub fn pod(&self, uid: &str) -> PathBuf {
        self.root.join("pods").join(encode(uid))
    }

    pub fn pod_link(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("lookup")
    }

    pub fn pod_listeners(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("listeners")
    }

    pub fn pods(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.root.join("pods")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        Ok(entries
            .flatten()
            .map(|entry| decode(&entry.file_name().to_string_lossy()))
            .collect())
    }
}

/// All that `node` pins, whatever the ABI.
pub(crate) fn node_folder(bpffs: &Path, node: &str) -> PathBuf {
    bpffs.join("ambit").join(encode(node))
}

/// Removes a file; that it is not there is no error. Whether it was there.
pub(crate) fn remove_pin(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// bpffs refuses dots in names, and a uid may hold slashes.
fn encode(name: &str) -> String {
    name.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || byte == b'-' {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("_{byte:02x}"));
        }
        text
    })
}

fn decode(name: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = name.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let code = tail
            .get(..2)
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (first, code) {
            (b'_', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_from_their_encoding() {
        for name in [
            "8b1f-22",
            "Kubernetes//Pod/ns/a_b.c",
            "node.example.com",
            "ü_5f",
        ] {
            let encoded = encode(name);
            assert!(!encoded.contains(['.', '/']), "{encoded}");
            assert_eq!(decode(&encoded), name);
        }
    }
}
