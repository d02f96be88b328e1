//! `PUT /_matrix/federation/v1/send/{txnId}`
//! [Spec](https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv1sendtxnid)

use std::sync::Arc;

use axum::extract::State;
use futures_util::FutureExt;
use ruma::api::federation::transactions::send_transaction_message::v1::{Request, Response};

use crate::{
    api::{
        error::{ApiError, ApiResult},
        extract::Call,
    },
    app::App,
    federation::edu::EduReceiver,
};

/// The most events of a transaction.
const MAX_PDUS: usize = 50;
/// The most ephemeral messages of a transaction.
const MAX_EDUS: usize = 100;

/// Takes the events of a transaction, each judged on its own.
pub async fn send(
    State(app): State<App>,
    Call {
        caller, request, ..
    }: Call<Request>,
) -> ApiResult<Response> {
    if request.pdus.len() > MAX_PDUS || request.edus.len() > MAX_EDUS {
        return Err(ApiError::invalid_param(
            "A transaction has at most 50 PDUs and 100 EDUs",
        ));
    }
    let origin = caller.server_name().to_owned();
    if request.origin != origin {
        return Err(ApiError::forbidden("The transaction is of another server"));
    }
    let place = app.transactions.begin(&origin)?;
    // A server that hangs up must not stop the work half-way.
    let key = (origin.clone(), request.transaction_id);
    let (tasks, transactions) = (app.tasks.clone(), app.transactions.clone());
    let work = tasks.spawn(async move {
        let work = async move {
            let (rooms, acls) = (&app.rooms, &app.acls);
            let results = app.inbound.receive(&origin, request.pdus).await?;
            // After the events, which receipts may be about.
            let edus = EduReceiver::new(rooms, &app.device_lists, &app.to_device, acls, &origin);
            edus.receive(request.edus).await?;
            Ok(results)
        };
        let outcome = transactions.once(key, work.boxed()).await;
        drop(place);
        outcome
    });
    let pdus = work.await.map_err(|error| ApiError::unavailable(&error))?;
    Ok(Response::new(Arc::unwrap_or_clone(pdus?)))
}
