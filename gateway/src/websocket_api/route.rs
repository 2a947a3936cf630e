//! Selects the route of a message.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/websocket-api-develop-routes.html>

use serde_json::Value;

use crate::template::{WebSocketApi, WebSocketRoute};

pub(super) const CONNECT: &str = "$connect";
pub(super) const DISCONNECT: &str = "$disconnect";
const DEFAULT: &str = "$default";

/// The route key that the message selects, else `$default`, each with its route. Messages cannot select `$connect` and
/// `$disconnect`.
pub(super) fn select<'a>(api: &'a WebSocketApi, message: &str) -> Option<(&'a str, &'a WebSocketRoute)> {
    let message: Option<Value> = serde_json::from_str(message).ok();
    let selected = message.as_ref().and_then(|message| {
        api.selection_path.iter().try_fold(message, |value, name| value.get(name)).and_then(Value::as_str)
    });
    selected
        .filter(|key| ![CONNECT, DISCONNECT].contains(key))
        .and_then(|key| api.routes.get_key_value(key))
        .or_else(|| api.routes.get_key_value(DEFAULT))
        .map(|(key, route)| (key.as_str(), route))
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

    fn selected<'a>(api: &'a WebSocketApi, message: &str) -> Option<&'a str> {
        select(api, message).map(|(key, _)| key)
    }

    #[test]
    fn body_selects_route_or_default() {
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
            assert_eq!(selected(&api, message), Some(route), "{message}");
        }
    }

    #[test]
    fn selection_path_may_be_nested() {
        let api = api("${request.body.meta.kind}", &["$default", "message"]);
        assert_eq!(selected(&api, r#"{"meta":{"kind":"message"}}"#), Some("message"));
    }

    #[test]
    fn unmatched_message_without_default_selects_no_route() {
        assert_eq!(selected(&api("$request.body.action", &["message"]), "{}"), None);
    }
}
