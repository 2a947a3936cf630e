//! Prices of models, and what usage costs.
//!
//! Amounts are whole numbers of 10⁻¹² of the currency's unit, so sums are exact. Only what is shown is rounded: to four
//! decimals, half a unit of the last one up.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::Path,
};

use anyhow::{Context, Result, bail};
use indicatif::HumanCount;
use serde_json::{Map, Value};
use shared::{
    domain::{strict_json, usage::UsageCounts},
    storage::ModelUsage,
};

/// More than a million tokens cost in any currency.
const MAX_PRICE: f64 = 1e9;
/// The decimals of a price.
const DECIMALS: usize = 6;

/// The prices of models.
#[derive(Debug, Default)]
pub(super) struct Prices {
    exact: BTreeMap<String, Price>,
    /// The longest first.
    prefixes: Vec<(String, Price)>,
}

/// What tokens of a model cost: each price is for one token, in 10⁻¹² of the currency's unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Price {
    input: u64,
    output: u64,
}

/// An amount of money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount(u128);

impl Prices {
    /// Reads a file of prices.
    ///
    /// # Errors
    ///
    /// An error that names the file, and the entry that is not valid.
    pub(super) fn read(file: &Path) -> Result<Self> {
        let text = fs::read(file).with_context(|| format!("failed to read the prices in {}", file.display()))?;
        Self::parse(&text).with_context(|| format!("the prices in {} are not valid", file.display()))
    }

    fn parse(text: &[u8]) -> Result<Self> {
        // Of a repeated entry, neither is known to be right.
        let Value::Object(entries) = strict_json::parse(text)? else {
            bail!("expected an object such as {{\"gpt-5*\": {{\"input\": 0.25, \"output\": 2}}}}");
        };
        let mut prices = Self::default();
        for (name, entry) in entries {
            let price = Price::parse(&entry).with_context(|| format!("the entry {name:?}"))?;
            let prefix = name.strip_suffix('*');
            if name.is_empty() || prefix.unwrap_or(&name).contains('*') {
                bail!("the entry {name:?}: expected the name of a model, which may end in *");
            }
            match prefix {
                Some(prefix) => prices.prefixes.push((prefix.to_owned(), price)),
                None => drop(prices.exact.insert(name, price)),
            }
        }
        prices.prefixes.sort_by_key(|(prefix, _)| Reverse(prefix.len()));
        Ok(prices)
    }

    fn find(&self, model: &str) -> Option<Price> {
        let by_prefix = || self.prefixes.iter().find(|(prefix, _)| model.starts_with(prefix)).map(|(_, price)| *price);
        self.exact.get(model).copied().or_else(by_prefix)
    }

    /// What usage costs: the sum over the models that have a price; `None` if there is usage, and none of it has a price.
    pub(super) fn cost<'a>(&self, usage: impl IntoIterator<Item = &'a ModelUsage>) -> Option<Amount> {
        let mut is_free = true;
        let mut cost = None;
        for ModelUsage { model, counts, .. } in usage {
            is_free = false;
            if let Some(price) = self.find(model) {
                let Amount(sum) = cost.unwrap_or_default();
                cost = Some(Amount(sum.saturating_add(price.of(*counts))));
            }
        }
        cost.or_else(|| is_free.then(Amount::default))
    }

    /// The models in usage that have no price.
    pub(super) fn unpriced<'a>(&self, usage: impl IntoIterator<Item = &'a ModelUsage>) -> BTreeSet<&'a str> {
        usage.into_iter().map(|usage| usage.model.as_str()).filter(|model| self.find(model).is_none()).collect()
    }
}

impl Price {
    fn parse(entry: &Value) -> Result<Self> {
        let Value::Object(fields) = entry else { bail!("expected an object with `input` and `output`") };
        if let Some(unknown) = fields.keys().find(|name| !["input", "output"].contains(&name.as_str())) {
            bail!("`{unknown}` is unknown: expected `input` and `output`");
        }
        Ok(Self { input: per_token(fields, "input")?, output: per_token(fields, "output")? })
    }

    fn of(self, counts: UsageCounts) -> u128 {
        let cost = |tokens: u64, price: u64| u128::from(tokens) * u128::from(price);
        cost(counts.input_tokens, self.input).saturating_add(cost(counts.output_tokens, self.output))
    }
}

