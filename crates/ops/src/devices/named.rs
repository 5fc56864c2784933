//! A device, or one of its modules, by name: where it lies, and what it is called in paths and addresses.

use super::registry::device_id;
use crate::input::Input;
use gate::facts::Hub;
use model::error::HubFault;
use model::{DeviceId, Error};
use std::fmt;
use store::{Table, tables};

/// Whom a path names. A module's name has the form of a device's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Named {
    pub(crate) device: DeviceId,
    pub(crate) module: Option<DeviceId>,
}

impl Named {
    pub(crate) const fn device(device: DeviceId) -> Self {
        Self { device, module: None }
    }

    /// Reads `{device}` and, where the route has one, `{module}`.
    ///
    /// # Errors
    /// [`Error::DeviceIdInvalid`] for what is no id.
    pub(crate) fn of(input: &Input) -> Result<Self, Error> {
        Self::parse(input.param("device"), input.params.get("module").map(String::as_str))
    }

    pub(crate) fn parse(device: &str, module: Option<&str>) -> Result<Self, Error> {
        Ok(Self { device: device_id(device)?, module: module.map(device_id).transpose()? })
    }

    pub(crate) const fn table(&self) -> Table {
        match self.module {
            None => tables::DEVICES,
            Some(_) => tables::MODULES,
        }
    }

    /// The key of its document, and its name among those who are connected. No id holds a `/`.
    pub(crate) fn key(&self) -> String {
        self.to_string()
    }

    /// The id that policy and exemptions know it by.
    pub(crate) fn id_at(&self, hub: &Hub) -> String {
        match &self.module {
            None => format!("{}/devices/{}", hub.scope, self.device),
            Some(module) => format!("{}/devices/{}/modules/{module}", hub.scope, self.device),
        }
    }

    pub(crate) fn not_found(&self) -> Error {
        match &self.module {
            None => Error::DeviceNotFound(self.device.clone()),
            Some(module) => Error::hub(
                HubFault::ModuleNotFound,
                format!("the device `{}` has no module `{module}` in this hub", self.device),
            ),
        }
    }

    pub(crate) fn exists_already(&self) -> Error {
        match &self.module {
            None => Error::DeviceAlreadyExists(self.device.clone()),
            Some(module) => Error::hub(
                HubFault::ModuleAlreadyExists,
                format!(
                    "a module `{module}` of the device `{}` is registered already; send `If-Match` with its etag, or \
                     `*`, to update it",
                    self.device
                ),
            ),
        }
    }

    pub(crate) fn is_stale(&self) -> Error {
        match &self.module {
            None => Error::DeviceStale(self.device.clone()),
            Some(_) => Error::Stale {
                message: format!(
                    "`{self}` has changed since the etag in `If-Match` was read; read it again"
                ),
            },
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.module {
            None => write!(f, "{}", self.device),
            Some(module) => write!(f, "{}/{module}", self.device),
        }
    }
}
