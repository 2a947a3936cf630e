//! CORS: which origins may call the API, what their pages may send and read.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{ROOT, resources, template, whole_template};

/// The values of one list of the CORS configuration.
fn allowed(configuration: &Value, key: &str) -> BTreeSet<String> {
    let values = configuration[key].as_array().unwrap_or_else(|| panic!("{key} is a list"));
    values.iter().map(|value| value.as_str().expect("text").to_owned()).collect()
}

/// Calls `found` for every value under the name `key`, at any depth.
fn each<'a>(value: &'a Value, key: &str, found: &mut dyn FnMut(&'a Value)) {
    match value {
        Value::Object(map) => map.iter().for_each(|(name, value)| {
            if name == key {
                found(value);
            }
            each(value, key, found);
        }),
        Value::Array(items) => items.iter().for_each(|item| each(item, key, found)),
        _ => {}
    }
}

#[test]
fn only_the_given_origins_are_allowed() {
    let configuration = |apis: Vec<super::Resource>| apis[0].properties.get("CorsConfiguration").cloned();
    assert_eq!(configuration(resources(&template(), "AWS::Serverless::HttpApi")), None);
    let given = configuration(resources(&whole_template(), "AWS::Serverless::HttpApi")).expect("a CORS configuration");
    assert_eq!(allowed(&given, "AllowOrigins"), ["https://app.example.com".to_owned()].into());
    assert_eq!(given.get("AllowCredentials"), None, "API keys are headers, not cookies");
}

#[test]
fn headers_and_methods_are_those_of_the_openapi_document() {
    let document = std::fs::read_to_string(format!("{ROOT}/docs/openapi.json")).expect("the document is readable");
    let document: Value = serde_json::from_str(&document).expect("the document is JSON");
    let api = resources(&whole_template(), "AWS::Serverless::HttpApi").remove(0);
    let cors = &api.properties["CorsConfiguration"];

    // The content type of a body is no parameter, and neither is the API key, which is a security scheme.
    let mut sent = BTreeSet::from(["content-type".to_owned()]);
    each(&document, "parameters", &mut |parameters| {
        let parameters = parameters.as_array().into_iter().flatten().filter(|parameter| parameter["in"] == "header");
        sent.extend(parameters.filter_map(|parameter| parameter["name"].as_str()).map(str::to_lowercase));
    });
    each(&document, "securitySchemes", &mut |schemes| {
        let schemes = schemes.as_object().into_iter().flat_map(|schemes| schemes.values());
        sent.extend(schemes.filter_map(|scheme| scheme["name"].as_str()).map(str::to_lowercase));
    });
    assert_eq!(allowed(cors, "AllowHeaders"), sent);

    let mut read = BTreeSet::new();
    each(&document, "responses", &mut |responses| {
        each(responses, "headers", &mut |headers| {
            let names = headers.as_object().into_iter().flat_map(|headers| headers.keys());
            read.extend(names.map(|name| name.to_lowercase()));
        });
    });
    assert_eq!(allowed(cors, "ExposeHeaders"), read);

    let methods = ["delete", "get", "patch", "post", "put"].into_iter();
    let paths = document["paths"].as_object().expect("paths");
    let methods = methods.filter(|method| paths.values().any(|path| path.get(method).is_some()));
    assert_eq!(allowed(cors, "AllowMethods"), methods.map(str::to_uppercase).collect());
}
