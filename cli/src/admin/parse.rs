//! Parses the arguments of operators.

use std::time::Duration;

use serde_json::Value;
use shared::domain::{
    agent_name::AgentName,
    allowed_models::{self, ModelPatterns},
    api_key::ApiKey,
    budget::{BudgetLimits, NotAQuota, TokenQuota},
    input::Field,
    limits::Limits,
    time::Timestamp,
};

/// More than any tenant needs, so a higher number is a typing error.
const MAX_PER_MINUTE: u32 = 1_000_000;
/// The name is stored in the access item, which every request writes: its size costs money.
const MAX_NAME_CHARS: usize = 100;
const MAX_KEY_CHARS: usize = 256;
/// For the same reason as the name.
const MAX_MODELS_BYTES: usize = 256;
/// Instead of a list.
const ALL: &str = "all";
/// Ten years.
const MAX_DURATION_DAYS: u64 = 3650;
/// A hundred years.
const MAX_RETENTION_DAYS: u32 = 36_500;

/// A tenant's name.
pub(super) fn name(text: &str) -> Result<String, String> {
    let text = text.trim();
    let length = text.chars().count();
    if !(1..=MAX_NAME_CHARS).contains(&length) || text.chars().any(char::is_control) {
        return Err(format!("expected 1 to {MAX_NAME_CHARS} characters on one line"));
    }
    if text.starts_with("tenant_") {
        return Err("names that begin with tenant_ are reserved for ids".to_owned());
    }
    Ok(text.to_owned())
}

/// The environment in the text of a key, such as `live` in `ck_live_…`.
pub(super) fn environment(text: &str) -> Result<String, String> {
    let allowed =
        (1..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if allowed { Ok(text.to_owned()) } else { Err("expected 1 to 16 of a-z and 0-9, such as live or test".to_owned()) }
}

/// A limit of requests a minute.
pub(super) fn per_minute(text: &str) -> Result<u32, String> {
    number(text, MAX_PER_MINUTE)
}

/// A limit of generations at once.
pub(super) fn generations(text: &str) -> Result<u32, String> {
    number(text, BudgetLimits::MAX_GENERATIONS)
}

/// A quota of tokens.
pub(super) fn quota(text: &str) -> Result<TokenQuota, String> {
    text.parse().map_err(|error: NotAQuota| error.to_string())
}

/// A limit of connections.
pub(super) fn connections(text: &str) -> Result<u32, String> {
    number(text, Limits::MAX_CONNECTIONS)
}

fn number(text: &str, max: u32) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| *number <= max);
    number.ok_or_else(|| format!("expected a whole number from 0 to {max}"))
}

/// How many days after its last message a chat is deleted; `None` keeps chats for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RetentionDays(pub(super) Option<u32>);

/// The retention of chats.
pub(super) fn retention_days(text: &str) -> Result<RetentionDays, String> {
    if text == "none" {
        return Ok(RetentionDays(None));
    }
    let days = text.parse().ok().filter(|days| *days <= MAX_RETENTION_DAYS);
    let days = days.ok_or_else(|| format!("expected a number of days, at most {MAX_RETENTION_DAYS}, or none"))?;
    Ok(RetentionDays(Some(days).filter(|days| *days > 0)))
}

/// The agents that a tenant's chats may use; `None` for all of the deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AllowedAgents(pub(super) Option<Vec<AgentName>>);

/// The models that a tenant's chats may use; `None` for all of the deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AllowedModels(pub(super) Option<ModelPatterns>);

/// A list of agents.
pub(super) fn allowed_agents(text: &str) -> Result<AllowedAgents, String> {
    let agents = (text != ALL).then(|| allowed_models::parse_agents(text).filter(|agents| agents.len() <= 3));
    let expected = || format!("expected echo, openai or bedrock, separated by commas, or {ALL}");
    agents.map_or(Ok(AllowedAgents(None)), |agents| agents.map(|list| AllowedAgents(Some(list))).ok_or_else(expected))
}

/// A list of models.
pub(super) fn allowed_models(text: &str) -> Result<AllowedModels, String> {
    let models = (text != ALL).then(|| ModelPatterns::parse(text).filter(|_| text.len() <= MAX_MODELS_BYTES));
    let expected = || {
        format!(
            "expected names of models, separated by commas, each of which may end in *, at most {MAX_MODELS_BYTES} bytes in \
             all, or {ALL}"
        )
    };
    models.map_or(Ok(AllowedModels(None)), |models| models.map(|list| AllowedModels(Some(list))).ok_or_else(expected))
}

/// A value of a chat's configuration, with the same bounds as in the API.
pub(super) fn field<T: Field>(text: &str) -> Result<T, String> {
    let number = serde_json::from_str(text).ok().filter(Value::is_number);
    let as_number = number.and_then(|number| T::read(&number));
    as_number.or_else(|| T::read(&Value::from(text))).ok_or_else(|| format!("expected {}", T::ALLOWED))
}

/// A duration, such as `90d`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let expected =
        || format!("expected a number with the unit s, m, h, d or w, such as 90d, at most {MAX_DURATION_DAYS}d");
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let seconds = match &text[digits.len()..] {
        "" if digits == "0" => 1,
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return Err(expected()),
    };
    let number: u64 = digits.parse().map_err(|_| expected())?;
    let total = number.checked_mul(seconds).filter(|total| *total <= MAX_DURATION_DAYS * 86_400);
    total.map(Duration::from_secs).ok_or_else(expected)
}

