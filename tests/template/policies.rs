//! IAM policies: each function may do what it needs, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use gateway::template::Template;

use serde_json::{Value, json};

use super::{FUNCTION, Resource, items, resource, resources, template, template_with, text, whole_template};

const ROLE: &str = "AWS::IAM::Role";
const POLICY: &str = "AWS::IAM::ManagedPolicy";
const INVOKE_MODEL: &str = "bedrock:InvokeModelWithResponseStream";

/// Where a wildcard is allowed: an action, the prefix of its resource, and the end that holds the wildcard.
const WILDCARDS: [(&str, &str, &str); 5] = [
    // Connection ids are not known in advance.
    (
        "execute-api:ManageConnections",
        "arn:aws:execute-api:us-east-1:000000000000:WebSocketApi/live/",
        "/@connections/*",
    ),
    // Secrets Manager appends six random characters to a name.
    ("secretsmanager:GetSecretValue", "arn:aws:secretsmanager:us-east-1:000000000000:secret:secret", "-??????"),
    // Through the configured inference profiles alone, as another test checks.
    (INVOKE_MODEL, "arn:aws:bedrock:*::foundation-model", "/*"),
    // X-Ray has no resource types for these.
    // https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsx-ray.html
    ("xray:PutTelemetryRecords", "", "*"),
    ("xray:PutTraceSegments", "", "*"),
];

/// Variables that name a service, and the action that using it needs.
const ACTIONS_BY_VARIABLE: [(&str, &str); 3] = [
    // Other functions only compare the name of the model; the one with a context window asks it.
    ("CONTEXT_TOKENS", INVOKE_MODEL),
    ("MANAGEMENT_ENDPOINT", "execute-api:ManageConnections"),
    ("OPENAI_SECRET_NAME", "secretsmanager:GetSecretValue"),
];

/// An allowed action on a resource, and the role or policy that allows it.
#[derive(Debug)]
struct Grant {
    owner: String,
    action: String,
    resource: String,
    /// The condition of its statement; null without one.
    condition: Value,
}

/// Everything that the policies of one role, or one managed policy, allow.
fn grants(owner: &Resource) -> Vec<Grant> {
    let policies = items(&owner.properties["Policies"]).into_iter().map(|policy| &policy["PolicyDocument"]);
    let own = owner.properties.get("PolicyDocument");
    let statements = policies.chain(own).flat_map(|document| items(&document["Statement"]));
    let mut grants = Vec::new();
    for statement in statements {
        let keys = statement.as_object().expect("a statement is an object").keys();
        let keys: Vec<&String> = keys.filter(|key| *key != "Condition").collect();
        assert_eq!(keys, ["Action", "Effect", "Resource"], "{} has a statement with other keys", owner.logical_id);
        assert_eq!(statement["Effect"], "Allow", "{}", owner.logical_id);
        for action in items(&statement["Action"]) {
            for resource in items(&statement["Resource"]) {
                let [action, resource] = [action, resource].map(|value| value.as_str().expect("text").to_owned());
                let condition = statement.get("Condition").cloned().unwrap_or_default();
                grants.push(Grant { owner: owner.logical_id.clone(), action, resource, condition });
            }
        }
    }
    grants
}

/// The role of a function.
fn role(template: &Template, function: &Resource) -> Resource {
    let arn = text(function, "/Role");
    assert!(
        !arn.is_empty() && function.properties.get("Policies").is_none(),
        "{} has no Role, so SAM creates a role that may write to every log of the account; give it a role like the others",
        function.logical_id
    );
    resource(template, ROLE, arn.rsplit(':').next().unwrap_or_default())
}

/// Every function with what it may do.
fn functions(template: &Template) -> Vec<(Resource, Vec<Grant>)> {
    let with_grants = |function: Resource| {
        let grants = grants(&role(template, &function));
        (function, grants)
    };
    resources(template, FUNCTION).into_iter().map(with_grants).collect()
}

#[test]
fn wildcards_stand_only_where_they_must() {
    let template = whole_template();
    let owners = resources(&template, ROLE).into_iter().chain(resources(&template, POLICY));
    let grants: Vec<Grant> = owners.flat_map(|owner| grants(&owner)).collect();
    assert!(grants.len() > 50, "only {} grants were found", grants.len());
    for Grant { owner, action, resource, .. } in grants {
        assert!(!action.contains(['*', '?']), "{owner} may do {action}");
        let known = WILDCARDS.iter().any(|(of, begin, end)| {
            let middle = resource.strip_prefix(begin).and_then(|rest| rest.strip_suffix(end));
            action == *of && middle.is_some_and(|middle| !middle.contains(['*', '?']))
        });
        assert!(known || !resource.contains(['*', '?']), "{owner} may do {action} on {resource}");
    }
}

/// The resources on which models may be invoked; those with a condition name the inference profiles behind them.
fn invocable(parameters: &[(&str, &str)]) -> (Vec<String>, Vec<Value>) {
    let role = resource(&template_with(parameters), ROLE, "WsMessageRole");
    let grants = grants(&role).into_iter().filter(|grant| grant.action == INVOKE_MODEL);
    let (direct, routed): (Vec<_>, Vec<_>) = grants.partition(|grant| grant.condition.is_null());
    for grant in &routed {
        assert_eq!(grant.resource, "arn:aws:bedrock:*::foundation-model/*");
    }
    let profiles = |grant: Grant| grant.condition["StringLike"]["bedrock:InferenceProfileArn"].clone();
    (direct.into_iter().map(|grant| grant.resource).collect(), routed.into_iter().map(profiles).collect())
}

