//! Selects the route of a request.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html>

use std::{cmp::Reverse, time::Duration};

use axum::http::Method;

use crate::{
    integration_timeout::invocation_timeout,
    template::{HttpRoute, TemplateError},
    url_encoding::percent_decode,
};

const DEFAULT: &str = "$default";

pub(crate) struct RouteTable {
    /// Most specific first.
    routes: Vec<Route>,
    default: Option<Target>,
}

struct Route {
    /// `None` for `ANY`.
    method: Option<Method>,
    segments: Vec<Segment>,
    /// The name in `{name+}`.
    greedy: Option<String>,
    target: Target,
}

enum Segment {
    Static(String),
    Parameter(String),
}

struct Target {
    route_key: String,
    function: String,
    timeout: Duration,
}

pub(crate) struct Match<'a> {
    pub(crate) route_key: &'a str,
    pub(crate) function: &'a str,
    pub(crate) timeout: Duration,
    pub(crate) parameters: Vec<(&'a str, String)>,
}

impl RouteTable {
    pub(crate) fn new(routes: Vec<HttpRoute>) -> Result<Self, TemplateError> {
        let mut table = Self { routes: Vec::new(), default: None };
        for route in routes {
            let target = Target {
                timeout: invocation_timeout(route.timeout, route.function.timeout),
                function: route.function.name,
                route_key: route.route_key,
            };
            if target.route_key == DEFAULT {
                table.default = Some(target);
            } else {
                table.routes.push(Route::new(target)?);
            }
        }
        table.routes.sort_by_key(Route::rank);
        Ok(table)
    }

    pub(crate) fn select(&self, method: &Method, path: &str) -> Option<Match<'_>> {
        let segments = split(path);
        self.routes
            .iter()
            .filter(|route| route.method.as_ref().is_none_or(|expected| expected == method))
            .find_map(|route| Some((&route.target, route.parameters(&segments)?)))
            .or_else(|| self.default.as_ref().map(|target| (target, Vec::new())))
            .map(|(target, parameters)| Match {
                route_key: &target.route_key,
                function: &target.function,
                timeout: target.timeout,
                parameters,
            })
    }
}

impl Route {
    fn new(target: Target) -> Result<Self, TemplateError> {
        let malformed = || TemplateError::Malformed {
            location: format!("the route {:?}", target.route_key),
            expected: "a method and a path, with {name+} only at its end".to_owned(),
        };
        let (method, path) = target.route_key.split_once(' ').ok_or_else(malformed)?;
        let method = match method {
            "ANY" => None,
            method => Some(method.parse().map_err(|_| malformed())?),
        };
        let mut segments = Vec::new();
        let mut greedy = None;
        for segment in split(path) {
            if greedy.is_some() {
                return Err(malformed());
            }
            match segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                Some(name) => match name.strip_suffix('+') {
                    Some(name) => greedy = Some(name.to_owned()),
                    None => segments.push(Segment::Parameter(name.to_owned())),
                },
                None => segments.push(Segment::Static(percent_decode(segment))),
            }
        }
        Ok(Self { method, segments, greedy, target })
    }

    /// Order of selection: full matches before greedy ones, longer greedy prefixes before shorter ones, static segments
    /// before parameters from the left, a method before `ANY`.
    fn rank(&self) -> (bool, Reverse<usize>, Vec<bool>, bool) {
        let parameters = self.segments.iter().map(|segment| matches!(segment, Segment::Parameter(_)));
        (self.greedy.is_some(), Reverse(self.segments.len()), parameters.collect(), self.method.is_none())
    }

    fn parameters(&self, segments: &[&str]) -> Option<Vec<(&str, String)>> {
        let (own, rest) = segments.split_at_checked(self.segments.len())?;
        let mut parameters = Vec::new();
        for (pattern, segment) in self.segments.iter().zip(own) {
            match pattern {
                Segment::Static(text) => {
                    if *text != percent_decode(segment) {
                        return None;
                    }
                }
                Segment::Parameter(_) if segment.is_empty() => return None,
                Segment::Parameter(name) => parameters.push((name.as_str(), percent_decode(segment))),
            }
        }
        match &self.greedy {
            // A path with a slash at its end leaves one empty segment, which AWS matches.
            Some(name) if !rest.is_empty() => parameters.push((name, percent_decode(&rest.join("/")))),
            None if rest.is_empty() => {}
            _ => return None,
        }
        Some(parameters)
    }
}