/// A point in time.
pub(super) fn timestamp(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| "expected a time such as 2027-01-31T09:30:00Z".to_owned())
}

/// A key to import, as stdin contains it.
pub(super) fn imported_key(text: &str) -> Result<ApiKey, String> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    let length = text.chars().count();
    if length == 0 {
        return Err("there is no key on stdin: pass it as in `cargo chat key create TENANT --import < key.txt`".into());
    }
    if length > MAX_KEY_CHARS {
        return Err(format!("the key on stdin has {length} characters: at most {MAX_KEY_CHARS} are allowed"));
    }
    if text.trim() != text || !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Err(
            "the key on stdin cannot be sent in an HTTP header: it may contain only printable ASCII characters, without \
             spaces at either end"
                .into(),
        );
    }
    let key = ApiKey::new(text);
    if !key.is_plausible() {
        return Err(
            "the key on stdin begins with ck_, as keys of this API do, but its checksum is wrong: check that it is complete"
                .into(),
        );
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use shared::domain::chat::{MaxTokens, ModelName, Temperature};

    use super::*;

    #[test]
    fn names_are_one_line() {
        assert_eq!(name("  Ünal & Söhne "), Ok("Ünal & Söhne".to_owned()));
        for bad in ["", "  ", "a\nb", &"x".repeat(101), "tenant_1"] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn environments_are_short_and_lowercase() {
        assert!(environment("live").is_ok() && environment("test2").is_ok());
        for bad in ["", "Live", "a_b", "seventeen-letters", "abcdefghijklmnopq"] {
            assert!(environment(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn retention_is_a_number_of_days_or_none() {
        assert_eq!(
            (retention_days("90"), retention_days("0"), retention_days("none")),
            (Ok(RetentionDays(Some(90))), Ok(RetentionDays(None)), Ok(RetentionDays(None)))
        );
        for bad in ["-1", "1d", "36501", "", "never"] {
            assert!(retention_days(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn lists_of_agents_and_models_are_parsed_strictly_and_bounded() {
        assert_eq!((allowed_agents("all"), allowed_models("all")), (Ok(AllowedAgents(None)), Ok(AllowedModels(None))));
        let agents = vec![AgentName::Echo, AgentName::OpenAi];
        assert_eq!(allowed_agents("echo,openai"), Ok(AllowedAgents(Some(agents))));
        assert_eq!(allowed_models("gpt-5*"), Ok(AllowedModels(ModelPatterns::parse("gpt-5*"))));
        assert!(allowed_models(&"x".repeat(256)).is_ok() && allowed_models(&"x".repeat(257)).is_err());
        for bad in ["", "gemini", "echo,all", "echo,echo,echo,echo"] {
            assert!(allowed_agents(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "a,,b", "*a"] {
            assert!(allowed_models(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn limits_are_bounded() {
        assert_eq!((connections("0"), connections("1000"), per_minute("1000000")), (Ok(0), Ok(1000), Ok(1_000_000)));
        for bad in ["-1", "1001", "1.5", "many", ""] {
            assert!(connections(bad).is_err(), "{bad:?}");
        }
        assert!(per_minute("1000001").is_err());
    }

    #[test]
    fn configuration_has_the_bounds_of_the_api() {
        assert!(field::<AgentName>("echo").is_ok() && field::<AgentName>("unknown").is_err());
        assert!(field::<ModelName>("4").is_ok(), "a model name may be a number");
        assert!(field::<ModelName>("").is_err());
        assert!(field::<Temperature>("0.5").is_ok() && field::<Temperature>("2").is_ok());
        assert!(field::<MaxTokens>("100000").is_ok());
        for bad in ["0", "1.5", "100001", "x", "\"5\""] {
            assert!(field::<MaxTokens>(bad).is_err(), "{bad}");
        }
        let refusal = field::<Temperature>("3").err();
        assert_eq!(refusal, Some(format!("expected {}", Temperature::ALLOWED)));
    }

    #[test]
    fn durations_have_a_unit() {
        let seconds = |text| duration(text).map(|duration| duration.as_secs());
        for (text, expected) in
            [("45s", 45), ("30m", 1_800), ("24h", 86_400), ("90d", 7_776_000), ("2w", 1_209_600), ("0", 0), ("0h", 0)]
        {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
        for bad in
            ["", "5", "d", "-1d", "1.5h", "1y", "1 d", "3651d", "99999999999999999999d", "18446744073709551615w", "é"]
        {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn imported_keys_can_be_sent_in_a_header() {
        for good in ["your-tenant-api-key\n", "a b", "x\r\n", &"x".repeat(256)] {
            assert!(imported_key(good).is_ok(), "{good:?}");
        }
        for bad in ["", "\n", "ключ", "a\tb", "a\nb", " a", "a ", "ck_live_oops", &"x".repeat(257)] {
            assert!(imported_key(bad).is_err(), "{bad:?}");
        }
        assert_eq!(imported_key("x\n").map(|key| key.hash()).ok(), Some(ApiKey::new("x").hash()));
    }
}
