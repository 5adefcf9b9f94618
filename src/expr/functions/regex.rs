//! LIKE, SIMILAR TO and regular expressions. Patterns that are constants are compiled once.

use super::Definition::Kernel as Bind;
use super::{Bound, Entry, build_boolean, build_text, signature};
use crate::expr::kernel::{Arg, Kernel, KernelError};
use crate::expr::typed::{Call, ExprError, Style, TypedExpr};
use crate::types::{LogicalType, TypeKind};
use arrow::array::{ArrayRef, BooleanArray, Scalar};
use arrow::datatypes::Int64Type;
use regex::{NoExpand, Regex};
use std::sync::Arc;

pub(super) const FUNCTIONS: &[Entry] = &[("REGEXP", Bind(regexp)), ("REGEXP_EXTRACT", Bind(extract)), ("REGEXP_REPLACE", Bind(replace))];

/// Compiled patterns, the last one remembered: patterns are constants as a rule.
struct Patterns {
    fixed: Option<Regex>,
}

/// The last pattern of a column of patterns; `None` inside for one that is no regular expression.
type LastPattern = Option<(String, Option<Regex>)>;

impl Patterns {
    /// A constant pattern that is no regular expression is an error of the query.
    fn new(pattern: Option<&TypedExpr>) -> Result<Self, ExprError> {
        let fixed = match pattern.and_then(TypedExpr::as_text) {
            None => None,
            Some(text) => Some(compile(text).map_err(|e| {
                ExprError::new(format!("'{text}' is not a regular expression that is supported: {e}"))
                    .hint("look-around and back-references are not")
            })?),
        };
        Ok(Self { fixed })
    }

    fn get<'r>(&'r self, pattern: &str, last: &'r mut LastPattern) -> Option<&'r Regex> {
        if let Some(fixed) = &self.fixed {
            return Some(fixed);
        }
        if last.as_ref().is_none_or(|(text, _)| text != pattern) {
            *last = Some((pattern.to_owned(), compile(pattern).ok()));
        }
        last.as_ref().and_then(|(_, regex)| regex.as_ref())
    }
}

/// A pattern in Java's syntax. `\d`, `\w`, `\s` mean ASCII in Java; case is told apart.
fn compile(pattern: &str) -> Result<Regex, String> {
    let mut ascii = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    let mut in_class = 0_usize;
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                let next = chars.next();
                let class = match next {
                    Some('d') => Some("0-9"),
                    Some('w') => Some("a-zA-Z0-9_"),
                    Some('s') => Some(r" \t\n\x0B\f\r"),
                    _ => None,
                };
                match (class, next) {
                    (Some(class), _) if in_class > 0 => ascii.push_str(class),
                    (Some(class), _) => ascii.extend(["[", class, "]"]),
                    (None, Some(next)) => ascii.extend(['\\', next]),
                    (None, None) => ascii.push('\\'),
                }
                continue;
            }
            '[' => in_class += 1,
            ']' => in_class = in_class.saturating_sub(1),
            _ => {}
        }
        ascii.push(c);
    }
    Regex::new(&ascii).map_err(|e| e.to_string().lines().last().unwrap_or_default().trim().to_owned())
}

fn regexp(args: &[TypedExpr]) -> Result<Bound, ExprError> {
    let casts = signature(args, "ss")?;
    let patterns = Patterns::new(args.get(1))?;
    let kernel: Kernel = Arc::new(move |args: &[Arg], rows| {
        let (texts, wanted) = (args[0].strings()?, args[1].strings()?);
        let mut last = None;
        build_boolean(rows, |row| {
            let (text, pattern) = (texts.get(row)?, wanted.get(row)?);
            if pattern.is_empty() {
                return Some(false);
            }
            patterns.get(pattern, &mut last).map(|regex| regex.is_match(text))
        })
    });
    Ok(Bound::new(casts, TypeKind::Boolean, kernel))
}

