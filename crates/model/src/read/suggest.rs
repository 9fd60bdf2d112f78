//! Hints: the nearest right word, or the list of right words.

/// Most words that are compared or listed.
const MOST: usize = 300;

/// Most words that are shown.
const SHOWN: usize = 12;

/// A hint for a word that is none of `words`.
pub(super) fn one_of<'w>(wrong: &str, words: impl IntoIterator<Item = &'w str>) -> String {
    let words: Vec<&str> = words.into_iter().take(MOST).collect();
    if words.is_empty() {
        return "there is none".to_owned();
    }
    match nearest(wrong, words.iter().copied()) {
        Some(word) => format!("did you mean `{word}`?"),
        None => format!("it can be {}", list(&nearest_first(wrong, words))),
    }
}

/// Of many words those come first that share the longest beginning, or are in one another; the others stay in order.
fn nearest_first<'w>(wrong: &str, mut words: Vec<&'w str>) -> Vec<&'w str> {
    let alike = |word: &str| {
        let beginning =
            wrong.bytes().zip(word.bytes()).take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count();
        let inside = wrong.contains(word) || word.contains(wrong);
        let shared = if inside { wrong.len().min(word.len()) } else { beginning };
        if shared < 3 { 0 } else { shared }
    };
    if words.len() > SHOWN {
        words.sort_by_key(|word| std::cmp::Reverse(alike(word)));
    }
    words
}

/// The word that is so near that it was probably meant.
pub(super) fn nearest<'w>(wrong: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let limit = 1 + wrong.chars().count().min(24) / 4;
    let near = words.into_iter().take(MOST).filter(|word| word.len().abs_diff(wrong.len()) <= limit);
    let (far, word) = near.map(|word| (distance(wrong, word), word)).min()?;
    (far <= limit).then_some(word)
}

/// Words as a list: `a`, `b` or `c`; a long one is cut.
pub(super) fn list(words: &[&str]) -> String {
    let (shown, rest) = words.split_at(words.len().min(SHOWN));
    let quoted: Vec<String> = shown.iter().map(|word| format!("`{word}`")).collect();
    match (quoted.split_last(), rest.len()) {
        (None, _) => String::new(),
        (Some((last, [])), 0) => last.clone(),
        (Some((last, before)), 0) => format!("{} or {last}", before.join(", ")),
        (Some(_), more) => format!("{} or one of {more} others", quoted.join(", ")),
    }
}

/// Edit distance with swaps of neighbours (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).map(|char| char.to_ascii_lowercase()).collect();
    let b: Vec<char> = b.chars().take(64).map(|char| char.to_ascii_lowercase()).collect();
    let mut older = vec![0; b.len() + 1];
    let mut old: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1; b.len() + 1];
        for j in 0..b.len() {
            let replaced = old[j] + usize::from(a[i] != b[j]);
            row[j + 1] = replaced.min(old[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                row[j + 1] = row[j + 1].min(older[j - 1] + 1);
            }
        }
        older = std::mem::replace(&mut old, row);
    }
    old[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, far) in
            [("", "", 0), ("a", "", 1), ("ab", "ba", 1), ("pubic", "public", 1), ("x", "public", 6)]
        {
            assert_eq!(distance(a, b), far, "{a} {b}");
        }
    }

    #[test]
    fn hints() {
        assert_eq!(one_of("pubic", ["public", "internal"]), "did you mean `public`?");
        assert_eq!(one_of("zzz", ["tcp", "http"]), "it can be `tcp` or `http`");
        assert_eq!(one_of("zzz", ["connect"]), "it can be `connect`");
        assert_eq!(one_of("zzz", []), "there is none");
        let many: Vec<String> =
            (0..20).map(|number| format!("key{number}")).chain(["max_queue_size".to_owned()]).collect();
        let hint = one_of("queue", many.iter().map(String::as_str));
        assert!(hint.starts_with("it can be `max_queue_size`, `key0`"), "{hint}");
    }
}
