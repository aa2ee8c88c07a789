//! A file streamed to disk: whole and checked, or not there.

use std::fmt;
use std::fs::{Metadata, TryLockError};
use std::io::{self, ErrorKind as Io};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cxone_core::Priority;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderName,
    IF_RANGE, RANGE,
};
use http::{HeaderMap, StatusCode};
use md5::Md5;
use sha2::{Digest, Sha256};
use tokio::fs::{self, File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use crate::address::resolve;
use crate::client::Client;
use crate::error::{Error, ErrorKind};
use crate::response::StreamResponse;

/// RFC 9530: of the whole file, whichever part of it is sent.
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
/// What object stores say, base64.
const AMZ_SHA256: HeaderName = HeaderName::from_static("x-amz-checksum-sha256");
/// RFC 1864: of the body that is sent.
const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");

/// A body that brings nothing for so long is given up, and the rest asked for.
const STALL: Duration = Duration::from_secs(30);

/// So often in a row a body may end early without having brought anything.
const IN_VAIN: u32 = 5;

/// So often an answer may not go on with what is there.
const CHANGES: u32 = 5;

/// So often, and so far apart, it is looked whether a file is written: by a download that was given
/// up a moment ago it is until the disk has what that had in hand.
const LAST_WRITES: u32 = 10;
const LAST_WRITE: Duration = Duration::from_millis(20);

/// A download in the making; [`to`](Download::to) starts it.
///
/// The file appears under its name when it is complete and on disk, and never before: until then
/// it is `{name}.part` beside it. A body that ends early goes on from where it ended, if the server
/// has named what it sends by a strong `ETag` (`Range` and `If-Range`, RFC 9110 §13.1.5), also in a
/// later call; else it begins anew. Length and checksum (`Repr-Digest` with sha-256,
/// `x-amz-checksum-sha256`, `Content-MD5`) are checked where the server states them. Memory is
/// bounded by what the transport hands over at once.
#[must_use = "a download does nothing until it is told where to"]
pub struct Download {
    client: Client,
    path: String,
    priority: Priority,
    stall: Duration,
    scope: Option<String>,
}

/// A file that has arrived.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Downloaded {
    /// Where it is.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// How many of them came with an earlier answer than the last one.
    pub resumed: u64,
    /// Was a checksum stated, and right?
    pub verified: bool,
}

impl Download {
    pub(crate) fn new(client: Client, path: &str) -> Download {
        let path = path.to_owned();
        Download { client, path, priority: Priority::Normal, stall: STALL, scope: None }
    }

    /// The class of its requests. Default [`Priority::Normal`].
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// The scope whose limit its requests consume.
    pub fn rate_scope(mut self, scope: &str) -> Self {
        self.scope = Some(scope.to_owned());
        self
    }

    /// How long the body may bring nothing before the rest is asked for anew. Default 30 s.
    pub fn stall_timeout(mut self, time: Duration) -> Self {
        self.stall = time;
        self
    }

    /// Fetches the file. It replaces one of this name. The client's token goes along to its own
    /// origin only.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Download`] if it cannot be written, or another download is writing it (then its
    /// source is an [`io::Error`] of the kind `ResourceBusy`); if its length or checksum is not what
    /// the server states; if the server packs it (`Content-Encoding`) though it was asked not to; if
    /// its body keeps ending early, or it keeps changing; else those of its
    /// requests.
    pub async fn to(self, file: impl AsRef<Path>) -> Result<Downloaded, Error> {
        let target = file.as_ref().to_owned();
        let mut part = Part::open(&target).await.map_err(|error| broken(&target, error))?;
        match self.fill(&mut part, &target).await {
            Ok(verified) => {
                let Part { len: bytes, resumed, .. } = part;
                part.finish(&target).await.map_err(|error| broken(&target, error))?;
                Ok(Downloaded { path: target, bytes, resumed, verified })
            }
            Err(error) => {
                if part.len == 0 || part.etag.is_none() {
                    // No later call can go on with it.
                    let _ = part.remove().await;
                }
                Err(error)
            }
        }
    }

