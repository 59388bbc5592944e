// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Files that are either written whole or not touched.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use crate::error::Error;

/// Reads all of a file.
///
/// # Errors
///
/// [`Error::Io`] with the file's name.
pub fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(Error::io(path))
}

/// Writes a file: to a temporary one beside it, which then takes its place.
///
/// An existing file keeps its permissions. What is not a file (`/dev/null`, a pipe)
/// is written to, and stays what it is.
///
/// # Errors
///
/// [`Error::Io`]; the file at `path` is as it was then.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    // A link stays a link: what it points to is replaced.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let existing = fs::metadata(&target).ok();
    if existing
        .as_ref()
        .is_some_and(|existing| !existing.is_file())
    {
        return fs::write(&target, bytes).map_err(Error::io(path));
    }
    let directory = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".orctool-")
        .tempfile_in(directory)
        .map_err(Error::io(path))?;
    file.write_all(bytes).map_err(Error::io(path))?;
    let permissions = existing.map_or_else(default_permissions, |e| e.permissions());
    file.as_file()
        .set_permissions(permissions)
        .map_err(Error::io(path))?;
    file.persist(&target)
        .map_err(|e| Error::io(path)(e.error))?;
    Ok(())
}

/// A temporary file is private; what a compiler writes is readable by all.
fn default_permissions() -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt as _;
    fs::Permissions::from_mode(0o644)
}
