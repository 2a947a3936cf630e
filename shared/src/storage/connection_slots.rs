//! Connection slots: how many connections a tenant and each of its chats have open, and how many opened this minute.
//!
//! | `pk` | `sk` | item |
//! |---|---|---|
//! | `{tenant_id}` | `~slots` | `slots`, a set of [slot names](SlotName); for each chat with connections a set of their slots, `slots_{chat}`; `connect_count` and `connects_end_at`; `probed_at` |
//!
//! A set knows which slots are taken, not only how many, so taking or releasing one twice is the same as once. So the SDK
//! may repeat these writes after a lost response; a counter would be off by one for good. A chat's set is an attribute of
//! the item itself, not of a map in it, since only such sets grow and shrink in one write, and an empty one disappears.
//!
//! One conditional write takes a slot of the tenant and of the chat, and counts the connect; two at the turn of a minute.
//! The item is billed by its size, about 11 bytes a slot in each of two sets and 20 bytes a chat, and lies apart from the
//! tenant's access item, which every request writes.

use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
    time::Duration,
};

use aws_sdk_dynamodb::{
    Client,
    operation::update_item::builders::UpdateItemFluentBuilder,
    types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure},
};

use super::{
    conditional::{ConditionalUpdate, unless_refused},
    error::StorageError,
    item::{Item, SET_VERSION, number, text_of, version},
    maintenance_queue::{MaintenanceQueue, QUEUE_ONCE, QueueEntry, queue_values},
    table::{Key, Table},
    transaction::{ATTEMPTS, back_off},
};
use crate::domain::{
    connection::{Connection, ConnectionSlot, SlotChat, SlotName},
    id::TenantId,
    limits::{ConnectionLimits, WINDOW},
    time::Timestamp,
};

const SLOTS: &str = "~slots";

/// The prefix of the attributes with the slots of a chat.
const CHAT_SLOTS: &str = "slots_";

/// How often maintenance checks the connections of a tenant that has some.
const CHECK_INTERVAL: Duration = Duration::from_secs(4 * 60);

/// How many slots one write releases: an expression has at most 4 KB, and each slot may be of another chat.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>
const RELEASED_AT_ONCE: usize = 100;

/// The condition that a slot is free, and not taken by an earlier attempt of the same write.
const IS_FREE: &str = "NOT contains(slots, :slot) \
                       AND (attribute_not_exists(slots) OR size(slots) < :connections) \
                       AND (attribute_not_exists(#chat) OR size(#chat) < :connections_per_chat)";

/// The connection slots of tenants.
#[derive(Clone, Debug)]
pub struct ConnectionSlotRepository {
    table: Table,
}

/// Whether a connection got its slot. `probed_at` is when the tenant's connections were last probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotAdmission {
    /// It has it, now or from before.
    Taken,
    /// The tenant has opened its connections of the minute that ends then.
    RateLimited {
        /// When the minute ends.
        ends_at: Timestamp,
    },
    /// The tenant has its connections open.
    TenantFull {
        /// The last probe.
        probed_at: Option<Timestamp>,
    },
    /// The chat has its connections open.
    ChatFull {
        /// The last probe.
        probed_at: Option<Timestamp>,
    },
}

/// What an item says about its limits.
#[derive(Default)]
struct Usage {
    is_taken: bool,
    slots: usize,
    slots_of_chat: usize,
    connect_count: u32,
    /// When the current minute ends; `None` when it has ended.
    window: Option<Timestamp>,
    probed_at: Option<Timestamp>,
}

impl Usage {
    fn of(item: &Item, connection: &Connection) -> Self {
        let names = |attribute: &str| item.get(attribute).and_then(|slots| slots.as_ns().ok());
        let time = |attribute| number_of(item, attribute).map(Timestamp::from_millis);
        let name = connection.slot().name.to_string();
        Self {
            is_taken: names("slots").is_some_and(|slots| slots.contains(&name)),
            slots: names("slots").map_or(0, Vec::len),
            slots_of_chat: names(&chat_attribute(&SlotChat::of(&connection.grant.chat_id))).map_or(0, Vec::len),
            connect_count: number_of(item, "connect_count").unwrap_or_default(),
            window: time("connects_end_at").filter(|ends_at| *ends_at > connection.opened_at),
            probed_at: time("probed_at"),
        }
    }

    /// The result of a connect, if this decides it; `None` when a slot is free.
    fn outcome(&self, limits: ConnectionLimits, now: Timestamp) -> Option<SlotAdmission> {
        let probed_at = self.probed_at;
        let connect_count = self.window.map_or(0, |_| self.connect_count);
        if self.is_taken {
            Some(SlotAdmission::Taken)
        } else if connect_count >= limits.connects_per_minute {
            Some(SlotAdmission::RateLimited { ends_at: self.window.unwrap_or(now.plus(WINDOW)) })
        } else if self.slots >= limits.connections as usize {
            Some(SlotAdmission::TenantFull { probed_at })
        } else if self.slots_of_chat >= limits.connections_per_chat as usize {
            Some(SlotAdmission::ChatFull { probed_at })
        } else {
            None
        }
    }
}

