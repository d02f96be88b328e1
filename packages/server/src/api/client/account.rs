//! Accounts: registration, sessions, devices, profiles and what users keep for themselves.

pub mod account_data;
pub mod actions;
pub mod all;
pub mod available;
pub mod deactivate;
pub mod delete_devices;
pub mod devices;
pub mod enabled;
pub mod filter;
pub mod login;
pub mod logout;
pub mod password;
pub mod profile;
pub(super) mod proof;
pub mod pushrules;
pub mod refresh;
pub mod register;
pub mod request_token;
pub mod shared_secret;
pub mod tags;
pub mod validity;
pub mod web;
pub mod whoami;

use crate::api::routes::Routes;

/// The endpoints of this domain.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    let routes = sessions(routes);
    let routes = data(routes);
    routes
        .add(devices::devices)
        .add(devices::device)
        .add(devices::rename)
        .add(devices::delete)
        .add(delete_devices::delete_devices)
        .add(profile::profile)
        .add(profile::field)
        .add(profile::set_field)
        .add(profile::delete_field)
        .add(request_token::request_token)
}

fn sessions(routes: Routes) -> Routes {
    routes
        .add(register::register)
        .add(available::available)
        .add(validity::validity)
        .add(web::page)
        .add(web::submit)
        .add(shared_secret::nonce)
        .add(shared_secret::register)
        .add(login::login_types)
        .add(login::login)
        .add(refresh::refresh)
        .add(logout::logout)
        .add(all::all)
        .add(whoami::whoami)
        .add(password::password)
        .add(deactivate::deactivate)
}

fn data(routes: Routes) -> Routes {
    routes
        .add(account_data::account_data)
        .add(account_data::set_account_data)
        .add(account_data::room_account_data)
        .add(account_data::set_room_account_data)
        .add(filter::create_filter)
        .add(filter::filter)
        .add(tags::tags)
        .add(tags::create_tag)
        .add(tags::delete_tag)
        .add(pushrules::pushrules)
        .add(pushrules::global)
        .add(pushrules::pushrule)
        .add(pushrules::set_pushrule)
        .add(pushrules::delete_pushrule)
        .add(enabled::enabled)
        .add(enabled::set_enabled)
        .add(actions::actions)
        .add(actions::set_actions)
}
