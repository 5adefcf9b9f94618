//! Built-in functions of reducing and aggregating states.

use super::*;
use crate::testing::function::FunctionHarness;

/// Every built-in function over the prices of a bidder.
#[derive(Default)]
struct All {
    reduced: Vec<ReducingState<i32>>,
    count: AggregatingState<i32, i64>,
    mean: AggregatingState<i32, f64>,
    exact: ReducingState<i128>,
}

impl KeyedProcessFunction for All {
    type In = (String, i32);
    type Out = (String, Vec<i32>, Option<i64>, Option<f64>, Option<i128>);

    fn open(&mut self, context: &mut RuntimeContext<'_>) -> FunctionResult {
        let descriptors = [
            ReducingStateDescriptor::sum("sum"),
            ReducingStateDescriptor::min("min"),
            ReducingStateDescriptor::max("max"),
            ReducingStateDescriptor::first("first"),
            ReducingStateDescriptor::last("last"),
        ];
        self.reduced = descriptors.iter().map(|descriptor| context.reducing_state(descriptor)).collect::<Result<_, _>>()?;
        self.count = context.aggregating_state(&AggregatingStateDescriptor::count("count"))?;
        self.mean = context.aggregating_state(&AggregatingStateDescriptor::avg("mean"))?;
        self.exact = context.reducing_state(&ReducingStateDescriptor::sum("exact").with_type("DECIMAL(10, 2)"))?;
        Ok(())
    }

    fn process_element(&mut self, (who, price): Self::In, context: &mut Context<'_>, out: &mut Collector<'_, Self::Out>) -> FunctionResult {
        self.reduced.iter().try_for_each(|state| state.add(context, &price))?;
        self.count.add(context, &price)?;
        self.mean.add(context, &price)?;
        self.exact.add(context, &i128::from(price))?;
        let reduced: Result<Vec<i32>, _> = self.reduced.iter().map(|state| Ok(state.get(context)?.unwrap_or(0))).collect();
        let (count, mean, exact) = (self.count.get(context)?, self.mean.get(context)?, self.exact.get(context)?);
        out.collect(&(who, reduced.map_err(|e: FunctionError| e)?, count, mean, exact))
    }
}

#[test]
fn built_in_functions_fold_what_is_added() {
    let harness = FunctionHarness::new(All::default).input("who STRING, price INT").key_by(&["who"]);
    let output = "who STRING, reduced ARRAY<INT>, `count` BIGINT, mean DOUBLE, exact DECIMAL(10, 2)";
    let mut harness = harness.output(output).open().unwrap();
    assert_eq!(harness.process(&("a", 10)).unwrap(), ["+I[a, [10, 10, 10, 10, 10], 1, 10.0, 0.10]"]);
    assert_eq!(harness.process(&("a", 25)).unwrap(), ["+I[a, [35, 10, 25, 10, 25], 2, 17.5, 0.35]"]);
    let mut harness = harness.restore().unwrap();
    assert_eq!(harness.process(&("a", 7)).unwrap(), ["+I[a, [42, 7, 25, 10, 7], 3, 14.0, 0.42]"]);
    let error = harness.process(&("a", i32::MAX)).unwrap_err().to_string();
    assert!(error.contains("state sum") && error.contains("INT"), "{error}");
}

#[derive(Default)]
struct SumOfTexts(ReducingState<String>);

impl KeyedProcessFunction for SumOfTexts {
    type In = (String,);
    type Out = (String,);

    fn open(&mut self, context: &mut RuntimeContext<'_>) -> FunctionResult {
        self.0 = context.reducing_state(&ReducingStateDescriptor::sum("texts"))?;
        Ok(())
    }

    fn process_element(&mut self, (text,): Self::In, context: &mut Context<'_>, _out: &mut Collector<'_, Self::Out>) -> FunctionResult {
        self.0.add(context, &text)
    }
}

#[test]
fn a_sum_of_what_is_no_number_is_refused_when_the_state_is_made() {
    let harness = FunctionHarness::new(SumOfTexts::default).input("text STRING").key_by(&["text"]).output("text STRING");
    let error = harness.open().map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("state texts: sum takes numbers, not STRING"), "{error}");
}