impl ConnectionSlotRepository {
    /// The slots in this table.
    #[must_use]
    pub fn new(client: Client, table_name: String) -> Self {
        Self::in_table(&Table::new(client, table_name))
    }

    pub(super) fn in_table(table: &Table) -> Self {
        Self { table: table.clone() }
    }

    /// Takes a connection's slot and counts the connect, unless a limit is reached: one write, two at the turn of a minute.
    /// A refused connect is not counted. Queues the tenant for maintenance.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails; the slot may be taken then.
    pub async fn take(&self, connection: &Connection, limits: ConnectionLimits) -> Result<SlotAdmission, StorageError> {
        let now = connection.opened_at;
        // An empty item reaches only limits of zero. The first write assumes that a minute has begun.
        let mut usage = Usage { window: Some(now), ..Usage::default() };
        for attempt in 1..=ATTEMPTS {
            if let Some(outcome) = usage.outcome(limits, now) {
                return Ok(outcome);
            }
            let write = match usage.window {
                Some(_) => self.count(connection, limits),
                None => self.start_window(connection, limits),
            };
            usage = match ConditionalUpdate::of(write.send().await)? {
                ConditionalUpdate::Updated(_) => return Ok(SlotAdmission::Taken),
                ConditionalUpdate::Refused(item) => Usage::of(&item.unwrap_or_default(), connection),
            };
            if attempt > 1 {
                back_off(attempt).await;
            }
        }
        Err(StorageError::Contended { attempts: ATTEMPTS })
    }

    /// Counts a connect into the current minute.
    fn count(&self, connection: &Connection, limits: ConnectionLimits) -> UpdateItemFluentBuilder {
        self.take_slot(connection, limits)
            .update_expression(format!(
                "{SET_VERSION}, {QUEUE_ONCE} ADD slots :slots, #chat :slots, connect_count :one"
            ))
            .condition_expression(format!(
                "{IS_FREE} AND connects_end_at > :now AND connect_count < :connects_per_minute"
            ))
            .expression_attribute_values(":connects_per_minute", number(limits.connects_per_minute))
    }

    /// Starts a minute, if there is none or the last one has ended.
    fn start_window(&self, connection: &Connection, limits: ConnectionLimits) -> UpdateItemFluentBuilder {
        self.take_slot(connection, limits)
            .update_expression(format!(
                "{SET_VERSION}, {QUEUE_ONCE}, connect_count = :one, connects_end_at = :ends_at \
                 ADD slots :slots, #chat :slots"
            ))
            .condition_expression(format!(
                "{IS_FREE} AND (attribute_not_exists(connects_end_at) OR connects_end_at <= :now)"
            ))
            .expression_attribute_values(":ends_at", number(connection.opened_at.plus(WINDOW).as_millis()))
    }

