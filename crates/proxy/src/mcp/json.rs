//! A strict JSON scanner (RFC 8259) over a whole body, in one pass and without building a tree.
//!
//! It is stricter than the parsers of most upstreams, on purpose: where two parsers may read the
//! same bytes differently (duplicate keys, lone surrogates, trailing bytes), policy would be
//! decided on one reading and the call executed on another. Such bodies are refused.

use std::borrow::Cow;

/// Deepest nesting of arrays and objects that is accepted.
pub const MAX_DEPTH: usize = 128;

/// Why a body is not acceptable JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    /// The body is not UTF-8.
    #[error("invalid UTF-8")]
    Utf8,
    /// An object names the same key twice (compared after decoding escapes).
    #[error("duplicate object key")]
    DuplicateKey,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nesting deeper than 128 levels")]
    TooDeep,
    /// Bytes follow the value.
    #[error("trailing bytes after the value")]
    Trailing,
    /// The body ends inside a value.
    #[error("unexpected end")]
    Truncated,
    /// A byte that the grammar does not allow here.
    #[error("unexpected byte")]
    Unexpected,
}

/// A refused body: what is wrong, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{fault} at byte {at}")]
pub struct JsonError {
    /// What is wrong.
    pub fault: JsonFault,
    /// Offset of the offending byte, from 0.
    pub at: usize,
}

/// What kind of value comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `{`
    Object,
    /// `[`
    Array,
    /// `"`
    String,
    /// A number, or a byte that [`Scanner::skip`] will refuse.
    Number,
    /// `true` or `false`
    Bool,
    /// `null`
    Null,
}

/// A cursor over one body. Each reading method consumes exactly one value.
#[derive(Debug)]
pub struct Scanner<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    /// Keys of all objects that are open now, the innermost last.
    keys: Vec<Key<'a>>,
}

#[derive(Debug)]
struct Key<'a> {
    text: Cow<'a, str>,
    at: usize,
}

impl<'a> Scanner<'a> {
    /// Starts at the first byte.
    ///
    /// # Errors
    /// [`JsonFault::Utf8`].
    pub fn new(body: &'a [u8]) -> Result<Self, JsonError> {
        match std::str::from_utf8(body) {
            Ok(text) => Ok(Self { text, at: 0, depth: 0, keys: Vec::with_capacity(16) }),
            Err(error) => Err(JsonError { fault: JsonFault::Utf8, at: error.valid_up_to() }),
        }
    }