fn extract(args: &[TypedExpr]) -> Result<Bound, ExprError> {
    let casts = signature(args, "ss[i")?;
    let patterns = Patterns::new(args.get(1))?;
    let kernel: Kernel = Arc::new(move |args: &[Arg], rows| {
        let (texts, wanted) = (args[0].strings()?, args[1].strings()?);
        let groups = args.get(2).map(Arg::values::<Int64Type>).transpose()?;
        let mut last = None;
        build_text(rows, |row, out| {
            let (text, pattern) = (texts.get(row)?, wanted.get(row)?);
            let group = match &groups {
                Some(groups) => usize::try_from(groups.get(row)?).ok()?,
                None => 0,
            };
            let regex = patterns.get(pattern, &mut last)?;
            let found = if group == 0 { regex.find(text) } else { regex.captures(text)?.get(group) };
            out.push_str(found?.as_str());
            Some(())
        })
    });
    Ok(Bound::new(casts, TypeKind::String, kernel).nullable())
}

fn replace(args: &[TypedExpr]) -> Result<Bound, ExprError> {
    let casts = signature(args, "sss")?;
    let patterns = Patterns::new(args.get(1))?;
    let kernel: Kernel = Arc::new(move |args: &[Arg], rows| {
        let (texts, wanted, replacements) = (args[0].strings()?, args[1].strings()?, args[2].strings()?);
        let mut last = None;
        build_text(rows, |row, out| {
            let (text, pattern, replacement) = (texts.get(row)?, wanted.get(row)?, replacements.get(row)?);
            // The replacement stands as it is: Flink does not read `$1` in it.
            out.push_str(&patterns.get(pattern, &mut last)?.replace_all(text, NoExpand(replacement)));
            Some(())
        })
    });
    Ok(Bound::new(casts, TypeKind::String, kernel).nullable())
}

/// `value [NOT] LIKE pattern [ESCAPE escape]`
pub fn like(value: TypedExpr, pattern: TypedExpr, escape: Option<char>, negated: bool) -> Result<TypedExpr, ExprError> {
    let kernel: Kernel = match (escape, pattern.as_text()) {
        // Arrow's LIKE takes a backslash for an escape; Flink has none unless it is asked for.
        (None, Some(text)) if !text.contains('\\') => {
            let scalar = Scalar::new(Arc::new(arrow::array::StringArray::from(vec![text])) as ArrayRef);
            Arc::new(move |args: &[Arg], rows| {
                let texts = args[0].expanded(rows)?;
                Ok(Arc::new(arrow::compute::like(&texts, &scalar)?) as ArrayRef)
            })
        }
        _ => pattern_kernel(Patterns::translated(&pattern, |text| like_regex(text, escape))?, move |text| like_regex(text, escape)),
    };
    matching("LIKE", "NOT LIKE", kernel, value, pattern, negated)
}

/// `value [NOT] SIMILAR TO pattern [ESCAPE escape]`
pub fn similar(value: TypedExpr, pattern: TypedExpr, escape: Option<char>, negated: bool) -> Result<TypedExpr, ExprError> {
    let fixed = Patterns::translated(&pattern, |text| similar_regex(text, escape))?;
    let kernel = pattern_kernel(fixed, move |text| similar_regex(text, escape));
    matching("SIMILAR TO", "NOT SIMILAR TO", kernel, value, pattern, negated)
}

impl Patterns {
    fn translated(pattern: &TypedExpr, translate: impl Fn(&str) -> Result<String, String>) -> Result<Self, ExprError> {
        let fixed = match pattern.as_text() {
            None => None,
            Some(text) => {
                let regex = translate(text).and_then(|regex| Regex::new(&regex).map_err(|e| e.to_string()));
                Some(regex.map_err(|e| ExprError::new(format!("the pattern '{text}' is not valid: {e}")))?)
            }
        };
        Ok(Self { fixed })
    }
}

