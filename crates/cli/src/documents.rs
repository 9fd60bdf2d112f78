//! Commands in the documents, in the help and in the manual pages are commands that there are. Only for tests.

use std::path::{Path, PathBuf};

use clap::error::ErrorKind;

use crate::command;

/// The words of a command as a shell has them, up to the end of the command; nothing more of the line is run.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    // In a drawing a command ends where blanks begin.
    let line = line.split("   ").next().unwrap_or(line);
    for letter in line.chars() {
        let word = words.last_mut().expect("there is one");
        match letter {
            '\'' | '"' if quote == Some(letter) => quote = None,
            '\'' | '"' if quote.is_none() => quote = Some(letter),
            ' ' if quote.is_none() => words.push(String::new()),
            ';' | ')' if quote.is_none() => break,
            _ => word.push(letter),
        }
    }
    words.retain(|word| !word.is_empty());
    let end = |word: &String| matches!(word.as_str(), "|" | ">" | "&&" | "#" | "and:" | "─►");
    let end = words.iter().position(end).unwrap_or(words.len());
    words.truncate(end);
    words
}

/// What is wrong with a command. One that is not said to the end (`relevo switchover --to`) is right so far.
fn wrong(line: &str) -> Option<String> {
    let words = words(line);
    // Of `ready|drain` the first.
    let words: Vec<&str> = words.iter().map(|word| word.split('|').next().unwrap_or(word)).collect();
    let is_open =
        words.iter().any(|word| word.ends_with("...") || word.chars().all(|c| c.is_ascii_uppercase()))
            || words.last().is_some_and(|word| word.starts_with("--"));
    let error = command().try_get_matches_from(words).err()?;
    let is_not_at_its_end = matches!(
        error.kind(),
        ErrorKind::MissingRequiredArgument
            | ErrorKind::MissingSubcommand
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            | ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
    );
    let has_no_value = matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation);
    let is_fine = is_not_at_its_end || has_no_value && is_open;
    (!is_fine).then(|| format!("{line}: {error}"))
}

/// Every document below a folder, that of other programs and built things left out.
fn documents(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
            documents(&path, into);
        } else if path.extension().is_some_and(|end| end == "md") {
            into.push(path);
        }
    }
}

/// Commands in a text: lines of blocks, with a prompt or without, and words in backticks.
fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let lines = text.lines().map(|line| line.trim_start_matches(['$', '#', ' ']));
    found.extend(lines.filter(|line| line.starts_with("relevo ")).map(str::to_owned));
    let quoted = text.split('`').skip(1).step_by(2).map(|words| words.replace('\n', " "));
    found.extend(quoted.filter(|words| words.starts_with("relevo ")));
    found
}

#[test]
fn every_command_in_the_documents_is_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut paths = Vec::new();
    documents(&root, &mut paths);
    let mut count = 0;
    let mut found = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("a document");
        let all = commands(&text);
        count += all.len();
        found.extend(
            all.iter().filter_map(|line| wrong(line)).map(|said| format!("{}: {said}", path.display())),
        );
    }
    assert!(count > 200, "only {count} commands were found");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_example_in_the_help_is_a_command() {
    fn examples(of: &clap::Command, into: &mut Vec<String>) {
        let texts = [of.get_after_help(), of.get_after_long_help()];
        for text in texts.into_iter().flatten() {
            into.extend(commands(&text.to_string()));
        }
        of.get_subcommands().for_each(|inner| examples(inner, into));
    }
    let mut all = Vec::new();
    examples(&command(), &mut all);
    assert!(all.len() > 50, "only {} examples were found: {all:?}", all.len());
    let found: Vec<_> = all.iter().filter_map(|line| wrong(line)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}
