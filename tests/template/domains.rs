//! Custom domain names.

use super::{Resource, resource, resources, template_with, text};

const WEBSOCKET: [(&str, &str); 2] =
    [("WebSocketDomainName", "ws.example.com"), ("DomainCertificateArn", "certificate")];
const SHARED: [(&str, &str); 2] = [("SharedDomainName", "chat.example.com"), ("SharedCertificateArn", "certificate")];

fn distribution() -> Resource {
    resource(&template_with(&SHARED), "AWS::CloudFront::Distribution", "SharedDistribution")
}

#[test]
fn tickets_lead_to_the_configured_domain() {
    let both = [WEBSOCKET, SHARED].concat();
    for (parameters, address) in [
        (&[][..], "wss://WebSocketApi.execute-api.us-east-1.amazonaws.com/live"),
        (&WEBSOCKET, "wss://ws.example.com"),
        (&SHARED, "wss://chat.example.com/ws/chat"),
        (&both, "wss://chat.example.com/ws/chat"),
    ] {
        let functions = template_with(parameters).functions().expect("functions are readable");
        let tickets = functions.iter().find(|function| function.name == "create-ticket").expect("the function exists");
        assert_eq!(tickets.environment["WEBSOCKET_URL"], address);
        // No custom domain serves the management API.
        let endpoints: Vec<_> = functions.iter().filter_map(|f| f.environment.get("MANAGEMENT_ENDPOINT")).collect();
        assert!(!endpoints.is_empty());
        for endpoint in endpoints {
            assert_eq!(endpoint, "https://WebSocketApi.execute-api.us-east-1.amazonaws.com/live");
        }
    }
}

#[test]
fn domain_without_its_certificate_adds_no_resources() {
    let template = template_with(&[WEBSOCKET[0], SHARED[0], ("RestDomainName", "api.example.com")]);
    for kind in ["AWS::ApiGatewayV2::DomainName", "AWS::CloudFront::Distribution", "AWS::Route53::RecordSet"] {
        assert!(resources(&template, kind).is_empty(), "{kind}");
    }
}

#[test]
fn cloudfront_caches_nothing_and_logs_nothing() {
    let config = &distribution().properties["DistributionConfig"];
    assert_eq!(config.get("Logging"), None, "its logs would hold the query");
    let behaviors = config["CacheBehaviors"].as_array().expect("a list").iter();
    for behavior in behaviors.chain([&config["DefaultCacheBehavior"]]) {
        // CachingDisabled and AllViewerExceptHostHeader.
        // https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/using-managed-cache-policies.html
        // https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/using-managed-origin-request-policies.html
        assert_eq!(behavior["CachePolicyId"], "4135ea2d-6df8-44a3-9df3-4b5a84be39ad");
        assert_eq!(behavior["OriginRequestPolicyId"], "b689b0a8-53d0-40ab-baf2-68738e2966ac");
        assert_eq!(behavior["ViewerProtocolPolicy"], "https-only");
    }
    // Every error that CloudFront caches by default.
    // https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/HTTPStatusCodes.html
    let errors = config["CustomErrorResponses"].as_array().expect("a list");
    for status in [400, 403, 404, 405, 414, 500, 501, 502, 503, 504] {
        let kept = errors.iter().find(|error| error["ErrorCode"] == status).map(|error| &error["ErrorCachingMinTTL"]);
        assert_eq!(kept, Some(&0.into()), "{status} is cached");
    }
}

#[test]
fn shared_domain_leads_to_both_apis() {
    let distribution = distribution();
    let origin = |id: &str| {
        let origins = distribution.properties["DistributionConfig"]["Origins"].as_array().expect("a list");
        let origin = origins.iter().find(|origin| origin["Id"] == id).expect("the origin exists");
        origin["DomainName"].as_str().expect("text").to_owned()
    };
    let pointer = |end: &str| text(&distribution, &format!("/DistributionConfig{end}")).to_owned();
    assert_eq!(origin(&pointer("/DefaultCacheBehavior/TargetOriginId")), "HttpApi.execute-api.us-east-1.amazonaws.com");
    assert_eq!(pointer("/CacheBehaviors/0/PathPattern"), "/ws/chat");
    assert_eq!(
        origin(&pointer("/CacheBehaviors/0/TargetOriginId")),
        "WebSocketApi.execute-api.us-east-1.amazonaws.com"
    );

    let template = template_with(&SHARED);
    let path = resource(&template, "AWS::CloudFront::Function", "SharedWebSocketPath");
    let stage = template.websocket_api().expect("readable").expect("a WebSocket API").stage;
    assert!(text(&path, "/FunctionCode").contains(&format!("request.uri = '/{stage}';")), "the path is the stage's");
}
