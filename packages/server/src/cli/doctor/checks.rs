//! The checks of `matryx doctor`, from the ground up.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::Path};

use matryx_entity::clock::Clock;
use matryx_surrealdb::{Database, migrate};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use tokio::net::TcpListener;

use super::Finding;
use crate::{
    appservice::Appservices,
    clock::SystemClock,
    config::{Config, Listener},
    data_dir::{DataDir, DataDirError},
    serve,
    signing_key::{SigningKey, SigningKeyError},
    telemetry,
};

/// Files that the process has open besides its connections.
const OWN_FILES: u64 = 1024;

/// 1 January 2026, in milliseconds: this program is younger.
const EARLIEST_MS: u64 = 1_767_225_600_000;

/// Runs every check.
pub(super) async fn all(config: &Config) -> Vec<Finding> {
    let mut findings = vec![Finding::good(format!(
        "the configuration of {} is in order",
        config.server_name
    ))];
    let running = data(config, &mut findings).await;
    findings.push(time());
    findings.push(open_files(config));
    for listener in &config.listen {
        findings.extend(certificate(listener));
        if !running {
            findings.push(address(listener).await);
        }
    }
    findings.extend(config.tls.extra_ca_files.iter().map(|file| authority(file)));
    findings.extend(appservices(config));
    findings
}

/// Looks at the data folder and at what lies in it, without making anything; whether a server runs
/// on it.
async fn data(config: &Config, findings: &mut Vec<Finding>) -> bool {
    let path = &config.data_dir;
    let embedded = config.database.url.is_none();
    if !path.exists() {
        let what = format!(
            "there is no data folder {} yet; the first start makes it",
            path.display()
        );
        findings.push(Finding::good(what));
        if !embedded {
            findings.push(database(config).await);
        }
        return false;
    }
    let opened = DataDir::open(path);
    let running = matches!(opened, Err(DataDirError::Locked { .. }));
    findings.push(folder(path, &opened));
    findings.push(key(&path.join("signing.key")));
    findings.push(if embedded && running {
        Finding::good("the database is in use by the running server")
    } else if embedded && opened.is_err() {
        Finding::warning(
            "the database was not looked at",
            "mend the data folder first",
        )
    } else if embedded && !path.join("database").exists() {
        Finding::good("there is no database yet; the first start makes it")
    } else {
        database(config).await
    });
    running
}

fn folder(path: &Path, opened: &Result<DataDir, DataDirError>) -> Finding {
    match opened {
        Err(DataDirError::Locked { process, .. }) => {
            let process = process.map_or(String::new(), |id| format!(", process id {id}"));
            Finding::good(format!(
                "the data folder is in use by a running server{process}"
            ))
        }
        Err(error) => Finding::bad(sources(&error), "name a folder that this user can write to"),
        Ok(_) => match fs::metadata(path).map(|folder| folder.permissions().mode() & 0o777) {
            Ok(mode) if mode & 0o077 != 0 => Finding::warning(
                format!(
                    "others can look into the data folder {} (mode {mode:o})",
                    path.display()
                ),
                format!("chmod 700 {}", path.display()),
            ),
            _ => Finding::good(format!("the data folder {} can be used", path.display())),
        },
    }
}

fn key(path: &Path) -> Finding {
    match SigningKey::load(path) {
        Ok(key) => match fs::metadata(path).map(|file| file.permissions().mode() & 0o777) {
            Ok(mode) if mode & 0o077 != 0 => Finding::warning(
                format!(
                    "others can read the signing key {} (mode {mode:o})",
                    path.display()
                ),
                format!("chmod 600 {}", path.display()),
            ),
            _ => Finding::good(format!(
                "the signing key has the fingerprint {}",
                key.fingerprint
            )),
        },
        Err(SigningKeyError::Unusable { source, .. })
            if source.kind() == io::ErrorKind::NotFound =>
        {
            Finding::good("there is no signing key yet; the first start makes it")
        }
        Err(error) => Finding::bad(sources(&error), "restore the file from a backup"),
    }
}

async fn database(config: &Config) -> Finding {
    let url = config.database_url();
    let database = match Database::connect(&config.store_config()).await {
        Ok(database) => database,
        Err(error) => {
            let what = format!("the database {url} does not open: {}", sources(&error));
            return Finding::bad(what, "look at `database.url` and its credentials");
        }
    };
    let status = migrate::status(&database).await;
    database.close().await;
    match status {
        Err(error) => Finding::bad(
            format!("the database {url} does not answer: {}", sources(&error)),
            "look at the database's own log",
        ),
        Ok(status) if status.is_fresh() => Finding::good(format!(
            "the database {url} is empty; the first start fills it"
        )),
        Ok(status) => match status.problem() {
            Some(problem) => Finding::bad(problem.to_string(), "see `matryx migrate status`"),
            None => Finding::good(format!("the database {url} opens and is up to date")),
        },
    }
}

