//! `flink` with the function of `jobs/rust.toml`: a count for each auction, in value state, emitted with each bid. The counterpart of
//! `jobs/lua.toml`, for `compare.py --jobs rust --counts target/release/examples/counts`.

use flink::functions::{
    Collector, Context, FunctionResult, Functions, KeyedProcessFunction, RuntimeContext, ValueState, ValueStateDescriptor,
};
use serde::{Deserialize, Serialize};
use std::process::ExitCode;

#[derive(Deserialize)]
struct Bid {
    auction: i64,
}

#[derive(Serialize)]
struct Counted {
    auction: i64,
    bids: i64,
}

#[derive(Default)]
struct Counts {
    count: ValueState<i64>,
}

impl KeyedProcessFunction for Counts {
    type In = Bid;
    type Out = Counted;

    fn open(&mut self, context: &mut RuntimeContext<'_>) -> FunctionResult {
        self.count = context.value_state(&ValueStateDescriptor::new("count"))?;
        Ok(())
    }

    fn process_element(&mut self, bid: Bid, context: &mut Context<'_>, out: &mut Collector<'_, Counted>) -> FunctionResult {
        let bids = self.count.value(context)?.unwrap_or(0) + 1;
        self.count.update(context, &bids)?;
        out.collect(&Counted { auction: bid.auction, bids })
    }
}

fn main() -> ExitCode {
    flink::main(Functions::new().register("counts", Counts::default))
}