#[test]
fn only_configured_models_of_bedrock_may_be_invoked() {
    let own = |kind: &str, id: &str| format!("arn:aws:bedrock:us-east-1:000000000000:{kind}/{id}");
    let (direct, routed) = invocable(&[("BedrockModel", "eu.amazon.nova-micro-v1:0")]);
    let profiles =
        ["inference-profile", "application-inference-profile"].map(|kind| own(kind, "eu.amazon.nova-micro-v1:0"));
    let model = "arn:aws:bedrock:us-east-1::foundation-model/eu.amazon.nova-micro-v1:0".to_owned();
    assert_eq!(direct, [&[model], &profiles[..]].concat());
    assert_eq!(routed, [json!(profiles)]);

    let further = [own("application-inference-profile", "p1"), own("inference-profile", "us.other")];
    let (direct, routed) = invocable(&[("BedrockModel", "m"), ("BedrockModelArns", &further.join(","))]);
    assert_eq!((direct.len(), &direct[3..]), (5, &further[..]));
    assert_eq!((routed.len(), &routed[1]), (2, &json!(further)));
    assert_eq!(invocable(&[]), (vec![], vec![]));
}

#[test]
fn conditions_only_narrow_what_models_may_be_invoked() {
    let roles = resources(&whole_template(), ROLE).into_iter().chain(resources(&template(), ROLE));
    for grant in roles.flat_map(|role| grants(&role)).filter(|grant| !grant.condition.is_null()) {
        assert_eq!(grant.action, INVOKE_MODEL, "{} has a condition that no test reads", grant.owner);
    }
}

#[test]
fn managed_policies_of_aws_are_few() {
    let mut attached = BTreeMap::new();
    for role in resources(&whole_template(), ROLE) {
        for policy in items(&role.properties["ManagedPolicyArns"]) {
            let name = policy.as_str().and_then(|arn| arn.rsplit('/').next()).expect("text").to_owned();
            attached.entry(name).or_insert_with(BTreeSet::new).insert(role.logical_id.clone());
        }
    }
    let by_aws = attached.remove("AmazonAPIGatewayPushToCloudWatchLogs");
    assert_eq!(by_aws, Some(["ApiGatewayRole".to_owned()].into()), "API Gateway requires it");
    assert_eq!(attached.keys().collect::<Vec<_>>(), ["TracingPolicy"], "policies outside the template are not checked");
}

#[test]
fn every_function_has_its_own_role() {
    let template = whole_template();
    let mut taken = BTreeSet::new();
    for function in resources(&template, FUNCTION) {
        let role = role(&template, &function);
        assert!(taken.insert(role.logical_id.clone()), "{} is used by two functions", role.logical_id);
        let trusted = &role.properties["AssumeRolePolicyDocument"]["Statement"]["Principal"];
        assert_eq!(*trusted, serde_json::json!({ "Service": "lambda.amazonaws.com" }), "{}", role.logical_id);
    }
}

#[test]
fn function_writes_only_to_its_own_log() {
    for (function, grants) in functions(&whole_template()) {
        let logs = text(&function, "/LoggingConfig/LogGroup");
        let written: BTreeSet<_> = grants
            .iter()
            .filter(|grant| grant.action.starts_with("logs:"))
            .map(|grant| (grant.action.as_str(), grant.resource.rsplit(':').next().unwrap_or_default()))
            .collect();
        let own = [("logs:CreateLogStream", logs), ("logs:PutLogEvents", logs)].into();
        assert_eq!(written, own, "{}", function.logical_id);
    }
}

#[test]
fn function_may_use_the_tables_of_its_environment_and_no_others() {
    for (function, grants) in functions(&whole_template()) {
        let variables = function.properties["Environment"]["Variables"].as_object().expect("variables");
        let named = variables.iter().filter(|(name, _)| name.ends_with("_TABLE"));
        let named: BTreeSet<&str> = named.filter_map(|(_, table)| table.as_str()).collect();
        let allowed: BTreeSet<&str> = grants
            .iter()
            .filter(|grant| grant.action.starts_with("dynamodb:"))
            .map(|grant| grant.resource.split('/').nth(1).unwrap_or_default())
            .collect();
        assert_eq!(allowed, named, "{}", function.logical_id);
    }
}

#[test]
fn function_may_use_the_services_of_its_environment_and_no_others() {
    for (function, grants) in functions(&whole_template()) {
        let variables = function.properties["Environment"]["Variables"].as_object().expect("variables");
        let named = ACTIONS_BY_VARIABLE.iter().filter(|(name, _)| variables.contains_key(*name));
        let mut named: BTreeSet<&str> = named.map(|(_, action)| *action).collect();
        // Lambda sends failed runs to the queue with the function's role.
        if function.properties.pointer("/EventInvokeConfig/DestinationConfig/OnFailure/Destination").is_some() {
            named.insert("sqs:SendMessage");
        }
        let everywhere = ["dynamodb:", "logs:"];
        let allowed = grants.iter().map(|grant| grant.action.as_str());
        let allowed: BTreeSet<&str> =
            allowed.filter(|action| !everywhere.iter().any(|service| action.starts_with(service))).collect();
        assert_eq!(allowed, named, "{}", function.logical_id);
    }
}
