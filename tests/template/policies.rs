//! What the functions may do.

use std::collections::{BTreeMap, BTreeSet};

use gateway::template::Template;

use super::{FUNCTION, Resource, items, resource, resources, text, whole_template};

const ROLE: &str = "AWS::IAM::Role";
const POLICY: &str = "AWS::IAM::ManagedPolicy";

/// Where a wildcard may stand: which action, what the resource must begin with, and what it may end in.
const WILDCARDS: [(&str, &str, &str); 7] = [
    // Connections have ids that are not known before they are open.
    (
        "execute-api:ManageConnections",
        "arn:aws:execute-api:us-east-1:000000000000:WebSocketApi/live/",
        "/@connections/*",
    ),
    // Secrets Manager puts six characters of its own choice behind a name.
    ("secretsmanager:GetSecretValue", "arn:aws:secretsmanager:us-east-1:000000000000:secret:secret", "-??????"),
    // A chat names its model; an inference profile hands on to models of other regions.
    ("bedrock:InvokeModelWithResponseStream", "arn:aws:bedrock:*::foundation-model", "/*"),
    ("bedrock:InvokeModelWithResponseStream", "arn:aws:bedrock:us-east-1:000000000000:inference-profile", "/*"),
    (
        "bedrock:InvokeModelWithResponseStream",
        "arn:aws:bedrock:us-east-1:000000000000:application-inference-profile",
        "/*",
    ),
    // X-Ray knows no resources for these.
    // https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsx-ray.html
    ("xray:PutTelemetryRecords", "", "*"),
    ("xray:PutTraceSegments", "", "*"),
];

/// What a function's environment says that it reaches, and the action that it needs for that.
const REACHED: [(&str, &str); 3] = [
    ("BEDROCK_MODEL", "bedrock:InvokeModelWithResponseStream"),
    ("MANAGEMENT_ENDPOINT", "execute-api:ManageConnections"),
    ("OPENAI_SECRET_NAME", "secretsmanager:GetSecretValue"),
];

/// An action on a resource, and whose role allows it.
#[derive(Debug)]
struct Grant {
    owner: String,
    action: String,
    resource: String,
}

/// All that one resource's policies allow.
fn grants(owner: &Resource) -> Vec<Grant> {
    let policies = items(&owner.properties["Policies"]).into_iter().map(|policy| &policy["PolicyDocument"]);
    let own = owner.properties.get("PolicyDocument");
    let statements = policies.chain(own).flat_map(|document| items(&document["Statement"]));
    let mut grants = Vec::new();
    for statement in statements {
        let keys: Vec<&String> = statement.as_object().expect("a statement is an object").keys().collect();
        assert_eq!(keys, ["Action", "Effect", "Resource"], "{} allows what is not named", owner.logical_id);
        assert_eq!(statement["Effect"], "Allow", "{}", owner.logical_id);
        for action in items(&statement["Action"]) {
            for resource in items(&statement["Resource"]) {
                let [action, resource] = [action, resource].map(|value| value.as_str().expect("text").to_owned());
                grants.push(Grant { owner: owner.logical_id.clone(), action, resource });
            }
        }
    }
    grants
}

/// The role of a function, which no other function has.
fn role(template: &Template, function: &Resource) -> Resource {
    let arn = text(function, "/Role");
    assert!(
        !arn.is_empty() && function.properties.get("Policies").is_none(),
        "{} has no Role, so SAM makes one that may write to every log of the account; give it one like the others",
        function.logical_id
    );
    resource(template, ROLE, arn.rsplit(':').next().unwrap_or_default())
}

/// The functions with their grants.
fn functions(template: &Template) -> Vec<(Resource, Vec<Grant>)> {
    let with_grants = |function: Resource| {
        let grants = grants(&role(template, &function));
        (function, grants)
    };
    resources(template, FUNCTION).into_iter().map(with_grants).collect()
}

