use matryx_entity::glob::{Folded, Glob, star_matches};
use proptest::prelude::*;

fn matches(pattern: &str, text: &str) -> bool {
    Glob::new(pattern).matches(&Folded::new(text))
}

fn matches_words(pattern: &str, text: &str) -> bool {
    Glob::new(pattern).matches_words(&Folded::new(text))
}

/// The definition, by recursion.
fn naive(pattern: &[char], text: &[char]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some(('*', rest)), _) => {
            naive(rest, text)
                || text
                    .split_first()
                    .is_some_and(|(_, more)| naive(pattern, more))
        }
        (Some(('?', rest)), Some((_, more))) => naive(rest, more),
        (Some((char, rest)), Some((first, more))) => char == first && naive(rest, more),
        _ => false,
    }
}

/// Some stretch between word boundaries matches.
fn naive_words(pattern: &[char], text: &[char]) -> bool {
    let word = |char: Option<&char>| char.is_some_and(|c| c.is_ascii_alphanumeric() || *c == '_');
    let boundary =
        |at: usize| at == 0 || at == text.len() || !word(text.get(at - 1)) || !word(text.get(at));
    (0..=text.len()).any(|from| {
        (from..=text.len())
            .any(|to| boundary(from) && boundary(to) && naive(pattern, &text[from..to]))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn agrees_with_the_definition(pattern in "[ab*? ]{0,6}", text in "[ab ]{0,9}") {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        prop_assert_eq!(matches(&pattern, &text), naive(&chars(&pattern), &chars(&text)));
        if !pattern.is_empty() {
            prop_assert_eq!(
                matches_words(&pattern, &text),
                naive_words(&chars(&pattern), &chars(&text)),
                "{:?} in {:?}", pattern, text
            );
        }
        let stars = pattern.replace('?', "b");
        prop_assert_eq!(star_matches(&stars, &text), naive(&chars(&stars), &chars(&text)));
    }

    #[test]
    fn nothing_is_a_panic(pattern in any::<String>(), text in any::<String>()) {
        matches(&pattern, &text);
        matches_words(&pattern, &text);
        star_matches(&pattern, &text);
    }
}

#[test]
fn letter_case_does_not_matter_but_in_filters() {
    assert!(matches("m.ROOM.*", "M.room.Message"));
    assert!(matches_words("ÄRGER", "viel ärger!"));
    assert!(!star_matches("M.*", "m.room"));
    assert!(star_matches("m.*", "m.room"));
    assert!(
        !star_matches("m.?", "m.x"),
        "a filter has no other wildcard"
    );
}

#[test]
fn finds_whole_words_only() {
    for (pattern, text, found) in [
        ("alice", "hello alice!", true),
        ("alice", "alice", true),
        ("alice", "malice", false),
        ("alice", "alices", false),
        ("alice", "malice alice", true),
        ("alice", "(alice)", true),
        ("alice", "alice_x", false),
        ("lunc?*", "lunch plans", true),
        ("ex*ple", "An example event.", true),
        ("exam*", "An exciting triple-whammy", false),
        ("@room", "hey @room", true),
        ("", "anything", false),
        ("", "", true),
    ] {
        assert_eq!(
            matches_words(pattern, text),
            found,
            "{pattern:?} in {text:?}"
        );
    }
}

#[test]
fn the_work_is_bounded() {
    let body = "a".repeat(65_536);
    // Within the budget, so the answer is right.
    assert!(!matches_words("*a*a*a*a*a*b", &body));
    assert!(matches_words("*a*a*a*a*a*b", &format!("{body}b")));
    assert!(!matches("*a*a*a*a*a*b", &body));
    // Beyond it, nothing matches; the point is that these return at all.
    let huge = format!("{}b", "*a".repeat(30_000));
    assert!(!matches(&huge, &body));
    assert!(!matches_words(&huge, &body));
    assert!(!matches_words(&"?".repeat(1 << 20), &body));
    assert!(!star_matches(&huge, &body));
    // Ruma's matcher recurses once per word here.
    assert!(!matches_words("a", &"xa ".repeat(21_000)));
    assert!(!matches_words(
        &"a".repeat(30_000),
        &format!("{} x", "a".repeat(65_000))
    ));
}
