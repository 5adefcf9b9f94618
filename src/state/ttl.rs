//! When entries of a state expire (Flink: `StateTtlConfig`), and when they have.

use crate::types::{EventTime, WallTime, format_duration, parse_duration};
use serde::de::Error as _;
use serde::ser::SerializeStruct;
use std::time::Duration;

/// How long an entry lives: a value, an element of a list, an entry of a map.
///
/// Written as `"1 h"`; with anything but the defaults as `{ ttl = "1 h", update = "OnReadAndWrite", … }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StateTtl {
    /// An entry is expired when its last access plus this is at or before now.
    pub ttl: Duration,
    /// What counts as access.
    pub update: TtlUpdate,
    /// Whether an expired entry can still be read.
    pub visibility: TtlVisibility,
    /// What now is.
    pub time: TtlTime,
}

/// What prolongs an entry's life (Flink: `StateTtlConfig.UpdateType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
pub enum TtlUpdate {
    /// Making and writing it.
    #[default]
    OnCreateAndWrite,
    /// Reading it, too.
    OnReadAndWrite,
}

/// Whether expired entries can be read (Flink: `StateTtlConfig.StateVisibility`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
pub enum TtlVisibility {
    /// Never.
    #[default]
    NeverReturnExpired,
    /// Once, as long as they were not removed.
    ReturnExpiredIfNotCleanedUp,
}

/// The time by which entries expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TtlTime {
    /// The wall clock, as in Flink.
    #[default]
    Processing,
    /// The operator's watermark: a job that reads old input, or stood still, forgets no sooner than one that kept up.
    Event,
}

impl StateTtl {
    /// With Flink's defaults: `OnCreateAndWrite`, `NeverReturnExpired`, by the wall clock.
    pub const fn new(ttl: Duration) -> Self {
        let (update, visibility, time) = (TtlUpdate::OnCreateAndWrite, TtlVisibility::NeverReturnExpired, TtlTime::Processing);
        Self { ttl, update, visibility, time }
    }

    fn millis(&self) -> i64 {
        i64::try_from(self.ttl.as_millis()).unwrap_or(i64::MAX)
    }
}

impl serde::Serialize for StateTtl {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ttl = format_duration(self.ttl);
        if *self == Self::new(self.ttl) {
            return serializer.serialize_str(&ttl);
        }
        let mut fields = serializer.serialize_struct("StateTtl", 4)?;
        fields.serialize_field("ttl", &ttl)?;
        fields.serialize_field("update", &self.update)?;
        fields.serialize_field("visibility", &self.visibility)?;
        fields.serialize_field("time", &self.time)?;
        fields.end()
    }
}

/// The two forms in which a [`StateTtl`] is written.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Written {
    Short(String),
    Long {
        ttl: String,
        #[serde(default)]
        update: TtlUpdate,
        #[serde(default)]
        visibility: TtlVisibility,
        #[serde(default)]
        time: TtlTime,
    },
}

impl<'de> serde::Deserialize<'de> for StateTtl {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (text, update, visibility, time) = match Written::deserialize(deserializer)? {
            Written::Short(ttl) => (ttl, TtlUpdate::default(), TtlVisibility::default(), TtlTime::default()),
            Written::Long { ttl, update, visibility, time } => (ttl, update, visibility, time),
        };
        let ttl = parse_duration(&text).map_err(D::Error::custom)?;
        Ok(Self { ttl, update, visibility, time })
    }
}

/// The two times of an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) now: WallTime,
    pub(super) watermark: EventTime,
}

/// When an entry expires, in milliseconds; [`UNSTAMPED`] if that is not known.
pub(super) type Stamp = i64;

/// The stamp of an entry that was saved without TTL, or written before the first watermark: it gets one when it is next met.
pub(super) const UNSTAMPED: Stamp = Stamp::MAX;

/// A TTL at a moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expiry {
    now: i64,
    /// What is written now expires then.
    pub(super) stamp: Stamp,
    pub(super) on_read: bool,
    pub(super) return_expired: bool,
}

