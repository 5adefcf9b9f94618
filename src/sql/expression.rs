//! Syntax of expressions → typed expressions: names resolved, casts put in, functions found.

use super::aggregate::Collector;
use super::parse::{Source, cast_type};
use super::scope::Scope;
use super::{SqlError, literal};
use crate::expr::coerce::{Arithmetic, is_text};
use crate::expr::functions::{self, regex, time, time::Unit};
use crate::expr::number::Comparison;
use crate::expr::typed::{ExprError, TypedExpr};
use crate::types::limits::{EXPRESSION_PARTS, SQL_CHAIN};
use crate::types::{LogicalType, Schema, TypeKind};
use sqlparser::ast::{
    BinaryOperator, CastKind, CeilFloorKind, DateTimeField, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, Ident, ObjectName, ObjectNamePart, TrimWhereField, UnaryOperator, Value, ValueWithSpan,
};

impl From<ExprError> for SqlError {
    fn from(error: ExprError) -> Self {
        Self { offset: None, message: error.message, hint: error.hint }
    }
}

/// One expression over the columns of `schema`, without aggregates.
pub(super) fn single_expression(text: &str, syntax: &Expr, schema: &Schema) -> Result<TypedExpr, SqlError> {
    let scope = Scope { schema, qualifier: None };
    Analyzer { source: Source(text), scope: &scope, aggregates: None, place: "an expression" }.expression(syntax)
}

/// Turns syntax into typed expressions over one input.
pub(super) struct Analyzer<'a> {
    pub source: Source<'a>,
    pub scope: &'a Scope<'a>,
    /// Takes the aggregates that are found; without it they are errors.
    pub aggregates: Option<&'a mut Collector>,
    /// Where the expression stands, for messages: `WHERE`.
    pub place: &'static str,
}

type Analyzed = Result<TypedExpr, SqlError>;

