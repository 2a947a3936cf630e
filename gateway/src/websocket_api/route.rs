//! Which route a message takes.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/websocket-api-develop-routes.html>

use serde_json::Value;

use super::{CONNECT, DEFAULT, DISCONNECT};
use crate::template::WebSocketApi;

/// The route that the message names, else `$default` if there is one.
pub(super) fn select<'a>(api: &'a WebSocketApi, message: &str) -> Option<&'a str> {
    let message: Option<Value> = serde_json::from_str(message).ok();
    let named = message.as_ref().and_then(|message| {
        api.selection_path.iter().try_fold(message, |value, name| value.get(name)).and_then(Value::as_str)
    });
    named
        .filter(|name| ![CONNECT, DISCONNECT].contains(name))
        .and_then(|name| api.routes.get_key_value(name))
        .or_else(|| api.routes.get_key_value(DEFAULT))
        .map(|(route_key, _)| route_key.as_str())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::template::Template;

    fn api(expression: &str, routes: &[&str]) -> WebSocketApi {
        let routes: String =
            routes.iter().map(|route| format!("        {route}: {{ FunctionArn: !GetAtt F.Arn }}\n")).collect();
        let yaml = format!(
            "Resources:\n  F:\n    Type: AWS::Serverless::Function\n  Api:\n    Type: AWS::Serverless::WebSocketApi\n    \
             Properties:\n      RouteSelectionExpression: {expression}\n      Routes:\n{routes}"
        );
        Template::parse(&yaml, &BTreeMap::new()).unwrap().websocket_api().unwrap().unwrap()
    }

    #[test]
    fn a_message_may_name_its_route() {
        let api = api("$request.body.action", &["$connect", "$default", "message"]);
        for (message, route) in [
            (r#"{"action":"message"}"#, "message"),
            (r#"{"action":"other"}"#, "$default"),
            (r#"{"action":"$connect"}"#, "$default"),
            (r#"{"action":7}"#, "$default"),
            (r#"{"content":"x"}"#, "$default"),
            ("not json", "$default"),
            ("", "$default"),
        ] {
            assert_eq!(select(&api, message), Some(route), "{message}");
        }
    }

    #[test]
    fn the_name_may_be_nested() {
        let api = api("${request.body.meta.kind}", &["$default", "message"]);
        assert_eq!(select(&api, r#"{"meta":{"kind":"message"}}"#), Some("message"));
    }

    #[test]
    fn without_a_default_there_may_be_no_route() {
        assert_eq!(select(&api("$request.body.action", &["message"]), "{}"), None);
    }
}