/// An error with what caused it.
fn sources(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn time() -> Finding {
    let now = u64::from(SystemClock.now().get());
    if now < EARLIEST_MS {
        Finding::bad(
            "this machine's clock is years behind",
            "set it, for example with NTP",
        )
    } else {
        Finding::good("this machine's clock is plausible")
    }
}

fn open_files(config: &Config) -> Finding {
    let wanted = u64::from(config.http.max_connections) + OWN_FILES;
    match telemetry::max_open_files() {
        Some(limit) if limit < wanted => Finding::warning(
            format!("the process may open {limit} files, which is less than {wanted}"),
            format!(
                "ulimit -n {wanted}, or LimitNOFILE={wanted} in systemd; or lower \
                     `http.max_connections`"
            ),
        ),
        Some(limit) => Finding::good(format!("the process may open {limit} files")),
        None => Finding::good("this system tells no limit of open files"),
    }
}

fn certificate(listener: &Listener) -> Option<Finding> {
    let files = listener.tls.as_ref()?;
    let name = files.certificate.display().to_string();
    Some(match serve::check_certificate(files) {
        Ok(()) => Finding::good(format!("the certificate {name} can be used")),
        Err(error) => Finding::bad(
            format!("the certificate {name} cannot be used: {}", sources(&error)),
            "look at the files behind tls= in `listen`",
        ),
    })
}

async fn address(listener: &Listener) -> Finding {
    match TcpListener::bind(listener.address).await {
        Ok(_) => Finding::good(format!("{} is free to listen on", listener.address)),
        Err(error) => Finding::bad(
            format!("cannot listen on {}: {error}", listener.address),
            "end what listens there, or choose another address in `listen`",
        ),
    }
}

fn authority(file: &Path) -> Finding {
    let certificates =
        CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match certificates {
        Ok(found) if !found.is_empty() => Finding::good(format!(
            "{} holds {} authorities",
            file.display(),
            found.len()
        )),
        Ok(_) => Finding::bad(
            format!("{} holds no certificate", file.display()),
            "name a PEM file in `tls.extra_ca_files`",
        ),
        Err(error) => Finding::bad(
            format!("{} cannot be read: {error}", file.display()),
            "name a PEM file in `tls.extra_ca_files`",
        ),
    }
}

fn appservices(config: &Config) -> Option<Finding> {
    let folder = config.appservice.dir.as_ref()?;
    Some(match Appservices::load(folder, &config.server_name) {
        Ok(found) => Finding::good(format!("{} application services", found.iter().count())),
        Err(error) => Finding::bad(sources(&error), "correct the file, or take it away"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Flag, Sources, load};

    fn config(folder: &Path, more: &[(&str, &str)]) -> Config {
        let data_dir = folder.join("data").display().to_string();
        let base = [
            ("server_name", "a.org"),
            ("data_dir", &data_dir),
            ("listen", "client=127.0.0.1:0"),
            ("database.url", "mem://"),
        ];
        let flags = base.iter().chain(more);
        let flags = flags.map(|(key, text)| Flag {
            name: "--set",
            key: (*key).to_owned(),
            text: (*text).to_owned(),
        });
        load(&Sources {
            flags: flags.collect(),
            ..Sources::default()
        })
        .unwrap()
        .config
    }

    async fn bad(config: &Config) -> Vec<String> {
        let findings = all(config).await.into_iter();
        findings
            .filter(|finding| matches!(finding, Finding::Bad { .. }))
            .map(|finding| finding.text())
            .collect()
    }

    #[tokio::test]
    async fn finds_nothing_on_an_empty_folder() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(bad(&config(folder.path(), &[])).await, Vec::<String>::new());
    }

    #[tokio::test]
    async fn makes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), &[("database.url", "")]);
        all(&config).await;
        assert!(!config.data_dir.exists());
        drop(DataDir::open(&config.data_dir).unwrap());
        all(&config).await;
        assert_eq!(
            fs::read_dir(&config.data_dir).unwrap().count(),
            1,
            "only the lock"
        );
    }

    #[tokio::test]
    async fn finds_a_database_that_does_not_answer() {
        let folder = tempfile::tempdir().unwrap();
        let free = TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap();
        let url = format!("ws://{free}");
        let found = bad(&config(folder.path(), &[("database.url", &url)])).await;
        assert!(found[0].contains("does not open"), "{found:?}");
    }

    #[tokio::test]
    async fn finds_a_damaged_key_and_one_that_others_can_read() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), &[]);
        let data_dir = DataDir::open(&config.data_dir).unwrap();
        SigningKey::load_or_generate(&data_dir).unwrap();
        let file = data_dir.signing_key_file();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(key(&file), Finding::Warning { .. }));
        fs::write(&file, "not a key").unwrap();
        drop(data_dir);
        assert!(bad(&config).await[0].contains("is damaged"));
    }

    #[tokio::test]
    async fn tells_a_running_server_from_a_broken_folder() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), &[]);
        let _running = DataDir::open(&config.data_dir).unwrap();
        let findings = all(&config).await;
        assert!(
            findings[1].text().contains("in use by a running server"),
            "{findings:?}"
        );
        assert_eq!(bad(&config).await, Vec::<String>::new());
    }

    #[tokio::test]
    async fn finds_files_that_are_not_what_they_should_be() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("text.pem");
        fs::write(&file, "not a certificate").unwrap();
        let file = file.display().to_string();
        let listen = format!("client=127.0.0.1:0,tls={file}:{file}");
        let more = [
            ("tls.extra_ca_files", file.as_str()),
            ("listen", &listen),
            ("appservice.dir", "/nonexistent/appservices"),
        ];
        assert_eq!(bad(&config(folder.path(), &more)).await.len(), 3);
    }

    #[tokio::test]
    async fn finds_an_address_that_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listen = format!("client={}", taken.local_addr().unwrap());
        let found = bad(&config(folder.path(), &[("listen", &listen)])).await;
        assert!(found[0].contains("cannot listen on"), "{found:?}");
    }
}
