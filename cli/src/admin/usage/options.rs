//! The flags of `chat usage`.

use std::path::PathBuf;

use shared::domain::{day::Day, usage::GroupBy};

use crate::admin::{deployment::DeploymentOptions, help::AFTER_HELP, parse};

/// The flags of `chat usage`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Options {
    /// The tenant's id, or its name if no other tenant has the same [default: all tenants, one row each]
    pub(super) tenant: Option<String>,

    /// The first day, in UTC [default: the first of the month of the last day]
    #[arg(long, value_name = "DAY", value_parser = parse::field::<Day>)]
    pub(super) from: Option<Day>,

    /// The last day, in UTC [default: today]
    #[arg(long, value_name = "DAY", value_parser = parse::field::<Day>)]
    pub(super) to: Option<Day>,

    /// Group by day, model or user; without TENANT only in the JSON [default: day]
    #[arg(long, value_name = "GROUP", value_parser = parse::field::<GroupBy>)]
    pub(super) group_by: Option<GroupBy>,

    /// A JSON file with prices per million tokens, such as {"gpt-5*": {"input": 0.25, "output": 2}}, to show costs
    #[arg(long, value_name = "FILE")]
    pub(super) prices: Option<PathBuf>,

    #[command(flatten)]
    pub(super) deployment: DeploymentOptions,
}