#[test]
fn no_policy_is_open() {
    let template = whole_template();
    let owners = resources(&template, ROLE).into_iter().chain(resources(&template, POLICY));
    let grants: Vec<Grant> = owners.flat_map(|owner| grants(&owner)).collect();
    assert!(grants.len() > 50, "only {} grants were found", grants.len());
    for Grant { owner, action, resource } in grants {
        assert!(!action.contains(['*', '?']), "{owner} may do {action}");
        let known = WILDCARDS.iter().any(|(of, begin, end)| {
            let middle = resource.strip_prefix(begin).and_then(|rest| rest.strip_suffix(end));
            action == *of && middle.is_some_and(|middle| !middle.contains(['*', '?']))
        });
        assert!(known || !resource.contains(['*', '?']), "{owner} may do {action} on {resource}");
    }
}

#[test]
fn policies_of_others_are_few() {
    let mut attached = BTreeMap::new();
    for role in resources(&whole_template(), ROLE) {
        for policy in items(&role.properties["ManagedPolicyArns"]) {
            let name = policy.as_str().and_then(|arn| arn.rsplit('/').next()).expect("text").to_owned();
            attached.entry(name).or_insert_with(BTreeSet::new).insert(role.logical_id.clone());
        }
    }
    let theirs = attached.remove("AmazonAPIGatewayPushToCloudWatchLogs");
    assert_eq!(theirs, Some(["ApiGatewayRole".to_owned()].into()), "API Gateway asks for this one");
    assert_eq!(
        attached.keys().collect::<Vec<_>>(),
        ["TracingPolicy"],
        "what is not in this template is not checked here"
    );
}

#[test]
fn every_function_has_a_role_of_its_own() {
    let template = whole_template();
    let mut taken = BTreeSet::new();
    for function in resources(&template, FUNCTION) {
        let role = role(&template, &function);
        assert!(taken.insert(role.logical_id.clone()), "{} has two functions", role.logical_id);
        let trusted = &role.properties["AssumeRolePolicyDocument"]["Statement"]["Principal"];
        assert_eq!(*trusted, serde_json::json!({ "Service": "lambda.amazonaws.com" }), "{}", role.logical_id);
    }
}

#[test]
fn a_function_writes_to_its_own_log_alone() {
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
fn a_function_may_use_the_tables_that_it_is_told_of_and_no_other() {
    for (function, grants) in functions(&whole_template()) {
        let variables = function.properties["Environment"]["Variables"].as_object().expect("variables");
        let told = variables.iter().filter(|(name, _)| name.ends_with("_TABLE"));
        let told: BTreeSet<&str> = told.filter_map(|(_, table)| table.as_str()).collect();
        let allowed: BTreeSet<&str> = grants
            .iter()
            .filter(|grant| grant.action.starts_with("dynamodb:"))
            .map(|grant| grant.resource.split('/').nth(1).unwrap_or_default())
            .collect();
        assert_eq!(allowed, told, "{}", function.logical_id);
    }
}

#[test]
fn a_function_may_reach_what_it_is_told_of_and_nothing_else() {
    for (function, grants) in functions(&whole_template()) {
        let variables = function.properties["Environment"]["Variables"].as_object().expect("variables");
        let told = REACHED.iter().filter(|(name, _)| variables.contains_key(*name));
        let mut told: BTreeSet<&str> = told.map(|(_, action)| *action).collect();
        // Lambda itself tells of failed runs, in the function's name.
        if function.properties.pointer("/EventInvokeConfig/DestinationConfig/OnFailure/Destination").is_some() {
            told.insert("sqs:SendMessage");
        }
        let everywhere = ["dynamodb:", "logs:"];
        let allowed = grants.iter().map(|grant| grant.action.as_str());
        let allowed: BTreeSet<&str> =
            allowed.filter(|action| !everywhere.iter().any(|service| action.starts_with(service))).collect();
        assert_eq!(allowed, told, "{}", function.logical_id);
    }
}