    /// Fetches until it is complete. Gives whether its checksum was stated, and right.
    async fn fill(&self, part: &mut Part, target: &Path) -> Result<bool, Error> {
        let (mut in_vain, mut changes) = (0, 0);
        loop {
            let before = part.len;
            let response = match self.request(part)?.send_stream().await {
                // What is there is no part of what is there now.
                Err(error) if error.status() == Some(StatusCode::RANGE_NOT_SATISFIABLE) => {
                    if before == 0 {
                        return Err(error);
                    }
                    part.restart().await.map_err(|error| broken(target, error))?;
                    changes += 1;
                    if changes >= CHANGES {
                        return Err(error);
                    }
                    continue;
                }
                response => response?,
            };
            match self.take(part, response).await {
                Ok(verified) => return Ok(verified),
                Err(Trouble::Disk(error)) => return Err(broken(target, error)),
                Err(Trouble::Wrong(what)) => {
                    // Nobody may go on with it.
                    part.restart().await.map_err(|error| broken(target, error))?;
                    return Err(Error::new(ErrorKind::Download, format!("Download Error: {what}")));
                }
                Err(Trouble::NoFile(status)) => {
                    let what = format!("Download Error: the answer is no file, but a {status}");
                    return Err(Error::new(ErrorKind::Download, what));
                }
                Err(Trouble::Changed) => {
                    changes += 1;
                    if changes >= CHANGES {
                        let what = "Download Error: its parts are not of one file";
                        return Err(Error::new(ErrorKind::Download, what));
                    }
                }
                Err(Trouble::Ended(error)) => {
                    in_vain = if part.len > before { 0 } else { in_vain + 1 };
                    if in_vain >= IN_VAIN {
                        return Err(error.unwrap_or_else(|| {
                            Error::new(
                                ErrorKind::Download,
                                "Download Error: its body brings nothing",
                            )
                        }));
                    }
                }
            }
        }
    }

    fn request(&self, part: &Part) -> Result<crate::RequestBuilder, Error> {
        let base = self.client.settings().base.url();
        let (_, own) = resolve(base, &self.path)?;
        let mut request = self.client.get(&self.path).priority(self.priority);
        // An encoding of the transport's would make lengths and ranges those of something else.
        request = request.header(ACCEPT, "*/*").header(ACCEPT_ENCODING, "identity");
        if !own {
            request = request.auth(false);
        }
        if let Some(scope) = &self.scope {
            request = request.rate_scope(scope);
        }
        if let (Some(etag), true) = (&part.etag, part.len > 0) {
            request = request.header(RANGE, format!("bytes={}-", part.len));
            request = request.header(IF_RANGE, etag);
        }
        Ok(request)
    }

    /// Writes what comes. Gives whether its checksum was stated, and right.
    async fn take(&self, part: &mut Part, mut response: StreamResponse) -> Result<bool, Trouble> {
        let headers = response.headers().clone();
        // Its lengths, ranges and checksums are not those of the file.
        if let Some(packed) = headers.get(CONTENT_ENCODING)
            && !packed.as_bytes().eq_ignore_ascii_case(b"identity")
        {
            return Err(Trouble::Wrong("the server packs it, though it was asked not to".into()));
        }
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {
                if !part.goes_on(&headers) {
                    part.restart().await?;
                    return Err(Trouble::Changed);
                }
                part.resumed = part.len;
            }
            StatusCode::OK => {
                part.restart().await?;
                part.name(strong_etag(&headers)).await?;
                part.total = number(&headers, &CONTENT_LENGTH);
            }
            status => return Err(Trouble::NoFile(status)),
        }
        loop {
            match tokio::time::timeout(self.stall, response.chunk()).await {
                Ok(Ok(Some(chunk))) => part.write(&chunk).await?,
                Ok(Ok(None)) => break,
                Ok(Err(error)) => {
                    part.flush().await?;
                    return Err(Trouble::Ended(Some(error)));
                }
                Err(_) => {
                    part.flush().await?;
                    return Err(Trouble::Ended(None));
                }
            }
        }
        part.flush().await?;
        match part.total {
            Some(total) if part.len < total => return Err(Trouble::Ended(None)),
            Some(total) if part.len > total => {
                return Err(Trouble::Wrong(format!("{} bytes of {total} came", part.len)));
            }
            _ => {}
        }
        match part.is_right(&headers, response.status()) {
            Some(false) => Err(Trouble::Wrong("its checksum is not what the server states".into())),
            checked => Ok(checked.is_some()),
        }
    }
}

