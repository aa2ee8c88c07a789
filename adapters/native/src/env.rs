//! Settings from the environment, and from a `.env` file in the working directory.

use std::path::Path;

use crate::secret::Secret;
use crate::settings::BuildError;

/// What the environment says; a variable that is empty counts as absent.
#[derive(Default)]
pub(crate) struct Environment {
    pub(crate) client_id: Option<String>,
    pub(crate) client_secret: Option<Secret>,
    pub(crate) base_url: Option<String>,
    pub(crate) token_url: Option<String>,
}

impl Environment {
    /// Reads the process environment, then `.env`, whose values only fill what is missing. The
    /// process environment itself is never changed.
    pub(crate) fn load() -> Result<Environment, BuildError> {
        Environment::read(Path::new(".env"), |name| std::env::var(name).ok())
    }

    fn read(
        file: &Path,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Environment, BuildError> {
        let file = read_file(file)?;
        let find = |name: &str| {
            variable(name).filter(|value| !value.is_empty()).or_else(|| {
                let mut found = file.iter().filter(|(key, value)| key == name && !value.is_empty());
                found.next_back().map(|(_, value)| value.clone())
            })
        };
        Ok(Environment {
            client_id: find("CXONE_CLIENT_ID"),
            client_secret: find("CXONE_CLIENT_SECRET").map(Secret::new),
            base_url: find("CXONE_BASE_URL"),
            token_url: find("CXONE_TOKEN_URL"),
        })
    }
}

fn read_file(path: &Path) -> Result<Vec<(String, String)>, BuildError> {
    let entries = match dotenvy::from_path_iter(path) {
        Ok(entries) => entries,
        Err(error) if error.not_found() => return Ok(Vec::new()),
        Err(_) => return Err(BuildError::new(".env", "the file cannot be read")),
    };
    // The parser's own error quotes the line, which may hold the secret.
    entries
        .map(|entry| {
            entry.map_err(|_| {
                BuildError::new(
                    ".env",
                    "write one NAME=value a line; quote a value with a space, `#` or `$` in it \
                     with single quotes",
                )
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, content: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("cxone-{}-{name}", crate::ids::fresh_uuid()));
        std::fs::write(&path, content).unwrap();
        path
    }

    #[test]
    fn t3_credentials_come_from_the_file_and_real_variables_win() {
        let path = file(
            "env",
            "# comment\nCXONE_CLIENT_ID=from-file\nCXONE_CLIENT_SECRET='pa$$ ===='\n\
             export CXONE_BASE_URL=https://file.example\n",
        );
        let found = Environment::read(&path, |name| match name {
            "CXONE_CLIENT_ID" => Some("from-environment".to_owned()),
            "CXONE_BASE_URL" => Some(String::new()),
            _ => None,
        });
        let found = found.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(found.client_id.as_deref(), Some("from-environment"));
        assert_eq!(found.client_secret.unwrap().expose(), "pa$$ ====");
        assert_eq!(found.base_url.as_deref(), Some("https://file.example"));
        assert_eq!(found.token_url, None);
        assert!(std::env::var_os("CXONE_CLIENT_SECRET").is_none());
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn t3_without_a_file_the_variables_alone_count() {
        let found = Environment::read(Path::new("/nonexistent/.env"), |name| {
            (name == "CXONE_TOKEN_URL").then(|| "https://t.example".to_owned())
        });
        let found = found.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(found.token_url.as_deref(), Some("https://t.example"));
        assert!(found.client_id.is_none());
    }

    #[test]
    fn a_malformed_line_is_an_error_that_does_not_quote_it() {
        let path = file("bad", "CXONE_CLIENT_SECRET='hunter2\n");
        let error = Environment::read(&path, |_| None).err().expect("an error");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
        std::fs::remove_file(path).unwrap();
    }
}
