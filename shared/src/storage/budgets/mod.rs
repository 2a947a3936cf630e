//! Budgets: how many generations a tenant runs at once, how many messages it sends a minute, and how many tokens it uses a
//! day and a month.
//!
//! | `pk` | `sk` | item |
//! |---|---|---|
//! | `{tenant_id}#budget` | `~budget` | `running`, a map from [slots](crate::domain::budget::GenerationSlot) and their chats to the tokens that they reserve; `searched_at`; `message_count` and `window_ends_at`; `day`, `tokens_of_day` and `tokens_of_month`; the tenant's own `limits` |
//!
//! A map knows which generations run, not only how many, so taking or settling a slot twice is the same as once: the SDK
//! may repeat these writes after a lost response, and both an owner and a takeover may settle. `tokens_of_day` and
//! `tokens_of_month` are what ended generations have used plus what running ones reserve, so they are never below what
//! `running` reserves.
//!
//! DynamoDB's conditions do not calculate, so a process sends the limits that it remembers for a tenant, on the condition
//! that they are those of the item. A message is admitted by one conditional write; by one more if the limits were changed
//! or are not remembered, at the turn of a minute, and at the turn of a day. A tenant that was refused in the last seconds
//! is read first, since refused writes cost too. The item lies apart from the tenant's access item, whose writes must not
//! queue behind messages, and is billed by its size, about 60 bytes a generation.
//!
//! The names in `running` have the chats too: a tenant at its limit searches them for generations whose owners died.

mod admission;
mod limits;
mod lost_generations;
mod record;
mod repository;

pub use admission::BudgetAdmission;
pub use limits::BudgetStatus;
pub use repository::BudgetRepository;
