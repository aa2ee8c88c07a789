//! Settings from the environment, and from a `.env` file in the working directory.

use std::io;
use std::path::Path;

use cxone_core::profile::env;

use crate::secret::Secret;
use crate::settings::BuildError;

/// The variables that are read.
const VARIABLES: [&str; 7] = [
    env::BASE_URL,
    env::CLIENT_ID,
    env::CLIENT_SECRET,
    env::TOKEN_URL,
    env::ACCESS_KEY_ID,
    env::ACCESS_KEY_SECRET,
    env::ISSUER,
];

/// Some editors begin a file with it.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// What the environment says; a variable that is empty counts as absent.
#[derive(Default)]
pub(crate) struct Environment {
    pub(crate) client_id: Option<String>,
    pub(crate) client_secret: Option<Secret>,
    pub(crate) base_url: Option<String>,
    pub(crate) token_url: Option<String>,
    pub(crate) access_key_id: Option<String>,
    pub(crate) access_key_secret: Option<Secret>,
    pub(crate) issuer: Option<String>,
}

impl Environment {
    /// Reads the process environment, then `.env`, whose values only fill what is missing. The
    /// process environment itself is never changed.
    pub(crate) fn load() -> Result<Environment, BuildError> {
        Environment::read(Path::new(".env"), |name| std::env::var(name).ok())
    }

    /// The names of what was found.
    pub(crate) fn found(&self) -> Vec<&'static str> {
        let found = [
            self.base_url.is_some(),
            self.client_id.is_some(),
            self.client_secret.is_some(),
            self.token_url.is_some(),
            self.access_key_id.is_some(),
            self.access_key_secret.is_some(),
            self.issuer.is_some(),
        ];
        VARIABLES.into_iter().zip(found).filter_map(|(name, found)| found.then_some(name)).collect()
    }

    fn read(
        file: &Path,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Environment, BuildError> {
        let file = read_file(file)?;
        let value = |name| {
            variable(name).filter(|value| !value.is_empty()).or_else(|| {
                let mut found = file.iter().filter(|(key, value)| key == name && !value.is_empty());
                found.next_back().map(|(_, value)| value.clone())
            })
        };
        Ok(Environment {
            base_url: value(env::BASE_URL),
            client_id: value(env::CLIENT_ID),
            client_secret: value(env::CLIENT_SECRET).map(Secret::new),
            token_url: value(env::TOKEN_URL),
            access_key_id: value(env::ACCESS_KEY_ID),
            access_key_secret: value(env::ACCESS_KEY_SECRET).map(Secret::new),
            issuer: value(env::ISSUER),
        })
    }
}

/// The entries of a file; a missing one has none.
fn read_file(path: &Path) -> Result<Vec<(String, String)>, BuildError> {
    match std::fs::read_to_string(path) {
        Ok(text) => entries(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(_) => Err(BuildError::new(".env", "the file cannot be read")),
    }
}

/// Reads `NAME=value` lines. A value is taken as it stands: a secret may hold any character, so
/// nothing in it is expanded or escaped. Quotes around it go, and so does a comment, which begins
/// with a `#` after a space.
///
/// The file may be another program's too. Of its lines only those that set a variable of ours
/// can be wrong, and the error does not quote them: they may hold the secret.
fn entries(text: &str) -> Result<Vec<(String, String)>, BuildError> {
    let mut entries = Vec::new();
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, rest)) = line.split_once('=') else { continue };
        let name = name.trim();
        if !VARIABLES.contains(&name) {
            continue;
        }
        let value = value(rest).ok_or_else(|| {
            let fix = format!("line {number}: the quote that opens the value must also end it");
            BuildError::new(".env", fix)
        })?;
        entries.push((name.to_owned(), value.to_owned()));
    }
    Ok(entries)
}

/// A value without its quotes or its comment; `None` if a quote is not where it belongs.
fn value(text: &str) -> Option<&str> {
    let trimmed = text.trim();
    for quote in ['\'', '"'] {
        if let Some(quoted) = trimmed.strip_prefix(quote) {
            // It may hold such quotes itself: the first one that nothing else follows ends it.
            let mut ends = quoted.match_indices(quote);
            let (end, _) = ends.find(|(end, _)| is_blank(&quoted[end + 1..]))?;
            return Some(&quoted[..end]);
        }
    }
    let comment = text.match_indices('#').find(|(start, _)| text[..*start].ends_with([' ', '\t']));
    Some(comment.map_or(text, |(start, _)| &text[..start]).trim())
}

/// Is it nothing, or a comment?
fn is_blank(rest: &str) -> bool {
    let text = rest.trim_start();
    text.is_empty() || text.starts_with('#') && text.len() < rest.len()
}

#[cfg(test)]
mod tests {
    use tempfile::NamedTempFile;

    use super::*;

    /// It goes when this is dropped.
    fn file(content: &str) -> NamedTempFile {
        let file = NamedTempFile::new().unwrap();
        std::fs::write(&file, content).unwrap();
        file
    }

    #[test]
    fn t3_credentials_come_from_the_file_and_real_variables_win() {
        let file = file(
            "# comment\nCXONE_CLIENT_ID=from-file\nCXONE_CLIENT_SECRET='pa$$ ===='\n\
             export CXONE_BASE_URL=https://file.example\n",
        );
        let found = Environment::read(file.path(), |name| match name {
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
    }

    #[test]
    fn t3_a_secret_is_taken_as_it_stands() {
        for (written, meant) in [
            ("pa$word====", "pa$word===="),
            ("\"pa$word\"", "pa$word"),
            ("'pa$word' # the new one", "pa$word"),
            ("${HOME}\\n", "${HOME}\\n"),
            ("a#b", "a#b"),
            ("#b", "#b"),
            ("a b  # the new one", "a b"),
            (" # none", ""),
            ("'it's' # isn't it", "it's"),
            ("\"\\\"", "\\"),
        ] {
            let entries = entries(&format!("CXONE_CLIENT_SECRET={written}\r\n"));
            let entries = entries.unwrap_or_else(|error| panic!("{written}: {error}"));
            assert_eq!(entries, [("CXONE_CLIENT_SECRET".to_owned(), meant.to_owned())]);
        }
    }

    #[test]
    fn t3_what_the_file_says_to_other_programs_is_no_matter() {
        let file = "\u{feff}CXONE_CLIENT_ID = me\nGREETING=it's me\nKEY=\"-----BEGIN\nabc==\n\
                    -----END\"\nnonsense\n";
        let entries = entries(file).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(entries, [("CXONE_CLIENT_ID".to_owned(), "me".to_owned())]);
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
    fn a_malformed_line_is_an_error_that_names_it_and_does_not_quote_it() {
        for line in ["'hunter2", "\"hunter2", "'hunter2' hunter2", "'hunter2'#hunter2"] {
            let file = file(&format!("# mine\nCXONE_CLIENT_SECRET={line}\n"));
            let error = Environment::read(file.path(), |_| None).err().expect("an error");
            let text = format!("{error} {error:?}");
            assert!(text.contains("line 2") && !text.contains("hunter2"), "{text}");
        }
    }
}
