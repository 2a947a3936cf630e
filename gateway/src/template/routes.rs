//! Routes of the HTTP API and of the WebSocket API, and the functions that integrate them.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use super::{
    document::Template,
    error::TemplateError,
    functions::{FUNCTION, Function},
    location::Location,
    value::scalar_text,
};
use crate::integration_timeout::{HTTP_INTEGRATION_TIMEOUT, INTEGRATION_TIMEOUT};

const WEBSOCKET_API: &str = "AWS::Serverless::WebSocketApi";

/// A route of the HTTP API, declared by a function's event of type `HttpApi`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpRoute {
    /// `$default`, or a method (or `ANY`) and a path: `GET /pets/{id}`.
    pub route_key: String,
    /// The function behind the integration.
    pub function: Function,
    /// `TimeoutInMillis`: the integration timeout.
    pub timeout: Duration,
}

/// The WebSocket API.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebSocketApi {
    /// Its name in the template.
    pub logical_id: String,
    /// `StageName`.
    pub stage: String,
    /// The path of `RouteSelectionExpression` in a JSON message: `["action"]` for `$request.body.action`.
    pub selection_path: Vec<String>,
    /// Routes by route key, including `$connect`, `$disconnect` and `$default`.
    pub routes: BTreeMap<String, WebSocketRoute>,
}

/// A route of the WebSocket API.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebSocketRoute {
    /// The function behind the integration.
    pub function: Function,
    /// `IntegrationTimeout`: the integration timeout.
    pub timeout: Duration,
}

impl Template {
    /// The routes of the HTTP API. All `HttpApi` events belong to one API; `ApiId` is ignored.
    ///
    /// # Errors
    ///
    /// When an event cannot be resolved, or two of them declare the same route.
    pub fn http_routes(&self) -> Result<Vec<HttpRoute>, TemplateError> {
        let functions = self.functions()?;
        let mut routes: Vec<HttpRoute> = Vec::new();
        for (logical_id, resource) in self.enabled(FUNCTION)? {
            let location = Location::resource(logical_id).key("Properties").key("Events");
            let properties = self.merged_properties(FUNCTION, resource);
            let events = properties.get("Events").and_then(Value::as_object);
            for (name, event) in events.into_iter().flatten() {
                if event.get("Type").and_then(Value::as_str) != Some("HttpApi") {
                    continue;
                }
                let route =
                    self.http_route(event, function(&functions, logical_id, &location)?, &location.key(name))?;
                if let Some(first) = routes.iter().find(|first| first.route_key == route.route_key) {
                    return Err(TemplateError::DuplicateRoute {
                        route_key: route.route_key,
                        first: first.function.logical_id.clone(),
                        second: logical_id.to_owned(),
                    });
                }
                routes.push(route);
            }
        }
        Ok(routes)
    }

    fn http_route(&self, event: &Value, function: Function, location: &Location) -> Result<HttpRoute, TemplateError> {
        let location = location.key("Properties");
        let text =
            |key: &str| self.text(event.pointer("/Properties").and_then(|event| event.get(key)), &location.key(key));
        if text("PayloadFormatVersion")?.is_some_and(|version| version != "2.0") {
            return Err(location.key("PayloadFormatVersion").malformed("2.0; version 1.0 is not supported"));
        }
        let method = text("Method")?.map_or_else(|| "ANY".to_owned(), |method| method.to_uppercase());
        let method = if method == "X-AMAZON-APIGATEWAY-ANY-METHOD" { "ANY".to_owned() } else { method };
        let route_key = match text("Path")?.as_deref() {
            None | Some("$default") => "$default".to_owned(),
            Some(path) if path.starts_with('/') => format!("{method} {path}"),
            Some(_) => return Err(location.key("Path").malformed("a path that starts with a slash")),
        };
        let timeout = milliseconds(text("TimeoutInMillis")?, &location.key("TimeoutInMillis"))?
            .unwrap_or(HTTP_INTEGRATION_TIMEOUT);
        Ok(HttpRoute { route_key, function, timeout })
    }

    /// The WebSocket API, if the template has one.
    ///
    /// # Errors
    ///
    /// When it cannot be resolved, when the template has several, or when `RouteSelectionExpression` does not select from
    /// the JSON body.
    pub fn websocket_api(&self) -> Result<Option<WebSocketApi>, TemplateError> {
        let (logical_id, resource) = match self.enabled(WEBSOCKET_API)?.as_slice() {
            [] => return Ok(None),
            [api] => *api,
            [_, second, ..] => {
                return Err(Location::resource(second.0).malformed("the only WebSocket API of the template"));
            }
        };
        let location = Location::resource(logical_id).key("Properties");
        let properties = self.merged_properties(WEBSOCKET_API, resource);
        let text = |key: &str| self.text(properties.get(key), &location.key(key));
        let selection = text("RouteSelectionExpression")?.unwrap_or_default();
        let functions = self.functions()?;
        let mut routes = BTreeMap::new();
        for (route_key, route) in properties.get("Routes").and_then(Value::as_object).into_iter().flatten() {
            let location = location.key("Routes").key(route_key);
            let target = self.text(route.get("FunctionArn"), &location.key("FunctionArn"))?.unwrap_or_default();
            let timeout = self.text(route.get("IntegrationTimeout"), &location.key("IntegrationTimeout"))?;
            let timeout = milliseconds(timeout, &location.key("IntegrationTimeout"))?.unwrap_or(INTEGRATION_TIMEOUT);
            let function = function(&functions, &target, &location.key("FunctionArn"))?;
            routes.insert(route_key.clone(), WebSocketRoute { function, timeout });
        }
        Ok(Some(WebSocketApi {
            logical_id: logical_id.to_owned(),
            stage: text("StageName")?.unwrap_or_else(|| "default".to_owned()),
            selection_path: selection_path(&selection)
                .ok_or_else(|| location.key("RouteSelectionExpression").malformed("of the form $request.body.name"))?,
            routes,
        }))
    }

    fn text(&self, value: Option<&Value>, location: &Location) -> Result<Option<String>, TemplateError> {
        let Some(value) = value else { return Ok(None) };
        match self.resolve(value, location)? {
            Some(value) => scalar_text(&value).map(Some).ok_or_else(|| location.malformed("a string or number")),
            None => Ok(None),
        }
    }
}

/// Finds a function by ARN or logical id. An ARN may end in an alias or version.
fn function(functions: &[Function], target: &str, location: &Location) -> Result<Function, TemplateError> {
    let logical_id = match target.split_once(":function:") {
        Some((_, rest)) => rest.split(':').next().unwrap_or_default(),
        None => target.split('.').next().unwrap_or_default(),
    };
    functions
        .iter()
        .find(|function| function.logical_id == logical_id)
        .cloned()
        .ok_or_else(|| TemplateError::UnknownFunction { target: target.to_owned(), location: location.to_string() })
}

fn milliseconds(text: Option<String>, location: &Location) -> Result<Option<Duration>, TemplateError> {
    let parse = |text: String| text.parse().map(Duration::from_millis);
    text.map(parse).transpose().map_err(|_| location.malformed("a number of milliseconds"))
}

/// Parses `$request.body.a.b` or `${request.body.a.b}`.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/websocket-api-develop-routes.html>
fn selection_path(expression: &str) -> Option<Vec<String>> {
    let expression = expression.strip_prefix('$')?;
    let expression = expression.strip_prefix('{').map_or(Some(expression), |braced| braced.strip_suffix('}'))?;
    let path: Vec<_> = expression.strip_prefix("request.body.")?.split('.').map(str::to_owned).collect();
    path.iter().all(|name| !name.is_empty()).then_some(path)
}
