//! Compiles the protos, in Rust alone: nobody needs `protoc` to build this.

use std::{env, error::Error, fs, path::Path};

use prost::Message as _;

/// Every file that holds a service; what they import is found.
const SERVICES: [&str; 4] = [
    "factfold/events/v1/event_service.proto",
    "factfold/goods/v1/goods_service.proto",
    "factfold/orders/v1/order_service.proto",
    "factfold/users/v1/user_service.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=factfold");
    let files = protox::compile(SERVICES, ["."])?;
    // What reflection tells: with the comments, which are the documentation.
    let descriptor_set = Path::new(&env::var("OUT_DIR")?).join("factfold.bin");
    fs::write(descriptor_set, files.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(files)?;
    Ok(())
}
