//! On a schedule: finishes what was left half done, and deletes what nobody wants to keep.

mod handler;

use lambda_runtime::Error;
use shared::{
    answer::Sockets,
    aws,
    config::Config,
    housekeeping::Housekeeper,
    scheduled,
    store::{Chats, Connections, Tenants},
    telemetry,
    ws::Publisher,
};

use crate::handler::App;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let config = Config::from_env();
    telemetry::init(&config, env!("CARGO_CRATE_NAME"));
    let sdk = aws::sdk_config().await;
    let dynamodb = aws::dynamodb(&sdk);
    let house = Housekeeper {
        tenants: Tenants::new(dynamodb.clone(), config.tenants_table()?),
        chats: Chats::new(dynamodb.clone(), config.chats_table()?),
        sockets: Sockets {
            connections: Connections::new(dynamodb, config.connections_table()?),
            publisher: Publisher::new(aws::management_api(&sdk, config.management_endpoint()?)),
        },
    };
    let app = App { house };
    scheduled::serve(move |occasion| handler::handle(app.clone(), occasion)).await
}