fn split(path: &str) -> Vec<&str> {
    path.strip_prefix('/').unwrap_or(path).split('/').collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::template::Template;

    fn table(routes: &[&str]) -> RouteTable {
        let mut yaml =
            "Resources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties:\n      Events:\n".to_owned();
        for (index, route) in routes.iter().enumerate() {
            yaml.push_str(&format!("        E{index}:\n          Type: HttpApi\n"));
            if let Some((method, path)) = route.split_once(' ') {
                yaml.push_str(&format!("          Properties: {{ Method: {method}, Path: \"{path}\" }}\n"));
            }
        }
        RouteTable::new(Template::parse(&yaml, &BTreeMap::new()).unwrap().http_routes().unwrap()).unwrap()
    }

    fn selected(table: &RouteTable, request: &str) -> Option<String> {
        let (method, path) = request.split_once(' ').unwrap();
        table.select(&method.parse().unwrap(), path).map(|matched| matched.route_key.to_owned())
    }

    /// The example in the developer guide.
    #[test]
    fn most_specific_route_is_selected() {
        let table =
            table(&["GET /pets/dog/1", "GET /pets/dog/{id}", "GET /pets/{proxy+}", "ANY /{proxy+}", "$default"]);
        for (request, route) in [
            ("GET /pets/dog/1", "GET /pets/dog/1"),
            ("GET /pets/dog/2", "GET /pets/dog/{id}"),
            ("GET /pets/cat/1", "GET /pets/{proxy+}"),
            ("POST /test/5", "ANY /{proxy+}"),
        ] {
            assert_eq!(selected(&table, request).as_deref(), Some(route), "{request}");
        }
    }

    #[test]
    fn method_wins_over_any() {
        let table = table(&["ANY /pets/{id}", "GET /pets/{id}"]);
        assert_eq!(selected(&table, "GET /pets/1").as_deref(), Some("GET /pets/{id}"));
        assert_eq!(selected(&table, "PUT /pets/1").as_deref(), Some("ANY /pets/{id}"));
    }

    #[test]
    fn static_segments_win_from_the_left() {
        let table = table(&["GET /{kind}/all/new", "GET /pets/{id}/{when}"]);
        assert_eq!(selected(&table, "GET /pets/all/new").as_deref(), Some("GET /pets/{id}/{when}"));
    }

    #[test]
    fn greedy_parameter_matches_empty_rest_after_slash_only() {
        let table = table(&["POST /chats", "POST /chats/{proxy+}", "$default"]);
        assert_eq!(selected(&table, "POST /chats").as_deref(), Some("POST /chats"));
        assert_eq!(selected(&table, "POST /chats/").as_deref(), Some("POST /chats/{proxy+}"));
        let greedy = self::table(&["POST /chats/{proxy+}"]);
        assert_eq!(selected(&greedy, "POST /chats"), None);
        let matched = greedy.select(&Method::POST, "/chats/").unwrap();
        assert_eq!(matched.parameters, [("proxy", String::new())]);
        let matched = greedy.select(&Method::POST, "/chats/a%20b/c").unwrap();
        assert_eq!(matched.parameters, [("proxy", "a b/c".to_owned())]);
    }

    #[test]
    fn longest_greedy_prefix_wins() {
        let table = table(&["ANY /{proxy+}", "ANY /a/{proxy+}", "ANY /a/b/{proxy+}"]);
        assert_eq!(selected(&table, "GET /a/b/c").as_deref(), Some("ANY /a/b/{proxy+}"));
        assert_eq!(selected(&table, "GET /a/c").as_deref(), Some("ANY /a/{proxy+}"));
    }

    #[test]
    fn parameter_matches_one_nonempty_segment() {
        let table = table(&["GET /chats/{id}"]);
        assert_eq!(selected(&table, "GET /chats/"), None);
        assert_eq!(selected(&table, "GET /chats/x/"), None);
        assert_eq!(selected(&table, "GET /chats/x/y"), None);
        assert_eq!(table.select(&Method::GET, "/chats/a%2Fb").unwrap().parameters, [("id", "a/b".to_owned())]);
    }

    #[test]
    fn unmatched_request_selects_default_route_if_any() {
        assert_eq!(selected(&table(&["GET /a", "$default"]), "POST /a").as_deref(), Some("$default"));
        assert_eq!(selected(&table(&["GET /a"]), "POST /a"), None);
    }
}
