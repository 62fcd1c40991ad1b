//! Reads a TOML file section by section and collects everything that is wrong with it, each with file and line,
//! so that one start shows all faults at once. Whoever reads a setting makes it known; what nobody read is unknown.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    fmt, fs, io,
    net::SocketAddr,
    ops::{Range, RangeInclusive},
    path::{Path, PathBuf},
};

use toml_edit::{Document, Item, TableLike};

/// A parsed file, and what was found wrong with it so far.
pub(crate) struct Source {
    file: PathBuf,
    document: Document<String>,
    faults: RefCell<Vec<Fault>>,
}

/// One table of the file. Read everything that belongs in it, then [`finish`](Section::finish) it.
pub(crate) struct Section<'s> {
    source: &'s Source,
    name: String,
    table: Option<&'s dyn TableLike>,
    line: usize,
    known: RefCell<BTreeSet<&'static str>>,
}

/// Everything that is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("cannot read {}", file.display())]
    Unreadable {
        file: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("{}:{line}: {message}", file.display())]
    Syntax { file: PathBuf, line: usize, message: String },
    #[error("{}", Listed(faults))]
    Faults { faults: Vec<String> },
}

struct Fault {
    line: usize,
    text: String,
}

struct Listed<'a>(&'a [String]);

impl Source {
    /// Reads and parses `file`.
    pub(crate) fn load(file: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(file).map_err(|cause| ConfigError::Unreadable { file: file.into(), cause })?;
        Self::parse(file, &text)
    }

    fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        let document = Document::parse(text.to_owned()).map_err(|error| ConfigError::Syntax {
            file: file.into(),
            line: error.span().map_or(1, |span| line_at(text, span.start)),
            message: error.message().trim().to_owned(),
        })?;
        Ok(Self { file: file.into(), document, faults: RefCell::new(Vec::new()) })
    }

    /// The file's top level.
    pub(crate) fn root(&self) -> Section<'_> {
        Section::new(self, String::new(), Some(self.document.as_table()), 1)
    }

    /// Done: nothing, or all faults in the order of their lines.
    pub(crate) fn into_result(self) -> Result<(), ConfigError> {
        let mut faults = self.faults.into_inner();
        if faults.is_empty() {
            return Ok(());
        }
        faults.sort_by_key(|fault| fault.line);
        let file = self.file.display();
        let faults = faults.iter().map(|fault| format!("{file}:{}: {}", fault.line, fault.text)).collect();
        Err(ConfigError::Faults { faults })
    }

    fn line(&self, span: Option<Range<usize>>) -> Option<usize> {
        span.map(|span| line_at(self.document.raw(), span.start))
    }

    fn fault(&self, line: usize, text: String) {
        self.faults.borrow_mut().push(Fault { line, text });
    }
}

impl<'s> Section<'s> {
    fn new(source: &'s Source, name: String, table: Option<&'s dyn TableLike>, line: usize) -> Self {
        Self { source, name, table, line, known: RefCell::default() }
    }

    /// Whether the file has this table.
    pub(crate) fn is_there(&self) -> bool {
        self.table.is_some()
    }

    /// Whether `key` is set, to whatever.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// The table `[key]` in this one; empty where it isn't there.
    pub(crate) fn section(&self, key: &'static str) -> Section<'s> {
        let item = self.item(key);
        let table = item.and_then(Item::as_table_like);
        if let (Some(item), None) = (item, table) {
            self.wrong(key, item, "a table");
        }
        let line = item.and_then(|item| self.source.line(item.span())).unwrap_or(self.line);
        Section::new(self.source, self.full(key), table, line)
    }

    /// The tables `[[key]]` in this one.
    pub(crate) fn sections(&self, key: &'static str) -> Vec<Section<'s>> {
        let Some(item) = self.item(key) else { return Vec::new() };
        let Some(tables) = item.as_array_of_tables() else {
            self.wrong(key, item, &format!("written as [[{}]]", self.full(key)));
            return Vec::new();
        };
        let section = |table: &'s toml_edit::Table| {
            let line = self.source.line(table.span()).unwrap_or(self.line);
            Section::new(self.source, self.full(key), Some(table), line)
        };
        tables.iter().map(section).collect()
    }

    /// Reads `key`, which must be there.
    pub(crate) fn required<T>(&self, key: &'static str, read: impl FnOnce(&Self, &'static str) -> Option<T>) -> Option<T> {
        if self.has(key) {
            return read(self, key);
        }
        self.known.borrow_mut().insert(key);
        self.source.fault(self.line, format!("{} is missing", self.full(key)));
        None
    }

    /// A text.
    pub(crate) fn text(&self, key: &'static str) -> Option<String> {
        self.read(key, "a text", |item| item.as_str().map(ToOwned::to_owned))
    }

    /// Texts.
    pub(crate) fn texts(&self, key: &'static str) -> Option<Vec<String>> {
        self.read(key, "a list of texts", |item| item.as_array()?.iter().map(|value| value.as_str().map(ToOwned::to_owned)).collect())
    }

