//! Flink's spellings → clap's. Flink takes long options with one dash too (`-detached`, `-type`, `-full`), and has short options of
//! two and three letters (`-cm`, `-sae`). Pure: words in, words out.

use super::args::Args;
use clap::CommandFactory;
use std::ffi::OsString;

/// Flink's short options of more than one letter.
const LONG_SHORT: &[(&str, &str)] = &[("cm", "claimMode"), ("rm", "restoreMode"), ("sae", "shutdownOnAttachedExit"), ("dcp", "detached")];

/// All words as clap reads them. `words` starts with the program's name.
pub fn normalize(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let names = long_names();
    let mut words: Vec<OsString> = words.into_iter().collect();
    // `flink -v` asks for the version, as in Flink; behind a command, -v is --verbose.
    if words.get(1).is_some_and(|w| w == "-v") && words.len() == 2 {
        words[1] = "--version".into();
    }
    let end = words.iter().position(|w| w == "--").unwrap_or(words.len());
    for word in words.iter_mut().take(end).skip(1) {
        if let Some(long) = word.to_str().and_then(|text| with_two_dashes(text, &names)) {
            *word = long.into();
        }
    }
    words
}

/// `-detached` → `--detached`, `-cm=claim` → `--claimMode=claim`; `None` for everything else.
fn with_two_dashes(word: &str, names: &[String]) -> Option<String> {
    let body = word.strip_prefix('-').filter(|b| b.len() > 1 && !b.starts_with('-'))?;
    let (name, value) = body.split_once('=').map_or((body, None), |(name, value)| (name, Some(value)));
    let long = match LONG_SHORT.iter().find(|(short, _)| *short == name) {
        Some((_, long)) => long,
        None => names.iter().find(|n| *n == name).map(String::as_str)?,
    };
    Some(value.map_or_else(|| format!("--{long}"), |value| format!("--{long}={value}")))
}

fn long_names() -> Vec<String> {
    let mut names = names_of(&Args::command());
    names.extend(["help", "version"].map(str::to_owned));
    names
}

/// The long names of a command's arguments, and of its subcommands'.
fn names_of(command: &clap::Command) -> Vec<String> {
    let own = command.get_arguments().flat_map(|a| a.get_long_and_visible_aliases().into_iter().flatten().map(str::to_owned));
    own.chain(command.get_subcommands().flat_map(names_of)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn normal(line: &str) -> String {
        let words = normalize(line.split_whitespace().map(OsString::from));
        words.iter().map(|w| w.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn flinks_spellings_become_claps() {
        for (flinks, claps) in [
            ("flink savepoint -detached -type canonical J", "flink savepoint --detached --type canonical J"),
            ("flink checkpoint J -full", "flink checkpoint J --full"),
            ("flink run -cm no_claim -sae -d job.toml", "flink run --claimMode no_claim --shutdownOnAttachedExit -d job.toml"),
            ("flink run -rm=claim job.toml", "flink run --restoreMode=claim job.toml"),
            ("flink stop -savepointPath /s -drain J", "flink stop --savepointPath /s --drain J"),
            ("flink -v", "flink --version"),
            ("flink -version", "flink --version"),
        ] {
            assert_eq!(normal(flinks), claps);
        }
    }

    #[test]
    fn what_is_no_long_name_stays_as_it_is() {
        for line in [
            "flink run -Dexecution.checkpointing.interval=10s -D a=b -p4 -d job.toml",
            "flink list -ra",
            "flink list -v -r",
            "flink savepoint -- -detached",
            "flink stop -p /s -d J",
            "flink - -- --",
        ] {
            assert_eq!(normal(line), line);
        }
    }

    #[test]
    fn flags_stand_before_and_after_what_they_belong_to() {
        for line in ["flink -m h:1 stop -p /s -d J", "flink stop J -d -p /s -m h:1", "flink stop -d -p /s J -m h:1"] {
            let args = Args::try_parse_from(normalize(line.split_whitespace().map(OsString::from))).unwrap();
            assert_eq!(args.common.jobmanager.as_deref(), Some("h:1"), "{line}");
            let super::super::args::Action::Stop(stop) = args.action else { panic!("{line}") };
            assert_eq!((stop.job.as_deref(), stop.directory.as_deref(), stop.drain), (Some("J"), Some("/s"), true), "{line}");
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    proptest::proptest! {
        #[test]
        fn no_words_panic(words in proptest::collection::vec("-{0,3}\\PC{0,12}", 0..6)) {
            let _ = Args::try_parse_from(normalize(words.into_iter().map(OsString::from)));
        }
    }
}
