//! The traits that a person's functions implement, and what they are to their operator.

use super::broadcast::{BroadcastContext, KeyedBroadcastContext};
use super::context::{Collector, Context, RuntimeContext};
use super::driver::FunctionShape;
use super::error::FunctionResult;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A function over the rows of a stream with a key, with state and timers for each key (Flink: `KeyedProcessFunction`).
///
/// One is made for each subtask. Rows come in and go out as any type that serde knows: the fields of a struct are columns by
/// name, those of a tuple in their order. `TIMESTAMP(3)` is an `i64` in milliseconds, `DECIMAL(p, s)` an `i128` of its digits.
///
/// ```
/// use flink::functions::{Collector, Context, FunctionResult, KeyedProcessFunction};
/// use flink::testing::function::FunctionHarness;
///
/// /// Greets a minute of event time after each row.
/// struct Later;
///
/// impl KeyedProcessFunction for Later {
///     type In = (String, i64);
///     type Out = (String, i64);
///
///     fn process_element(&mut self, row: (String, i64), context: &mut Context<'_>, _out: &mut Collector<'_, Self::Out>) -> FunctionResult {
///         context.register_event_time_timer(row.1 + 60_000)
///     }
///
///     fn on_timer(&mut self, timestamp: i64, context: &mut Context<'_>, out: &mut Collector<'_, Self::Out>) -> FunctionResult {
///         out.collect(&(context.current_key()?, timestamp))
///     }
/// }
///
/// let harness = FunctionHarness::new(|| Later).input("name STRING, ts BIGINT").key_by(&["name"]);
/// let mut harness = harness.output("name STRING, at BIGINT").open()?;
/// harness.process(&("ada", 5_000))?;
/// harness.process(&("ada", 5_000))?;
/// assert!(harness.watermark(64_999)?.is_empty());
/// assert_eq!(harness.watermark(65_000)?, ["+I[ada, 65000]"]);
/// # FunctionResult::Ok(())
/// ```
pub trait KeyedProcessFunction: Send + 'static {
    /// A row that comes in.
    type In: DeserializeOwned;
    /// A row that goes out.
    type Out: Serialize;

    /// Called once before anything else, and once more, on a function that is then dropped, when a restore is planned: makes the
    /// states.
    fn open(&mut self, _context: &mut RuntimeContext<'_>) -> FunctionResult {
        Ok(())
    }

    /// Takes a row.
    fn process_element(&mut self, value: Self::In, context: &mut Context<'_>, out: &mut Collector<'_, Self::Out>) -> FunctionResult;

    /// A timer fires, with the state of the key that set it.
    fn on_timer(&mut self, _timestamp: i64, _context: &mut Context<'_>, _out: &mut Collector<'_, Self::Out>) -> FunctionResult {
        Ok(())
    }

    /// All input has been read, and event-time timers have fired (not called by `stop` without `--drain`). There is no key.
    fn end_of_input(&mut self, _context: &mut Context<'_>, _out: &mut Collector<'_, Self::Out>) -> FunctionResult {
        Ok(())
    }
}

/// A function over the rows of a stream without key, and so without keyed state and timers (Flink: `ProcessFunction`).
pub trait ProcessFunction: Send + 'static {
    /// A row that comes in.
    type In: DeserializeOwned;
    /// A row that goes out.
    type Out: Serialize;

    /// Called once before anything else, and once more, on a function that is then dropped, when a restore is planned: makes the
    /// states.
    fn open(&mut self, _context: &mut RuntimeContext<'_>) -> FunctionResult {
        Ok(())
    }

    /// Takes a row.
    fn process_element(&mut self, value: Self::In, context: &mut Context<'_>, out: &mut Collector<'_, Self::Out>) -> FunctionResult;

    /// All input has been read (not called by `stop` without `--drain`).
    fn end_of_input(&mut self, _context: &mut Context<'_>, _out: &mut Collector<'_, Self::Out>) -> FunctionResult {
        Ok(())
    }
}

