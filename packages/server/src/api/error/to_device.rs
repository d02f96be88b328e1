//! Failures of messages to devices.

use ruma::api::error::ErrorKind;

use super::ApiError;
use crate::to_device::ToDeviceError;

impl From<ToDeviceError> for ApiError {
    fn from(error: ToDeviceError) -> Self {
        match error {
            ToDeviceError::TooMany | ToDeviceError::TooLarge => Self::too_large(error.to_string()),
            ToDeviceError::TypeTooLong => Self::invalid_param(error.to_string()),
            ToDeviceError::NotAnObject | ToDeviceError::NotCanonical => {
                Self::bad_request(ErrorKind::BadJson, error.to_string())
            }
            ToDeviceError::Store(error) => error.into(),
        }
    }
}