impl Analyzer<'_> {
    /// The typed expression of `syntax`. Errors lie in the innermost part that is wrong.
    pub(super) fn expression(&mut self, syntax: &Expr) -> Analyzed {
        let typed = self.part(syntax).map_err(|e| if e.offset.is_some() { e } else { e.at(self.source.of(syntax)) })?;
        Ok(typed)
    }

    fn part(&mut self, syntax: &Expr) -> Analyzed {
        match syntax {
            Expr::Identifier(ident) => match self.scope.resolve(&ident.value) {
                Err(_) if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("PI") => call("PI", Vec::new()),
                resolved => resolved,
            },
            Expr::CompoundIdentifier(parts) => {
                let parts: Vec<&str> = parts.iter().map(|part| part.value.as_str()).collect();
                self.scope.resolve_path(&parts)
            }
            Expr::Nested(inner) => self.expression(inner),
            Expr::Value(value) => literal::literal(&value.value),
            Expr::TypedString(value) => literal::typed_string(value),
            Expr::Interval(value) => literal::interval(value),
            Expr::BinaryOp { .. } => self.chain(syntax),
            Expr::UnaryOp { op, expr } => self.unary(*op, expr),
            Expr::IsNull(inner) => Ok(self.expression(inner)?.is_null(false)),
            Expr::IsNotNull(inner) => Ok(self.expression(inner)?.is_null(true)),
            Expr::IsTrue(inner) => self.truth(inner, true, false),
            Expr::IsNotTrue(inner) => self.truth(inner, true, true),
            Expr::IsFalse(inner) => self.truth(inner, false, false),
            Expr::IsNotFalse(inner) => self.truth(inner, false, true),
            Expr::IsUnknown(inner) => Ok(self.expression(inner)?.condition("IS UNKNOWN")?.is_null(false)),
            Expr::IsNotUnknown(inner) => Ok(self.expression(inner)?.condition("IS UNKNOWN")?.is_null(true)),
            Expr::IsDistinctFrom(a, b) => Ok(TypedExpr::distinct(self.expression(a)?, self.expression(b)?, false)?),
            Expr::IsNotDistinctFrom(a, b) => Ok(TypedExpr::distinct(self.expression(a)?, self.expression(b)?, true)?),
            Expr::InList { expr, list, negated } => {
                let value = self.expression(expr)?;
                let list = self.all(list)?;
                limited(TypedExpr::in_list(value, list, *negated)?)
            }
            Expr::Between { expr, negated, low, high } => self.between(expr, *negated, low, high),
            Expr::Like { negated, any: false, expr, pattern, escape_char } => {
                let (value, pattern) = (self.expression(expr)?, self.expression(pattern)?);
                Ok(regex::like(value, pattern, escape(escape_char.as_ref())?, *negated)?)
            }
            Expr::SimilarTo { negated, expr, pattern, escape_char } => {
                let (value, pattern) = (self.expression(expr)?, self.expression(pattern)?);
                Ok(regex::similar(value, pattern, escape(escape_char.as_ref())?, *negated)?)
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                let pairs: Vec<_> = conditions.iter().map(|when| (&when.condition, &when.result)).collect();
                self.case(operand.as_deref(), &pairs, else_result.as_deref())
            }
            Expr::Cast { kind, expr, data_type, .. } => {
                let lenient = match kind {
                    CastKind::Cast => false,
                    CastKind::TryCast => true,
                    _ => return Err(SqlError::new("Flink has no such cast").hint("use CAST or TRY_CAST")),
                };
                let value = self.expression(expr)?;
                Ok(value.cast(&cast_type(data_type)?.kind, lenient)?)
            }
            Expr::Function(function) => self.function(function),
            other => self.special(other),
        }
    }

    /// Functions that have a syntax of their own, and what is refused.
    fn special(&mut self, syntax: &Expr) -> Analyzed {
        match syntax {
            Expr::Extract { field, expr, .. } => {
                let unit = unit(field)?;
                Ok(time::extract(unit, self.expression(expr)?)?)
            }
            Expr::Floor { expr, field } => self.rounding("FLOOR", expr, field),
            Expr::Ceil { expr, field } => self.rounding("CEIL", expr, field),
            Expr::Position { expr, r#in } => {
                let args = vec![self.expression(expr)?, self.expression(r#in)?];
                call("POSITION", args)
            }
            Expr::Substring { substring_from: None, substring_for: None, .. } => {
                Err(SqlError::new("SUBSTRING: takes 2 to 3 arguments, not 1"))
            }
            Expr::Substring { expr, substring_from, substring_for, .. } => {
                let mut args = vec![self.expression(expr)?];
                args.push(match substring_from {
                    Some(from) => self.expression(from)?,
                    None => literal::literal(&Value::Number("1".to_owned(), false))?,
                });
                if let Some(length) = substring_for {
                    args.push(self.expression(length)?);
                }
                call("SUBSTRING", args)
            }
            Expr::Trim { trim_where, trim_what, expr, trim_characters: None } => {
                let mut args = vec![self.expression(expr)?];
                if let Some(what) = trim_what {
                    args.push(self.expression(what)?);
                }
                call(
                    match trim_where {
                        Some(TrimWhereField::Leading) => "LTRIM",
                        Some(TrimWhereField::Trailing) => "RTRIM",
                        _ => "TRIM",
                    },
                    args,
                )
            }
            Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                let mut args = vec![self.expression(expr)?, self.expression(overlay_what)?, self.expression(overlay_from)?];
                if let Some(length) = overlay_for {
                    args.push(self.expression(length)?);
                }
                call("OVERLAY", args)
            }
            other => Err(refused(other)),
        }
    }

    fn all(&mut self, list: &[Expr]) -> Result<Vec<TypedExpr>, SqlError> {
        list.iter().map(|item| self.expression(item)).collect()
    }

    /// `a op b op c …`, without recursion along the chain: the parser hangs long chains on the left.
    fn chain(&mut self, syntax: &Expr) -> Analyzed {
        let mut steps = Vec::new();
        let mut first = syntax;
        while let Expr::BinaryOp { left, op, right } = first {
            steps.push((op, &**right, first));
            first = left;
        }
        if steps.len() > SQL_CHAIN {
            return Err(SqlError::new(format!("more than {SQL_CHAIN} operators in one chain")).hint("use IN (…)"));
        }
        let mut value = self.expression(first)?;
        for (op, right, whole) in steps.into_iter().rev() {
            let right = self.expression(right)?;
            value = binary(op, value, right).map_err(|e| e.at(self.source.of(whole)))?;
        }
        Ok(value)
    }

    fn unary(&mut self, op: UnaryOperator, operand: &Expr) -> Analyzed {
        match (op, operand) {
            (UnaryOperator::Minus, Expr::Value(ValueWithSpan { value: Value::Number(text, _), .. })) => {
                match literal::negative_number(text) {
                    Some(number) => Ok(number),
                    None => Ok(self.expression(operand)?.negate()?),
                }
            }
            (UnaryOperator::Minus, _) => Ok(self.expression(operand)?.negate()?),
            (UnaryOperator::Plus, _) => self.expression(operand),
            (UnaryOperator::Not, _) => Ok(self.expression(operand)?.inverted()?),
            (other, _) => Err(SqlError::new(format!("Flink has no operator {other}"))),
        }
    }

    fn truth(&mut self, operand: &Expr, truth: bool, negated: bool) -> Analyzed {
        Ok(self.expression(operand)?.is_truth(truth, negated)?)
    }

    fn between(&mut self, value: &Expr, negated: bool, low: &Expr, high: &Expr) -> Analyzed {
        let (value, low, high) = (self.expression(value)?, self.expression(low)?, self.expression(high)?);
        let least = TypedExpr::compare(Comparison::GreaterOrEqual, value.clone(), low)?;
        let most = TypedExpr::compare(Comparison::LessOrEqual, value, high)?;
        let inside = limited(TypedExpr::and(least, most)?)?;
        if negated { Ok(inside.inverted()?) } else { Ok(inside) }
    }

    fn case(&mut self, operand: Option<&Expr>, pairs: &[(&Expr, &Expr)], otherwise: Option<&Expr>) -> Analyzed {
        let operand = operand.map(|operand| self.expression(operand)).transpose()?;
        let mut branches = Vec::with_capacity(pairs.len());
        for (condition, result) in pairs {
            let place = self.source.of(*condition);
            let condition = self.expression(condition)?;
            let condition = match &operand {
                Some(operand) => TypedExpr::compare(Comparison::Equal, operand.clone(), condition),
                None => condition.condition("WHEN"),
            };
            branches.push((condition.map_err(|e| SqlError::from(e).at(place))?, self.expression(result)?));
        }
        let otherwise = otherwise.map(|otherwise| self.expression(otherwise)).transpose()?;
        limited(TypedExpr::case(branches, otherwise)?)
    }

    fn rounding(&mut self, name: &'static str, operand: &Expr, field: &CeilFloorKind) -> Analyzed {
        let value = self.expression(operand)?;
        match field {
            CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) => call(name, vec![value]),
            CeilFloorKind::DateTimeField(field) => Ok(time::round_to(unit(field)?, value, name == "CEIL")?),
            CeilFloorKind::Scale(_) => Err(SqlError::new(format!("Flink's {name} takes one argument")).hint("use ROUND or TRUNCATE")),
        }
    }

    fn function(&mut self, function: &Function) -> Analyzed {
        let name = function_name(&function.name)?;
        if function.over.is_some() {
            return Err(SqlError::unsupported(&format!("{name} with OVER")));
        }
        if function.null_treatment.is_some() || !function.within_group.is_empty() {
            return Err(SqlError::unsupported(&format!("{name} with WITHIN GROUP or IGNORE NULLS")));
        }
        let upper = name.to_ascii_uppercase();
        if super::aggregate::is_aggregate(&upper) {
            return self.aggregate(&upper, function);
        }
        if let Some(refusal) = super::aggregate::refusal(&upper) {
            return Err(refusal);
        }
        if function.filter.is_some() {
            return Err(SqlError::new(format!("{name} is no aggregate: it takes no FILTER")));
        }
        let (args, distinct) = arguments(function)?;
        if distinct {
            return Err(SqlError::new(format!("{name} is no aggregate: it takes no DISTINCT")));
        }
        let exprs = args.iter().map(|arg| plain_argument(&upper, arg)).collect::<Result<Vec<_>, _>>()?;
        if let Some(done) = self.unit_function(&upper, &exprs) {
            return done;
        }
        if let Some(reason) = functions::refusal(&upper) {
            return Err(SqlError::new(format!("{name} is refused: {reason}")));
        }
        if !functions::exists(&upper) {
            let place = self.source.of(&function.name);
            let aggregates = super::aggregate::NAMES.iter().copied();
            return Err(SqlError::new(format!("there is no function \"{name}\""))
                .nearest(name, functions::names().chain(aggregates))
                .at(place));
        }
        let args = exprs.into_iter().map(|arg| self.expression(arg)).collect::<Result<Vec<_>, _>>()?;
        call(&upper, args)
    }

    /// `TIMESTAMPADD(unit, n, t)` and `TIMESTAMPDIFF(unit, a, b)`: the first argument is a word.
    fn unit_function(&mut self, name: &str, args: &[&Expr]) -> Option<Analyzed> {
        if !matches!(name, "TIMESTAMPADD" | "TIMESTAMPDIFF") {
            return None;
        }
        let [Expr::Identifier(Ident { value: word, .. }), a, b] = args else {
            return Some(Err(SqlError::new(format!("{name} takes a unit and 2 arguments")).hint(format!("{name}(HOUR, …, …)"))));
        };
        Some(match (Unit::parse(word), self.expression(a), self.expression(b)) {
            (None, ..) => {
                Err(SqlError::new(format!("\"{word}\" is no unit of time")).hint("SECOND, MINUTE, HOUR, DAY, WEEK, MONTH, QUARTER, YEAR"))
            }
            (_, Err(error), _) | (_, _, Err(error)) => Err(error),
            (Some(unit), Ok(a), Ok(b)) if name == "TIMESTAMPADD" => time::timestamp_add(unit, a, b).map_err(SqlError::from),
            (Some(unit), Ok(a), Ok(b)) => time::timestamp_diff(unit, a, b).map_err(SqlError::from),
        })
    }

    fn aggregate(&mut self, name: &str, function: &Function) -> Analyzed {
        let (args, distinct) = arguments(function)?;
        let Some(collector) = self.aggregates.as_deref_mut() else {
            return Err(SqlError::new(format!("{} takes no aggregate such as {name}", self.place)));
        };
        let mut inner = Analyzer { source: self.source, scope: self.scope, aggregates: None, place: "an aggregate" };
        let argument = match args {
            [] | [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] if name == "COUNT" => None,
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] => Some(inner.expression(argument)?),
            _ => return Err(SqlError::new(format!("{name} takes 1 argument, not {}", args.len()))),
        };
        let filter = match &function.filter {
            Some(filter) => Some(inner.expression(filter)?.condition("FILTER")?),
            None => None,
        };
        collector.call(name, distinct, argument, filter)
    }
}

