//! One thing that is wrong with a file, and all of them.

use std::fmt;

/// One thing that is wrong: in which file, document and field, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The file, as it was named.
    pub file: String,
    /// The document in it, as `Kind/name` or by its number.
    pub document: Option<String>,
    /// The field, such as `spec.processor.timeout`.
    pub field: Option<String>,
    /// What is wrong, and the way out.
    pub problem: String,
}

impl Refusal {
    /// Something is wrong with a file as a whole.
    pub(super) fn of_file(file: &str, problem: impl Into<String>) -> Self {
        Self { file: file.to_owned(), document: None, field: None, problem: problem.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file)?;
        for part in [&self.document, &self.field].into_iter().flatten().filter(|part| !part.is_empty()) {
            write!(f, "{part}: ")?;
        }
        f.write_str(&self.problem)
    }
}

/// Everything that is wrong with a set of files; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusals(pub Vec<Refusal>);

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = &self.0[..] {
            return write!(f, "{only}");
        }
        write!(f, "{} things are wrong:", self.0.len())?;
        self.0.iter().try_for_each(|refusal| write!(f, "\n  {refusal}"))
    }
}

impl std::error::Error for Refusals {}
