//! The API's description (OpenAPI 3.1), made of what the handlers say of themselves.

use std::collections::BTreeSet;

use utoipa::{
    IntoResponses, ToSchema,
    openapi::{
        Info, License, OpenApi,
        path::Operation,
        security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
        tag::Tag,
    },
};

/// The body of every refusal (contract §1.3).
#[derive(ToSchema)]
pub(super) struct Refused {
    /// A number for the kind.
    #[expect(dead_code, reason = "describes the API only")]
    code: u32,
    /// The kind's name, and what is wrong with what.
    #[schema(rename = "codeDesc", examples("NCERRResourceNotFound: Resource not found: key store"))]
    #[expect(dead_code, reason = "describes the API only")]
    description: String,
}

/// How a call that needs a token may be refused: add it to the `responses` of each.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes the API only")]
pub(super) enum Refusals {
    /// A member is malformed or out of range; the text names it.
    #[response(status = 400)]
    Invalid(#[to_schema] Refused),
    /// There is no valid token.
    #[response(status = 401)]
    Unauthorized(#[to_schema] Refused),
    /// The caller's roles don't allow it.
    #[response(status = 403)]
    Forbidden(#[to_schema] Refused),
    /// There is no such thing.
    #[response(status = 404)]
    NotFound(#[to_schema] Refused),
    /// The body did not arrive in time.
    #[response(status = 408)]
    Late(#[to_schema] Refused),
    /// A name is taken, the state does not allow it, or a race was lost. Nothing changed.
    #[response(status = 409)]
    Conflict(#[to_schema] Refused),
    /// The body is over 1 MiB.
    #[response(status = 413)]
    TooLarge(#[to_schema] Refused),
    /// AWS refused: its own name of the error and its request id are in the text.
    #[response(status = 422)]
    Aws(#[to_schema] Refused),
    /// Too many tries.
    #[response(status = 429)]
    TooMany(#[to_schema] Refused),
    /// No data plane is connected that could do it, or AWS is away or throttles.
    #[response(status = 503)]
    Unavailable(#[to_schema] Refused),
}

/// The description of all paths, with what they have in common: a bearer token, where a path does not say that it needs none.
pub(super) fn whole(paths: OpenApi) -> OpenApi {
    let mut whole = paths;
    whole.info = Info::new("Holdfast", env!("CARGO_PKG_VERSION"));
    whole.info.description = Some(ABOUT.to_owned());
    whole.info.license = Some(License::new(env!("CARGO_PKG_LICENSE")));
    name_operations(&mut whole);
    let tags: BTreeSet<_> = operations(&whole).filter_map(|(_, _, operation)| operation.tags.as_ref()).flatten().collect();
    whole.tags = Some(tags.into_iter().map(Tag::new).collect());
    let mut bearer = Http::new(HttpAuthScheme::Bearer);
    bearer.bearer_format = Some("JWT".to_owned());
    bearer.description = Some("The `jwt` that `POST /api/v1/auth/tokens` gives; it lasts five minutes.".to_owned());
    whole.components.get_or_insert_default().add_security_scheme(BEARER, SecurityScheme::Http(bearer));
    whole.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>(BEARER, [])]);
    whole
}

/// Gives each operation a name of its own, as the standard demands: handlers of several files are called alike.
fn name_operations(of: &mut OpenApi) {
    for (path, item) in &mut of.paths.paths {
        let path = path.strip_prefix("/api/v1").unwrap_or(path).replace(['{', '}'], "").replace(['/', '-'], "_");
        let methods = [
            ("get", &mut item.get),
            ("put", &mut item.put),
            ("post", &mut item.post),
            ("delete", &mut item.delete),
            ("options", &mut item.options),
            ("head", &mut item.head),
            ("patch", &mut item.patch),
            ("trace", &mut item.trace),
        ];
        for (method, operation) in methods {
            if let Some(operation) = operation {
                operation.operation_id = Some(format!("{method}{path}"));
            }
        }
    }
}

/// Every operation of a description: method, path, and what is said of it.
fn operations(of: &OpenApi) -> impl Iterator<Item = (&'static str, &str, &Operation)> {
    of.paths.paths.iter().flat_map(|(path, item)| {
        let methods = [
            ("GET", &item.get),
            ("PUT", &item.put),
            ("POST", &item.post),
            ("DELETE", &item.delete),
            ("OPTIONS", &item.options),
            ("HEAD", &item.head),
            ("PATCH", &item.patch),
            ("TRACE", &item.trace),
        ];
        methods.into_iter().filter_map(move |(method, operation)| Some((method, path.as_str(), operation.as_ref()?)))
    })
}

const BEARER: &str = "bearer";
const ABOUT: &str = "The control plane of an AWS KMS external key store: key stores, their credentials and keys, and what they are made of. \
    Empty strings and `null` in bodies mean the same as leaving the member out, and members that are not described are ignored.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::rest::resources;

    #[test]
    fn every_operation_has_a_summary_a_tag_and_an_answer_and_names_are_unique() {
        let whole = whole(resources().into_openapi());
        let mut names = BTreeSet::new();
        for (method, path, operation) in operations(&whole) {
            assert!(operation.summary.as_ref().is_some_and(|summary| !summary.is_empty()), "{method} {path}: summary");
            assert!(operation.tags.as_ref().is_some_and(|tags| tags.len() == 1), "{method} {path}: tag");
            assert!(operation.responses.responses.keys().any(|status| status.starts_with('2')), "{method} {path}: success");
            let name = operation.operation_id.clone().unwrap();
            assert!(names.insert(name.clone()), "{method} {path}: {name} is taken");
        }
    }

    #[test]
    fn only_calls_that_are_open_to_all_say_that_they_need_no_token() {
        let whole = whole(resources().into_openapi());
        let open = operations(&whole).filter(|(_, _, operation)| operation.security.is_some());
        let open: BTreeSet<_> = open.map(|(method, path, _)| format!("{method} {path}")).collect();
        assert_eq!(open, OPEN.map(str::to_owned).into());
    }

    /// As [`resources`] routes only what is described, this is all that is routed, but for the description and its page.
    #[test]
    fn what_is_described_is_what_the_contract_has() {
        let whole = whole(resources().into_openapi());
        let described: BTreeSet<_> = operations(&whole).map(|(method, path, _)| format!("{method} {path}")).collect();
        let rows = PATHS.iter().flat_map(|(methods, path)| methods.split(' ').map(move |method| format!("{method} /api/v1{path}")));
        let rows: BTreeSet<_> = rows.collect();
        let missing: Vec<_> = rows.difference(&described).collect();
        let more: Vec<_> = described.difference(&rows).collect();
        assert!(missing.is_empty() && more.is_empty(), "missing: {missing:#?}\nmore: {more:#?}");
    }

    /// The rows of the contract's §0 with those marked `ext`, the Luna ones, and `delete-material`, which is no row of it but what the vendor
    /// calls this.
    const PATHS: [(&str, &str); 74] = [
        ("POST", "/auth/tokens"),
        ("GET POST", "/connectionmgmt/services/aws/connections"),
        ("GET PATCH DELETE", "/connectionmgmt/services/aws/connections/{id}"),
        ("GET POST", "/connectionmgmt/services/luna-network/connections"),
        ("GET PATCH DELETE", "/connectionmgmt/services/luna-network/connections/{id}"),
        ("GET POST", "/connectionmgmt/services/luna-network/servers"),
        ("GET PATCH DELETE", "/connectionmgmt/services/luna-network/servers/{id}"),
        ("POST", "/cckm/aws/accounts"),
        ("GET POST", "/cckm/aws/kms"),
        ("GET PATCH DELETE", "/cckm/aws/kms/{id}"),
        ("POST", "/cckm/aws/kms/{id}/update-acls"),
        ("GET POST", "/cckm/aws/keys"),
        ("POST", "/cckm/aws/upload-key"),
        ("GET DELETE", "/cckm/aws/keys/{id}"),
        ("POST", "/cckm/aws/create-hyok-key"),
        ("POST", "/cckm/aws/keys/{id}/block"),
        ("POST", "/cckm/aws/keys/{id}/unblock"),
        ("POST", "/cckm/aws/keys/{id}/rotate"),
        ("POST", "/cckm/aws/keys/{id}/link"),
        ("POST", "/cckm/aws/keys/{id}/enable"),
        ("POST", "/cckm/aws/keys/{id}/disable"),
        ("POST", "/cckm/aws/keys/{id}/add-alias"),
        ("POST", "/cckm/aws/keys/{id}/delete-alias"),
        ("POST", "/cckm/aws/keys/{id}/add-tags"),
        ("POST", "/cckm/aws/keys/{id}/remove-tags"),
        ("POST", "/cckm/aws/keys/{id}/update-description"),
        ("POST", "/cckm/aws/keys/{id}/policy"),
        ("POST", "/cckm/aws/keys/{id}/schedule-deletion"),
        ("POST", "/cckm/aws/keys/{id}/cancel-deletion"),
        ("POST", "/cckm/aws/custom-key-stores/{id}/create-aws-key"),
        ("GET", "/cckm/aws/keys/{id}/rotations"),
        ("POST", "/cckm/aws/keys/{id}/import-material"),
        ("POST", "/cckm/aws/keys/{id}/delete-material"),
        ("POST", "/cckm/aws/keys/{id}/rotate-material"),
        ("POST", "/cckm/aws/keys/{id}/enable-auto-rotation"),
        ("POST", "/cckm/aws/keys/{id}/disable-auto-rotation"),
        ("POST", "/cckm/aws/keys/{id}/enable-rotation-job"),
        ("POST", "/cckm/aws/keys/{id}/disable-rotation-job"),
        ("POST", "/cckm/aws/keys/{id}/replicate-key"),
        ("POST", "/cckm/aws/keys/{id}/update-primary-region"),
        ("GET", "/cckm/aws/keys/{id}/versions"),
        ("POST", "/cckm/aws/templates"),
        ("GET PATCH DELETE", "/cckm/aws/templates/{id}"),
        ("GET POST", "/cckm/aws/custom-key-stores"),
        ("GET PATCH DELETE", "/cckm/aws/custom-key-stores/{id}"),
        ("POST", "/cckm/aws/custom-key-stores/{id}/block"),
        ("POST", "/cckm/aws/custom-key-stores/{id}/unblock"),
        ("POST", "/cckm/aws/custom-key-stores/{id}/rotate-credential"),
        ("POST", "/cckm/aws/custom-key-stores/{id}/link"),
        ("POST", "/cckm/aws/custom-key-stores/{id}/connect"),
        ("POST", "/cckm/aws/custom-key-stores/{id}/disconnect"),
        ("POST", "/cckm/aws/custom-key-stores/{id}/enable-credential-rotation-job"),
        ("POST", "/cckm/aws/custom-key-stores/{id}/disable-credential-rotation-job"),
        ("POST", "/cckm/aws/custom-key-stores/get-unused-cloudhsm-clusters"),
        ("GET POST", "/cckm/aws/custom-key-stores/{id}/health"),
        ("GET POST", "/cckm/aws/custom-key-stores/{id}/credentials"),
        ("POST", "/cckm/aws/custom-key-stores/{id}/credential"),
        ("GET DELETE", "/cckm/aws/custom-key-stores/{id}/credentials/{cid}"),
        ("GET POST", "/cckm/aws/custom-key-stores/synchronization-jobs"),
        ("GET", "/cckm/aws/custom-key-stores/synchronization-jobs/{id}"),
        ("POST", "/cckm/aws/custom-key-stores/synchronization-jobs/{id}/cancel"),
        ("GET POST", "/cckm/virtual/keys"),
        ("GET PATCH DELETE", "/cckm/virtual/keys/{id}"),
        ("GET", "/cckm/virtual/keys/{id}/versions"),
        ("GET POST", "/vault/keys2"),
        ("GET PATCH DELETE", "/vault/keys2/{id}"),
        ("POST", "/cckm/hsm/luna/add-partition"),
        ("GET", "/cckm/hsm/luna/partitions"),
        ("GET DELETE", "/cckm/hsm/luna/partitions/{id}"),
        ("GET POST", "/cckm/hsm/luna/keys"),
        ("GET DELETE", "/cckm/hsm/luna/keys/{id}"),
        ("GET POST", "/scheduler/job-configs"),
        ("GET PATCH DELETE", "/scheduler/job-configs/{id}"),
        ("GET", "/system/services/status"),
    ];

    const OPEN: [&str; 4] = [
        "GET /api/v1/cckm/aws/custom-key-stores/{id}/health",
        "GET /api/v1/system/services/status",
        "POST /api/v1/auth/tokens",
        "POST /api/v1/cckm/aws/custom-key-stores/{id}/health",
    ];
}