fn limited(expr: TypedExpr) -> Analyzed {
    fn count(expr: &TypedExpr, left: &mut usize) {
        *left = left.saturating_sub(1);
        if *left > 0 {
            expr.children().into_iter().for_each(|child| count(child, left));
        }
    }
    let mut left = EXPRESSION_PARTS;
    count(&expr, &mut left);
    if left == 0 { Err(SqlError::new(format!("the expression has more than {EXPRESSION_PARTS} parts"))) } else { Ok(expr) }
}

fn call(name: &str, args: Vec<TypedExpr>) -> Analyzed {
    let made = functions::call(name, args);
    limited(made.unwrap_or_else(|| Err(ExprError::new(format!("there is no function \"{name}\""))))?)
}

fn function_name(name: &ObjectName) -> Result<&str, SqlError> {
    match name.0.as_slice() {
        [ObjectNamePart::Identifier(ident)] => Ok(&ident.value),
        _ => Err(SqlError::unsupported(&format!("the function {name} of a catalog"))),
    }
}

/// The arguments, and whether DISTINCT stands before them.
fn arguments(function: &Function) -> Result<(&[FunctionArg], bool), SqlError> {
    match &function.args {
        FunctionArguments::None => Ok((&[], false)),
        FunctionArguments::Subquery(_) => Err(SqlError::unsupported("a query as an argument")),
        FunctionArguments::List(list) if !list.clauses.is_empty() => Err(SqlError::unsupported("a clause among the arguments")),
        FunctionArguments::List(list) => Ok((&list.args, list.duplicate_treatment == Some(DuplicateTreatment::Distinct))),
    }
}