/// A function over the rows of a stream with a key and of a second one, the broadcast input, all rows of which come to every subtask
/// (Flink: `KeyedBroadcastProcessFunction`).
///
/// What the rows of the broadcast input say is kept in [`super::BroadcastState`], of which every subtask has a copy: it is written with
/// such rows alone, and read with all. Event time is that of both inputs: the lesser of their watermarks. Which of two rows of
/// different inputs comes first is not defined.
///
/// ```
/// use flink::functions::{
///     BroadcastState, Collector, Context, FunctionResult, KeyedBroadcastContext, KeyedBroadcastProcessFunction, ListState,
///     ListStateDescriptor, MapStateDescriptor, RuntimeContext,
/// };
/// use flink::testing::function::FunctionHarness;
///
/// /// Tells of each bid that is as high as a rule says, whichever of them comes first.
/// #[derive(Default)]
/// struct Alerts {
///     rules: BroadcastState<String, i64>,
///     bids: ListState<i64>,
/// }
///
/// impl KeyedBroadcastProcessFunction for Alerts {
///     type In = (i64, i64);
///     type Broadcast = (String, i64);
///     type Out = (String, i64, i64);
///
///     fn open(&mut self, context: &mut RuntimeContext<'_>) -> FunctionResult {
///         self.rules = context.broadcast_state(&MapStateDescriptor::new("rules"))?;
///         self.bids = context.list_state(&ListStateDescriptor::new("bids"))?;
///         Ok(())
///     }
///
///     fn process_element(&mut self, bid: (i64, i64), context: &mut Context<'_>, out: &mut Collector<'_, Self::Out>) -> FunctionResult {
///         self.bids.add(context, &bid.1)?;
///         for (rule, least) in self.rules.entries(context)? {
///             if bid.1 >= least {
///                 out.collect(&(rule, bid.0, bid.1))?;
///             }
///         }
///         Ok(())
///     }
///
///     fn process_broadcast_element(
///         &mut self,
///         (rule, least): (String, i64),
///         context: &mut KeyedBroadcastContext<'_>,
///         out: &mut Collector<'_, Self::Out>,
///     ) -> FunctionResult {
///         self.rules.put(context, &rule, &least)?;
///         context.apply_to_keyed_state(&self.bids, |bidder: i64, bids, context| {
///             let high = bids.get(context)?.into_iter().filter(|bid| *bid >= least);
///             high.into_iter().try_for_each(|bid| out.collect(&(rule.clone(), bidder, bid)))
///         })
///     }
/// }
///
/// let harness = FunctionHarness::new(Alerts::default).input("bidder BIGINT, price BIGINT").key_by(&["bidder"]);
/// let mut harness = harness.broadcast("rule STRING, least BIGINT").output("rule STRING, bidder BIGINT, price BIGINT").open()?;
/// harness.process(&(7, 100))?;
/// harness.process(&(8, 20))?;
/// assert_eq!(harness.process_broadcast(&("high", 50))?, ["+I[high, 7, 100]"]);
/// assert_eq!(harness.process(&(8, 60))?, ["+I[high, 8, 60]"]);
/// # flink::functions::FunctionResult::Ok(())
/// ```
pub trait KeyedBroadcastProcessFunction: Send + 'static {
    /// A row of the input with a key.
    type In: DeserializeOwned;
    /// A row of the broadcast input.
    type Broadcast: DeserializeOwned;
    /// A row that goes out.
    type Out: Serialize;

    /// Called once before anything else, and once more, on a function that is then dropped, when a restore is planned: makes the
    /// states.
    fn open(&mut self, _context: &mut RuntimeContext<'_>) -> FunctionResult {
        Ok(())
    }

    /// Takes a row of the input with a key.
    fn process_element(&mut self, value: Self::In, context: &mut Context<'_>, out: &mut Collector<'_, Self::Out>) -> FunctionResult;

    /// Takes a row of the broadcast input, which comes to every subtask.
    fn process_broadcast_element(
        &mut self,
        value: Self::Broadcast,
        context: &mut KeyedBroadcastContext<'_>,
        out: &mut Collector<'_, Self::Out>,
    ) -> FunctionResult;

    /// A timer fires, with the state of the key that set it.
    fn on_timer(&mut self, _timestamp: i64, _context: &mut Context<'_>, _out: &mut Collector<'_, Self::Out>) -> FunctionResult {
        Ok(())
    }

    /// All input has been read, and event-time timers have fired (not called by `stop` without `--drain`). There is no key.
    fn end_of_input(&mut self, _context: &mut Context<'_>, _out: &mut Collector<'_, Self::Out>) -> FunctionResult {
        Ok(())
    }
}

/// A function over the rows of a stream without key and of a broadcast input (Flink: `BroadcastProcessFunction`). See
/// [`KeyedBroadcastProcessFunction`].
pub trait BroadcastProcessFunction: Send + 'static {
    /// A row that comes in.
    type In: DeserializeOwned;
    /// A row of the broadcast input.
    type Broadcast: DeserializeOwned;
    /// A row that goes out.
    type Out: Serialize;

    /// Called once before anything else, and once more, on a function that is then dropped, when a restore is planned: makes the
    /// states.
    fn open(&mut self, _context: &mut RuntimeContext<'_>) -> FunctionResult {
        Ok(())
    }

    /// Takes a row of the input that is not broadcast.
    fn process_element(&mut self, value: Self::In, context: &mut Context<'_>, out: &mut Collector<'_, Self::Out>) -> FunctionResult;

    /// Takes a row of the broadcast input, which comes to every subtask.
    fn process_broadcast_element(
        &mut self,
        value: Self::Broadcast,
        context: &mut BroadcastContext<'_>,
        out: &mut Collector<'_, Self::Out>,
    ) -> FunctionResult;

    /// All input has been read (not called by `stop` without `--drain`).
    fn end_of_input(&mut self, _context: &mut Context<'_>, _out: &mut Collector<'_, Self::Out>) -> FunctionResult {
        Ok(())
    }
}

