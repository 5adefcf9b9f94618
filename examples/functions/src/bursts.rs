//! A counter and a map for each key, with TTL, and a timer that forgets them.

use flink::functions::{
    Collector, Context, FunctionResult, KeyedProcessFunction, MapState, MapStateDescriptor, RuntimeContext, StateTtlConfig, ValueState,
    ValueStateDescriptor,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What the function reads of a row: columns by name.
#[derive(Deserialize)]
pub struct Bid {
    bidder: i64,
    channel: Option<String>,
    ts: i64,
}

/// The columns of the transform's `output`.
#[derive(Serialize)]
pub struct Burst {
    bidder: i64,
    bids: i64,
    channels: i64,
    at: i64,
}

/// Tells of a bidder's third bid, and forgets a bidder a minute after that.
#[derive(Default)]
pub struct Bursts {
    count: ValueState<i64>,
    channels: MapState<String, i64>,
}

impl KeyedProcessFunction for Bursts {
    type In = Bid;
    type Out = Burst;

    fn open(&mut self, context: &mut RuntimeContext<'_>) -> FunctionResult {
        let ttl = StateTtlConfig::new_builder(Duration::from_hours(1)).build();
        self.count = context.value_state(&ValueStateDescriptor::new("count").enable_time_to_live(ttl))?;
        self.channels = context.map_state(&MapStateDescriptor::new("channels").enable_time_to_live(ttl))?;
        Ok(())
    }

    fn process_element(&mut self, bid: Bid, context: &mut Context<'_>, out: &mut Collector<'_, Burst>) -> FunctionResult {
        let bids = self.count.value(context)?.unwrap_or(0) + 1;
        self.count.update(context, &bids)?;
        if let Some(channel) = bid.channel {
            let seen = self.channels.get(context, &channel)?.unwrap_or(0);
            self.channels.put(context, &channel, &(seen + 1))?;
        }
        if bids == 3 {
            let channels = self.channels.entries(context)?.len() as i64;
            out.collect(&Burst { bidder: bid.bidder, bids, channels, at: bid.ts })?;
            context.register_event_time_timer(bid.ts + 60_000)?;
        }
        Ok(())
    }

    fn on_timer(&mut self, _timestamp: i64, context: &mut Context<'_>, _out: &mut Collector<'_, Burst>) -> FunctionResult {
        self.count.clear(context)?;
        self.channels.clear(context)
    }
}
