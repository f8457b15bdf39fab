//! Turns a `ProcessingPipeline` into a running work queue.
//!
//! The path of a pipeline: [`manifest`] reads a file (or the controller the API server), [`validate`] makes it a
//! [`validate::Pipeline`] that later steps cannot misuse, and [`build`] makes that into Kubernetes objects.

pub mod build;
pub mod command;
pub mod controller;
pub mod crd;
pub mod labels;
pub mod local;
pub mod manifest;
pub mod scaling;
pub mod validate;
