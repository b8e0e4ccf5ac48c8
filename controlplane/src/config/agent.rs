//! Where `suiftly agent` finds its control plane, unless its options say so.

use super::{Variables, text};
use std::path::PathBuf;

/// An edge's agent on a machine of its own. Its options have the last word.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AgentConfig {
    /// `SUIFTLY_CONTROL_PLANE`, default none: the control plane's address; https, unless it is on this machine.
    pub control_plane: Option<String>,
    /// `SUIFTLY_TOKEN_FILE`, default none: the file with the edge's token; mode 0600.
    pub token_file: Option<PathBuf>,
    /// `SUIFTLY_CA_FILE`, default none: believe only certificates of this authority (PEM), or only this very certificate.
    pub ca_file: Option<PathBuf>,
}

impl AgentConfig {
    pub(super) fn from_variables(variables: &Variables) -> Self {
        Self {
            control_plane: text(variables, "SUIFTLY_CONTROL_PLANE").map(str::to_owned),
            token_file: text(variables, "SUIFTLY_TOKEN_FILE").map(PathBuf::from),
            ca_file: text(variables, "SUIFTLY_CA_FILE").map(PathBuf::from),
        }
    }
}
