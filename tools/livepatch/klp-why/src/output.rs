// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Files that are either written whole or not touched.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::error::Error;
use crate::text::Shown;

/// Writes a file that others read at any time: a temporary one beside it takes its place.
///
/// The temporary file's name does not end in `.prom`, so that node_exporter does not
/// read it.
///
/// # Errors
///
/// [`Error::Io`]; the file at `path` is as it was then. [`Error::Usage`]; there is
/// something else than a regular file: the file would take the place of `/dev/null`, or
/// of a link such as `/dev/stdout`, and not be written through it.
pub fn replace(path: &Path, text: &str) -> Result<(), Error> {
    if fs::symlink_metadata(path).is_ok_and(|known| !known.is_file()) {
        let shown = Shown::bytes(path.as_os_str().as_encoded_bytes());
        return Err(Error::Usage(format!("{shown}: is no regular file")));
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".klp-why-")
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(directory)
        .map_err(Error::io(path))?;
    file.write_all(text.as_bytes()).map_err(Error::io(path))?;
    // The umask does not decide who may read it.
    let readable = fs::set_permissions(file.path(), Permissions::from_mode(0o644));
    readable.map_err(Error::io(path))?;
    file.persist(path).map_err(|e| Error::io(path)(e.error))?;
    Ok(())
}

/// Adds lines to a file, in one write: two of these programs do not mix them.
///
/// # Errors
///
/// [`Error::Io`].
pub fn append(path: &Path, lines: &str) -> Result<(), Error> {
    let file = OpenOptions::new().append(true).create(true).open(path);
    let mut file = file.map_err(Error::io(path))?;
    file.write_all(lines.as_bytes()).map_err(Error::io(path))
}