fn plain_argument<'e>(name: &str, arg: &'e FunctionArg) -> Result<&'e Expr, SqlError> {
    match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr),
        FunctionArg::Unnamed(_) => Err(SqlError::new(format!("{name} does not take *"))),
        _ => Err(SqlError::unsupported("an argument by name")),
    }
}

fn unit(field: &DateTimeField) -> Result<Unit, SqlError> {
    let name = field.to_string();
    Unit::parse(&name).ok_or_else(|| SqlError::new(format!("\"{name}\" is no unit of time")))
}

fn escape(escape: Option<&ValueWithSpan>) -> Result<Option<char>, SqlError> {
    match escape.map(|value| &value.value) {
        None => Ok(None),
        Some(Value::SingleQuotedString(text)) if text.chars().count() == 1 => Ok(text.chars().next()),
        Some(other) => Err(SqlError::new(format!("ESCAPE takes one character, not {other}"))),
    }
}

fn binary(op: &BinaryOperator, left: TypedExpr, right: TypedExpr) -> Analyzed {
    let arithmetic = |op, left, right| Ok(TypedExpr::arithmetic(op, left, right)?);
    let compare = |op, left, right| Ok(TypedExpr::compare(op, left, right)?);
    match op {
        BinaryOperator::Plus => arithmetic(Arithmetic::Add, left, right),
        BinaryOperator::Minus => arithmetic(Arithmetic::Subtract, left, right),
        BinaryOperator::Multiply => arithmetic(Arithmetic::Multiply, left, right),
        BinaryOperator::Divide => arithmetic(Arithmetic::Divide, left, right),
        BinaryOperator::Modulo => arithmetic(Arithmetic::Modulo, left, right),
        BinaryOperator::Eq => compare(Comparison::Equal, left, right),
        BinaryOperator::NotEq => compare(Comparison::NotEqual, left, right),
        BinaryOperator::Lt => compare(Comparison::Less, left, right),
        BinaryOperator::LtEq => compare(Comparison::LessOrEqual, left, right),
        BinaryOperator::Gt => compare(Comparison::Greater, left, right),
        BinaryOperator::GtEq => compare(Comparison::GreaterOrEqual, left, right),
        BinaryOperator::And => Ok(TypedExpr::and(left, right)?),
        BinaryOperator::Or => Ok(TypedExpr::or(left, right)?),
        BinaryOperator::StringConcat => concatenate(left, right),
        other => Err(SqlError::new(format!("Flink has no operator {other}"))),
    }
}

