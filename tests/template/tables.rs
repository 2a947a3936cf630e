//! Tables: what happens to their data with the stack.

use gateway::template::Template;

use super::ROOT;

#[test]
fn tables_of_tenants_and_chats_outlive_the_stack_but_not_a_failed_first_deployment() {
    let yaml = std::fs::read_to_string(format!("{ROOT}/template.yaml")).expect("the template is readable");
    let template = Template::json(&yaml).expect("it is a template");
    for name in ["TenantsTable", "ChatsTable"] {
        let table = &template["Resources"][name];
        assert_eq!(table["DeletionPolicy"], "RetainExceptOnCreate", "{name}");
        assert_eq!(table["UpdateReplacePolicy"], "Retain", "{name}");
    }
}
