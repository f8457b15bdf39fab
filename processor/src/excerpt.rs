//! A little of much: what of somebody's output goes into an error text.

/// How much of an unusable answer is shown.
const SHOWN: usize = 200;

/// The first bytes of an answer that cannot be used, readable whatever they are.
pub(crate) fn beginning(bytes: &[u8]) -> String {
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
    let dots = if bytes.len() > SHOWN { "…" } else { "" };
    format!("`{}{dots}`", shown.trim_end_matches(char::REPLACEMENT_CHARACTER).trim().escape_debug())
}

/// The last `LIMIT` bytes of a stream that may be endless.
#[derive(Debug, Default)]
pub(crate) struct Tail(Vec<u8>);

impl Tail {
    /// How much is kept.
    pub(crate) const LIMIT: usize = 2048;

    /// Takes the next bytes, forgetting the oldest beyond the limit.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(&bytes[bytes.len().saturating_sub(Self::LIMIT)..]);
        let excess = self.0.len().saturating_sub(Self::LIMIT);
        self.0.drain(..excess);
    }

    /// What is kept, readable whatever it is, without blanks around it.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_shown_by_its_first_bytes_only() {
        assert_eq!(beginning(b"Traceback\n"), "`Traceback`");
        let long = beginning(&[b'x'; 500]);
        assert!(long.ends_with("x…`") && long.len() < 210, "{long}");
        assert_eq!(beginning(&[0xff, 0x07]), "`\u{fffd}\\u{7}`");
    }

    #[test]
    fn a_tail_forgets_the_oldest() {
        let mut tail = Tail::default();
        tail.push(&[b'a'; 3000]);
        tail.push(b"end\n");
        let text = tail.text();
        assert!(text.ends_with("aend"), "{text}");
        assert_eq!(text.len(), Tail::LIMIT - 1);
    }
}
