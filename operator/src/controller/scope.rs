//! Which namespaces the operator looks after.

use k8s_openapi::NamespaceResourceScope;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject},
};

/// All namespaces, or one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The whole cluster.
    Cluster,
    /// One namespace; no rights outside of it are needed.
    Namespace(String),
}

impl Scope {
    /// The objects of a type within the scope.
    #[must_use]
    pub fn api<K>(&self, client: &Client) -> Api<K>
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        match self {
            Self::Cluster => Api::all(client.clone()),
            Self::Namespace(namespace) => Api::namespaced(client.clone(), namespace),
        }
    }

    /// The same for a kind that is only known at run time.
    #[must_use]
    pub fn dynamic(&self, client: &Client, kind: &ApiResource) -> Api<DynamicObject> {
        match self {
            Self::Cluster => Api::all_with(client.clone(), kind),
            Self::Namespace(namespace) => Api::namespaced_with(client.clone(), namespace, kind),
        }
    }
}