/// What every kind of function is to its operator.
pub trait RowFunction: Send + 'static {
    #[doc(hidden)]
    type In: DeserializeOwned;
    #[doc(hidden)]
    type Broadcast: DeserializeOwned;
    #[doc(hidden)]
    type Out: Serialize;
    #[doc(hidden)]
    const SHAPE: FunctionShape;
    #[doc(hidden)]
    fn open(&mut self, context: &mut RuntimeContext<'_>) -> FunctionResult;
    #[doc(hidden)]
    fn process(&mut self, value: Self::In, context: &mut Context<'_>, out: &mut Collector<'_, Self::Out>) -> FunctionResult;
    #[doc(hidden)]
    fn process_broadcast(
        &mut self,
        _value: Self::Broadcast,
        _context: &mut KeyedBroadcastContext<'_>,
        _out: &mut Collector<'_, Self::Out>,
    ) -> FunctionResult {
        Ok(())
    }
    #[doc(hidden)]
    fn on_timer(&mut self, _timestamp: i64, _context: &mut Context<'_>, _out: &mut Collector<'_, Self::Out>) -> FunctionResult {
        Ok(())
    }
    #[doc(hidden)]
    fn end_of_input(&mut self, context: &mut Context<'_>, out: &mut Collector<'_, Self::Out>) -> FunctionResult;
}

/// What can be registered under a name. `Kind` is found by the compiler.
pub trait IntoRowFunction<Kind> {
    #[doc(hidden)]
    type Function: RowFunction;
    #[doc(hidden)]
    fn into_row_function(self) -> Self::Function;
}

/// A kind of function: what it is called, its trait, which inputs it takes, the type of its broadcast rows, and what more it can do.
macro_rules! kind {
    ($kind:ident: $function:ident, $keyed:literal, $broadcast:literal, $row:ty, { $($more:item)* }) => {
        #[doc = concat!("A [`", stringify!($function), "`].")]
        #[derive(Debug)]
        pub struct $kind<F>(F);

        impl<F: $function> IntoRowFunction<$kind<()>> for F {
            type Function = $kind<F>;

            fn into_row_function(self) -> $kind<F> {
                $kind(self)
            }
        }

        impl<F: $function> RowFunction for $kind<F> {
            type In = F::In;
            type Broadcast = $row;
            type Out = F::Out;
            const SHAPE: FunctionShape = FunctionShape { name: stringify!($function), keyed: $keyed, broadcast: $broadcast };

            fn open(&mut self, context: &mut RuntimeContext<'_>) -> FunctionResult {
                self.0.open(context)
            }

            #[inline]
            fn process(&mut self, value: F::In, context: &mut Context<'_>, out: &mut Collector<'_, F::Out>) -> FunctionResult {
                self.0.process_element(value, context, out)
            }

            fn end_of_input(&mut self, context: &mut Context<'_>, out: &mut Collector<'_, F::Out>) -> FunctionResult {
                self.0.end_of_input(context, out)
            }

            $($more)*
        }
    };
}

kind!(Plain: ProcessFunction, false, false, (), {});

kind!(Keyed: KeyedProcessFunction, true, false, (), {
    fn on_timer(&mut self, timestamp: i64, context: &mut Context<'_>, out: &mut Collector<'_, F::Out>) -> FunctionResult {
        self.0.on_timer(timestamp, context, out)
    }
});

kind!(PlainBroadcast: BroadcastProcessFunction, false, true, F::Broadcast, {
    fn process_broadcast(
        &mut self,
        value: F::Broadcast,
        context: &mut KeyedBroadcastContext<'_>,
        out: &mut Collector<'_, F::Out>,
    ) -> FunctionResult {
        self.0.process_broadcast_element(value, context, out)
    }
});

kind!(KeyedBroadcast: KeyedBroadcastProcessFunction, true, true, F::Broadcast, {
    fn process_broadcast(
        &mut self,
        value: F::Broadcast,
        context: &mut KeyedBroadcastContext<'_>,
        out: &mut Collector<'_, F::Out>,
    ) -> FunctionResult {
        self.0.process_broadcast_element(value, context, out)
    }

    fn on_timer(&mut self, timestamp: i64, context: &mut Context<'_>, out: &mut Collector<'_, F::Out>) -> FunctionResult {
        self.0.on_timer(timestamp, context, out)
    }
});
