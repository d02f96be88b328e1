//! `GET /.well-known/matrix/support`
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#getwell-knownmatrixsupport)

use axum::extract::State;
use ruma::api::client::discovery::discover_support::{Contact, ContactRole, Request, Response};

use crate::{
    api::{
        error::{ApiResult, request::RequestError},
        extract::Call,
    },
    app::App,
    config,
};

/// Names those whom users and other administrators can ask.
pub async fn support(State(app): State<App>, _: Call<Request>) -> ApiResult<Response> {
    let known = &app.config.well_known;
    let contacts: Vec<_> = known.support_contacts.iter().filter_map(contact).collect();
    let page = known.support_page.as_ref().map(ToString::to_string);
    if contacts.is_empty() && page.is_none() {
        return Err(RequestError::NotConfigured.into());
    }
    let mut response = Response::with_contacts(contacts);
    response.support_page = page;
    Ok(response)
}

fn contact(contact: &config::Contact) -> Option<Contact> {
    let role = match contact.role {
        config::ContactRole::Admin => ContactRole::Admin,
        config::ContactRole::Security => ContactRole::Security,
    };
    let mut known = match (&contact.matrix_id, &contact.email_address) {
        (Some(id), _) => Contact::with_matrix_id(role, id.clone()),
        (None, Some(address)) => Contact::with_email_address(role, address.clone()),
        (None, None) => return None,
    };
    known.email_address.clone_from(&contact.email_address);
    Some(known)
}
