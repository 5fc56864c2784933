//! The real Azure CLI against the real binary, over real HTTPS. `./check` installs the CLI and names it
//! in `HUBWARD_AZ`.

mod compat {
    pub mod az;
    pub mod first_walk;
    pub mod policy_refuses;
    pub mod surface;
}
