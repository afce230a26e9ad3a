//! The gateway as a TLS client: whom a route trusts, and as whom it presents itself.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gateway_core::manifest::{ClientCertificate, HttpRoute};
use gateway_core::refusal::{Code, Refusal};
use rustix::fs::{Mode, OFlags};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use zeroize::Zeroizing;

/// More than any chain or bundle of authorities needs, bytes.
const LARGEST: u64 = 4 << 20;

/// How a file looked: replaced, rewritten or given other permissions, it looks different.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Stamp(Option<(u64, u64, u64, i64, i64, i64, i64)>);

impl Stamp {
    fn of(path: &Path) -> Self {
        // A file that is gone looks different, too.
        let metadata = std::fs::metadata(path).ok();
        Self(metadata.map(|file| {
            let changed = (file.ctime(), file.ctime_nsec());
            (file.dev(), file.ino(), file.size(), file.mtime(), file.mtime_nsec(), changed.0, changed.1)
        }))
    }
}

/// The files a route's TLS is made of, as they look now.
pub(super) fn stamps(route: &HttpRoute) -> Vec<Stamp> {
    files(route).map(|path| Stamp::of(path)).collect()
}

/// Whether the route has files that may be renewed.
pub(super) fn has_files(route: &HttpRoute) -> bool {
    files(route).next().is_some()
}

fn files(route: &HttpRoute) -> impl Iterator<Item = &PathBuf> {
    let own = route.client_certificate.iter().flat_map(|own| [&own.certificate_file, &own.key_file]);
    route.ca_file.iter().chain(own)
}

/// Reads the route's files.
///
/// # Errors
/// [`Code::UpstreamTlsFiles`], with the file and what is wrong with it for the log.
pub(super) fn client_config(route: &HttpRoute) -> Result<ClientConfig, Refusal> {
    let unusable = |why: String| Refusal::new(Code::UpstreamTlsFiles).because(why);
    let roots = roots(route.ca_file.as_deref()).map_err(unusable)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(error.to_string()))?
        .with_root_certificates(roots);
    let Some(own) = &route.client_certificate else { return Ok(builder.with_no_client_auth()) };
    let (chain, key) = identity(own).map_err(unusable)?;
    builder.with_client_auth_cert(chain, key).map_err(|error| {
        let (certificate, key) = (own.certificate_file.display(), own.key_file.display());
        unusable(format!("`{certificate}` and `{key}` are no pair: {error}"))
    })
}

fn roots(file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let Some(path) = file else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    for certificate in certificates(path)? {
        let added = roots.add(certificate);
        added.map_err(|error| format!("`{}` holds no certificate authority: {error}", path.display()))?;
    }
    Ok(roots)
}

fn identity(
    own: &ClientCertificate,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let chain = certificates(&own.certificate_file)?;
    let key = read(&own.key_file, true)?;
    // The parser's own words would repeat lines of the file.
    let key = PrivateKeyDer::from_pem_slice(&key)
        .map_err(|_| format!("`{}` holds no private key in PEM", own.key_file.display()))?;
    Ok((chain, key))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read(path, false)?;
    let found = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(format!("`{}` holds no certificate in PEM", path.display())),
    }
}

/// Reads a file whole; a private one only where nobody else may read it, judged by what was opened.
/// Links are followed: mounted secrets are links.
fn read(path: &Path, private: bool) -> Result<Zeroizing<Vec<u8>>, String> {
    let failed = |why: std::io::Error| format!("`{}`: {why}", path.display());
    // Not blocking on open, so that a pipe in the file's place cannot hang the thread.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty());
    let file = File::from(opened.map_err(|error| failed(error.into()))?);
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() || metadata.len() > LARGEST {
        return Err(format!("`{}` is no regular file of at most {LARGEST} bytes", path.display()));
    }
    let owners = [0, rustix::process::geteuid().as_raw()];
    if private && !owners.contains(&metadata.uid()) {
        return Err(format!("`{}` belongs to another user", path.display()));
    }
    if private && metadata.mode() & 0o077 != 0 {
        return Err(format!("`{}` may be read by others: chmod go-rwx", path.display()));
    }
    let mut content = Zeroizing::new(Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0)));
    file.take(LARGEST).read_to_end(&mut content).map_err(failed)?;
    Ok(content)
}