/// Why an answer did not bring the rest of the file.
enum Trouble {
    Disk(io::Error),
    /// It is not what the server says it is.
    Wrong(String),
    /// The answer is none that brings a file: a redirect, or one without a body.
    NoFile(StatusCode),
    /// It is a part, but not the missing one of the file that is there.
    Changed,
    /// Its body ended early.
    Ended(Option<Error>),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::Disk(error)
    }
}

/// What has come of a file, and what names the version of it.
struct Part {
    path: PathBuf,
    file: File,
    len: u64,
    resumed: u64,
    /// What its length will be, as the first answer that states it does.
    total: Option<u64>,
    etag: Option<String>,
    sha256: Sha256,
    md5: Md5,
}

impl Part {
    /// Opens what an earlier call has left, or nothing.
    async fn open(target: &Path) -> io::Result<Part> {
        let path = beside(target, ".part");
        let file = lock(&path).await?;
        let (sha256, md5) = (Sha256::new(), Md5::new());
        let mut part =
            Part { path, file, len: 0, resumed: 0, total: None, etag: None, sha256, md5 };
        part.etag = fs::read_to_string(part.etag_path()).await.ok().filter(|tag| is_strong(tag));
        if part.etag.is_none() {
            part.restart().await?;
            return Ok(part);
        }
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let n = part.file.read(&mut buffer).await?;
            if n == 0 {
                return Ok(part);
            }
            part.count(&buffer[..n]);
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes).await?;
        self.count(bytes);
        Ok(())
    }

    fn count(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        self.sha256.update(bytes);
        self.md5.update(bytes);
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.file.flush().await
    }

    async fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0).await?;
        self.file.seek(io::SeekFrom::Start(0)).await?;
        (self.len, self.resumed, self.total) = (0, 0, None);
        (self.sha256, self.md5) = (Sha256::new(), Md5::new());
        self.name(None).await
    }

    /// Does an answer bring the part that is missing, of the version that is there? Not every
    /// server minds `If-Range`.
    fn goes_on(&mut self, headers: &HeaderMap) -> bool {
        let Some(etag) = &self.etag else { return false };
        let Some((start, total)) = content_range(headers) else { return false };
        let is_same = headers.get(ETAG).is_none_or(|other| other.as_bytes() == etag.as_bytes());
        if self.len == 0 || start != self.len || !is_same {
            return false;
        }
        match (self.total, total) {
            (Some(first), Some(total)) => first == total,
            _ => {
                self.total = self.total.or(total);
                true
            }
        }
    }

    /// Keeps what names the version that comes, for a later call.
    async fn name(&mut self, etag: Option<String>) -> io::Result<()> {
        match &etag {
            Some(etag) => fs::write(self.etag_path(), etag).await?,
            None => missing_is_fine(fs::remove_file(self.etag_path()).await)?,
        }
        self.etag = etag;
        Ok(())
    }

    /// Is a stated checksum right? `None`: none is stated.
    fn is_right(&self, headers: &HeaderMap, status: StatusCode) -> Option<bool> {
        let text = |name: &HeaderName| headers.get(name)?.to_str().ok();
        let repr = text(&REPR_DIGEST).and_then(|field| {
            let mut digests = field.split(',').filter_map(|item| item.trim().split_once('='));
            let (_, digest) = digests.find(|(name, _)| name.eq_ignore_ascii_case("sha-256"))?;
            digest.strip_prefix(':')?.strip_suffix(':')
        });
        // That of an object uploaded in pieces is of their checksums, and says so by its suffix.
        let amz = text(&AMZ_SHA256).filter(|digest| !digest.contains('-'));
        if let Some(digest) = repr.or(amz) {
            return Some(BASE64_STANDARD.encode(self.sha256.clone().finalize()) == digest);
        }
        let digest = text(&CONTENT_MD5).filter(|_| status == StatusCode::OK)?;
        Some(BASE64_STANDARD.encode(self.md5.clone().finalize()) == digest.trim())
    }

    /// The file is complete: on disk first, then under its name, then the name on disk.
    async fn finish(self, target: &Path) -> io::Result<()> {
        self.file.sync_all().await?;
        let etag = self.etag_path();
        // Locked until it has its name: nobody may begin anew with it.
        fs::rename(&self.path, target).await?;
        drop(self.file);
        missing_is_fine(fs::remove_file(etag).await)?;
        sync_folder(target).await
    }

    async fn remove(self) -> io::Result<()> {
        missing_is_fine(fs::remove_file(self.etag_path()).await)?;
        fs::remove_file(&self.path).await
    }

    fn etag_path(&self) -> PathBuf {
        beside(&self.path, ".etag")
    }
}

