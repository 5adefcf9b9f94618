//! Flink's built-in functions, by name: the argument types they take, the type they give, the kernel. A function that Flink does
//! not have is unknown here too.

mod conditional;
mod hash;
mod math;
pub mod regex;
mod text;
pub mod time;

use super::coerce::{is_integer, is_numeric, is_text};
use super::kernel::{Kernel, KernelResult};
use super::typed::{Call, ExprError, Style, TypedExpr};
use crate::types::{LogicalType, TypeKind};
use arrow::array::{ArrowPrimitiveType, BooleanArray, PrimitiveArray, StringBuilder};
use std::sync::Arc;

/// Whether NULL is among a function's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nulls {
    /// If it is among those of an argument.
    Inherit,
    /// Always.
    Always,
}

/// A function for given arguments.
struct Bound {
    /// The types that the kernel takes, one an argument.
    casts: Vec<TypeKind>,
    returns: TypeKind,
    nulls: Nulls,
    fallible: bool,
    kernel: Kernel,
}

impl Bound {
    fn new(casts: Vec<TypeKind>, returns: TypeKind, kernel: Kernel) -> Self {
        Self { casts, returns, nulls: Nulls::Inherit, fallible: false, kernel }
    }

    fn nullable(self) -> Self {
        Self { nulls: Nulls::Always, ..self }
    }

    fn fallible(self) -> Self {
        Self { fallible: true, ..self }
    }
}

/// How a function is made: a kernel for the arguments, or an expression in terms of others.
#[derive(Clone, Copy)]
enum Definition {
    Kernel(fn(&[TypedExpr]) -> Result<Bound, ExprError>),
    Expression(fn(Vec<TypedExpr>) -> Result<TypedExpr, ExprError>),
}

/// One entry of a table of functions.
type Entry = (&'static str, Definition);

fn tables() -> [&'static [Entry]; 6] {
    [text::FUNCTIONS, regex::FUNCTIONS, hash::FUNCTIONS, math::FUNCTIONS, time::FUNCTIONS, conditional::FUNCTIONS]
}

/// Functions of Flink that are left out on purpose, with the reason.
const REFUSED: &[(&str, &str)] = &[
    ("RAND", "its values could not be repeated after a restore"),
    ("RAND_INTEGER", "its values could not be repeated after a restore"),
    ("UUID", "its values could not be repeated after a restore"),
];

/// The names of all functions.
pub fn names() -> impl Iterator<Item = &'static str> {
    tables().into_iter().flatten().map(|(name, _)| *name)
}

/// Why a function of Flink is left out, if it is.
pub fn refusal(name: &str) -> Option<&'static str> {
    REFUSED.iter().find(|(refused, _)| refused.eq_ignore_ascii_case(name)).map(|(_, reason)| *reason)
}

/// True if there is a function of this name; the case of names does not matter.
pub fn exists(name: &str) -> bool {
    find(name).is_some()
}

fn find(name: &str) -> Option<&'static Entry> {
    tables().into_iter().flatten().find(|(known, _)| known.eq_ignore_ascii_case(name))
}

/// A call of the function `name`; `None` if there is none.
pub fn call(name: &str, args: Vec<TypedExpr>) -> Option<Result<TypedExpr, ExprError>> {
    let (name, definition) = find(name)?;
    Some(
        match definition {
            Definition::Expression(make) => make(args),
            Definition::Kernel(bind) => bind(&args).and_then(|bound| apply(name, bound, args)),
        }
        .map_err(|e| ExprError { message: format!("{name}: {}", e.message), ..e }),
    )
}

fn apply(name: &'static str, bound: Bound, args: Vec<TypedExpr>) -> Result<TypedExpr, ExprError> {
    let mut cast = Vec::with_capacity(args.len());
    for (position, arg) in args.into_iter().enumerate() {
        let to = bound.casts.get(position).or(bound.casts.last());
        cast.push(match to {
            Some(to) => arg.implicit_cast(to)?,
            None => arg,
        });
    }
    let nullable = bound.nulls == Nulls::Always || cast.iter().any(|arg| arg.data_type.nullable);
    let call = Call { name, style: Style::Function, kernel: bound.kernel, args: cast, fallible: bound.fallible };
    Ok(TypedExpr::call(call, LogicalType { kind: bound.returns, nullable }))
}

/// Checks arguments against a signature: `s` text, `i` integer (given as BIGINT), `n` number (given as DOUBLE), `y` BYTES; what
/// stands behind `[` may be missing; a last letter followed by `*` may come any number of times. Returns the types to give.
fn signature(args: &[TypedExpr], letters: &str) -> Result<Vec<TypeKind>, ExprError> {
    let required = letters.find(['[', '*']).unwrap_or(letters.len());
    let repeats = letters.ends_with('*');
    let all: Vec<char> = letters.chars().filter(char::is_ascii_alphabetic).collect();
    if args.len() < required || args.len() > all.len() && !repeats {
        let range = match (repeats, required == all.len()) {
            (true, _) => format!("at least {required}"),
            (false, true) => format!("{required}"),
            (false, false) => format!("{required} to {}", all.len()),
        };
        let plural = if range == "1" { "argument" } else { "arguments" };
        return Err(ExprError::new(format!("takes {range} {plural}, not {}", args.len())));
    }
    let mut casts = Vec::with_capacity(args.len());
    for (position, arg) in args.iter().enumerate() {
        let letter = all.get(position).or(all.last()).copied().unwrap_or('s');
        let kind = &arg.data_type.kind;
        let null = *kind == TypeKind::Null;
        let (right, to, name) = match letter {
            's' => (is_text(kind), TypeKind::String, "STRING"),
            'i' => (is_integer(kind), TypeKind::BigInt, "INT"),
            'n' => (is_numeric(kind) || is_text(kind), TypeKind::Double, "a number"),
            _ => (matches!(kind, TypeKind::Bytes), TypeKind::Bytes, "BYTES"),
        };
        if !right && !null {
            let found = LogicalType::nullable(kind.clone());
            let error = ExprError::new(format!("argument {} must be {name}, not {found}", position + 1));
            return Err(if letter == 's' { error.hint("CAST it to STRING") } else { error });
        }
        casts.push(to);
    }
    Ok(casts)
}

/// A text a row; `f` appends it to an empty text, or gives `None` for NULL.
#[expect(clippy::unnecessary_wraps, reason = "kernels end with it")]
fn build_text(rows: usize, mut f: impl FnMut(usize, &mut String) -> Option<()>) -> KernelResult {
    let mut builder = StringBuilder::with_capacity(rows, rows * 8);
    let mut text = String::new();
    for row in 0..rows {
        text.clear();
        match f(row, &mut text) {
            Some(()) => builder.append_value(&text),
            None => builder.append_null(),
        }
    }
    Ok(Arc::new(builder.finish()))
}

/// A number a row.
#[expect(clippy::unnecessary_wraps, reason = "kernels end with it")]
fn build<T: ArrowPrimitiveType>(rows: usize, f: impl FnMut(usize) -> Option<T::Native>) -> KernelResult {
    Ok(Arc::new((0..rows).map(f).collect::<PrimitiveArray<T>>()))
}

/// A boolean a row.
#[expect(clippy::unnecessary_wraps, reason = "kernels end with it")]
fn build_boolean(rows: usize, f: impl FnMut(usize) -> Option<bool>) -> KernelResult {
    Ok(Arc::new((0..rows).map(f).collect::<BooleanArray>()))
}
