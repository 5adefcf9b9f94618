//! Which tables a query reads, and in which order transforms must therefore be planned. Works on words alone, so that it has an
//! answer for queries with errors too.

use super::ddl::{comment_end, quoted_end};
use std::collections::BTreeSet;

/// The names behind FROM, JOIN, TABLE and the commas between them, without those that a WITH defines.
pub(super) fn tables_read(sql: &str) -> BTreeSet<String> {
    let tokens = tokens(sql);
    let mut names = BTreeSet::new();
    let mut defined = BTreeSet::new();
    // One entry for each open parenthesis: whether a comma at this depth is followed by a table.
    let mut lists = vec![false];
    for (index, token) in tokens.iter().enumerate() {
        let next = tokens.get(index + 1);
        match token {
            Token::Symbol('(') => lists.push(false),
            Token::Symbol(')') => {
                lists.truncate(lists.len().saturating_sub(1).max(1));
            }
            Token::Symbol(',') if lists.last() == Some(&true) => names.extend(next.and_then(Token::name)),
            Token::Word(word) => {
                let upper = word.to_ascii_uppercase();
                match upper.as_str() {
                    "FROM" | "JOIN" | "TABLE" => {
                        names.extend(next.and_then(Token::name));
                        if upper == "FROM"
                            && let Some(list) = lists.last_mut()
                        {
                            *list = true;
                        }
                    }
                    "WHERE" | "GROUP" | "HAVING" | "ORDER" | "LIMIT" | "UNION" | "INTERSECT" | "EXCEPT" | "SELECT" | "ON" | "WINDOW" => {
                        if let Some(list) = lists.last_mut() {
                            *list = false;
                        }
                    }
                    "AS" if next == Some(&Token::Symbol('(')) => {
                        defined.extend(index.checked_sub(1).and_then(|before| tokens[before].name()));
                    }
                    _ => {}
                }
            }
            Token::Symbol(_) | Token::Quoted(_) => {}
        }
    }
    names.difference(&defined).cloned().collect()
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    /// In backquotes.
    Quoted(String),
    Symbol(char),
}

impl Token {
    fn name(&self) -> Option<String> {
        match self {
            Self::Word(name) if !name.eq_ignore_ascii_case("TABLE") && !name.eq_ignore_ascii_case("LATERAL") => Some(name.clone()),
            Self::Quoted(name) => Some(name.clone()),
            Self::Word(_) | Self::Symbol(_) => None,
        }
    }
}

fn tokens(sql: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = sql;
    while let Some(c) = rest.chars().next() {
        let length = if let Some(end) = comment_end(rest) {
            end.min(rest.len())
        } else if c == '\'' {
            quoted_end(rest, c).unwrap_or(rest.len())
        } else if c == '`' {
            let end = quoted_end(rest, c).unwrap_or(rest.len());
            tokens.push(Token::Quoted(rest.get(1..end - 1).unwrap_or_default().replace("``", "`")));
            end
        } else if c.is_alphanumeric() || c == '_' {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            tokens.push(Token::Word(rest[..end].to_owned()));
            end
        } else {
            if !c.is_whitespace() {
                tokens.push(Token::Symbol(c));
            }
            c.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

/// An order in which each of the tables `0..reads.len()` comes after those that it reads, and the cycles, each in the order in which
/// its tables read one another. Tables of a cycle, and those that read them, are not in the order.
pub(super) fn order(reads: &[Vec<usize>]) -> (Vec<usize>, Vec<Vec<usize>>) {
    let mut order = Vec::new();
    let mut placed = vec![false; reads.len()];
    loop {
        let ready = (0..reads.len()).find(|table| !placed[*table] && reads[*table].iter().all(|read| placed[*read]));
        let Some(table) = ready else { break };
        placed[table] = true;
        order.push(table);
    }
    let mut cycles = Vec::new();
    let mut seen = placed.clone();
    for start in 0..reads.len() {
        // Every table that is left reads one that is left: following those ends in a cycle.
        let mut path = Vec::new();
        let mut at = start;
        while !seen[at] {
            seen[at] = true;
            path.push(at);
            let Some(next) = reads[at].iter().copied().find(|read| !placed[*read]) else { break };
            at = next;
        }
        if let Some(from) = path.iter().position(|table| *table == at)
            && !path.is_empty()
        {
            cycles.push(path.split_off(from));
        }
    }
    (order, cycles)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_of_a_query_stand_behind_from_join_and_table() {
        for (sql, expected) in [
            ("SELECT a, b FROM t", vec!["t"]),
            ("SELECT t1, x FROM a, b AS c, `d e` WHERE x = (SELECT MAX(y) FROM f), g", vec!["a", "b", "d e", "f"]),
            ("SELECT * FROM a LEFT JOIN b ON a.x = b.x JOIN c USING (x, y)", vec!["a", "b", "c"]),
            ("SELECT * FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '1' MINUTE))", vec!["bids"]),
            ("WITH w AS (SELECT * FROM a), v AS (SELECT * FROM w) SELECT * FROM v -- FROM n\n/* FROM m */", vec!["a"]),
            ("SELECT 'FROM x' FROM (SELECT * FROM y)", vec!["y"]),
            ("SELECT a FROM t GROUP BY a, u UNION ALL SELECT b, c FROM v", vec!["t", "v"]),
            ("FROM", vec![]),
        ] {
            assert_eq!(tables_read(sql).into_iter().collect::<Vec<_>>(), expected, "{sql}");
        }
    }

    #[test]
    fn tables_come_after_what_they_read_and_cycles_are_named_once() {
        assert_eq!(order(&[vec![1], vec![2], vec![]]), (vec![2, 1, 0], vec![]));
        assert_eq!(order(&[vec![0]]), (vec![], vec![vec![0]]));
        assert_eq!(order(&[vec![1], vec![2], vec![1], vec![]]), (vec![3], vec![vec![1, 2]]));
        assert_eq!(order(&[vec![1], vec![0], vec![3], vec![2]]), (vec![], vec![vec![0, 1], vec![2, 3]]));
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_odd(sql in "(FROM|,|\\(|\\)|`|'|--|/\\*|AS|x| |ü|[\\x00-\\x7f]){0,20}") {
            let _ = tables_read(&sql);
        }
    }
}