/// The price of one token, from that of a million: a millionth of the unit is 10⁻¹² for each of them.
fn per_token(fields: &Map<String, Value>, name: &str) -> Result<u64> {
    let Some(value) = fields.get(name) else { bail!("`{name}` is missing") };
    let price = value.as_f64().filter(|price| (0.0..=MAX_PRICE).contains(price)).and_then(|price| {
        // The shortest text that reads as this number is the one in the file: multiplying would not be exact.
        let text = price.to_string();
        let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
        if decimals.len() > DECIMALS { None } else { format!("{whole}{decimals:0<DECIMALS$}").parse().ok() }
    });
    price.with_context(|| {
        format!("`{name}` is {value}: expected a number from 0 to {MAX_PRICE} with at most {DECIMALS} decimals")
    })
}

impl Amount {
    /// As a JSON number with four decimals.
    pub(super) fn to_json(self) -> Value {
        let (whole, decimals) = self.rounded();
        // The nearest number to this text is printed as this text.
        format!("{whole}.{decimals:04}").parse::<f64>().map_or(Value::Null, Value::from)
    }

    /// Whole units, and ten-thousandths.
    fn rounded(self) -> (u128, u128) {
        let rounded = self.0.saturating_add(50_000_000) / 100_000_000;
        (rounded / 10_000, rounded % 10_000)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, decimals) = self.rounded();
        write!(formatter, "{}.{decimals:04}", HumanCount(u64::try_from(whole).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn prices(prices: Value) -> Prices {
        Prices::parse(prices.to_string().as_bytes()).expect("valid prices")
    }

    /// A price of this much for each token.
    fn input(price: u64) -> Value {
        json!({"input": price, "output": 0})
    }

    fn usage(model: &str, input_tokens: u64, output_tokens: u64) -> ModelUsage {
        let counts = UsageCounts { input_tokens, output_tokens, ..UsageCounts::default() };
        ModelUsage { day: "2026-01-31".parse().expect("a day"), model: model.to_owned(), counts }
    }

    fn cost(prices: &Prices, usage: &[ModelUsage]) -> Option<(String, String)> {
        prices.cost(usage).map(|cost| (cost.to_string(), cost.to_json().to_string()))
    }

    fn refusal(text: &str) -> String {
        format!("{:#}", Prices::parse(text.as_bytes()).expect_err("they are not valid"))
    }

    #[test]
    fn exact_name_wins_over_prefixes_and_the_longest_prefix_over_others() {
        let prices = prices(json!({
            "gpt-5-mini": input(1), "gpt-5-mini*": input(2), "gpt-5*": input(3), "gpt-*": input(4), "*": input(5),
        }));
        for (model, price) in [
            ("gpt-5-mini", 1),
            ("gpt-5-mini-2026", 2),
            ("gpt-5-min", 3),
            ("gpt-5", 3),
            ("gpt-4.1", 4),
            ("gpt", 5),
            ("GPT-5", 5),
            ("", 5),
        ] {
            assert_eq!(prices.find(model), Some(Price { input: price * 1_000_000, output: 0 }), "{model}");
        }
    }

    #[test]
    fn model_without_a_price_has_none() {
        let prices = prices(json!({"gpt-5": input(1), "nova*": input(1)}));
        for model in ["gpt-5-mini", "gpt-", "nov", "a nova", "*"] {
            assert_eq!(prices.find(model), None, "{model}");
        }
    }

    #[test]
    fn cost_is_the_sum_over_priced_models() {
        let prices = prices(json!({"a": {"input": 0.1, "output": 0.4}, "b": {"input": 1, "output": 2}}));
        let (a, b, c) = (usage("a", 3_000_000, 2_000_000), usage("b", 1, 500_000), usage("c", 9, 9));
        let shown = |text: &str, json: &str| Some((text.to_owned(), json.to_owned()));
        assert_eq!(cost(&prices, std::slice::from_ref(&a)), shown("1.1000", "1.1"));
        assert_eq!(cost(&prices, &[c.clone(), a, b, c.clone()]), shown("2.1000", "2.1"));
        assert_eq!(cost(&prices, &[c.clone(), c.clone()]), None, "no usage has a price");
        assert_eq!(cost(&prices, &[]), shown("0.0000", "0.0"), "no usage is free");
        assert_eq!(prices.unpriced(&[c.clone(), usage("a", 1, 1), c]), BTreeSet::from(["c"]));
    }

    #[test]
    fn amounts_are_exact_and_rounded_once_to_four_decimals() {
        let prices =
            prices(json!({"tenth": {"input": 0.1, "output": 0.2}, "least": {"input": 0.000_001, "output": 50}}));
        let shown = |usage: &[ModelUsage]| cost(&prices, usage).expect("a cost");
        let expected = |text: &str, json: &str| (text.to_owned(), json.to_owned());
        assert_eq!(
            shown(&[usage("tenth", 1_000_000, 1_000_000)]),
            expected("0.3000", "0.3"),
            "not 0.30000000000000004"
        );
        // 0.00005 is half a unit of the last decimal.
        assert_eq!(shown(&[usage("least", 0, 1)]), expected("0.0001", "0.0001"));
        assert_eq!(shown(&[usage("least", 49_999_999, 0)]), expected("0.0000", "0.0"));
        assert_eq!(shown(&[usage("least", 50_000_000, 0)]), expected("0.0001", "0.0001"));
        let many = vec![usage("least", 1_000_000, 0); 100];
        assert_eq!(shown(&many), expected("0.0001", "0.0001"), "each alone is rounded to 0");
        assert_eq!(shown(&[usage("least", 0, 24_691_357_802_468)]), expected("1,234,567,890.1234", "1234567890.1234"));
    }

    #[test]
    fn largest_counts_and_prices_do_not_overflow() {
        let prices = prices(json!({"*": {"input": 1e9, "output": 1e9}}));
        let all = usage("x", u64::MAX, u64::MAX);
        assert!(prices.cost(&[all.clone(), all]).is_some_and(|cost| cost.to_json().is_number()));
    }

    #[test]
    fn refusal_names_the_entry() {
        for (text, expected) in [
            (r#"{"a": 1}"#, r#"the entry "a": expected an object with `input` and `output`"#),
            (r#"{"a": {"input": 1}}"#, r#"the entry "a": `output` is missing"#),
            (
                r#"{"a": {"input": 1, "outptu": 1}}"#,
                r#"the entry "a": `outptu` is unknown: expected `input` and `output`"#,
            ),
            (
                r#"{"a": {"input": "1", "output": 1}}"#,
                r#"the entry "a": `input` is "1": expected a number from 0 to 1000000000 with at most 6 decimals"#,
            ),
            (
                r#"{"*a": {"input": 1, "output": 1}}"#,
                r#"the entry "*a": expected the name of a model, which may end in *"#,
            ),
            (r#"{"": {"input": 1, "output": 1}}"#, r#"the entry "": expected the name of a model, which may end in *"#),
        ] {
            assert_eq!(refusal(text), expected);
        }
        for number in ["-1", "-0.0", "0.0000001", "1e-7", "1000000001", "1e300", "null", "true"] {
            let refused = refusal(&format!(r#"{{"gpt-5*": {{"input": 0, "output": {number}}}}}"#));
            assert!(refused.starts_with(r#"the entry "gpt-5*": `output` is "#), "{refused}");
        }
        assert!(
            refusal(r#"{"a": {"input": 1, "output": 1}, "a": {"input": 2, "output": 1}}"#).contains("line 1 column")
        );
        assert!(refusal("[]").starts_with("expected an object such as"));
        assert!(refusal("{").contains("line 1 column"));
    }

    #[test]
    fn prices_are_read_as_they_are_written() {
        for (text, millionths) in [
            ("0", 0),
            ("0.10", 100_000),
            ("0.000001", 1),
            ("1e-6", 1),
            ("15", 15_000_000),
            ("0.075", 75_000),
            ("999999999.999999", 999_999_999_999_999),
            ("1e9", 1_000_000_000_000_000),
        ] {
            let prices = Prices::parse(format!(r#"{{"*": {{"input": 0, "output": {text}}}}}"#).as_bytes());
            assert_eq!(
                prices.ok().and_then(|prices| prices.find("x")),
                Some(Price { input: 0, output: millionths }),
                "{text}"
            );
        }
    }
}