    /// The kind of the next value; consumes only white space.
    ///
    /// # Errors
    /// [`JsonFault::Truncated`] where no value follows.
    pub fn peek(&mut self) -> Result<Kind, JsonError> {
        self.skip_space();
        Ok(match self.byte() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') => Kind::Null,
            Some(_) => Kind::Number,
            None => return Err(self.fault()),
        })
    }

    /// Checks one value of any kind and returns its raw text.
    ///
    /// # Errors
    /// Any [`JsonFault`] but `Utf8` and `Trailing`.
    pub fn raw(&mut self) -> Result<&'a str, JsonError> {
        self.skip_space();
        let start = self.at;
        self.skip()?;
        Ok(self.since(start))
    }

    /// Checks one value of any kind and drops it.
    ///
    /// # Errors
    /// As [`Scanner::raw`].
    pub fn skip(&mut self) -> Result<(), JsonError> {
        match self.peek()? {
            Kind::Object => self.object(|scanner, _| scanner.skip()),
            Kind::Array => self.array(Self::skip),
            Kind::String => self.quoted().map(drop),
            Kind::Number => self.number(),
            Kind::Bool if self.byte() == Some(b't') => self.literal("true"),
            Kind::Bool => self.literal("false"),
            Kind::Null => self.literal("null"),
        }
    }

    /// A string's decoded text, or `None` for a value of another kind (checked and dropped).
    ///
    /// # Errors
    /// As [`Scanner::raw`].
    pub fn text(&mut self) -> Result<Option<Cow<'a, str>>, JsonError> {
        if self.peek()? == Kind::String {
            return self.string().map(Some);
        }
        self.skip()?;
        Ok(None)
    }

    /// Walks an object: `visit` sees each decoded key and must consume its value.
    ///
    /// # Errors
    /// As [`Scanner::raw`], or what `visit` answers.
    pub fn object<E: From<JsonError>>(
        &mut self,
        mut visit: impl FnMut(&mut Self, &str) -> Result<(), E>,
    ) -> Result<(), E> {
        self.open(b'{')?;
        let own_keys = self.keys.len();
        if !self.closes(b'}') {
            loop {
                self.skip_space();
                let at = self.at;
                let text = self.string()?;
                self.skip_space();
                self.expect(b':')?;
                visit(self, &text)?;
                self.keys.push(Key { text, at });
                if !self.continues(b'}')? {
                    break;
                }
            }
        }
        self.refuse_duplicates(own_keys)?;
        self.depth = self.depth.saturating_sub(1);
        Ok(())
    }

    /// Walks an array: `visit` must consume one element each time.
    ///
    /// # Errors
    /// As [`Scanner::raw`], or what `visit` answers.
    pub fn array<E: From<JsonError>>(
        &mut self,
        mut visit: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.open(b'[')?;
        if !self.closes(b']') {
            loop {
                visit(self)?;
                if !self.continues(b']')? {
                    break;
                }
            }
        }
        self.depth = self.depth.saturating_sub(1);
        Ok(())
    }

    /// The offset of the next byte to be read.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.at
    }

    /// Moves over white space, so that [`Scanner::offset`] is where the next value starts.
    pub fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte() {
            self.at += 1;
        }
    }

    /// Ends the pass.
    ///
    /// # Errors
    /// [`JsonFault::Trailing`] where anything but white space is left.
    pub fn finish(mut self) -> Result<(), JsonError> {
        self.skip_space();
        if self.byte().is_none() {
            return Ok(());
        }
        Err(JsonError { fault: JsonFault::Trailing, at: self.at })
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn since(&self, start: usize) -> &'a str {
        // All cuts are at ASCII bytes, so they are character borders.
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn fault(&self) -> JsonError {
        let fault = if self.byte().is_none() { JsonFault::Truncated } else { JsonFault::Unexpected };
        JsonError { fault, at: self.at }
    }

    fn expect(&mut self, wanted: u8) -> Result<(), JsonError> {
        if self.byte() != Some(wanted) {
            return Err(self.fault());
        }
        self.at += 1;
        Ok(())
    }

    fn open(&mut self, bracket: u8) -> Result<(), JsonError> {
        self.skip_space();
        if self.byte() == Some(bracket) && self.depth >= MAX_DEPTH {
            return Err(JsonError { fault: JsonFault::TooDeep, at: self.at });
        }
        self.expect(bracket)?;
        self.depth += 1;
        Ok(())
    }

    fn closes(&mut self, bracket: u8) -> bool {
        self.skip_space();
        let closes = self.byte() == Some(bracket);
        self.at += usize::from(closes);
        closes
    }

    /// After an element: `true` for a comma, `false` for the closing bracket.
    fn continues(&mut self, bracket: u8) -> Result<bool, JsonError> {
        if self.closes(bracket) {
            return Ok(false);
        }
        self.expect(b',').map(|()| true)
    }

    fn refuse_duplicates(&mut self, first: usize) -> Result<(), JsonError> {
        let own = self.keys.get_mut(first..).unwrap_or_default();
        let repeated = if own.len() <= PAIRWISE_KEYS {
            (own.iter().enumerate())
                .find(|(index, key)| own.iter().take(*index).any(|earlier| earlier.text == key.text))
                .map(|(_, key)| key.at)
        } else {
            own.sort_unstable_by(|left, right| (&left.text, left.at).cmp(&(&right.text, right.at)));
            (own.iter().zip(own.iter().skip(1)))
                .filter(|(left, right)| left.text == right.text)
                .map(|(_, right)| right.at)
                .min()
        };
        self.keys.truncate(first);
        repeated.map_or(Ok(()), |at| Err(JsonError { fault: JsonFault::DuplicateKey, at }))
    }

    fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        let start = self.at;
        let (inner, escaped) = self.quoted()?;
        if !escaped {
            return Ok(Cow::Borrowed(inner));
        }
        serde_json::from_str(self.since(start))
            .map(Cow::Owned)
            .map_err(|_| JsonError { fault: JsonFault::Unexpected, at: start })
    }

    /// Checks a string; returns what stands between the quotes and whether it holds escapes.
    fn quoted(&mut self) -> Result<(&'a str, bool), JsonError> {
        self.expect(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at += plain_prefix(self.text.as_bytes().get(self.at..).unwrap_or_default());
            match self.byte() {
                Some(b'"') => {
                    let inner = self.since(start);
                    self.at += 1;
                    return Ok((inner, escaped));
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return Err(self.fault()),
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        self.at += 1;
        match self.byte() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => match self.code_unit()? {
                // A pair of UTF-16 surrogates; half a pair names no character, and parsers differ on it.
                0xD800..=0xDBFF => {
                    self.expect(b'\\')?;
                    if !(0xDC00..=0xDFFF).contains(&self.code_unit()?) {
                        return Err(JsonError { fault: JsonFault::Unexpected, at: start });
                    }
                }
                0xDC00..=0xDFFF => return Err(JsonError { fault: JsonFault::Unexpected, at: start }),
                _ => {}
            },
            _ => return Err(self.fault()),
        }
        Ok(())
    }

    fn code_unit(&mut self) -> Result<u32, JsonError> {
        self.expect(b'u')?;
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.byte().and_then(|byte| char::from(byte).to_digit(16));
            unit = unit * 16 + digit.ok_or_else(|| self.fault())?;
            self.at += 1;
        }
        Ok(unit)
    }

    fn number(&mut self) -> Result<(), JsonError> {
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        if self.byte() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.byte() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(self.fault()) } else { Ok(()) }
    }

    fn literal(&mut self, word: &str) -> Result<(), JsonError> {
        word.bytes().try_for_each(|byte| self.expect(byte))
    }
}

/// How many of the leading bytes are plain string content: no quote, backslash or control byte.
fn plain_prefix(bytes: &[u8]) -> usize {
    let mut length = 0;
    let (words, _) = bytes.as_chunks::<8>();
    for word in words {
        if has_special(u64::from_le_bytes(*word)) {
            break;
        }
        length += 8;
    }
    let rest = bytes.get(length..).unwrap_or_default();
    length + rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1F)).unwrap_or(rest.len())
}

/// Whether any of eight bytes is a quote, a backslash or below 0x20: the classic zero-byte trick,
/// exact as to *whether* there is one, which is all that is asked.
fn has_special(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let below = |value: u64, bound: u64| value.wrapping_sub(ONES.wrapping_mul(bound)) & !value & HIGH;
    let quote = below(word ^ ONES.wrapping_mul(u64::from(b'"')), 1);
    let backslash = below(word ^ ONES.wrapping_mul(u64::from(b'\\')), 1);
    (quote | backslash | below(word, 0x20)) != 0
}

/// Up to this many keys are compared pair by pair; larger objects are sorted, so that no object
/// costs quadratic time.
const PAIRWISE_KEYS: usize = 8;

#[cfg(test)]
mod tests;
