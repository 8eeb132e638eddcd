//! The gRPC API in Rust: what `factfold/**/*.proto` beside this says, as messages, servers and clients. All of it is
//! generated; what it means stands in the protos. A crate of its own, since compiling protos is slow and seldom needed.

#![allow(
    clippy::all,
    clippy::allow_attributes_without_reason,
    missing_docs,
    unreachable_pub,
    reason = "the code is generated, and the protos are its documentation"
)]

/// `factfold.common`
pub mod common {
    /// `factfold.common.v1`
    pub mod v1 {
        tonic::include_proto!("factfold.common.v1");
    }
}

/// `factfold.events`
pub mod events {
    /// `factfold.events.v1`
    pub mod v1 {
        tonic::include_proto!("factfold.events.v1");
    }
}

/// `factfold.goods`
pub mod goods {
    /// `factfold.goods.v1`
    pub mod v1 {
        tonic::include_proto!("factfold.goods.v1");
    }
}

/// `factfold.orders`
pub mod orders {
    /// `factfold.orders.v1`
    pub mod v1 {
        tonic::include_proto!("factfold.orders.v1");
    }
}

/// `factfold.users`
pub mod users {
    /// `factfold.users.v1`
    pub mod v1 {
        tonic::include_proto!("factfold.users.v1");
    }
}

/// All of it as a `FileDescriptorSet`: what reflection serves.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("factfold");
