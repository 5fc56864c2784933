//! Editions of a hub, and how many units of one.

use std::fmt;
use std::str::FromStr;

/// What a hub is bought as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Edition {
    F1,
    B1,
    B2,
    B3,
    S1,
    S2,
    S3,
}

impl Edition {
    pub const ALL: [Self; 7] =
        [Self::F1, Self::B1, Self::B2, Self::B3, Self::S1, Self::S2, Self::S3];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::F1 => "F1",
            Self::B1 => "B1",
            Self::B2 => "B2",
            Self::B3 => "B3",
            Self::S1 => "S1",
            Self::S2 => "S2",
            Self::S3 => "S3",
        }
    }

    pub const fn is_basic(self) -> bool {
        matches!(self, Self::B1 | Self::B2 | Self::B3)
    }

    /// Most units of a hub.
    pub const fn units_max(self) -> u32 {
        match self {
            Self::F1 => 1,
            Self::B1 | Self::B2 | Self::S1 | Self::S2 => 200,
            Self::B3 | Self::S3 => 10,
        }
    }

    /// Messages that each unit takes in a day.
    pub const fn messages_per_day(self) -> u64 {
        match self {
            Self::F1 => 8_000,
            Self::B1 | Self::S1 => 400_000,
            Self::B2 | Self::S2 => 6_000_000,
            Self::B3 | Self::S3 => 300_000_000,
        }
    }

    /// A longer message counts as several of so many bytes.
    pub const fn message_bytes(self) -> u64 {
        match self {
            Self::F1 => 512,
            Self::B1 | Self::B2 | Self::B3 | Self::S1 | Self::S2 | Self::S3 => 4_096,
        }
    }

    /// Most devices and modules of a hub. Source for F1: "IoT Hub pricing".
    pub const fn identities_max(self) -> u64 {
        match self {
            Self::F1 => 500,
            Self::B1 | Self::B2 | Self::B3 | Self::S1 | Self::S2 | Self::S3 => 1_000_000,
        }
    }
}

/// An edition and its units, as `S1x2`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sku {
    pub edition: Edition,
    pub units: u32,
}

impl Sku {
    pub const fn messages_per_day(self) -> u64 {
        self.edition.messages_per_day().saturating_mul(self.units as u64)
    }

    /// As how many messages so many bytes count: one at least.
    pub fn messages(self, bytes: usize) -> u64 {
        u64::try_from(bytes).unwrap_or(u64::MAX).div_ceil(self.edition.message_bytes()).max(1)
    }
}

impl fmt::Display for Sku {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.edition.as_str(), self.units)
    }
}

impl FromStr for Sku {
    type Err = String;

    /// `S1x2`, or `S1` for one unit.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, units) = text.split_once('x').unwrap_or((text, "1"));
        let edition = Edition::ALL.into_iter().find(|it| it.as_str() == name).ok_or_else(|| {
            format!("an edition is one of {}", Edition::ALL.map(Edition::as_str).join(", "))
        })?;
        let most = edition.units_max();
        let units = units.parse().ok().filter(|it| (1..=most).contains(it)).ok_or_else(|| {
            format!("a hub of {name} has 1 to {most} units, as in `{name}x{most}`")
        })?;
        Ok(Self { edition, units })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edition_is_read_with_its_units_and_only_as_many_as_it_can_have() {
        let read = |text: &str| text.parse::<Sku>().map(|it| it.to_string());
        assert_eq!(read("S1x2").as_deref(), Ok("S1x2"));
        assert_eq!(read("B3").as_deref(), Ok("B3x1"));
        for most in ["F1x1", "S2x200", "S3x10"] {
            assert_eq!(read(most).as_deref(), Ok(most));
        }
        for bad in ["F1x2", "S1x201", "B3x11", "S1x0", "S1x", "S1x-1", "S4x1", "s1x1", "S1X1", ""] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_long_message_counts_as_several() {
        let messages = |sku: &str, bytes: usize| sku.parse::<Sku>().unwrap().messages(bytes);
        assert_eq!([0, 1, 4_096].map(|it| messages("S1", it)), [1, 1, 1]);
        assert_eq!(messages("S1", 4_097), 2);
        assert_eq!(messages("B1", 6 << 10), 2);
        assert_eq!([512, 513, 4_096].map(|it| messages("F1", it)), [1, 2, 8]);
    }

    #[test]
    fn each_unit_brings_its_messages() {
        let day = |sku: &str| sku.parse::<Sku>().unwrap().messages_per_day();
        assert_eq!(day("F1"), 8_000);
        assert_eq!(day("S1x2"), 800_000);
        assert_eq!(day("S3x10"), 3_000_000_000);
    }
}
