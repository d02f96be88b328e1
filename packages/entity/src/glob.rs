//! Glob patterns of strangers against texts of strangers, with bounded work.
//!
//! Ruma's own matcher turns a pattern into a regular expression and panics on one that becomes too
//! large, and recurses once per word of the text; both are in the hands of whoever writes a push
//! rule or a message. Here the work per match is at most [`MAX_STEPS`] character comparisons;
//! beyond that nothing matches.

/// The most character comparisons for one match: about a millisecond. A short pattern with many
/// stars against the longest body (`*a*a*a*a*a*b`, 64 KiB) stays below it.
pub const MAX_STEPS: usize = 1 << 20;

/// Does a pattern with `*` (any run of characters, also none), in which all else is literal, match
/// the whole text?
pub fn star_matches(pattern: &str, text: &str) -> bool {
    if !pattern.contains('*') {
        return pattern == text;
    }
    let pattern: Vec<Part> = pattern
        .chars()
        .map(|char| match char {
            '*' => Part::Run,
            other => Part::Char(other),
        })
        .collect();
    let text: Vec<char> = text.chars().collect();
    matches_at(&pattern, &text, &mut Steps::new()) == Some(true)
}

/// A compiled glob pattern: `*` matches any run of characters, `?` exactly one; letter case does
/// not matter.
#[derive(Clone, Debug)]
pub struct Glob {
    parts: Vec<Part>,
    plain: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Char(char),
    One,
    Run,
}

/// A text to match against, folded once for any number of patterns.
#[derive(Clone, Debug)]
pub struct Folded {
    chars: Vec<char>,
}

impl Folded {
    /// Folds a text.
    pub fn new(text: &str) -> Self {
        Self {
            chars: text.chars().flat_map(char::to_lowercase).collect(),
        }
    }
}

impl Glob {
    /// Compiles a pattern.
    pub fn new(pattern: &str) -> Self {
        let mut parts = Vec::with_capacity(pattern.len());
        for char in pattern.chars() {
            match char {
                '*' if parts.last() == Some(&Part::Run) => {}
                '*' => parts.push(Part::Run),
                '?' => parts.push(Part::One),
                other => parts.extend(other.to_lowercase().map(Part::Char)),
            }
        }
        let plain = parts.iter().all(|part| matches!(part, Part::Char(_)));
        Self { parts, plain }
    }

    /// A pattern in which every character stands for itself.
    pub fn literal(text: &str) -> Self {
        Self {
            parts: text
                .chars()
                .flat_map(char::to_lowercase)
                .map(Part::Char)
                .collect(),
            plain: true,
        }
    }

    /// Does it match the whole text?
    pub fn matches(&self, text: &Folded) -> bool {
        if self.plain && self.parts.len() != text.chars.len() {
            return false;
        }
        matches_at(&self.parts, &text.chars, &mut Steps::new()) == Some(true)
    }

    /// Does it match some words of the text: a stretch with the text's ends or a character other
    /// than `[A-Za-z0-9_]` at both sides?
    ///
    /// An empty pattern matches an empty text only.
    pub fn matches_words(&self, text: &Folded) -> bool {
        if self.parts.is_empty() {
            return text.chars.is_empty();
        }
        let mut steps = Steps::new();
        let found = if self.plain {
            self.plain_word(&text.chars, &mut steps)
        } else {
            self.any_words(&text.chars, &mut steps)
        };
        found == Some(true)
    }

    fn plain_word(&self, text: &[char], steps: &mut Steps) -> Option<bool> {
        let last = text.len().checked_sub(self.parts.len());
        for start in 0..last.map_or(0, |last| last + 1) {
            steps.take()?;
            let end = start + self.parts.len();
            if !starts_word(text, start) || !ends_word(text, end) {
                continue;
            }
            let mut equal = true;
            for (part, char) in self.parts.iter().zip(text.iter().skip(start)) {
                steps.take()?;
                equal = *part == Part::Char(*char);
                if !equal {
                    break;
                }
            }
            if equal {
                return Some(true);
            }
        }
        Some(false)
    }

    /// Follows all beginnings at once: the set of places that the pattern so far can have reached,
    /// one part after another. The work is at most the product of the lengths.
    fn any_words(&self, text: &[char], steps: &mut Steps) -> Option<bool> {
        let mut reached: Vec<bool> = (0..=text.len()).map(|at| starts_word(text, at)).collect();
        for part in &self.parts {
            let mut next = vec![false; reached.len()];
            let mut any = false;
            for (at, here) in reached.iter().enumerate() {
                steps.take()?;
                let (to, matched) = match part {
                    // A run goes on from wherever it has come.
                    Part::Run => (at, any || *here),
                    Part::One => (at + 1, *here && at < text.len()),
                    Part::Char(char) => (at + 1, *here && text.get(at) == Some(char)),
                };
                if matched && let Some(slot) = next.get_mut(to) {
                    *slot = true;
                    any = true;
                }
            }
            if !any {
                return Some(false);
            }
            reached = next;
        }
        let mut places = reached.iter().enumerate();
        Some(places.any(|(at, here)| *here && ends_word(text, at)))
    }
}

/// Can a word begin at `at`? Boundaries are the same at both sides.
fn starts_word(text: &[char], at: usize) -> bool {
    ends_word(text, at)
}

/// Can a word end at `at`: an end of the text, or a non-word character before or after it?
fn ends_word(text: &[char], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|at| text.get(at));
    match (before, text.get(at)) {
        (Some(before), Some(after)) => !is_word(*before) || !is_word(*after),
        _ => true,
    }
}

/// A character of a word, by the spec's definition.
fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '_'
}

/// The classic two-pointer match: on a mismatch, the last run takes one character more.
fn matches_at(pattern: &[Part], text: &[char], steps: &mut Steps) -> Option<bool> {
    let (mut in_pattern, mut in_text) = (0, 0);
    let mut last_run: Option<(usize, usize)> = None;
    while in_text < text.len() {
        steps.take()?;
        match pattern.get(in_pattern) {
            Some(Part::Run) => {
                last_run = Some((in_pattern, in_text));
                in_pattern += 1;
                continue;
            }
            Some(Part::One) => {
                in_pattern += 1;
                in_text += 1;
                continue;
            }
            Some(Part::Char(char)) if text.get(in_text) == Some(char) => {
                in_pattern += 1;
                in_text += 1;
                continue;
            }
            _ => {}
        }
        let Some((run, from)) = last_run else {
            return Some(false);
        };
        last_run = Some((run, from + 1));
        in_pattern = run + 1;
        in_text = from + 1;
    }
    let rest = pattern.get(in_pattern..).unwrap_or_default();
    Some(rest.iter().all(|part| *part == Part::Run))
}

/// The budget of one match.
struct Steps(usize);

impl Steps {
    fn new() -> Self {
        Self(MAX_STEPS)
    }

    fn take(&mut self) -> Option<()> {
        self.0 = self.0.checked_sub(1)?;
        Some(())
    }
}