    fn take_slot(&self, connection: &Connection, limits: ConnectionLimits) -> UpdateItemFluentBuilder {
        let (tenant, now) = (&connection.grant.tenant_id, connection.opened_at);
        let (slot, chat) = (connection.slot(), SlotChat::of(&connection.grant.chat_id));
        self.table
            .update(key(tenant))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .set_expression_attribute_values(Some(queue_values(tenant.as_str(), now.plus(CHECK_INTERVAL))))
            .expression_attribute_names("#chat", chat_attribute(&chat))
            .expression_attribute_values(":v", version())
            .expression_attribute_values(":slot", number(slot.name))
            .expression_attribute_values(":slots", set(&[slot]))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":now", number(now.as_millis()))
            .expression_attribute_values(":connections", number(limits.connections))
            .expression_attribute_values(":connections_per_chat", number(limits.connections_per_chat))
    }

    /// Releases slots. Slots that are not taken are ignored.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn release(&self, tenant: &TenantId, slots: &[ConnectionSlot]) -> Result<(), StorageError> {
        for slots in slots.chunks(RELEASED_AT_ONCE) {
            let mut update = self.table.update(key(tenant)).expression_attribute_values(":slots", set(slots));
            let mut expression = "DELETE slots :slots".to_owned();
            let chats: BTreeSet<&SlotChat> = slots.iter().filter_map(|slot| slot.chat.as_ref()).collect();
            for (place, chat) in chats.into_iter().enumerate() {
                // A slot that is in none of the sets is ignored, so each may be given all slots.
                expression.push_str(&format!(", #chat{place} :slots"));
                update = update.expression_attribute_names(format!("#chat{place}"), chat_attribute(chat));
            }
            update.update_expression(expression).send().await?;
        }
        Ok(())
    }

    /// Lists the slots that are taken, oldest first.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn list(&self, tenant: &TenantId) -> Result<Vec<ConnectionSlot>, StorageError> {
        let output = self.table.get(key(tenant)).send().await?;
        Ok(output.item.map(|item| slots_in(&item)).unwrap_or_default())
    }

    /// Claims the probe of a tenant's connections, so that one process at a time probes them, at most once an `interval`.
    /// Returns the slots that are taken; `None` when they were probed within the interval.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn claim_probe(
        &self,
        tenant: &TenantId,
        interval: Duration,
        now: Timestamp,
    ) -> Result<Option<Vec<ConnectionSlot>>, StorageError> {
        let update = self
            .table
            .update(key(tenant))
            .update_expression(format!("{SET_VERSION}, probed_at = :now"))
            .condition_expression("attribute_not_exists(probed_at) OR probed_at <= :latest")
            .expression_attribute_values(":v", version())
            .expression_attribute_values(":now", number(now.as_millis()))
            .expression_attribute_values(":latest", number(now.minus(interval).as_millis()))
            .return_values(ReturnValue::AllNew);
        let output = unless_refused(update.send().await)?;
        Ok(output.map(|output| output.attributes.map(|item| slots_in(&item)).unwrap_or_default()))
    }

    /// Deletes the item of a tenant that is erased.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn delete(&self, tenant: &TenantId) -> Result<(), StorageError> {
        self.table.delete(key(tenant)).send().await?;
        Ok(())
    }

    /// The tenants whose connections are queued for maintenance.
    #[must_use]
    pub fn maintenance_queue(&self) -> MaintenanceQueue<TenantId> {
        MaintenanceQueue::new(&self.table, |item| TenantId::from_row(text_of(item, "pk")?))
    }

    /// Dequeues a tenant without connections; otherwise, or if the caller knows that the tenant `has_connections`,
    /// postpones it.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn dequeue_or_postpone(
        &self,
        entry: &QueueEntry<TenantId>,
        has_connections: bool,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let queue = self.maintenance_queue();
        if has_connections || !queue.dequeue_if(entry, "attribute_not_exists(slots)", None).await? {
            queue.postpone(entry, now.plus(CHECK_INTERVAL)).await?;
        }
        Ok(())
    }
}

fn key(tenant: &TenantId) -> Key {
    Key::new(tenant, SLOTS)
}

fn chat_attribute(chat: &SlotChat) -> String {
    format!("{CHAT_SLOTS}{chat}")
}

fn set(slots: &[ConnectionSlot]) -> AttributeValue {
    AttributeValue::Ns(slots.iter().map(|slot| slot.name.to_string()).collect())
}

fn number_of<T: FromStr>(item: &Item, attribute: &str) -> Option<T> {
    item.get(attribute)?.as_n().ok()?.parse().ok()
}

/// The slots in any of the sets. A release that had no limit for chats takes and releases slots in `slots` alone.
fn slots_in(item: &Item) -> Vec<ConnectionSlot> {
    let mut found: BTreeMap<SlotName, Option<SlotChat>> = BTreeMap::new();
    for (attribute, value) in item {
        let chat = attribute.strip_prefix(CHAT_SLOTS).map(SlotChat::from_row);
        let names = value.as_ns().ok().filter(|_| chat.is_some() || attribute == "slots");
        for name in names.into_iter().flatten().filter_map(|name| SlotName::parse(name)) {
            let known = found.entry(name).or_default();
            *known = known.take().or_else(|| chat.clone());
        }
    }
    found.into_iter().map(|(name, chat)| ConnectionSlot { name, chat }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(name: &str, chat: Option<&str>) -> ConnectionSlot {
        ConnectionSlot { name: SlotName::parse(name).expect("a name"), chat: chat.map(SlotChat::from_row) }
    }

    #[test]
    fn slots_are_read_as_they_are_written() {
        let slots = [slot("1769851800120000001", Some("A")), slot("1769851800120000002", Some("A"))];
        let item = Item::from([("slots".to_owned(), set(&slots)), ("slots_A".to_owned(), set(&slots))]);
        assert_eq!(slots_in(&item), slots);
        assert!(slots_in(&Item::new()).is_empty());
    }

    /// Without its chat a slot would stay in the chat's set for ever.
    #[test]
    fn slots_in_one_of_two_sets_are_read_too() {
        let (taken, released) = (slot("1", None), slot("2", Some("A")));
        let of_chat = ("slots_A".to_owned(), set(std::slice::from_ref(&released)));
        let item = Item::from([("slots".to_owned(), set(std::slice::from_ref(&taken))), of_chat]);
        assert_eq!(slots_in(&item), [taken, released]);
    }
}