    /// A URL of a web service, without a path.
    pub(crate) fn url(&self, key: &'static str) -> Option<String> {
        let rest = |text: &str| text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).map(ToOwned::to_owned);
        let fits = |text: &str| rest(text).is_some_and(|rest| rest.parse::<http::uri::Authority>().is_ok());
        let expected = "http:// or https:// and a host, perhaps with a port";
        self.read(key, expected, |item| item.as_str().filter(|text| fits(text)).map(ToOwned::to_owned))
    }

    /// A file or folder; a relative one is relative to the configuration file's folder.
    pub(crate) fn path(&self, key: &'static str) -> Option<PathBuf> {
        self.text(key).map(|text| self.resolve(&text))
    }

    /// Files or folders.
    pub(crate) fn paths(&self, key: &'static str) -> Option<Vec<PathBuf>> {
        self.texts(key).map(|texts| texts.iter().map(|text| self.resolve(text)).collect())
    }

    /// An IP address with a port.
    pub(crate) fn address(&self, key: &'static str) -> Option<SocketAddr> {
        self.read(key, "an IP address with a port, such as 127.0.0.1:8443", |item| item.as_str()?.parse().ok())
    }

    /// A whole number in a range.
    pub(crate) fn number(&self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.read(key, &expected, |item| item.as_integer().and_then(|n| u64::try_from(n).ok()).filter(|n| range.contains(n)))
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(&self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let words: Vec<_> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
        let expected = format!("one of {}", words.join(", "));
        self.read(key, &expected, |item| {
            let text = item.as_str()?;
            choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value)
        })
    }

    /// Notes a fault in a setting that was well formed.
    pub(crate) fn refuse(&self, key: &'static str, why: &str) {
        let line = self.item(key).and_then(|item| self.source.line(item.span())).unwrap_or(self.line);
        self.source.fault(line, format!("{} {why}", self.full(key)));
    }

    /// Whatever nobody has read is unknown.
    pub(crate) fn finish(&self) {
        let Some(table) = self.table else { return };
        let known = self.known.borrow();
        for (key, item) in table.iter().filter(|(key, _)| !known.contains(key)) {
            let span = table.key(key).and_then(toml_edit::Key::span).or_else(|| item.span());
            let line = self.source.line(span).unwrap_or(self.line);
            let known: Vec<_> = known.iter().copied().collect();
            self.source.fault(line, format!("{} is not a setting; known here: {}", self.full(key), known.join(", ")));
        }
    }

    fn read<T>(&self, key: &'static str, expected: &str, convert: impl FnOnce(&Item) -> Option<T>) -> Option<T> {
        let item = self.item(key)?;
        let value = convert(item);
        if value.is_none() {
            self.wrong(key, item, expected);
        }
        value
    }

    fn item(&self, key: &'static str) -> Option<&'s Item> {
        self.known.borrow_mut().insert(key);
        self.table?.get(key)
    }

    fn wrong(&self, key: &'static str, item: &Item, expected: &str) {
        let line = self.source.line(item.span()).unwrap_or(self.line);
        self.source.fault(line, format!("{} must be {expected}", self.full(key)));
    }

    fn full(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    fn resolve(&self, text: &str) -> PathBuf {
        self.source.file.parent().unwrap_or(Path::new("")).join(text)
    }
}

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    1 + before.iter().filter(|b| **b == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str, read: impl FnOnce(&Section<'_>)) -> Vec<String> {
        let source = Source::parse(Path::new("/etc/h/x.toml"), text).unwrap();
        let root = source.root();
        read(&root);
        root.finish();
        match source.into_result() {
            Ok(()) => Vec::new(),
            Err(ConfigError::Faults { faults }) => faults,
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn all_faults_are_listed_at_once_with_their_lines() {
        let text = "name = 3\nsurplus = 1\n\n[a]\nlisten = \"nowhere\"\nmode = \"on\"\ncount = 0\n\n[[b]]\nx = 1\n";
        let found = faults(text, |root| {
            root.text("name");
            let a = root.section("a");
            a.address("listen");
            a.choice("mode", &[("off", 0)]);
            a.number("count", 1..=9);
            a.required("path", Section::path);
            a.finish();
            root.sections("b").iter().for_each(Section::finish);
        });
        assert_eq!(
            found,
            [
                "/etc/h/x.toml:1: name must be a text",
                "/etc/h/x.toml:2: surplus is not a setting; known here: a, b, name",
                "/etc/h/x.toml:4: a.path is missing",
                "/etc/h/x.toml:5: a.listen must be an IP address with a port, such as 127.0.0.1:8443",
                "/etc/h/x.toml:6: a.mode must be one of \"off\"",
                "/etc/h/x.toml:7: a.count must be a whole number from 1 to 9",
                "/etc/h/x.toml:10: b.x is not a setting; known here: ",
            ]
        );
    }

    #[test]
    fn relative_paths_are_relative_to_the_file() {
        let found = faults("p = \"keys/seal\"\nq = \"/abs\"\n", |root| {
            assert_eq!(root.path("p").unwrap(), Path::new("/etc/h/keys/seal"));
            assert_eq!(root.path("q").unwrap(), Path::new("/abs"));
        });
        assert!(found.is_empty());
    }

    #[test]
    fn a_syntax_error_names_its_line() {
        let error = Source::parse(Path::new("x.toml"), "a = 1\nb = = 2\n").err().unwrap();
        assert!(error.to_string().starts_with("x.toml:2: "), "{error}");
    }
}
