//! Text from outside, for people to read. What a guest prints, and what a file, a host or a path is called, may hold anything,
//! and a terminal obeys what it holds. So every such text goes through here before anybody sees it: terminal, tables, Markdown,
//! CSV and logs alike.

use std::borrow::Cow;

/// The text as one line: control characters, line ends, characters that turn the direction of writing, and all others that
/// cannot be seen become escapes such as `\n` and `\u{202e}`.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

/// As [`fn@line`], but line ends and tabs stay.
pub fn block(text: &str) -> Cow<'_, str> {
    escaped(text, |character| matches!(character, '\n' | '\t'))
}

fn escaped(text: &str, stays: impl Fn(char) -> bool) -> Cow<'_, str> {
    // The standard library knows what can be seen. It escapes these three for its own purposes.
    let stays = |character| stays(character) || matches!(character, '"' | '\'' | '\\');
    let is_seen = |character: char| stays(character) || character.escape_debug().eq([character]);
    if text.chars().all(is_seen) {
        return Cow::Borrowed(text);
    }
    let mut seen = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match stays(character) {
            true => seen.push(character),
            false => seen.extend(character.escape_debug()),
        }
    }
    Cow::Owned(seen)
}

/// A text in JSON, whose characters that cannot be seen become escapes of JSON's: its meaning stays. They can only be in strings.
pub fn json(text: &str) -> String {
    let mut seen = String::with_capacity(text.len());
    for character in text.chars() {
        match block(character.encode_utf8(&mut [0; 4])) {
            Cow::Borrowed(character) => seen.push_str(character),
            Cow::Owned(_) => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    seen.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    seen
}

/// Bytes that come bit by bit, as [`block`] shows them.
#[derive(Debug, Default)]
pub struct Stream {
    /// The beginning of a character that has not come whole.
    rest: Vec<u8>,
}

impl Stream {
    /// The text of all characters that are complete with these bytes.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        let mut all = std::mem::take(&mut self.rest);
        all.extend(bytes);
        self.rest = all.split_off(all.len() - unfinished(&all));
        block(&String::from_utf8_lossy(&all)).into_owned()
    }
}

/// Bytes at the end that are the beginning of a character.
fn unfinished(bytes: &[u8]) -> usize {
    let is_begun = |count: &usize| {
        let end = bytes.len().checked_sub(*count).and_then(|start| bytes.get(start..));
        let error = end.and_then(|end| std::str::from_utf8(end).err());
        error.is_some_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    };
    (1..4).find(is_begun).unwrap_or(0)
}

/// An error with its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

/// `1,234,567`.
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What no text for people may hold: the orders of ECMA-48, line ends of all kinds, and Unicode's bidirectional controls.
    fn is_dangerous(character: char) -> bool {
        character.is_control()
            || matches!(character, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    }

    #[test]
    fn orders_to_the_terminal_are_shown_instead_of_obeyed() {
        assert_eq!(line("\u{1b}[2J\u{7}\u{9b}m"), "\\u{1b}[2J\\u{7}\\u{9b}m");
        assert_eq!(line("a\r\nforged: b"), "a\\r\\nforged: b");
        assert_eq!(line("invoice\u{202e}txt.exe\u{2069}"), "invoice\\u{202e}txt.exe\\u{2069}");
        assert_eq!(line("\u{2028}\u{feff}\u{e0041}"), "\\u{2028}\\u{feff}\\u{e0041}");
        assert_eq!(block("a\tb\nc\rd"), "a\tb\nc\\rd");
    }

    #[test]
    fn json_means_the_same_with_escapes() {
        let value = serde_json::json!({"\u{1b}": ["\u{202e}\u{9b}\u{e0041}", "µ\n"]});
        let text = json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(text.is_ascii() || text.contains('µ'));
        assert!(!block(&text).contains("\\u{"), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }

    #[test]
    fn what_can_be_seen_stays() {
        for text in
            ["user → kernel", "±0.6 % · ×0.79°", "\"don't\" C:\\", "Grüße, 日本, العربية", "µs…─\u{2800}"]
        {
            assert!(matches!(line(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn characters_that_come_in_pieces_are_whole() {
        let mut stream = Stream::default();
        let text: String = "µ→\u{1b}x".bytes().map(|byte| stream.push(&[byte])).collect();
        assert_eq!(text, "µ→\\u{1b}x");
        assert_eq!(stream.push(&[0xff, 0xe2]), "\u{fffd}");
        assert_eq!(stream.push(b"a"), "\u{fffd}a", "one that was never finished");
    }

    proptest! {
        #[test]
        fn nothing_dangerous_comes_through(text: String, bytes: Vec<u8>, cut in 1usize..7) {
            prop_assert!(!line(&text).contains(is_dangerous));
            prop_assert!(!block(&text).replace(['\n', '\t'], "").contains(is_dangerous));
            let mut stream = Stream::default();
            let shown: String = bytes.chunks(cut).map(|piece| stream.push(piece)).collect();
            prop_assert!(!shown.replace(['\n', '\t'], "").contains(is_dangerous));
            prop_assert!(stream.rest.len() < 4);
        }
    }
}
