//! Everything that is tested on the running stack. A folder a part of the service, a file a subject.
//!
//! In a file, `mod black_box` holds the tests that need nothing but the two addresses and the command line. They also run
//! against a deployed stack (`API_URL`, `WS_URL`, `STACK`): `cargo test --test suite black_box`. All other tests read the
//! tables or the processes of the stack on this machine.

mod abuse {
    mod abandoned_generations;
    mod attack_socket;
    mod behaving_tenant;
    mod connects;
    mod deletes;
    mod duplicates;
    mod experiment;
    mod frame_floods;
    mod long_histories;
    mod model;
    mod models;
    mod posts;
    mod refused_keys;
    mod replays;
    mod usage;
}

mod access {
    mod api_keys;
    mod budget;
    mod connect_limits;
    mod connection_slots;
    mod isolation;
    mod log_redaction;
    mod rate_limits;
    mod suspension;
}

mod agents {
    mod openai;
    mod real_model;
}

mod clients {
    mod rust_client;
    mod talk;
}

mod dev_stack {
    mod dev;
}

mod docs {
    mod api_page;
    mod billing_page;
    mod contributing;
    mod openapi;
    mod quick_start;
}

mod error_snapshots;

mod generation {
    pub(crate) mod engine;
}

mod observability {
    mod logs;
    mod metrics;
    mod round_trips;
}

mod resilience {
    mod after_response;
    mod connect_races;
    mod crash;
    mod faults;
    mod outage;
    mod random_faults;
    mod soak;
    mod supervision;
    mod takeover;
}

mod routes {
    mod create_chat;
    mod create_ticket;
    mod delete_chat;
    mod errors;
    mod fallback;
    mod get_chat;
    mod get_usage;
    mod list_messages;
    mod list_user_chats;
    mod update_chat;
}

mod storage {
    mod budgets;
    mod erasure;
    mod generations;
    mod maintenance;
    mod repositories;
    mod retention;
    mod storage_compatibility;
    mod usage;
}

mod template;

mod websocket {
    pub(crate) mod answer_reader;
    mod cancel;
    mod connect;
    mod disconnect;
    mod errors;
    mod ping;
    mod regenerate;
    mod resume;
    mod send_message;
}