impl Expiry {
    pub(super) fn new(ttl: &StateTtl, times: Times) -> Self {
        let (now, known) = match ttl.time {
            TtlTime::Processing => (times.now.0, true),
            TtlTime::Event => (times.watermark.0, times.watermark != EventTime::MIN),
        };
        let stamp = if known { now.saturating_add(ttl.millis()) } else { UNSTAMPED };
        let return_expired = ttl.visibility == TtlVisibility::ReturnExpiredIfNotCleanedUp;
        Self { now, stamp, on_read: ttl.update == TtlUpdate::OnReadAndWrite, return_expired }
    }

    #[inline]
    pub(super) const fn is_expired(&self, stamp: Stamp) -> bool {
        stamp <= self.now && stamp != UNSTAMPED
    }

    /// True if reading an entry with this stamp changes the stamp.
    #[inline]
    pub(super) const fn restamps(&self, stamp: Stamp) -> bool {
        (self.on_read || stamp == UNSTAMPED) && self.stamp != stamp
    }
}

/// From `expires_at` as it was saved under `saved` to the stamp under `now`.
pub(super) fn restored_stamp(expires_at: Option<i64>, saved: Option<&StateTtl>, now: &StateTtl) -> Stamp {
    match (expires_at, saved) {
        (Some(expires_at), Some(saved)) if saved.time == now.time => expires_at.saturating_sub(saved.millis()).saturating_add(now.millis()),
        _ => UNSTAMPED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_is_read_in_both_forms_and_written_in_the_short_one_where_that_says_all() {
        let short = StateTtl::new(Duration::from_hours(1));
        assert_eq!(serde_json::to_string(&short).unwrap(), "\"1 h\"");
        let long = StateTtl { update: TtlUpdate::OnReadAndWrite, time: TtlTime::Event, ..short };
        let text = serde_json::to_string(&long).unwrap();
        assert_eq!(text, r#"{"ttl":"1 h","update":"OnReadAndWrite","visibility":"NeverReturnExpired","time":"event"}"#);
        for ttl in [short, long] {
            assert_eq!(serde_json::from_str::<StateTtl>(&serde_json::to_string(&ttl).unwrap()).unwrap(), ttl);
        }
        assert!(serde_json::from_str::<StateTtl>("\"1 fortnight\"").is_err());
    }

    #[test]
    fn an_entry_is_expired_from_the_moment_on_that_its_last_access_plus_ttl_names() {
        let ttl = StateTtl::new(Duration::from_millis(10));
        let at = |now| Expiry::new(&ttl, Times { now: WallTime(now), watermark: EventTime::MIN });
        let stamp = at(100).stamp;
        assert_eq!([at(109), at(110)].map(|expiry| expiry.is_expired(stamp)), [false, true]);
        let forever = StateTtl::new(Duration::MAX);
        let written = Expiry::new(&forever, Times { now: WallTime(100), watermark: EventTime::MIN }).stamp;
        assert!(!at(i64::MAX).is_expired(written), "saturated");
    }

    #[test]
    fn by_event_time_nothing_expires_before_the_first_watermark() {
        let ttl = StateTtl { time: TtlTime::Event, ..StateTtl::new(Duration::from_millis(10)) };
        let before = Expiry::new(&ttl, Times { now: WallTime(5), watermark: EventTime::MIN });
        let after = Expiry::new(&ttl, Times { now: WallTime(5), watermark: EventTime(1_000) });
        assert!(!after.is_expired(before.stamp) && after.restamps(before.stamp));
        assert_eq!(after.stamp, 1_010);
    }

    #[test]
    fn a_ttl_that_changed_counts_from_the_last_access() {
        let (hour, minute) = (StateTtl::new(Duration::from_millis(60)), StateTtl::new(Duration::from_millis(1)));
        assert_eq!(restored_stamp(Some(160), Some(&hour), &minute), 101);
        assert_eq!(restored_stamp(None, None, &minute), UNSTAMPED);
        let event = StateTtl { time: TtlTime::Event, ..minute };
        assert_eq!(restored_stamp(Some(160), Some(&hour), &event), UNSTAMPED);
    }
}
