//! Tables: what happens to their data with the stack.

use super::unresolved_template;

#[test]
fn tables_of_tenants_and_chats_outlive_the_stack_but_not_a_failed_first_deployment() {
    let template = unresolved_template();
    for name in ["TenantsTable", "ChatsTable"] {
        let table = &template["Resources"][name];
        assert_eq!(table["DeletionPolicy"], "RetainExceptOnCreate", "{name}");
        assert_eq!(table["UpdateReplacePolicy"], "Retain", "{name}");
    }
}