fn pattern_kernel(fixed: Patterns, translate: impl Fn(&str) -> Result<String, String> + Send + Sync + 'static) -> Kernel {
    Arc::new(move |args: &[Arg], rows| {
        let (texts, wanted) = (args[0].strings()?, args[1].strings()?);
        let mut last: LastPattern = None;
        let mut failed = None;
        let built = build_boolean(rows, |row| {
            let (text, pattern) = (texts.get(row)?, wanted.get(row)?);
            if let Some(fixed) = &fixed.fixed {
                return Some(fixed.is_match(text));
            }
            if last.as_ref().is_none_or(|(known, _)| known != pattern) {
                let regex = translate(pattern).and_then(|regex| Regex::new(&regex).map_err(|e| e.to_string()));
                if let Err(e) = &regex {
                    failed = Some(KernelError(format!("the pattern '{pattern}' is not valid: {e}")));
                }
                last = Some((pattern.to_owned(), regex.ok()));
            }
            last.as_ref().and_then(|(_, regex)| regex.as_ref()).map(|regex| regex.is_match(text))
        });
        failed.map_or(built, Err)
    })
}

fn matching(
    name: &'static str,
    not_name: &'static str,
    kernel: Kernel,
    value: TypedExpr,
    pattern: TypedExpr,
    negated: bool,
) -> Result<TypedExpr, ExprError> {
    let args = vec![value, pattern];
    signature(&args, "ss").map_err(|e| ExprError { message: format!("{name}: {}", e.message), ..e })?;
    let args = args.into_iter().map(|arg| arg.implicit_cast(&TypeKind::String)).collect::<Result<Vec<_>, _>>()?;
    let kernel: Kernel = if negated {
        Arc::new(move |args: &[Arg], rows| {
            let flags = kernel(args, rows)?;
            let flags = flags.as_any().downcast_ref::<BooleanArray>().map(arrow::compute::not).transpose()?;
            flags.map(|f| Arc::new(f) as ArrayRef).ok_or_else(|| KernelError("LIKE gives a BOOLEAN".to_owned()))
        })
    } else {
        kernel
    };
    let fallible = args[1].as_literal().is_none();
    let nullable = args.iter().any(|arg| arg.data_type.nullable);
    let name = if negated { not_name } else { name };
    let call = Call { name, style: Style::Infix, kernel, args, fallible };
    Ok(TypedExpr::call(call, LogicalType { kind: TypeKind::Boolean, nullable }))
}

fn push_plain(out: &mut String, c: char) {
    if !c.is_alphanumeric() && c.is_ascii() && c != '_' && !c.is_ascii_whitespace() && !c.is_ascii_control() {
        out.push('\\');
    }
    out.push(c);
}

fn like_regex(pattern: &str, escape: Option<char>) -> Result<String, String> {
    let mut out = String::from("(?s)^");
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            c if Some(c) == escape => match chars.next() {
                Some(next) if next == '%' || next == '_' || Some(next) == escape => push_plain(&mut out, next),
                _ => return Err(format!("an escape character stands before neither %, _ nor itself in '{pattern}'")),
            },
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            c => push_plain(&mut out, c),
        }
    }
    out.push('$');
    Ok(out)
}

fn similar_regex(pattern: &str, escape: Option<char>) -> Result<String, String> {
    let mut out = String::from("(?s)^(?:");
    let mut chars = pattern.chars();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        match c {
            c if Some(c) == escape => push_plain(&mut out, chars.next().ok_or("the escape character is the last one")?),
            '[' if !in_class => {
                in_class = true;
                out.push('[');
            }
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            '[' if in_class => return Err("classes inside classes are not supported".to_owned()),
            c if in_class => out.push(c),
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            // A point and a comma mean what they mean in a regular expression, in Flink.
            '|' | '*' | '+' | '?' | '{' | '}' | '(' | ')' | '.' | ',' => out.push(c),
            c => push_plain(&mut out, c),
        }
    }
    out.push_str(")$");
    if in_class { Err("a [ is not closed".to_owned()) } else { Ok(out) }
}
