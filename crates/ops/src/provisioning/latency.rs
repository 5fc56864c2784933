//! How far it is from a device to a region: a table that the operator gives, in place of a measurement.
//!
//! Azure asks its own network. Here nobody is further away than the operator says.

use model::Network;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Most networks of a table.
const NETWORKS_MAX: usize = 10_000;

/// Latencies by the network that a device's address is in.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    /// With each the ms by the region's name, in lower case and without blanks, as a hub's location has it.
    networks: Vec<(Network, BTreeMap<String, f64>)>,
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
            let network = Network::parse(&row.network)
                .map_err(|because| format!("`{}` is no network: {because}", row.network))?;
            if let Some((region, ms)) = row.ms.iter().find(|(_, it)| !(0.0..=1e6).contains(*it)) {
                return Err(format!("{ms} ms to `{region}` from `{}` cannot be", row.network));
            }
            let ms = row.ms.into_iter().map(|(region, ms)| (plain(&region), ms)).collect();
            Ok((network, ms))
        };
        let networks: Result<_, String> = table.networks.into_iter().map(read).collect();
        Ok(Self { networks: networks? })
    }

    /// How many ms it is from an address to a region, by the smallest network that it is in and that knows.
    pub(super) fn ms(&self, address: &str, region: &str) -> Option<f64> {
        let address: IpAddr = address.parse().ok()?;
        let region = plain(region);
        let around = self.networks.iter().filter(|(it, _)| it.contains(address));
        let known = around.filter_map(|(it, ms)| Some((it, ms.get(&region)?)));
        known.max_by_key(|(it, _)| it.bits()).map(|(_, ms)| *ms)
    }
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
            (r#"{"networks": [{"network": "10.0.0", "ms": {}}]}"#, "is no network"),
            (r#"{"networks": [{"network": "10.0.0.0/8", "ms": {"eastus": -1}}]}"#, "eastus"),
            (r#"{"networks": [{"network": "10.0.0.0/8", "ms": {}, "to": 1}]}"#, "to"),
        ];
        for (text, says) in wrong {
            let error = Latencies::parse(text).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
