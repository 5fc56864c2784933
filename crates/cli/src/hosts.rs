//! `hubward hosts`: the lines for `/etc/hosts` that lead Azure's own names to a server.

use crate::target::Target;
use crate::{Failure, show};
use model::operations::AZURE_NAMES;
use std::process::ExitCode;

/// Print the lines for /etc/hosts that lead Azure's names to the server
///
/// For programs that have `management.azure.com` and the like built in. The server answers to these names where it was
/// started with `--azure-names`, at port 443 and with certificates of its own CA, which such a program has to believe.
/// Every program on the machine that reads /etc/hosts then reaches the server in place of Azure.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hubward hosts                                        what would be added
  hubward hosts | sudo tee -a /etc/hosts               adds it
  sudo sed -i '/# hubward$/d' /etc/hosts               takes it away again
  NODE_EXTRA_CA_CERTS=hubward-data/ca.pem node app.js  a program of Node's that believes the CA")]
pub struct Hosts {
    #[command(flatten)]
    target: Target,
}

pub(crate) fn run(asked: &Hosts) -> Result<ExitCode, Failure> {
    let connection = asked.target.connection()?;
    show(&lines(connection.arm())?)?;
    Ok(ExitCode::SUCCESS)
}

/// A line for each name, with the address of a management origin.
fn lines(origin: &str) -> Result<String, Failure> {
    let host = origin.strip_prefix("https://").and_then(|it| it.rsplit_once(':')).map(|it| it.0);
    let address: Option<std::net::IpAddr> = host.and_then(|it| it.parse().ok());
    let address = address.ok_or_else(|| {
        Failure::Failed(format!("the management origin `{origin}` is at no address of its own"))
    })?;
    Ok(AZURE_NAMES.iter().map(|name| format!("{address} {name} # hubward\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_a_line_with_the_servers_address() {
        let all = lines("https://127.71.3.1:8443").unwrap();
        assert_eq!(all.lines().count(), AZURE_NAMES.len());
        assert!(all.starts_with("127.71.3.1 management.azure.com # hubward\n"), "{all}");
        assert!(lines("https://hub.example:8443").is_err());
    }
}
