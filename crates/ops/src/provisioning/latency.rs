//! How far it is from a device to a region: a table that the operator gives, in place of a measurement.
//!
//! Azure asks its own network. Here nobody is further away than the operator says.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Most networks of a table.
const NETWORKS_MAX: usize = 10_000;

/// Latencies by the network that a device's address is in.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    networks: Vec<Network>,
}

#[derive(Clone, Debug)]
struct Network {
    address: IpAddr,
    bits: u8,
    /// By the region's name, in lower case and without blanks, as a hub's location has it.
    ms: BTreeMap<String, f64>,
}

/// A table as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    networks: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    network: String,
    ms: BTreeMap<String, f64>,
}

impl Latencies {
    /// Reads `{"networks": [{"network": "10.1.0.0/16", "ms": {"westeurope": 9, "eastus": 85}}]}`.
    ///
    /// # Errors
    /// What is wrong, and with which network.
    pub fn parse(text: &str) -> Result<Self, String> {
        let table: Table = serde_json::from_str(text).map_err(|it| {
            format!(
                "{it}; a table is `{{\"networks\": [{{\"network\": \"10.1.0.0/16\", \"ms\": {{\"westeurope\": 9}}}}]}}`"
            )
        })?;
        if table.networks.len() > NETWORKS_MAX {
            return Err(format!("a table has at most {NETWORKS_MAX} networks"));
        }
        let read = |row: Row| {
            let (address, bits) = network(&row.network).ok_or_else(|| {
                format!("`{}` is no network, as `10.1.0.0/16` or `fd00::/8`", row.network)
            })?;
            if let Some((region, ms)) = row.ms.iter().find(|(_, it)| !(0.0..=1e6).contains(*it)) {
                return Err(format!("{ms} ms to `{region}` from `{}` cannot be", row.network));
            }
            let ms = row.ms.into_iter().map(|(region, ms)| (plain(&region), ms)).collect();
            Ok(Network { address, bits, ms })
        };
        let networks: Result<Vec<Network>, String> = table.networks.into_iter().map(read).collect();
        Ok(Self { networks: networks? })
    }

    /// How many ms it is from an address to a region, by the smallest network that it is in and that knows.
    pub(super) fn ms(&self, address: &str, region: &str) -> Option<f64> {
        let address: IpAddr = address.parse().ok()?;
        let region = plain(region);
        let knows = |it: &&Network| it.holds(address) && it.ms.contains_key(&region);
        let closest = self.networks.iter().filter(knows).max_by_key(|it| it.bits)?;
        closest.ms.get(&region).copied()
    }
}

impl Network {
    fn holds(&self, address: IpAddr) -> bool {
        let bits = u32::from(self.bits);
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(it)) => {
                let apart = own.to_bits() ^ it.to_bits();
                apart.leading_zeros() >= bits
            }
            (IpAddr::V6(own), IpAddr::V6(it)) => {
                let apart = own.to_bits() ^ it.to_bits();
                apart.leading_zeros() >= bits
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.parse().ok().filter(|it| *it <= most)?;
    Some((address, bits))
}

/// `West Europe` and `westeurope` are one region.
fn plain(region: &str) -> String {
    region.chars().filter(|it| !it.is_whitespace()).collect::<String>().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_network_that_knows_a_region_counts() {
        let table = Latencies::parse(
            r#"{"networks": [
                {"network": "10.0.0.0/8", "ms": {"West Europe": 9, "eastus": 85}},
                {"network": "10.1.0.0/16", "ms": {"eastus": 4.5}},
                {"network": "fd00::/8", "ms": {"eastus": 1}}
            ]}"#,
        )
        .unwrap();
        assert_eq!(table.ms("10.1.2.3", "East US"), Some(4.5));
        assert_eq!(table.ms("10.1.2.3", "westeurope"), Some(9.0));
        assert_eq!(table.ms("10.10.2.3", "eastus"), Some(85.0));
        assert_eq!(table.ms("11.1.2.3", "eastus"), None);
        assert_eq!(table.ms("10.1.2.3", "northeurope"), None);
        assert_eq!(table.ms("fd12::1", "eastus"), Some(1.0));
        assert_eq!(table.ms("nobody", "eastus"), None);
        let all = Latencies::parse(r#"{"networks": [{"network": "0.0.0.0/0", "ms": {"a": 1}}]}"#);
        assert_eq!(all.unwrap().ms("1.2.3.4", "A"), Some(1.0));
    }

    #[test]
    fn what_is_no_table_says_why() {
        let wrong = [
            ("{}", "networks"),
            (r#"{"networks": [{"network": "10.0.0.0/33", "ms": {}}]}"#, "10.0.0.0/33"),
            (r#"{"networks": [{"network": "10.0.0.0", "ms": {}}]}"#, "is no network"),
            (r#"{"networks": [{"network": "10.0.0.0/8", "ms": {"eastus": -1}}]}"#, "eastus"),
            (r#"{"networks": [{"network": "10.0.0.0/8", "ms": {}, "to": 1}]}"#, "to"),
        ];
        for (text, says) in wrong {
            let error = Latencies::parse(text).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