/// Opens a file that nobody else writes, and keeps others from it until it is closed, even by a kill.
async fn lock(path: &Path) -> io::Result<File> {
    for _ in 0..LAST_WRITES {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true);
        let file = options.open(path).await?.into_std().await;
        match file.try_lock() {
            // What was opened may have got its name meanwhile, and is nobody's part then.
            // Some file systems know no locks: there it is for the user to see to.
            Ok(()) | Err(TryLockError::Error(_)) => {
                if is_at(path, &file).await? {
                    return Ok(File::from_std(file));
                }
            }
            Err(TryLockError::WouldBlock) => tokio::time::sleep(LAST_WRITE).await,
        }
    }
    Err(io::Error::new(Io::ResourceBusy, "another download is writing it"))
}

/// Is a file still the one of this path?
async fn is_at(path: &Path, file: &std::fs::File) -> io::Result<bool> {
    match fs::metadata(path).await {
        Ok(there) => Ok(is_same(&file.metadata()?, &there)),
        Err(error) if error.kind() == Io::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(unix)]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// What names a file is not told here; when it was made and written, and its length, nearly do.
#[cfg(not(unix))]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    let of = |it: &Metadata| (it.len(), it.created().ok(), it.modified().ok());
    of(one) == of(other)
}

/// A rename is on disk when its folder is. (Windows has no such thing.)
async fn sync_folder(target: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new("."))).await?.sync_all().await?;
    }
    Ok(())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn missing_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == Io::NotFound => Ok(()),
        result => result,
    }
}

/// A weak one names no bytes (RFC 9110 §8.8.1).
fn strong_etag(headers: &HeaderMap) -> Option<String> {
    let etag = headers.get(ETAG)?.to_str().ok()?;
    is_strong(etag).then(|| etag.to_owned())
}

fn is_strong(etag: &str) -> bool {
    etag.len() > 1 && etag.starts_with('"') && etag.ends_with('"')
}

/// Where a part begins, and how long the whole is, if that is stated.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?;
    let (range, total) = range.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.parse().ok()?, total.parse().ok()))
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

fn broken(target: &Path, error: io::Error) -> Error {
    let message = format!("Download Error: {} cannot be written: {error}", target.display());
    Error::new(ErrorKind::Download, message).caused_by(Some(Arc::new(error)))
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download").field("priority", &self.priority).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_got_its_name_is_nobodys_part() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file.part");
        fs::write(&path, "whole").await.unwrap();
        let file = std::fs::File::open(&path).unwrap();
        assert!(is_at(&path, &file).await.unwrap());
        fs::rename(&path, dir.path().join("file")).await.unwrap();
        assert!(!is_at(&path, &file).await.unwrap());
        fs::write(&path, "").await.unwrap();
        assert!(!is_at(&path, &file).await.unwrap());
    }
}