fn concatenate(left: TypedExpr, right: TypedExpr) -> Analyzed {
    let text = |expr: TypedExpr| {
        let kind = &expr.data_type.kind;
        if is_text(kind) || *kind == TypeKind::Null {
            return expr.implicit_cast(&TypeKind::String);
        }
        let found = LogicalType::nullable(kind.clone());
        Err(ExprError::new(format!("|| cannot be applied to {found}")).hint("CAST it to STRING"))
    };
    call("CONCAT", vec![text(left)?, text(right)?]).map_err(|e| SqlError { message: e.message.replacen("CONCAT", "||", 1), ..e })
}

fn refused(syntax: &Expr) -> SqlError {
    let construct = match syntax {
        Expr::InSubquery { .. } => "IN with a query",
        Expr::Exists { .. } => "EXISTS",
        Expr::Subquery(_) => "a query as a value",
        Expr::GroupingSets(_) => "GROUPING SETS",
        Expr::Cube(_) => "CUBE",
        Expr::Rollup(_) => "ROLLUP",
        Expr::Array(_) => "ARRAY[…]",
        Expr::Map(_) | Expr::Dictionary(_) => "MAP[…]",
        Expr::Struct { .. } | Expr::Tuple(_) => "ROW(…)",
        Expr::CompoundFieldAccess { .. } | Expr::JsonAccess { .. } => "access to elements and fields",
        Expr::AtTimeZone { .. } => "AT TIME ZONE",
        Expr::Collate { .. } => "COLLATE",
        Expr::AnyOp { .. } | Expr::AllOp { .. } | Expr::Like { .. } => "ANY and ALL",
        Expr::ILike { .. } => return SqlError::new("Flink has no ILIKE").hint("LOWER(…) LIKE …"),
        Expr::RLike { .. } => return SqlError::new("Flink has no such operator").hint("REGEXP(text, pattern)"),
        _ => return SqlError::new(format!("Flink has no expression such as {syntax}")),
    };
    SqlError::unsupported(construct)
}
